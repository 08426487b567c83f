"""`polyhash serve` as a process: it answers, holds its store, and ends when told to."""

import signal
from itertools import count

import grpc
import pytest

from service.client import ApiError, Client, NewImage
from tests.contracts.fakes import png
from tests.service.command import polyhash, start_polyhash, write_pictures


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    write_pictures(folder / "photos", 8)
    done = polyhash("index", folder / "photos", "--store", folder / "store", "--lengths", "16,32")
    assert done.status == 0
    return folder / "store"


def address_of(process):
    """Return where a starting server listens, as it says itself."""
    line = process.stdout.readline()
    assert line.startswith("Serving 8 images on 127.0.0.1:"), line + process.stderr.read()
    return line.split()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_answers_until_it_is_told_to_stop(store, number):
    with start_polyhash("serve", "--store", store, "--address", "127.0.0.1:0") as process:
        with Client(address_of(process)) as client:
            assert client.stats().lengths == (16, 32)
            assert len(client.search(image_id=1, k=3).hits) == 3
            held = polyhash("index", store.parent / "photos", "--store", store)
            assert held.status == 1
            assert f"process {process.pid} (polyhash serve --address 127.0.0.1:0" in held.err
            assert "send images to it with IngestImages" in held.err
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert err == "Stopping: no new calls, finishing those in flight.\n"
    assert polyhash("index", store.parent / "photos", "--store", store).status == 0


def test_stopping_in_the_middle_of_an_upload_loses_nothing_that_was_acknowledged(store):
    taken = []

    def upload(address, process):
        images = (NewImage(name=f"{seed}.png", content=png(seed)) for seed in count())
        with Client(address) as client:
            for outcome in client.ingest(images):
                taken.append(outcome.image_id)
                if len(taken) == 40:
                    process.terminate()

    with start_polyhash("serve", "--store", store, "--address", "127.0.0.1:0", "--grace-s", "1") as process:
        with pytest.raises(ApiError) as caught:
            upload(address_of(process), process)
        process.communicate(timeout=30)
    assert (process.returncode, caught.value.code) == (0, grpc.StatusCode.UNAVAILABLE)
    stats = polyhash("stats", "--store", store, "--json").document
    assert stats["images"] == stats["code_records"] >= 8 + len(taken)
    assert polyhash("search", taken[-1], "--store", store).status == 0


def test_an_address_that_cannot_be_listened_on_is_told(store):
    with start_polyhash("serve", "--store", store, "--address", "192.0.2.1:1") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "polyhash: Cannot listen on 192.0.2.1:1: it is in use" in err
    assert "Traceback" not in err
