"""Where the pictures of a set are: loose files, a plain tar, a tar.xz, or the rows of an array.

In: the keys of a table. Out: one `Picture` per key, also for those that are not there, whose `read` then says so.
Reading single files and members is left to `sources`; which container a set has, to `datasets`.
"""

import os
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Protocol, final, runtime_checkable

import numpy as np
from PIL import Image

from service.errors import ImageTooLargeError, InvalidArgumentError, NotFoundError
from service.vision.images import ImageLimits
from service.vision.labels_table import SET_INVALID
from service.vision.sources import (
    MEMBER_MARK,
    TAR_FAULTS,
    missing_member,
    nameable,
    read_file,
    read_member,
    tar_index,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture of a container, not read yet.

    Attributes:
        key: The key it was asked by.
        read: Reads its encoded bytes, in any thread and order; raises OSError or PolyhashError.
        source: What `read_source` opens again later, or empty where that would be impossible or slow.
    """

    key: str
    read: Callable[[], bytes]
    source: str


@runtime_checkable  # for the run-time type checks of the tests
class Container(Protocol):
    """Holds pictures by key."""

    def find(self, keys: Collection[str]) -> Iterator[Picture]:
        """Yield one picture per key: in the order of the keys, or where only that is fast, of the container."""
        ...

    def notes(self, listed: Collection[str]) -> list[str]:
        """Return what a user should know of the container, given all keys of its table; complete after `find`."""
        ...


@final
class LooseFiles:
    """Files below a folder; keys are relative paths."""

    def __init__(self, folder: Path, *, limits: ImageLimits) -> None:
        self._folder = folder
        self._limits = limits

    def find(self, keys: Collection[str]) -> Iterator[Picture]:
        """Yield in the order of the keys."""
        for key in keys:
            path = self._folder / key
            yield Picture(
                key=key, read=partial(read_file, path, limits=self._limits), source=nameable(str(path))
            )

    def notes(self, listed: Collection[str]) -> list[str]:
        """Return nothing: a folder may well hold other files."""
        del listed
        return []


@final
class TarMembers:
    """Members of a plain tar archive, read at their place.

    Raises:
        InvalidArgumentError: It is no tar archive.
    """

    def __init__(self, archive: Path, *, limits: ImageLimits) -> None:
        self._archive = archive
        self._limits = limits
        index = tar_index(archive)
        if index.damage and not index.spans:
            raise _unreadable(archive, "a plain tar archive", index.damage)

    def find(self, keys: Collection[str]) -> Iterator[Picture]:
        """Yield in the order of the keys."""
        for key in keys:
            source = nameable(f"{self._archive}{MEMBER_MARK}{key}")
            yield Picture(
                key=key, read=partial(read_member, self._archive, key, limits=self._limits), source=source
            )

    def notes(self, listed: Collection[str]) -> list[str]:
        """Count the members that no row names, and tell of damage."""
        index = tar_index(self._archive)
        return _notes(self._archive.name, len(index.spans.keys() - set(listed)), index.damage)


@final
class CompressedTarMembers:
    """Members of a tar.xz archive, decompressed front to back in each `find`, holding one member at a time.

    Raises:
        InvalidArgumentError: It is no tar.xz archive.
    """

    def __init__(self, archive: Path, *, limits: ImageLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._seen: set[str] = set()
        self._damage = ""
        try:
            tarfile.open(archive, "r|xz").close()
        except TAR_FAULTS as error:
            raise _unreadable(archive, "a tar.xz archive", str(error)) from error

    def find(self, keys: Collection[str]) -> Iterator[Picture]:
        """Yield in the order of the archive, stopping once all are found; at the end those that are not there."""
        missing = dict.fromkeys(keys)
        self._seen = set()
        try:
            for name, read in self._stream(missing.keys()):
                self._seen.add(name)
                if name in missing:
                    del missing[name]
                    yield Picture(key=name, read=read, source="")
                if not missing:
                    return
        except TAR_FAULTS as error:
            self._damage = str(error)
        for key in missing:
            message = missing_member(self._archive.name, key, len(self._seen), self._damage)
            yield Picture(key=key, read=fails_with(NotFoundError(message, source=key)), source="")

    def notes(self, listed: Collection[str]) -> list[str]:
        """Count the members seen by the last `find` that no row names, and tell of damage."""
        return _notes(self._archive.name, len(self._seen - set(listed)), self._damage)

    def _stream(self, wanted: Collection[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        with tarfile.open(self._archive, "r|xz") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep a record of every member until the end
                name = posixpath.normpath(member.name)
                file = tar.extractfile(member) if member.isreg() else None
                if file is None:
                    continue
                try:
                    self._limits.check_bytes(member.size)
                    content = file.read() if name in wanted else b""
                    yield name, partial(bytes, content)
                except ImageTooLargeError as error:
                    yield name, fails_with(error)


@final
class ArrayRows:
    """Rows of the array `images` (uint8, n x h x w grey or n x h x w x 3 RGB) in an .npz file, as PNG.

    Raises:
        InvalidArgumentError: There is no such array.
    """

    def __init__(self, archive: Path) -> None:
        self._name = archive.name
        try:
            with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                self._images: np.ndarray = arrays["images"]
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise _unreadable(archive, "an .npz file with an array 'images'", str(error)) from error
        shape, dtype = self._images.shape, self._images.dtype
        if dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
            raise _unreadable(
                archive, "an array 'images' of uint8 (n, h, w) or (n, h, w, 3)", f"{dtype} {shape}"
            )

    def find(self, keys: Collection[str]) -> Iterator[Picture]:
        """Yield in the order of the keys, which are row numbers from 0."""
        for key in keys:
            yield Picture(key=key, read=partial(self._png, key), source="")

    def notes(self, listed: Collection[str]) -> list[str]:
        """Count the rows that the table does not name."""
        return _notes(self._name, max(len(self._images) - len(listed), 0), "")

    def _png(self, key: str) -> bytes:
        count = len(self._images)
        if not (key.isdecimal() and int(key) < count):
            raise NotFoundError(
                f"{self._name} has no row {key!r}. Rows are numbered from 0 to {count - 1}.", row=key
            )
        buffer = BytesIO()
        Image.fromarray(self._images[int(key)]).save(buffer, "PNG")
        return buffer.getvalue()


def fails_with(error: Exception) -> Callable[[], bytes]:
    """Return a `read` that raises this error."""

    def read() -> bytes:
        raise error

    return read


def _notes(archive: str, unlisted: int, damage: str) -> list[str]:
    notes = [f"{archive} is damaged: {damage}"] if damage else []
    if unlisted:
        notes.append(f"{archive} holds {unlisted} pictures that labels.csv does not list; they are left out")
    return notes


def _unreadable(archive: Path, expected: str, got: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{os.fspath(archive)} cannot be read. Expected {expected}, got: {got}.", reason=SET_INVALID
    )
