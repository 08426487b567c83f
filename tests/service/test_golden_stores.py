"""Stores of released formats, kept as they were written: they are read, upgraded, or refused with a word on what to do."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.crash.stack import facts_of, fit_hashers, new_image, open_stack, say_nothing
from service.errors import StoreFormatError
from service.records import GenerationState
from service.storage.store import Store

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NEWEST = "store_0002.zip"
NUMBERS = range(
    6
)  # of the pictures in it; the fourth was deleted, the second updated, the last came after the generation
NAMES = {"polyhash.json", "catalog.sqlite", "models", "originals", "generations"}


def write_golden(path: Path, folder: Path) -> None:
    """Write a store of today's format into a file, working in an empty folder.

    Called by hand for every new format, under a new name: a golden store shows that what was written then can be read.
    """
    store, hashers = folder / "store", fit_hashers(folder)
    with open_stack(store, hashers) as stack:
        for number in NUMBERS[:-1]:
            image = new_image(number, stored=number == 0)
            stack.gallery.add([image], {image.sha256: b"picture 0 " * 50} if number == 0 else {})
        stack.gallery.delete(4)
        stack.rebuilder.rebuild(report=say_nothing, note="golden")
        stack.gallery.update(2, **facts_of(77)._asdict())
        stack.gallery.add([new_image(NUMBERS[-1], stored=False)])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(file for file in store.rglob("*") if file.is_file() and file.name != "lock"):
            archive.write(file, file.relative_to(store))
    path.write_bytes(packed.getvalue())


def unpacked(folder: Path) -> Path:
    with zipfile.ZipFile(GOLDEN / NEWEST) as archive:
        archive.extractall(folder)
    return folder


def whole_store_0001(folder: Path) -> Path:
    """Return a store as revision 0001 wrote it: its card had the same format."""
    folder.mkdir()
    shutil.copy(GOLDEN / "catalog_0001.sqlite", folder / "catalog.sqlite")
    card = {"format_version": 1, "catalog": "sqlite:///catalog.sqlite"}
    (folder / "polyhash.json").write_text(json.dumps(card, indent=2))
    return folder


def test_the_golden_store_is_small_and_whole(tmp_path):
    assert (GOLDEN / NEWEST).stat().st_size < 100_000
    assert {path.name for path in unpacked(tmp_path / "store").iterdir()} == NAMES


def test_the_golden_store_answers_from_its_generation(tmp_path):
    folder = unpacked(tmp_path / "store")
    with open_stack(folder, []) as stack:
        snapshot = stack.gallery.snapshot
        assert (snapshot.generation, snapshot.sequence, len(snapshot)) == (1, 8, 5)
        (row,) = stack.store.catalog.generations()
        assert (row.number, row.built_to, row.images, row.note) == (1, 6, 4, "golden")
        assert row.state is GenerationState.ACTIVE
        images = stack.store.catalog.list_images(after_id=0, limit=10)
        assert [(each.image_id, each.name) for each in images] == [
            (1, "0.png"),
            (2, "1.png"),
            (3, "2.png"),
            (5, "4.png"),
            (8, "5.png"),
        ]
        assert images[1].scores == facts_of(77).scores
        assert stack.store.originals.get(images[0].sha256) == b"picture 0 " * 50
        assert stack.verify().findings == []
        for each in images:
            record = snapshot.record_of(each.image_id)
            kept = stack.store.catalog.get_record(each.image_id, hasher=snapshot.hasher.identity)
            np.testing.assert_array_equal(record, kept)


def test_the_golden_store_can_be_changed_and_rebuilt(tmp_path):
    folder = unpacked(tmp_path / "store")
    with open_stack(folder, []) as stack:
        stack.gallery.add([new_image(100, stored=False)])
        assert stack.rebuilder.rebuild(report=say_nothing).number == 2
        assert stack.verify().findings == []


def test_a_store_of_revision_0001_is_not_read_before_it_is_upgraded(tmp_path):
    folder = whole_store_0001(tmp_path / "store")
    before = (folder / "catalog.sqlite").read_bytes()
    with pytest.raises(StoreFormatError, match=r"schema version 0001, .* a command that writes upgrades it"):
        Store.open(folder, purpose="test", writable=False)
    assert (folder / "catalog.sqlite").read_bytes() == before


def test_a_store_of_revision_0001_is_upgraded_by_a_writer(tmp_path):
    folder = whole_store_0001(tmp_path / "store")
    with Store.open(folder, purpose="test", writable=True) as store:
        assert [row.image_id for row in store.catalog.list_images(after_id=0, limit=9)] == [1, 3]
        assert store.catalog.check() == []
        assert store.catalog.generations() == []
    with Store.open(folder, purpose="test", writable=False) as store:
        assert store.catalog.counts().images == 2
