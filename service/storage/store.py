"""A store: the folder that holds everything about one gallery, and who may write to it.

    STORE/polyhash.json     what it is: format version, catalog URL
    STORE/catalog.sqlite    the catalog (unless the URL names another database)
    STORE/models/           model files
    STORE/originals/        copies of originals
    STORE/generations/      index files, made from the catalog and deletable
    STORE/lock              held by the one process that writes

In: a folder. Out: its catalog, originals, generations and models folder. Reading needs no lock.
"""

import datetime as dt
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, final

from sqlalchemy import URL, exc, make_url

from hashing.durable_file import DISK, Disk, write_durably
from service.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    StoreFormatError,
    StoreHeldError,
    UnavailableError,
)
from service.storage import migrations
from service.storage.catalog import SqlCatalog
from service.storage.database import open_database
from service.storage.generations import FolderGenerations
from service.storage.originals import FolderOriginals

FORMAT_VERSION = 1
CARD = "polyhash.json"
DEFAULT_URL = "sqlite:///catalog.sqlite"
UNFINISHED = {
    "lock",
    f"{CARD}.partial",
    *("catalog.sqlite" + end for end in ("", "-wal", "-shm", "-journal")),
}


@final
class Store:
    """One open store; close it, or use it as a context.

    Attributes:
        folder: Where it lies.
        disk: What writes all its files but the catalog's.
        synchronous: When a commit counts as durable, as `open_database` says.
        catalog: Its catalog.
        originals: Its copies of originals.
        generations: Its index files; their folder is made by the first that is written.
    """

    def __init__(self, folder: Path, url: URL, lock: IO[str] | None, *, synchronous: str, disk: Disk) -> None:
        """Use `Store.open` and `Store.create_or_open`."""
        self.folder = folder
        self._lock = lock
        self.disk = disk
        self.synchronous = synchronous
        engine = open_database(url, read_only=lock is None, synchronous=synchronous)
        try:
            migrations.upgrade(engine) if lock else migrations.check_newest(engine)
        except BaseException:
            engine.dispose()
            raise
        self.catalog = SqlCatalog(engine)
        self.originals = FolderOriginals(folder / "originals", disk=disk)
        self.generations = FolderGenerations(folder / "generations", disk=disk)

    @classmethod
    def create_or_open(
        cls, folder: Path, *, purpose: str, synchronous: str = "FULL", disk: Disk = DISK
    ) -> "Store":
        """Return a writable store, made if the folder is missing or empty.

        Args:
            folder: Where the store is or shall be.
            purpose: What others who want to write are told, for example "polyhash index photos".
            synchronous: When a commit counts as durable, as `open_database` says.
            disk: What writes all files but the catalog's.

        Raises:
            InvalidArgumentError: The path is a file, or a folder with other things in it.
            StoreFormatError: It is a store of another format version.
            StoreHeldError: Another process is writing to it.
            DataLossError: Its catalog is missing or damaged.
            UnavailableError: The disk is full or refuses.
        """
        with _our_errors(folder):
            _check_free(folder)
            disk.make_folder(folder)
            lock = _lock(folder, purpose)
            try:
                if not (folder / CARD).exists():
                    _make(folder, disk)
                return cls(folder, _read_card(folder), lock, synchronous=synchronous, disk=disk)
            except BaseException:
                lock.close()
                raise

    @classmethod
    def open(
        cls, folder: Path, *, purpose: str, writable: bool, synchronous: str = "FULL", disk: Disk = DISK
    ) -> "Store":
        """Return a store that exists; see `create_or_open`. Without `writable` no lock is needed.

        Raises:
            NotFoundError: There is no store in this folder.
        """
        with _our_errors(folder):
            found = (folder / CARD).is_file()
        if not found:
            raise NotFoundError(
                f"{folder} is no polyhash store (it has no {CARD}). Make one with `polyhash index SET --store {folder}`.",
                reason="STORE_NOT_FOUND",
            )
        if writable:
            return cls.create_or_open(folder, purpose=purpose, synchronous=synchronous, disk=disk)
        with _our_errors(folder):
            return cls(folder, _read_card(folder), None, synchronous=synchronous, disk=disk)

    @property
    def writable(self) -> bool:
        """Whether this process may change it."""
        return self._lock is not None

    @property
    def models(self) -> Path:
        """Folder of model files; exists in a store that is open for writing."""
        folder = self.folder / "models"
        if self._lock:
            self.disk.make_folder(folder)
        return folder

    def close(self) -> None:
        """Close the catalog and let others write."""
        self.catalog.close()
        if self._lock:
            self._lock.close()  # which also unlocks

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _check_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InvalidArgumentError(f"{folder} is a file; a store is a folder. Give another --store.")
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    foreign = sorted(names - UNFINISHED if "lock" in names else names)
    if foreign and CARD not in names:
        raise InvalidArgumentError(
            f"{folder} is no store and not empty (it holds {foreign[0]}). Give a new or empty folder."
        )


def _lock(folder: Path, purpose: str) -> IO[str]:
    file = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "a process that did not say more"
        file.close()
        raise StoreHeldError(
            f"{folder} is being written by {holder}. Wait until it is done or stop it; if it serves the store, send "
            "images to it with IngestImages.",
            holder=holder,
        ) from error
    file.truncate(0)
    since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    file.write(f"process {os.getpid()} ({purpose}, since {since})\n")
    file.flush()
    return file


def _make(folder: Path, disk: Disk) -> None:
    """Make the store, or complete one whose making was interrupted: the card comes last."""
    engine = open_database(_url(DEFAULT_URL, folder))
    try:
        migrations.upgrade(engine)
    finally:
        engine.dispose()
    card = {"format_version": FORMAT_VERSION, "catalog": DEFAULT_URL}
    write_durably(folder / CARD, json.dumps(card, indent=2).encode(), disk=disk)
    disk.sync_folder(folder.parent)


def _read_card(folder: Path) -> URL:
    """Return where the catalog is."""
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        version = card["format_version"]
        url = _url(card["catalog"], folder) if version == FORMAT_VERSION else None
        if url:
            url.get_dialect()  # raises for a database that there is not
    except (ValueError, KeyError, TypeError, exc.ArgumentError) as error:
        raise StoreFormatError(
            f"{path} is no description of a store ({error!r}). Restore it from a backup."
        ) from error
    if url is None:
        raise StoreFormatError(
            f"{folder} is a store of format version {version}, this polyhash reads version {FORMAT_VERSION}. Use the "
            "polyhash that wrote it, or index the images into a new store.",
            found=version,
            expected=FORMAT_VERSION,
        )
    if url.database and url.get_backend_name() == "sqlite" and not Path(url.database).is_file():
        raise DataLossError(
            f"The catalog {url.database} is missing from its store. Restore it from a backup, or index the images into "
            "a new store.",
            reason="CATALOG_MISSING",
        )
    return url


def _url(text: str, folder: Path) -> URL:
    """Return the URL with SQLite's file taken relative to the store, so that a store can be moved."""
    url = make_url(text)
    if url.database and url.get_backend_name() == "sqlite":
        return url.set(database=str((folder / url.database).absolute()))
    return url


@contextmanager
def _our_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"The store {folder} cannot be used ({error.strerror}: {error.filename}). Check the path, its permissions "
            "and free disk space.",
            reason="STORE_UNAVAILABLE",
        ) from error
