"""The schema's history, and the way from any released version of it to the newest.

In: an engine. Out: a database with the newest schema, or an error that names both versions. The newest schema itself
is described in service.storage.schema.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from service.errors import StoreFormatError
from service.storage.database import WRITE_OPTION, our_errors


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest version; an empty database gets all of it.

    Raises:
        StoreFormatError: The database was written by a newer version of polyhash.
    """
    with our_errors(), engine.connect() as plain:
        connection = plain.execution_options(**{WRITE_OPTION: True})
        with connection.begin():
            _check_known(connection)
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def check_newest(engine: Engine) -> None:
    """Raise StoreFormatError unless the schema has the newest version: readers do not change it."""
    with our_errors(), engine.connect() as connection, connection.begin():
        found, newest = _check_known(connection), _newest()
    if found != newest:
        raise StoreFormatError(
            f"The store has schema version {found or 'none'}, this version of polyhash reads {newest}. Run `polyhash "
            "index` or `polyhash serve` on it once: a command that writes upgrades it.",
            found=found,
            expected=newest,
        )


def _check_known(connection: Connection) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    try:
        ScriptDirectory.from_config(_config()).get_revision(found or "base")
    except CommandError as error:
        raise StoreFormatError(
            f"The store has schema version {found}, which this version of polyhash does not know (its newest is "
            f"{_newest()}). Use the newer polyhash that wrote it.",
            found=found,
            expected=_newest(),
        ) from error
    return found


def _newest() -> str:
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
