"""Connections to the catalog's database, and what its errors mean.

In: a database URL. Out: an engine whose commits are durable, and errors that say what to do. What is stored is the
catalog's business; this is the only file that knows SQLite from other databases.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc

from service.errors import DataLossError, PreconditionError, UnavailableError

WRITE_OPTION = "polyhash_write"  # execution option of connections that are about to write
BUSY_TIMEOUT_MS = 15_000


class Durability(Enum):
    """What a commit survives: always the death of the process, and with FULL also a power cut."""

    FULL = "FULL"
    NORMAL = "NORMAL"


def open_database(
    url: str | URL, *, durability: Durability = Durability.FULL, read_only: bool = False
) -> Engine:
    """Return an engine. On SQLite: write-ahead log, foreign keys, and the write lock taken when a write begins.

    Args:
        url: SQLAlchemy URL.
        durability: SQLite's `synchronous`; other databases have their own settings.
        read_only: Whether SQLite refuses changes; on other databases that is up to the user's rights.
    """
    engine = create_engine(url, pool_size=8, max_overflow=64)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_setup(durability, read_only=read_only))
        event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_setup(durability: Durability, *, read_only: bool) -> Any:  # noqa: ANN401 - an event listener
    def setup(connection: sqlite3.Connection, record: object) -> None:
        del record
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            f"synchronous={durability.value}",
            "foreign_keys=ON",
            f"query_only={read_only}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return setup


def _sqlite_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail half-way; one that says so at the start waits its turn.
    write = connection.get_execution_options().get(WRITE_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn what the database says into errors that say what to do."""
    try:
        yield
    except exc.DBAPIError as error:
        cause = str(error.orig)
        if "malformed" in cause or "not a database" in cause:
            raise DataLossError(
                f"The catalog is damaged ({cause}). Restore it from a backup, or index the images into a new store.",
                reason="CATALOG_DAMAGED",
            ) from error
        if "readonly database" in cause:
            raise PreconditionError(
                f"The catalog was opened for reading, or its file may not be written ({cause}); nothing was changed. "
                "Check the permissions of the store, or send changes to the process that writes to it.",
                reason="CATALOG_READ_ONLY",
            ) from error
        if isinstance(error, exc.OperationalError):
            raise UnavailableError(
                f"The catalog cannot be read or written now ({cause}). Check free disk space and permissions, then "
                "try again.",
                reason="CATALOG_UNAVAILABLE",
            ) from error
        raise
