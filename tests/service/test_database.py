"""Connections to the catalog's database: how durable they are, what they read, and what their errors say."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import DataLossError, InvalidArgumentError, PreconditionError, UnavailableError
from service.ports import Catalog
from service.storage import migrations
from service.storage.catalog import SqlCatalog
from service.storage.database import open_database
from tests.contracts.catalog import HASHER, add, embeddings_of, new_image, records_of
from tests.contracts.catalog_changes import columns_of
from tests.contracts.catalog_models import generation, register, register_generations
from tests.service.sql_catalog import opened


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(path) -> Iterator[SqlCatalog]:
    with opened(path) as catalog:
        yield catalog


def everything(catalog: Catalog) -> list[object]:
    return [
        columns_of(catalog),
        records_of(catalog, HASHER),
        embeddings_of(catalog),
        catalog.changes(after=0),
        catalog.models(),
        catalog.generations(),
        catalog.list_images(after_id=0, limit=9),
    ]


@pytest.mark.parametrize(
    ("options", "level"), [({}, 2), ({"synchronous": "FULL"}, 2), ({"synchronous": "NORMAL"}, 1)]
)
def test_commits_are_as_durable_as_asked_and_readers_do_not_wait(path, options, level):
    engine = open_database(f"sqlite:///{path}", **options)
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    engine.dispose()
    assert pragmas == {"journal_mode": "wal", "synchronous": level, "foreign_keys": 1}


@pytest.mark.parametrize("synchronous", ["OFF", "normal", ""])
def test_another_durability_is_refused(path, synchronous):
    with pytest.raises(InvalidArgumentError, match=rf'"FULL" .* or "NORMAL" .*, got "{synchronous}"'):
        open_database(f"sqlite:///{path}", synchronous=synchronous)
    assert not path.exists()


def test_a_damaged_file_is_told_as_data_loss(path):
    with opened(path) as catalog:
        add(catalog, [new_image(seed) for seed in range(300)])
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    catalog = SqlCatalog(open_database(f"sqlite:///{path}"))
    with pytest.raises(
        DataLossError, match=r"The catalog is damaged \(.*malformed.*Restore it from a backup"
    ):
        catalog.counts()
    catalog.close()


def test_a_file_that_is_no_database_is_told_as_data_loss(path):
    path.write_text("these are the notes of somebody else" * 100)
    engine = open_database(f"sqlite:///{path}")
    with pytest.raises(DataLossError, match=r"The catalog is damaged \(file is not a database\)"):
        migrations.upgrade(engine)
    engine.dispose()


def test_a_locked_database_is_told_as_unavailable(path, monkeypatch):
    monkeypatch.setattr("service.storage.database.BUSY_TIMEOUT_MS", 10)
    with opened(path) as catalog, sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match=r"cannot be read or written now \(database is locked\)"):
            add(catalog, [new_image(1)])
        writer.execute("ROLLBACK")
    writer.close()


def test_a_full_disk_is_told_and_nothing_is_half_written(catalog):
    add(catalog, [new_image(1)])
    with catalog._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite takes the present size instead
    with pytest.raises(UnavailableError, match=r"\(database or disk is full\)\. Check free disk space"):
        add(catalog, [new_image(seed) for seed in range(2, 500)])
    assert catalog.counts().images == catalog.counts().embeddings == 1


@pytest.mark.parametrize("frozen", [True, False])
def test_a_catalog_opened_for_reading_reads_everything_and_writes_nothing(catalog, path, monkeypatch, frozen):
    register(catalog)
    add(catalog, [new_image(seed, labels=("a",)) for seed in range(5)])
    register_generations(catalog, generation(1))
    expected = everything(catalog)
    catalog.close()
    monkeypatch.setattr("os.access", lambda *_: not frozen)  # as on a read-only disk
    reader = SqlCatalog(open_database(f"sqlite:///{path}", read_only=True))
    assert everything(reader) == expected
    for write in (
        lambda: reader.update_image(1, labels=()),
        lambda: reader.activate_generation(1),
        lambda: reader.delete_records(hasher="other"),
    ):
        with pytest.raises(
            PreconditionError, match="The catalog was opened for reading, or its file may not"
        ):
            write()
    reader.close()
