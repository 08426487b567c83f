"""Many who change a gallery at once: what waits together is committed together, nothing is lost, no answer mixes models."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hashing.index_records import RecordIndex
from service.errors import InvalidArgumentError, UnavailableError
from service.usecases.loading import read_snapshot
from service.usecases.queries import IdQuery, SearchRequest
from service.usecases.rebuild import Rebuilder
from tests.contracts.echoes import (
    EchoHasher,
    distance,
    echo_image,
    named_images,
    random_records,
)
from tests.contracts.fakes import (
    FIRST_ID,
    MemoryGenerations,
    MemoryOriginals,
    MemoryWorkers,
    new_gallery,
)
from tests.contracts.memory_catalog import MemoryCatalog
from tests.service.echo_gallery import ONES, ZEROS, empty_catalog, found, registered, searcher_over


@pytest.fixture(params=["memory", "sql"])
def catalog(request, tmp_path):
    """An empty catalog that uses the echo hasher."""
    with empty_catalog(request.param, tmp_path) as empty:
        yield empty


class Counted(MemoryCatalog):
    """Counts its transactions of new images, refuses those of a certain name, and holds back each until told."""

    def __init__(self, *, refuse=None) -> None:
        super().__init__()
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.refuse = refuse

    def add_images(self, images, **more):
        self.entered.set()
        assert self.gate.wait(timeout=30)
        self.batches.append([image.name for image in images])
        if any(image.name == self.refuse for image in images):
            raise InvalidArgumentError(f"{self.refuse} is refused.")
        return super().add_images(images, **more)


# ------------------------------------------------------------ many at once


class Arrivals(MemoryOriginals):
    """Counts whose original was kept, which is the first thing that is done for an image."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)

    def put(self, digest, content):
        super().put(digest, content)
        self.arrived.release()


def add_while_one_is_held_back(catalog, images):
    """Add images from a thread each while the catalog holds back the first; returns the gallery and a future each."""
    originals = Arrivals()
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog, originals=originals)
    catalog.gate.clear()
    with ThreadPoolExecutor(len(images)) as threads:
        futures = []
        for image in images:
            futures.append(threads.submit(gallery.add, [image], {image.sha256: b""}))
            assert originals.arrived.acquire(timeout=30)
            assert catalog.entered.wait(timeout=30)
        time.sleep(0.1)  # the last of them are on their way into the queue
        catalog.gate.set()
    return gallery, futures


def test_images_that_wait_together_are_committed_together():
    catalog, images = Counted(), named_images(random_records(12))
    _, futures = add_while_one_is_held_back(catalog, images)
    assert len(catalog.batches) < len(images) / 2
    for future, image in zip(futures, images, strict=True):
        (ack,) = future.result()
        assert catalog.get_images([ack.image_id])[ack.image_id].name == image.name


def test_one_caller_s_bad_image_is_no_reason_to_refuse_another_s():
    catalog = Counted(refuse="5")
    gallery, futures = add_while_one_is_held_back(catalog, named_images(random_records(8)))
    for number, future in enumerate(futures):
        if number == 5:
            assert "5 is refused" in str(future.exception())
        else:
            (ack,) = future.result()
            assert catalog.get_images([ack.image_id])[ack.image_id].name == str(number)
    assert len(gallery) == catalog.counts().images == 7


def test_threads_that_add_at_once_lose_nothing(catalog):
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog)
    images = named_images(random_records(120))
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda image: gallery.add([image]), images))
    added = sorted(ack.image_id for (ack,) in answers)
    assert added == list(range(FIRST_ID, FIRST_ID + 120))
    for (ack,), image in zip(answers, images, strict=True):
        assert catalog.get_images([ack.image_id])[ack.image_id].name == image.name
    assert sorted(image_id for _, image_id in found(gallery, ZEROS, bits=16, k=200)) == added


# ------------------------------------------------------------ going over to another snapshot


def test_a_swap_that_cannot_be_made_official_changes_nothing():
    one, two = EchoHasher(), EchoHasher("echo@111111111111", backwards=True)
    catalog = registered(MemoryCatalog(), one, two)
    gallery = new_gallery(hasher=one, catalog=catalog)
    gallery.add(named_images(random_records(3)))
    before = gallery.snapshot

    def fail():
        raise UnavailableError("The disk is full.")

    with pytest.raises(UnavailableError, match="disk is full"):
        gallery.swap(read_snapshot(catalog, two, index_factory=RecordIndex), activate=fail)
    assert gallery.snapshot is before
    gallery.add([echo_image(ONES, name="later")])
    assert len(gallery) == 4


def test_no_image_is_lost_or_doubled_and_no_answer_mixes_models_while_snapshots_are_swapped():
    hashers = {
        hasher.identity: hasher for hasher in (EchoHasher(), EchoHasher("echo@111111111111", backwards=True))
    }
    catalog = registered(MemoryCatalog(), *hashers.values())
    gallery = new_gallery(hasher=hashers["echo@000000000000"], catalog=catalog)
    records = random_records(400, seed=3)
    gallery.add(named_images(records[:100]))
    images = named_images(records[100:], first=100)
    acknowledged, wrong, done = set(range(FIRST_ID, FIRST_ID + 100)), [], threading.Event()
    searcher = searcher_over(gallery)
    generations = MemoryGenerations()
    rebuilder = Rebuilder(
        gallery,
        generations,
        workers := MemoryWorkers(catalog, generations, list(hashers.values())),
        find_hasher=hashers.__getitem__,
        find_backbone=workers.backbones.__getitem__,
        index_factory=RecordIndex,
    )

    def add(part):
        for image in part:
            acknowledged.update(ack.image_id for ack in gallery.add([image]))

    def search():
        while not done.is_set():
            known = set(acknowledged)
            answer = searcher.search(SearchRequest(query=IdQuery(image_id=FIRST_ID), bits=16, k=1000))
            hits = [hit.image_id for hit in answer.hits]
            wrong.extend(known - set(hits) - {FIRST_ID})
            wrong.extend([] if len(set(hits)) == len(hits) else hits)
            order = -1 if answer.hasher_identity == "echo@111111111111" else 1
            own = records[0][::order][:2]
            for hit in answer.hits:
                there = records[int(hit.row.name)][::order][:2]
                if hit.distance != distance(own, there):
                    wrong.append(hit)

    def swap():
        for identity in ["echo@111111111111", "echo@000000000000"] * 4:
            rebuilder.rebuild(hasher=identity, report=lambda *_: None)

    with ThreadPoolExecutor(4) as threads:
        searching = threads.submit(search)
        busy = [threads.submit(add, images[::2]), threads.submit(add, images[1::2]), threads.submit(swap)]
        for future in busy:
            future.result()
        done.set()
        searching.result()
    assert wrong == []
    assert len(gallery) == len(acknowledged) == 400
