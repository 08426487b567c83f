"""Workers: codes and generations made in another process are those that this one would make, and errors come back whole."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from hashing.index_records import RecordIndex
from service import workers
from service.errors import DataLossError, NotFoundError, UnavailableError
from service.records import ModelKind
from service.storage.store import Store
from service.usecases.loading import read_snapshot
from service.usecases.snapshot import Snapshot
from service.usecases.waiting import wait
from service.workers import StoreWorkers, find_hasher
from tests.service.stack import COUNT, make_store

TIMEOUT_S = 120


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("workers"))


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(folder):
    with Store.open(folder, purpose="test", writable=True) as store:
        yield store


def in_thread(folder):
    return StoreWorkers(folder, ThreadPoolExecutor(1))


def active(store):
    return store.catalog.active_model(ModelKind.HASHER).identity


def check_built(store, built, hasher):
    """Assert that the files of a generation hold what the catalog holds."""
    assert (built.images, built.built_to) == (COUNT, store.catalog.counts().last_sequence)
    files = store.generations.read(built.number, manifest_sha256=built.manifest_sha256)
    written = Snapshot.from_files(files, hasher, index_factory=RecordIndex, generation=built.number)
    truth = read_snapshot(store.catalog, hasher, index_factory=RecordIndex)
    rows = np.arange(COUNT)
    np.testing.assert_array_equal(written.image_ids(rows), truth.image_ids(rows))
    np.testing.assert_array_equal(written.index.records(rows), truth.index.records(rows))
    assert written.sequence == truth.sequence


def test_another_process_encodes_and_builds_what_this_one_would(folder, store):
    identity = active(store)
    hasher = find_hasher(store, identity)
    (chunk,) = store.catalog.embeddings(backbone=hasher.backbone_identity)
    others = StoreWorkers(folder)
    try:
        records = others.encode(chunk.embeddings, hasher=identity).result(TIMEOUT_S)
        np.testing.assert_array_equal(records, hasher.encode(chunk.embeddings.astype(np.float32)))
        built = others.build_generation(5, hasher=identity).result(TIMEOUT_S)
        check_built(store, built, hasher)
        with pytest.raises(NotFoundError, match="No hasher none@0 in the store") as caught:
            others.encode(chunk.embeddings, hasher="none@0").result(TIMEOUT_S)
        assert (caught.value.reason, caught.value.field) == ("MODEL_NOT_FOUND", "hasher")
    finally:
        others.close()


def test_a_process_that_was_ended_is_told_and_another_takes_its_place(folder, store):
    identity = active(store)
    (chunk,) = store.catalog.embeddings(backbone=find_hasher(store, identity).backbone_identity)
    others = StoreWorkers(folder)
    try:
        others.encode(chunk.embeddings, hasher=identity).result(TIMEOUT_S)
        (process,) = (
            child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())
        )
        process.suspend()
        pending = others.encode(chunk.embeddings, hasher=identity)
        process.kill()
        with pytest.raises(
            UnavailableError, match="was ended, perhaps by a system short of memory"
        ) as caught:
            wait(pending, lambda: None)
        assert caught.value.reason == "WORKER_ENDED"
        assert len(others.encode(chunk.embeddings, hasher=identity).result(TIMEOUT_S)) == COUNT
    finally:
        others.close()


def test_any_executor_will_do(folder, store):
    identity = active(store)
    others = in_thread(folder)
    check_built(
        store, others.build_generation(7, hasher=identity).result(TIMEOUT_S), find_hasher(store, identity)
    )
    others.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        others.build_generation(8, hasher=identity)


def test_a_backbone_is_no_hasher(store):
    backbone = store.catalog.active_model(ModelKind.BACKBONE).identity
    with pytest.raises(NotFoundError, match=f"No hasher {backbone} in the store. `polyhash stats` lists"):
        find_hasher(store, backbone)


def test_a_generation_that_reads_back_wrong_is_deleted_and_told(folder, store, monkeypatch):
    monkeypatch.setattr(workers, "compare_hits", lambda *_: 2)
    others = in_thread(folder)
    with pytest.raises(
        DataLossError, match="Generation 7, as read back from disk, misses hits of 2 searches"
    ) as caught:
        others.build_generation(7, hasher=active(store)).result(TIMEOUT_S)
    others.close()
    assert caught.value.reason == "GENERATION_WRONG"
    assert store.generations.numbers() == [1]
