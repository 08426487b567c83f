"""The schema's history: it leads to the tables the catalog uses, and refuses what it does not know."""

import datetime as dt
import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

from service.errors import StoreFormatError
from service.records import Change, ChangeKind, ImageRow, ModelKind
from service.storage import migrations
from service.storage.catalog import SqlCatalog
from service.storage.database import open_database
from service.storage.schema import Base

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BACKBONE, HASHER = "backbone@0123456789ab", "hasher@0123456789ab"
WRITTEN_AT = dt.datetime(2024, 5, 17, 12, 30, 15, 250_000, tzinfo=dt.UTC)


@pytest.fixture
def engine(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield engine
    engine.dispose()


def pretend(engine: Engine, revision: str) -> None:
    """Write another revision into the database, as a later release would have."""
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (revision,))


def test_the_migrations_lead_to_the_tables_that_the_catalog_uses(engine):
    migrations.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}


def test_upgrading_twice_changes_nothing(engine):
    migrations.upgrade(engine)
    migrations.upgrade(engine)
    migrations.check_newest(engine)


def test_an_upgrade_that_fails_leaves_nothing_behind(engine, monkeypatch):
    def fail(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("alembic.op.create_index", fail)
    with pytest.raises(KeyboardInterrupt):
        migrations.upgrade(engine)
    assert inspect(engine).get_table_names() == []
    monkeypatch.undo()
    migrations.upgrade(engine)


@pytest.mark.parametrize("use", [migrations.upgrade, migrations.check_newest])
def test_a_newer_schema_is_refused_and_both_versions_named(engine, use):
    migrations.upgrade(engine)
    pretend(engine, "9999")
    with pytest.raises(
        StoreFormatError,
        match=r"schema version 9999, which this version of polyhash does not know \(its newest is \d{4}\)\. Use the newer",
    ) as caught:
        use(engine)
    assert caught.value.metadata["found"] == "9999"


def test_a_reader_does_not_upgrade_and_says_who_does(engine):
    with pytest.raises(StoreFormatError, match=r"schema version none, .* a command that writes upgrades it"):
        migrations.check_newest(engine)
    assert inspect(engine).get_table_names() == []


def golden_image(number: int, labels: tuple[str, ...], season: str) -> ImageRow:
    """Return what revision 0001 wrote of an image into the golden file."""
    return ImageRow(
        image_id=number,
        sha256=bytes([number]) * 32,
        name=f"ü {number}.jpg",
        source=f"/pictures/{number}.jpg",
        stored=number == 1,
        byte_size=1000 + number,
        width=20 + number,
        height=10,
        format="JPEG",
        labels=labels,
        attributes={"season": season},
        created_at=WRITTEN_AT,
        sequence=number,
    )


def test_a_database_of_revision_0001_is_upgraded_with_all_that_it_holds(tmp_path):
    """The golden file was written by the catalog of revision 0001: three images added, the second deleted."""
    path = shutil.copy(GOLDEN / "catalog_0001.sqlite", tmp_path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    connection.close()
    engine = open_database(f"sqlite:///{path}")
    with pytest.raises(
        StoreFormatError, match="The store has schema version 0001, this version of polyhash reads"
    ):
        migrations.check_newest(engine)
    migrations.upgrade(engine)
    catalog = SqlCatalog(engine)
    assert catalog.list_images(after_id=0, limit=9) == [
        golden_image(1, ("sea", "beach"), "winter"),
        golden_image(3, (), "summer"),
    ]
    (records,) = catalog.records(hasher=HASHER)
    assert records.records.tolist() == [[1, 2, 3, 4, 5, 255], [3, 2, 3, 4, 5, 255]]
    (embeddings,) = catalog.embeddings(backbone=BACKBONE)
    assert embeddings.embeddings.tolist() == [[1, 0.5, -1], [3, 0.5, -1]]
    (columns,) = catalog.columns()
    assert columns.image_ids.tolist() == [1, 3]
    assert columns.created_us.view("datetime64[us]").tolist() == [WRITTEN_AT.replace(tzinfo=None)] * 2
    assert list(columns.scores) == [{}, {}]
    kinds = [ChangeKind.ADD, ChangeKind.ADD, ChangeKind.ADD, ChangeKind.DELETE]
    assert catalog.changes(after=0) == [
        Change(sequence=sequence, kind=kind, image_id=image_id)
        for sequence, (kind, image_id) in enumerate(zip(kinds, (1, 2, 3, 2), strict=True), 1)
    ]
    assert [(m.identity, m.kind, dict(m.metadata), m.active) for m in catalog.models()] == [
        (BACKBONE, ModelKind.BACKBONE, {}, True),
        (HASHER, ModelKind.HASHER, {"lengths": [16, 32]}, True),
    ]
    assert catalog.generations() == []
    assert catalog.update_image(3, scores={"joy": 0.5}) == 5
    assert catalog.get_images([3])[3].scores == {"joy": 0.5}
    catalog.close()


def test_an_upgrade_of_an_old_database_that_fails_leaves_it_as_it_was(tmp_path, monkeypatch):
    path = Path(shutil.copy(GOLDEN / "catalog_0001.sqlite", tmp_path))
    engine = open_database(f"sqlite:///{path}")
    before = inspect(engine).get_table_names()

    def fail(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("sqlalchemy.Double", fail)
    with pytest.raises(KeyboardInterrupt):
        migrations.upgrade(engine)
    assert inspect(engine).get_table_names() == before
    monkeypatch.undo()
    migrations.upgrade(engine)
    assert {"generations", "image_scores"} <= set(inspect(engine).get_table_names())
    engine.dispose()
