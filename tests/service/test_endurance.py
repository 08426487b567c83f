"""What was acknowledged stays and is found, whoever dies and however many come at once.

Real store, real backbone, real server, real client; processes of their own where signals count.
"""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import grpc
import pytest
from polyhash.v1 import analysis_service_pb2 as analysis
from polyhash.v1 import gallery_service_pb2 as gallery

from service import compose
from service.client import ApiError, Client
from service.errors import StoreHeldError
from service.rpc.calls import Stubs
from tests.service.command import ROOT
from tests.service.odd_pictures import bomb, picture
from tests.service.stack import (
    ALL,
    COUNT,
    LENGTHS,
    TIMEOUT_S,
    alike,
    make_store,
    named,
    read_error,
    serving,
    serving_process,
    wait_until,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("template"))


@pytest.fixture
def store(template, tmp_path):
    return shutil.copytree(template, tmp_path / "store")


@pytest.fixture
def address(store):
    with serving(store) as (address, _):
        yield address


@pytest.fixture
def client(address):
    with Client(address) as client:
        yield client


def threads(name):
    return sum(thread.name == name for thread in threading.enumerate())


# ---------------------------------------------------------------- those who die

SENDER = """
import sys
from service.client import Client, NewImage
from tests.service.odd_pictures import picture
images = (NewImage(name=f"{seed}.png", content=picture(seed)) for seed in range(100_000))
with Client(sys.argv[1]) as client:
    for outcome in client.ingest(images):
        print(outcome.name, outcome.image_id, flush=True)
"""


def check_kept(client, acknowledged):
    """Check that images, ids by seed, are there once each and found by their bytes."""
    rows = {row.image_id: row.name for row in client.list_images(page_size=1000)}
    assert len(set(rows.values())) == len(rows) == client.stats().indexed_images
    for seed, image_id in acknowledged.items():
        assert rows[image_id] == f"{seed}.png"
        assert image_id in alike(client, picture(seed))


def test_what_clients_that_vanish_had_acknowledged_stays_and_their_places_are_free_again(address, client):
    acknowledged = {}
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto'}"}
    with subprocess.Popen(  # noqa: S603 - the lines above
        [sys.executable, "-c", SENDER, address], env=environment, stdout=subprocess.PIPE, text=True
    ) as sender:
        for line in sender.stdout:
            name, image_id = line.split()
            acknowledged[int(name[:-4])] = int(image_id)
            if len(acknowledged) == 50:
                sender.kill()
                break
    for seed in range(8):  # twice the uploads that may be open at once
        upload = client.ingest(named(range(seed, 40)))
        next(upload)
        upload.close()
        wait_until(lambda: threads("stream-feeder") == 0)
    check_kept(client, acknowledged)


def test_what_a_killed_server_had_acknowledged_is_there_after_its_restart_and_nothing_twice(store):
    acknowledged = {}
    with serving_process(store) as (process, address), Client(address) as client:
        with pytest.raises(
            StoreHeldError, match=rf"is being written by process {process.pid} \(polyhash serve"
        ):
            compose.open_session(store, purpose="test").__enter__()
        with pytest.raises(ApiError) as caught:  # noqa: PT012 - the loop is what it ends
            for outcome in client.ingest(named(range(100_000))):
                acknowledged[int(outcome.name[:-4])] = outcome.image_id
                if len(acknowledged) == 50:
                    process.kill()
    assert caught.value.code.name == "UNAVAILABLE"
    with serving(store) as (address, _), Client(address) as client:
        check_kept(client, acknowledged)
        again = {int(outcome.name[:-4]): outcome for outcome in client.ingest(named(range(90)))}
        assert all(
            again[seed].duplicate_of == image_id for seed, image_id in acknowledged.items() if seed < 90
        )
        check_kept(client, {seed: outcome.image_id for seed, outcome in again.items()})


def test_a_server_told_to_stop_answers_what_is_under_way_and_then_ends(store):
    sent = queue.SimpleQueue()
    with serving_process(store) as (process, address), grpc.insecure_channel(address) as channel:
        stubs = Stubs(channel)
        upload = stubs.gallery.IngestImages(iter(sent.get, None), timeout=TIMEOUT_S)
        call = stubs.analysis.Encode.future(analysis.EncodeRequest(image=bomb(10_000)), timeout=TIMEOUT_S)
        sent.put(gallery.IngestImagesRequest(name="0.png", content=picture(0)))
        assert next(upload).ingested.image_id == COUNT + 1
        assert not call.done()  # it takes a second, and came before that picture
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            next(upload)
        assert read_error(caught.value) == ("UNAVAILABLE", "SERVER_STOPPING", "")
        assert [code.bits for code in call.result().codes] == list(LENGTHS)
        assert process.wait(TIMEOUT_S) == 0
        sent.put(None)
    with serving(store) as (address, _), Client(address) as client:
        check_kept(client, {0: COUNT + 1})


# ---------------------------------------------------------------- many at once


class Ledger:
    """What the writers know to be there, and to be gone."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.there, self.leaving, self.gone = set(range(1, COUNT + 1)), set(), set()

    def snapshot(self):
        with self.lock:
            return set(self.there), set(self.gone)


def upload_and_delete(client, ledger, seeds):
    """Send images in, find each at once, and delete every fifth."""
    for outcome in client.ingest(named(seeds)):
        seed = int(outcome.name[:-4])
        if seed % 5 == 0 and outcome.duplicate_of is None:
            with ledger.lock:
                ledger.leaving.add(outcome.image_id)
            client.delete_image(outcome.image_id)
            with ledger.lock:
                ledger.gone.add(outcome.image_id)
        elif seed % 5:
            assert outcome.image_id in alike(client, picture(seed))
            with ledger.lock:
                ledger.there.add(outcome.image_id)


def search_until(client, ledger, stopped, bits):
    """Check answer after answer against what the writers knew before; returns how many."""
    count = 0
    while not stopped.is_set():
        there, gone = ledger.snapshot()
        found = client.search(image_id=1 + count % COUNT, k=ALL, bits=bits, full=count % 2 == 0).hits
        ranking = [(hit.distance, hit.image_id) for hit in found]
        ids = {image_id for _, image_id in ranking}
        assert ranking == sorted(ranking)
        assert len(ids) == len(ranking)
        assert there - ids == {1 + count % COUNT}
        assert not gone & ids
        count += 1
    return count


def test_uploads_searches_and_deletes_at_once_lose_nothing_and_show_nothing_twice(address):
    ledger, stopped = Ledger(), threading.Event()
    with ThreadPoolExecutor(10) as pool, Client(address) as client:
        searches = [pool.submit(search_until, client, ledger, stopped, LENGTHS[n % 3]) for n in range(8)]
        uploads = [
            pool.submit(upload_and_delete, client, ledger, seeds) for seeds in (range(60), range(40, 100))
        ]
        wait(uploads)
        stopped.set()
        assert [upload.result() for upload in uploads] == [None, None]
        assert min(search.result() for search in searches) > 5
        there, gone = ledger.snapshot()
        assert {row.image_id for row in client.list_images()} == there
        assert len(gone) >= 20
        assert client.stats().indexed_images == len(there) == COUNT + 80
