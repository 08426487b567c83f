"""Copies of original files, found by the sha256 of their bytes: `originals/ab/abcdef...`.

In: bytes. Out: the same bytes, checked. Which images have a copy is the catalog's knowledge.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import final

from service.errors import DataLossError, NotFoundError


@final
class FolderOriginals:
    """`Originals` in a folder. A copy is either whole or absent, also after a power cut."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, digest: bytes, content: bytes) -> None:
        """See `Originals.put`."""
        path = self._path(digest)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)

    def get(self, digest: bytes) -> bytes:
        """See `Originals.get`.

        Raises:
            DataLossError: The copy's bytes have changed.
        """
        path = self._path(digest)
        try:
            content = path.read_bytes()
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
        with contextlib.suppress(FileNotFoundError):
            self._path(digest).unlink()

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / name


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
