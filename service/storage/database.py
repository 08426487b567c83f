"""Connections to the catalog's database, and what its errors mean.

In: a database URL. Out: an engine whose commits are durable, and errors that say what to do. What is stored is the
catalog's business; this is the only file that knows SQLite from other databases.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Executable, create_engine, event, exc, make_url

from service.errors import DataLossError, InvalidArgumentError, PreconditionError, UnavailableError

WRITE_OPTION = "polyhash_write"  # execution option of connections that are about to write
BUSY_TIMEOUT_MS = 15_000
SYNCHRONOUS = ("FULL", "NORMAL")


def open_database(url: str | URL, *, read_only: bool = False, synchronous: str = "FULL") -> Engine:
    """Return an engine. On SQLite: write-ahead log, foreign keys, and the write lock taken when a write begins.

    Args:
        url: SQLAlchemy URL.
        read_only: Whether SQLite refuses changes; on other databases that is up to the user's rights.
        synchronous: What a commit survives on SQLite: "FULL" a power cut, "NORMAL" the end of the process only, which is faster.

    Raises:
        InvalidArgumentError: `synchronous` is something else.
    """
    if synchronous not in SYNCHRONOUS:
        raise InvalidArgumentError(
            f'synchronous must be "FULL" (a commit survives a power cut) or "NORMAL" (the last commits may be lost in '
            f'one), got "{synchronous}".',
            field="synchronous",
        )
    where = make_url(url)
    options: dict[str, Any] = {"pool_size": 8, "max_overflow": 64}
    frozen = read_only and where.get_backend_name() == "sqlite" and _is_frozen(Path(where.database or ""))
    if frozen:
        options["creator"] = partial(_connect_frozen, Path(where.database or ""))
    engine = create_engine(where, **options)
    if engine.dialect.name == "sqlite":
        event.listen(
            engine, "connect", _sqlite_setup(read_only=read_only, frozen=frozen, synchronous=synchronous)
        )
        event.listen(engine, "begin", _sqlite_begin)
    return engine


def _is_frozen(file: Path) -> bool:
    """Return whether nobody can be changing this database: not writable here, and no changes wait in its log.

    SQLite's readers of a write-ahead log want to write beside the file, which a read-only store does not let them.
    """
    log = file.with_name(file.name + "-wal")
    return file.exists() and not os.access(file, os.W_OK) and not (log.exists() and log.stat().st_size)


def _connect_frozen(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False)


def _sqlite_setup(*, read_only: bool, frozen: bool, synchronous: str) -> Any:  # noqa: ANN401 - an event listener
    def setup(connection: sqlite3.Connection, record: object) -> None:
        del record
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            *(() if frozen else ("journal_mode=WAL",)),
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            f"query_only={read_only}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return setup


def _sqlite_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail half-way; one that says so at the start waits its turn.
    write = connection.get_execution_options().get(WRITE_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def fetch_raw(connection: Connection, query: Executable) -> list[tuple[Any, ...]]:
    """Return the driver's own rows, twice as fast as SQLAlchemy's: for reading a table by the million.

    Nothing is converted: on SQLite a time is text, elsewhere a datetime without a zone.
    """
    result = connection.execute(query)
    rows = list(result.cursor.fetchall()) if result.cursor else []
    result.close()
    return rows


def damaged(cause: object) -> DataLossError:
    """Return the error for a catalog that holds what nobody wrote."""
    return DataLossError(
        f"The catalog is damaged ({cause}). Restore it from a backup, or index the images into a new store.",
        reason="CATALOG_DAMAGED",
    )


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn what the database says into errors that say what to do."""
    try:
        yield
    except exc.DBAPIError as error:
        cause = str(error.orig)
        if "malformed" in cause or "not a database" in cause:
            raise damaged(cause) from error
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
    except UnicodeDecodeError as error:  # by the driver, of its own messages or of a row
        raise damaged(error) from error
