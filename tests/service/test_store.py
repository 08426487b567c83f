"""Stores: made once, opened by one writer and any number of readers, and never made of somebody else's folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    StoreFormatError,
    StoreHeldError,
    UnavailableError,
)
from service.storage.store import Store
from tests.contracts.catalog import add, new_image
from tests.contracts.generations import check_equal, generation
from tests.service.failing_disk import FailingDisk, Stopped, broken, stop

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "store"


def make(folder: Path) -> None:
    """Make a store of one image."""
    with Store.create_or_open(folder, purpose="test") as store:
        add(store.catalog, [new_image(1)])


def read(folder: Path) -> Store:
    return Store.open(folder, purpose="test", writable=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_store_keeps_what_was_added_wherever_it_is_moved(folder, tmp_path):
    make(folder)
    moved = folder.rename(tmp_path / "a ? strange # name % 41 ü")
    with Store.create_or_open(moved, purpose="test") as store:
        assert store.catalog.counts().images == 1
        store.originals.put(new_image(1).sha256, b"x")
        assert store.models.is_dir()
    with read(moved) as store:
        assert store.catalog.counts().images == 1
    assert {"polyhash.json", "catalog.sqlite", "lock", "models", "originals"} <= {
        p.name for p in moved.iterdir()
    }


def test_a_store_is_made_in_a_missing_or_an_empty_folder(folder):
    folder.mkdir()
    make(folder)
    make(folder.parent / "deep" / "er")


@pytest.mark.parametrize("name", ["holiday.jpg", "catalog.sqlite", "models", "polyhash.json.bak"])
def test_a_folder_with_other_things_is_left_as_it_is(folder, name):
    folder.mkdir()
    (folder / name).write_bytes(b"mine")
    with pytest.raises(InvalidArgumentError, match=f"no store and not empty \\(it holds {name}\\)"):
        Store.create_or_open(folder, purpose="test")
    assert contents(folder) == {name: b"mine"}


def test_a_file_is_no_store(folder):
    folder.write_text("notes")
    with pytest.raises(InvalidArgumentError, match="is a file; a store is a folder"):
        Store.create_or_open(folder, purpose="test")
    with pytest.raises(NotFoundError, match="is no polyhash store"):
        read(folder)
    assert folder.read_text() == "notes"


@pytest.mark.parametrize("writable", [False, True])
def test_opening_what_is_not_there_makes_nothing(folder, writable):
    with pytest.raises(
        NotFoundError, match=r"no polyhash store .* Make one with `polyhash index SET --store"
    ):
        Store.open(folder, purpose="test", writable=writable)
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_told(folder):
    folder.write_text("a file where a folder should be")
    with pytest.raises(
        UnavailableError, match=r"cannot be used \(Not a directory: .*Check the path, its permissions"
    ):
        Store.create_or_open(folder / "store", purpose="test")


def test_an_unwritable_lock_is_told(folder):
    (folder / "lock").mkdir(parents=True)
    with pytest.raises(UnavailableError, match=r"cannot be used \(Is a directory: .*lock"):
        Store.create_or_open(folder, purpose="test")


def test_another_format_version_is_refused_and_both_are_named(folder):
    make(folder)
    card = json.loads((folder / "polyhash.json").read_text())
    (folder / "polyhash.json").write_text(json.dumps(card | {"format_version": 99}))
    for writable in (False, True):
        with pytest.raises(
            StoreFormatError, match=r"format version 99, this polyhash reads version 1\. Use the"
        ):
            Store.open(folder, purpose="test", writable=writable)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '"x"',
        "\udce4",
        '{"format_version": 1}',
        '{"format_version": 1, "catalog": "nowhere"}',
    ],
)
def test_a_damaged_card_is_refused(folder, text):
    make(folder)
    (folder / "polyhash.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StoreFormatError, match="is no description of a store"):
        read(folder)


@pytest.mark.parametrize("writable", [False, True])
def test_a_missing_catalog_is_told_and_not_replaced_by_an_empty_one(folder, writable):
    make(folder)
    (folder / "catalog.sqlite").unlink()
    with pytest.raises(DataLossError, match=r"catalog.sqlite is missing.* Restore it from a backup"):
        Store.open(folder, purpose="test", writable=writable)
    assert not (folder / "catalog.sqlite").exists()


@pytest.mark.parametrize("killed_after", ["lock", "catalog", "card"])
def test_a_store_killed_while_it_was_made_is_completed(folder, killed_after):
    killed = subprocess.run(  # noqa: S603 - this interpreter and a script of this file
        [sys.executable, "-c", DYING, str(folder), killed_after],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert killed.returncode == 9
    with pytest.raises(NotFoundError, match="is no polyhash store"):
        read(folder)
    make(folder)
    with read(folder) as store:
        assert store.catalog.counts().images == 1
    assert not list(folder.glob("*.partial"))


DYING = """
import os, sys
from pathlib import Path
from service.storage import migrations, store

