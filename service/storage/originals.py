"""Copies of original files, found by the sha256 of their bytes: `originals/ab/abcdef...`.

In: bytes. Out: the same bytes, checked. Which images have a copy is the catalog's knowledge.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from hashing.durable_file import DISK, Disk, write_durably
from service.errors import DataLossError, NotFoundError, UnavailableError


@final
class FolderOriginals:
    """`Originals` in a folder. A copy is either whole or absent, also after a power cut."""

    def __init__(self, folder: Path, *, disk: Disk = DISK) -> None:
        self._folder = folder
        self._disk = disk
        self._synced: set[Path] = set()  # at most 256 folders

    def put(self, digest: bytes, content: bytes) -> None:
        """See `Originals.put`.

        Raises:
            UnavailableError: The disk is full or refuses.
        """
        path = self._path(digest)
        with _our_errors(path, "written"):
            if path.exists():
                if (
                    path.parent not in self._synced
                ):  # a process that was killed may have left the name unsynced
                    self._disk.sync_folder(path.parent)
                    self._synced.add(path.parent)
                return
            if not path.parent.exists():
                self._disk.make_folder(path.parent)
                self._disk.sync_folder(self._folder)
                self._disk.sync_folder(self._folder.parent)
            write_durably(path, content, disk=self._disk)

    def get(self, digest: bytes) -> bytes:
        """See `Originals.get`.

        Raises:
            DataLossError: The copy's bytes have changed.
            UnavailableError: The disk refuses.
        """
        path = self._path(digest)
        with _our_errors(path, "read"):
            try:
                content = self._disk.read(path)
            except FileNotFoundError as error:
                raise NotFoundError(
                    f"The store has no copy of original {digest.hex()}.", reason="ORIGINAL_NOT_FOUND"
                ) from error
        if hashlib.sha256(content).digest() != digest:
            raise DataLossError(
                f"The store's copy {path} is damaged: its sha256 is not its name. Restore it from a backup, or delete "
                "the image and index it again.",
                reason="ORIGINAL_DAMAGED",
            )
        return content

    def delete(self, digest: bytes) -> None:
        """See `Originals.delete`."""
        path = self._path(digest)
        with _our_errors(path, "deleted"):
            self._disk.remove(path)

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / name


@contextmanager
def _our_errors(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"The store's copy {path} cannot be {done} now ({error.strerror}). Check free disk space and permissions, "
            "then try again.",
            reason="ORIGINAL_UNAVAILABLE",
        ) from error
