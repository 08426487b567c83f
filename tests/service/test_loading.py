"""Loading: from SQL, from a generation with what changed since, and past damage; changes that arrive meanwhile are neither lost nor doubled."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.index_records import RecordIndex
from service.errors import StoreFormatError
from service.records import GenerationState, ModelKind
from service.usecases import loading
from service.usecases.filters import ImageFilter
from service.usecases.loading import encode_lacking, load_snapshot, read_snapshot, replay
from service.usecases.snapshot import Snapshot
from tests.contracts.echoes import RECORD_BYTES, EchoHasher, echo_image, random_records
from tests.contracts.fakes import FIRST_ID, FakeBackbone, MemoryGenerations, new_gallery
from tests.contracts.memory_catalog import MemoryCatalog
from tests.service.sql_catalog import opened

ONE, TWO = EchoHasher(), EchoHasher("echo@111111111111", backwards=True)
RECORDS = random_records(500)
LABELS = ("cat", "dog")
READY, ACTIVE, QUARANTINED = GenerationState.READY, GenerationState.ACTIVE, GenerationState.QUARANTINED


def prepared(catalog):
    """Return a catalog that knows both hashers and uses the first."""
    catalog.register_model(FakeBackbone.identity, ModelKind.BACKBONE, path="", metadata={})
    for hasher in (ONE, TWO):
        catalog.register_model(hasher.identity, ModelKind.HASHER, path="", metadata={})
    catalog.activate_model(ONE.identity)
    return catalog


@pytest.fixture(params=["memory", "sql"])
def catalog(request, tmp_path):
    if request.param == "memory":
        yield prepared(MemoryCatalog())
    else:
        with opened(tmp_path / "catalog.sqlite") as found:
            yield prepared(found)


def add(catalog, numbers, *, coded=True):
    """Add images by number, labelled in turns."""
    images = [echo_image(RECORDS[n], name=str(n), labels=LABELS[n % 2 :][:1]) for n in numbers]
    if coded:
        images = [
            replace(image, record=np.frombuffer(RECORDS[int(image.name)], np.uint8)) for image in images
        ]
    hasher = ONE.identity if coded else None
    acknowledged = catalog.add_images(images, backbone=FakeBackbone.identity, hasher=hasher)
    return [ack.image_id for ack in acknowledged]


def load(catalog, generations=None, *, writable=True, hasher=ONE, **more):
    return load_snapshot(
        catalog,
        generations or MemoryGenerations(),
        hasher,
        index_factory=RecordIndex,
        writable=writable,
        **more,
    )


def build(catalog, generations, number, *, hasher=ONE, active=True):
    """Write and register a generation of what the catalog holds now."""
    snapshot = read_snapshot(catalog, hasher, index_factory=RecordIndex)
    catalog.register_generation(
        number,
        hasher=hasher.identity,
        built_to=snapshot.sequence,
        images=len(snapshot),
        manifest_sha256=generations.write(number, snapshot.to_files()),
        note="",
    )
    if active:
        catalog.activate_generation(number)


def check_same(snapshot, catalog):
    """Assert that the snapshot holds exactly the coded images of the catalog, each once, with codes and labels."""
    rows, _ = snapshot.index.scan(np.zeros(4, np.uint8), bits=32)
    ids = snapshot.image_ids(rows).tolist()
    truth = {row.image_id: row for row in catalog.list_images(after_id=0, limit=10_000)}
    records = catalog.get_records(list(truth), hasher=snapshot.hasher.identity)
    assert ids == sorted(records)
    assert len(snapshot) == len(ids)
    for image_id in ids:
        assert snapshot.record_of(image_id).tobytes() == records[image_id].tobytes()
    for label in LABELS:
        selected = snapshot.columns.select(ImageFilter(labels_any=(label,)), n_rows=snapshot.n_rows)
        assert snapshot.image_ids(selected.selection.rows).tolist() == [
            image_id for image_id in ids if label in truth[image_id].labels
        ]
    assert snapshot.sequence == catalog.counts().last_sequence


def change(catalog, ids):
    """Add, update and delete, also what was only just added."""
    later = add(catalog, range(100, 110))
    catalog.update_image(ids[0], labels=["dog", "cat"])
    catalog.update_image(later[0], labels=[])
    catalog.delete_image(ids[1])
    catalog.delete_image(later[1])
    catalog.delete_image(ids[0])


# ------------------------------------------------------------ from SQL


def test_an_empty_catalog_gives_an_empty_snapshot(catalog):
    snapshot = load(catalog)
    assert (len(snapshot), snapshot.sequence, snapshot.generation) == (0, 0, 0)


def test_the_catalog_alone_gives_all_its_coded_images(catalog):
    change(catalog, add(catalog, range(30)))
    told = []
    snapshot = load(catalog, on_progress=lambda *progress: told.append(progress))
    check_same(snapshot, catalog)
    assert snapshot.generation == 0
    assert told[-1] == (45, 45)  # changes


@pytest.mark.parametrize("coded", [range(10), range(10, 20), range(0)])
def test_images_without_a_record_stay_out(tmp_path, coded):
    with opened(tmp_path / "catalog.sqlite") as catalog:
        for hasher in (ONE, TWO):
            catalog.register_model(hasher.identity, ModelKind.HASHER, path="", metadata={})
        for n in range(20):
            add(catalog, [n], coded=n in coded)
        snapshot = load(catalog)
        check_same(snapshot, catalog)
        assert len(snapshot) == len(coded)
        assert encode_lacking(catalog, TWO) == 20
        check_same(load(catalog, hasher=TWO), catalog)


def test_lacking_codes_are_made_chunk_by_chunk_and_reported(catalog):
    add(catalog, range(10))
    told = []
    assert encode_lacking(catalog, TWO, on_progress=lambda *progress: told.append(progress)) == 10
    assert told == [(10, 10)]
    assert encode_lacking(catalog, TWO) == 0
    (first, *_) = catalog.get_records([FIRST_ID], hasher=TWO.identity).values()
    assert first.tobytes() == RECORDS[0][::-1]


# ------------------------------------------------------------ from a generation


def test_a_generation_and_what_changed_since_are_the_catalog(catalog, monkeypatch):
    monkeypatch.setattr(loading, "REPLAY_BATCH", 3)
    generations, ids = MemoryGenerations(), add(catalog, range(30))
    catalog.delete_image(ids.pop())
    build(catalog, generations, 1)
    change(catalog, ids)
    snapshot = load(catalog, generations)
    assert (snapshot.generation, snapshot.n_rows) == (1, 29 + 9)
    check_same(snapshot, catalog)


def test_the_active_generation_comes_before_newer_ones(catalog):
    generations = MemoryGenerations()
    for number in (1, 2, 3):
        add(catalog, [number])
        build(catalog, generations, number, active=number == 2)
    assert load(catalog, generations).generation == 2
    generations.damaged.add(2)
    assert load(catalog, generations).generation == 3


def test_a_damaged_generation_is_put_aside_and_the_one_before_is_used_then_sql(catalog, caplog):
    generations = MemoryGenerations()
    for number in (1, 2):
        add(catalog, [number])
        build(catalog, generations, number)
    generations.damaged.add(2)
    snapshot = load(catalog, generations)
    assert snapshot.generation == 1
    check_same(snapshot, catalog)
    assert generations.aside == [2]
    assert "Generation 2 is not used: Generation 2 is damaged" in caplog.text
    assert [(row.number, row.state) for row in catalog.generations()] == [(1, ACTIVE), (2, QUARANTINED)]
    generations.damaged.add(1)
    snapshot = load(catalog, generations)
    assert snapshot.generation == 0
    check_same(snapshot, catalog)
    assert generations.aside == [2, 1]


def test_a_generation_whose_folder_is_gone_is_put_aside_in_the_catalog(catalog, caplog):
    generations = MemoryGenerations()
    add(catalog, range(3))
    build(catalog, generations, 1)
    generations.delete(1)
    check_same(load(catalog, generations), catalog)
    assert "no folder to put aside" in caplog.text
    assert [row.state for row in catalog.generations()] == [QUARANTINED]


def test_a_reader_passes_over_damage_and_changes_nothing(catalog):
    generations = MemoryGenerations()
    add(catalog, range(3))
    build(catalog, generations, 1)
    generations.damaged.add(1)
    snapshot = load(catalog, generations, writable=False)
    assert snapshot.generation == 0
    check_same(snapshot, catalog)
    assert generations.aside == []
    assert [row.state for row in catalog.generations()] == [ACTIVE]


def test_a_generation_of_another_format_is_left_for_the_version_that_reads_it(catalog):
    class Newer(MemoryGenerations):
        def read(self, number, *, manifest_sha256):
            raise StoreFormatError(f"Generation {number} ({manifest_sha256}) has format 2.")

    generations = Newer()
    add(catalog, range(3))
    build(catalog, generations, 1)
    check_same(load(catalog, generations), catalog)
    assert [row.state for row in catalog.generations()] == [ACTIVE]


def test_generations_of_another_hasher_are_not_looked_at(catalog):
    generations = MemoryGenerations()
    add(catalog, range(5))
    encode_lacking(catalog, TWO)
    build(catalog, generations, 1, hasher=TWO, active=False)
    generations.damaged.add(1)
    assert load(catalog, generations).generation == 0
    assert generations.aside == []
    generations.damaged.clear()
    snapshot = load(catalog, generations, hasher=TWO)
    assert snapshot.generation == 1
    check_same(snapshot, catalog)


# ------------------------------------------------------------ while others write


class Busy(MemoryCatalog):
    """Reads two or three images at a time, each chunk as it is then, and changes something after every chunk."""

    def __init__(self, steps=()) -> None:
        super().__init__()
        self.steps = iter(())
        prepared(self)
        self.n_added = len(add(self, range(8)))
        self.steps = iter(steps)

    def columns(self, *, image_ids=None, chunk=2):
        if image_ids is not None:
            yield from super().columns(image_ids=image_ids)
            return
        after = 0
        while rows := self.list_images(after_id=after, limit=min(chunk, 2)):
            ids = [row.image_id for row in rows]
            yield from super().columns(image_ids=ids)
            after = ids[-1]
            self.step()

    def records(self, *, hasher, chunk=3):
        after = 0
        while True:
            later = [i for i in sorted(self._entries) if i > after and hasher in self._entries[i].records]
            found = self.get_records(later[: min(chunk, 3)], hasher=hasher)
            if not found:
                return
            yield loading.RecordChunk(image_ids=np.array(list(found)), records=np.stack(list(found.values())))
            after = max(found)
            self.step()

    def step(self):
        kind, which = next(self.steps, (None, 0))
        ids = sorted(self._entries)
        if kind == "add":
            add(self, [self.n_added])
            self.n_added += 1
        elif kind == "delete" and ids:
            self.delete_image(ids[which % len(ids)])
        elif kind == "update" and ids:
            self.update_image(ids[which % len(ids)], labels=[LABELS[which % 2]])


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "delete", "update", None]), st.integers(0, 20)), max_size=14
)


@given(steps=STEPS, before=STEPS, from_generation=st.booleans())
def test_what_changes_while_the_catalog_is_read_is_neither_lost_nor_doubled(steps, before, from_generation):
    catalog, generations = Busy(), MemoryGenerations()
    catalog.steps = iter(before)
    for _ in before:
        catalog.step()
    catalog.steps = iter(steps)
    if from_generation:
        build(catalog, generations, 1)
    snapshot = load(catalog, generations)
    assert snapshot.generation == int(from_generation)
    check_same(snapshot, catalog)


@given(steps=STEPS, gaps=st.sets(st.integers(FIRST_ID, FIRST_ID + 7)))
def test_a_snapshot_that_ends_before_what_lacks_codes_is_made_whole_once_they_are_there(steps, gaps):
    catalog = Busy(steps)
    coded = [image_id for image_id in range(FIRST_ID, FIRST_ID + 8) if image_id not in gaps]
    for chunk in MemoryCatalog.embeddings(catalog, backbone=FakeBackbone.identity):
        keep = np.isin(chunk.image_ids, coded)
        records = TWO.encode(chunk.embeddings.astype(np.float32))
        catalog.write_records(
            loading.RecordChunk(image_ids=chunk.image_ids[keep], records=records[keep]), hasher=TWO.identity
        )
    snapshot = read_snapshot(catalog, TWO, index_factory=RecordIndex, complete=True)
    first = min((i for i in gaps if i in catalog._entries), default=FIRST_ID + 8)
    assert snapshot.sequence < first or not gaps
    replay(catalog, snapshot, complete=True)
    encode_lacking(catalog, TWO)
    replay(catalog, snapshot, complete=True)
    check_same(snapshot, catalog)


def test_a_loaded_gallery_goes_on_as_one_that_was_never_closed(catalog):
    generations = MemoryGenerations()
    build(catalog, generations, 1)
    for number in itertools.count(50):
        gallery = new_gallery(hasher=ONE, catalog=catalog, generations=generations)
        gallery.add([echo_image(RECORDS[number], name=str(number))])
        check_same(gallery.snapshot, catalog)
        if number == 52:
            break
    assert isinstance(gallery.snapshot, Snapshot)
    assert gallery.snapshot.layout.record_bytes == RECORD_BYTES
