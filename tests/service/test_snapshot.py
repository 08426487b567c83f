"""A snapshot keeps ids, codes and columns of the same rows together, shows a batch wholly or not at all, and goes to files and back."""

import json

import numpy as np
import pytest

from hashing.index_records import RecordIndex
from service.records import ColumnChunk, GenerationFiles
from service.usecases.filters import ImageFilter
from service.usecases.snapshot import Snapshot
from tests.contracts.echoes import LENGTHS, EchoHasher, random_records

IDS = np.cumsum(np.random.default_rng(0).integers(1, 4, 60))  # ids have gaps


def codes(n, *, seed=0):
    return np.array([list(record) for record in random_records(n, seed=seed)], dtype=np.uint8)


def chunk_of(image_ids, *, labels=("cat",)):
    n = len(image_ids)
    return ColumnChunk(
        image_ids=np.asarray(image_ids, dtype=np.int64),
        created_us=np.arange(n, dtype=np.int64),
        labels=[labels] * n,
        attributes=[{"camera": "A7"}] * n,
        scores=[{"joy": 0.5}] * n,
    )


def new_snapshot(**more):
    return Snapshot(EchoHasher(), index_factory=RecordIndex, **more)


@pytest.fixture
def snapshot():
    """Sixty images in two batches."""
    snapshot = new_snapshot()
    snapshot.add(chunk_of(IDS[:25]), codes(60)[:25])
    snapshot.add(chunk_of(IDS[25:], labels=("dog",)), codes(60)[25:])
    snapshot.sequence = 99
    return snapshot


def answers(snapshot):
    """Return what searches by each length and filters give."""
    found = []
    for bits in LENGTHS:
        (hits,) = snapshot.index.search(np.zeros((1, bits // 8), np.uint8), bits=bits, k=100)
        found.append((snapshot.image_ids(hits.rows).tolist(), hits.distances.tolist()))
    for label in ("cat", "dog"):
        selected = snapshot.columns.select(ImageFilter(labels_any=(label,)), n_rows=snapshot.n_rows)
        found.append((snapshot.image_ids(selected.selection.rows).tolist(), selected.counts))
    return found


def test_a_snapshot_begins_empty():
    snapshot = new_snapshot(generation=7)
    assert (len(snapshot), snapshot.n_rows, snapshot.sequence, snapshot.generation) == (0, 0, 0, 7)
    assert (snapshot.row_of(1), snapshot.record_of(1), snapshot.n_rows_before(5)) == (None, None, 0)


def test_every_image_is_found_by_its_id_and_no_other_is(snapshot):
    for row, image_id in enumerate(IDS.tolist()):
        assert snapshot.row_of(image_id) == snapshot.n_rows_before(image_id) == row
        np.testing.assert_array_equal(snapshot.record_of(image_id), codes(60)[row])
    for absent in set(range(IDS[-1] + 3)) - set(IDS.tolist()):
        assert snapshot.row_of(absent) is None
        assert snapshot.record_of(absent) is None
        assert snapshot.n_rows_before(absent) == int(np.count_nonzero(absent > IDS))


def test_a_removed_image_keeps_its_row_and_is_found_no_more(snapshot):
    gone = int(IDS[30])
    snapshot.remove(np.array([gone, 10**6]))
    assert (snapshot.row_of(gone), snapshot.record_of(gone)) == (30, None)
    assert (len(snapshot), snapshot.n_rows) == (59, 60)
    assert all(gone not in ids for ids, _ in answers(snapshot))


def test_an_update_is_filtered_by_and_one_of_an_unknown_image_is_passed_over(snapshot):
    changed = int(IDS[3])
    snapshot.update(chunk_of([changed, 10**6], labels=("dog",)))
    cats, dogs = (ids for ids, _ in answers(snapshot)[2:])
    assert changed in dogs
    assert changed not in cats
    assert len(cats) + len(dogs) == 60


def test_ids_and_columns_are_there_before_searches_can_see_the_rows():
    seen = []

    class Watching:
        """An index that looks at its snapshot at the moment when rows are published."""

        def __init__(self, layout) -> None:
            self._index = RecordIndex(layout)

        def __getattr__(self, name) -> object:
            return getattr(self._index, name)

        def add(self, records):
            end = self.n_rows + len(records)
            seen.append((snapshot.image_ids(np.arange(end)).tolist(), snapshot.columns.n_rows))
            self._index.add(records)

    snapshot = Snapshot(EchoHasher(), index_factory=Watching)
    for part in (slice(0, 25), slice(25, 60)):
        snapshot.add(chunk_of(IDS[part]), codes(60)[part])
    assert seen == [(IDS[:25].tolist(), 25), (IDS.tolist(), 60)]


def test_files_give_the_same_snapshot(snapshot):
    files = snapshot.to_files()
    assert json.loads(json.dumps(files.facts)) == files.facts
    assert (files.facts["images"], files.facts["hasher"]) == (60, "echo@000000000000")
    stored = {name: array.copy() for name, array in files.arrays.items()}
    for array in stored.values():
        array.flags.writeable = False  # as those that are read from disk
    again = Snapshot.from_files(
        GenerationFiles(arrays=stored, facts=json.loads(json.dumps(files.facts))),
        EchoHasher(),
        index_factory=RecordIndex,
        generation=3,
    )
    assert (again.generation, again.sequence) == (3, 99)
    assert answers(again) == answers(snapshot)
    for one in (again, snapshot):
        one.add(chunk_of([500, 501]), codes(2, seed=1))
        one.update(chunk_of([501, int(IDS[0])], labels=("dog",)))
        one.remove(IDS[1:3])
    assert answers(again) == answers(snapshot)


def test_an_empty_snapshot_goes_to_files_and_back():
    again = Snapshot.from_files(
        new_snapshot().to_files(), EchoHasher(), index_factory=RecordIndex, generation=1
    )
    assert len(again) == 0
    again.add(chunk_of(IDS), codes(60))
    assert again.row_of(int(IDS[-1])) == 59


def test_queries_get_the_codes_that_stored_embeddings_get(snapshot):
    embeddings = np.array([[255.0, 3.0, 1.0, 0.0, 15.0, 1.0 + 2**-20]], dtype=np.float32)
    assert snapshot.encode(embeddings).tolist() == [[255, 3, 1, 0, 15, 1]]
