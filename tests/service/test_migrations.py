"""The schema's history: it leads to the tables the catalog uses, and refuses what it does not know."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

from service.errors import StoreFormatError
from service.storage import migrations
from service.storage.database import open_database
from service.storage.schema import Base


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
