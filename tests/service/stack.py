"""The whole stack in tests: a learned store, served from this process or from one of its own, and what to ask of it.

In: folders and addresses. Out: a served address with the application behind it, pictures to send, errors as read.
"""

import time
from contextlib import contextmanager

from google.rpc import error_details_pb2
from grpc_status import rpc_status

from service import compose
from service.client import NewImage
from service.usecases.reading import in_chunks
from service.vision.datasets import open_image_set
from tests.service.command import start_polyhash, write_pictures
from tests.service.odd_pictures import picture

LENGTHS = (16, 64, 128)
COUNT = 24  # pictures in the store, ids 1 to COUNT
TIMEOUT_S = 30
ALL = 10_000


def make_store(folder):
    """Make a store of COUNT pictures with a hasher in an empty folder; returns its path."""
    write_pictures(folder / "photos" / "a", COUNT // 2)
    write_pictures(folder / "photos" / "b", COUNT // 2, seed=1)
    with compose.open_session(folder / "store", purpose="test", create=True) as session:
        list(session.application.ingestor.run(in_chunks(open_image_set(str(folder / "photos")))))
        compose.use_hasher(session, compose.fit_hasher(session, parameters={"lengths": LENGTHS}))
    return folder / "store"


@contextmanager
def serving(store, **more):
    """Serve a store from this process; gives its address and application."""
    with (
        compose.open_session(store, purpose="test", **more) as session,
        compose.serving(session.application, "127.0.0.1:0", grace_s=2.0) as port,
    ):
        yield f"127.0.0.1:{port}", session.application


@contextmanager
def serving_process(store):
    """Start `polyhash serve`; gives its process and address, and leaves nothing behind."""
    with start_polyhash("serve", "--store", store, "--address", "127.0.0.1:0") as process:
        try:
            yield process, "127.0.0.1:" + process.stdout.readline().rpartition(":")[2].strip()
        finally:
            process.kill()


def named(seeds):
    return (NewImage(name=f"{seed}.png", content=picture(seed)) for seed in seeds)


def alike(client, content, bits=None):
    """Return the ids of all images with the same code as a picture."""
    found = client.search(image=content, k=ALL, max_distance=0, bits=bits, full=False)
    return {hit.image_id for hit in found.hits}


def read_error(error):
    """Return code, reason and field of an error, which must have one ErrorInfo of ours."""
    infos, fields = [], [""]
    for detail in rpc_status.from_call(error).details:
        info, fault = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        infos += [info] if detail.Unpack(info) else []
        fields += [fault.field_violations[0].field] if detail.Unpack(fault) else []
    (info,) = infos
    assert info.domain == "polyhash"
    return error.code().name, info.reason, fields[-1]


def wait_until(fact):
    deadline = time.monotonic() + TIMEOUT_S
    while not fact():
        assert time.monotonic() < deadline, f"the fact did not come about within {TIMEOUT_S} s"
        time.sleep(0.01)