def die(*args):
    os._exit(9)

folder, when = Path(sys.argv[1]), sys.argv[2]
upgrade = migrations.upgrade
if when == "lock":
    migrations.upgrade = die
elif when == "catalog":
    migrations.upgrade = lambda engine: (upgrade(engine), die())
else:
    Path.replace = die
store.Store.create_or_open(folder, purpose="dying")
"""


HOLDING = """
import sys
from pathlib import Path
from service.storage.store import Store
from tests.contracts.catalog import add, new_image

with Store.create_or_open(Path(sys.argv[1]), purpose="polyhash serve") as store:
    add(store.catalog, [new_image(1)])
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_one_process_writes_and_others_are_told_who(folder):
    holder = subprocess.Popen(  # noqa: S603 - this interpreter and a script of this file
        [sys.executable, "-c", HOLDING, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout.readline() == b"held\n"
    message = rf"being written by process {holder.pid} \(polyhash serve, since 2.*\)\. Wait until it is done or stop"
    with pytest.raises(StoreHeldError, match=message):
        Store.create_or_open(folder, purpose="test")
    with pytest.raises(StoreHeldError, match=message):
        Store.open(folder, purpose="test", writable=True)
    with read(folder) as store:
        assert store.catalog.counts().images == 1
    holder.kill()
    holder.communicate()
    make(folder)


def test_closing_lets_the_next_writer_in(folder):
    with Store.create_or_open(folder, purpose="first"), pytest.raises(StoreHeldError, match="first"):
        Store.create_or_open(folder, purpose="second")
    Store.create_or_open(folder, purpose="second").close()


def test_a_failed_opening_does_not_keep_the_lock(folder):
    make(folder)
    (folder / "catalog.sqlite").rename(folder / "away")
    with pytest.raises(DataLossError):
        Store.create_or_open(folder, purpose="test")
    (folder / "away").rename(folder / "catalog.sqlite")
    make(folder)


def test_a_store_opened_for_reading_cannot_be_changed(folder):
    make(folder)
    with (
        read(folder) as store,
        pytest.raises(PreconditionError, match=r"opened for reading.*nothing was changed"),
    ):
        add(store.catalog, [new_image(2)])
    with read(folder) as store:
        assert store.catalog.counts().images == 1


def test_a_store_opened_for_reading_makes_no_folders(folder):
    make(folder)
    before = {path.name for path in folder.iterdir()} - {"catalog.sqlite-wal", "catalog.sqlite-shm"}
    with read(folder) as store:
        assert store.generations.numbers() == []
        assert not store.models.exists()
    assert {path.name for path in folder.iterdir()} - {"catalog.sqlite-wal", "catalog.sqlite-shm"} == before


def test_a_store_keeps_generations_in_a_folder_of_its_own(folder):
    with Store.create_or_open(folder, purpose="test") as store:
        digest = store.generations.write(1, generation())
    with read(folder) as store:
        check_equal(store.generations.read(1, manifest_sha256=digest), generation())
    assert [path.name for path in (folder / "generations").iterdir()] == ["gen-000001"]


def test_a_store_whose_making_ends_or_fails_at_any_boundary_is_completed(folder):
    counting = FailingDisk()
    Store.create_or_open(folder, purpose="test", disk=counting).close()
    for fault, error in ((stop, Stopped), (broken, UnavailableError)):
        for at in range(len(counting.passed)):
            store = folder.with_name(f"store-{error.__name__}-{at}")
            with pytest.raises(error):
                Store.create_or_open(store, purpose="test", disk=FailingDisk(fault, at=at))
            make(store)
            assert not list(store.glob("*.partial"))


@pytest.mark.parametrize("writable", [False, True])
def test_a_store_passes_on_how_durable_commits_shall_be(folder, writable):
    make(folder)
    with pytest.raises(InvalidArgumentError, match="synchronous must be"):
        Store.open(folder, purpose="test", writable=writable, synchronous="OFF")
    Store.open(folder, purpose="test", writable=writable, synchronous="NORMAL").close()


def test_a_reader_sees_what_a_writer_adds(folder):
    with Store.create_or_open(folder, purpose="test") as writer, read(folder) as reader:
        add(writer.catalog, [new_image(1)])
        assert reader.catalog.counts().images == 1


def test_a_store_that_may_not_be_written_can_be_read(folder, monkeypatch):
    make(folder)
    before = contents(folder)
    # as for another user, or on a read-only disk
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path).name != "catalog.sqlite")
    with read(folder) as store:
        assert store.catalog.counts().images == 1
    assert contents(folder) == before
