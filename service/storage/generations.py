"""Generations on disk: `generations/gen-000007/`, one file per array and MANIFEST.json, written once and never changed.

In: arrays and facts. Out: the same after every byte was verified, or an error that names the file. What the arrays mean is the
caller's knowledge, which generation is in use the catalog's.

Convention: `*.tmp` is being written or deleted, and belongs to nobody after a crash; `quarantine-*` was found damaged.
"""

import errno
import hashlib
import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import final

import numpy as np

from hashing.durable_file import DISK, Disk
from service.errors import ConflictError, DataLossError, NotFoundError, UnavailableError
from service.records import GenerationFiles
from service.storage.generation_manifest import (
    MANIFEST,
    ArrayFile,
    Manifest,
    file_name,
    little_endian,
    parse_manifest,
)

_NAME = re.compile(r"gen-([0-9]{6,18})", re.ASCII)
_ASIDE = ".tmp"
_READERS = 4  # sha256 lets other threads run, and is most of the time of a start


@final
class FolderGenerations:
    """`Generations` in a folder, which is made by the first `write`. One process writes; any number read."""

    def __init__(self, folder: Path, *, disk: Disk = DISK) -> None:
        self._folder = folder
        self._disk = disk

    def write(self, number: int, files: GenerationFiles) -> str:
        """See `Generations.write`.

        Raises:
            InvalidArgumentError: An array or a fact is of a kind that a generation does not keep.
        """
        path = self._path(number)
        arrays = {name: little_endian(name, array) for name, array in files.arrays.items()}
        with _our_errors(path, "written"):
            if path.exists():
                raise ConflictError(
                    f"There is a generation {number} already ({path}). Take a number above all others.",
                    reason="GENERATION_EXISTS",
                )
            try:
                return self._write(path, number, arrays, files)
            except BaseException:
                with suppress(OSError):  # the first failure is the one to tell
                    self._remove(path)
                raise

    def _write(self, path: Path, number: int, arrays: dict[str, np.ndarray], files: GenerationFiles) -> str:
        self._disk.make_folder(self._folder)
        self._disk.sync_folder(self._folder.parent)
        aside = _aside(path)
        self._disk.remove(aside)
        self._disk.make_folder(aside)
        entries = [
            self._write_array(aside / file_name(place, name), name, array)
            for place, (name, array) in enumerate(arrays.items())
        ]
        manifest = Manifest(number=number, facts=files.facts, files=entries).to_json()
        self._disk.write(aside / MANIFEST, manifest)
        self._disk.sync_folder(aside)
        self._disk.rename(aside, path)
        self._disk.sync_folder(self._folder)
        return hashlib.sha256(manifest).hexdigest()

    def _write_array(self, path: Path, name: str, array: np.ndarray) -> ArrayFile:
        content = array.reshape(-1).view(np.uint8).data
        self._disk.write(path, content)
        return ArrayFile(
            array=name,
            file=path.name,
            dtype=array.dtype.str,
            shape=array.shape,
            size=content.nbytes,
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def read(self, number: int, *, manifest_sha256: str) -> GenerationFiles:
        """See `Generations.read`. The arrays are read-only; files that the manifest does not name are passed over.

        Raises:
            UnavailableError: The disk refuses for another reason than damage.
        """
        folder = self._path(number)
        with _our_errors(folder, "read"):
            self._check_there(number)
            content = self._read(folder / MANIFEST, number, manifest_sha256)
            manifest = parse_manifest(content, number=number, where=str(folder / MANIFEST))

            def read_array(file: ArrayFile) -> np.ndarray:
                return file.view(self._read(folder / file.file, number, file.sha256, file.size))

            with ThreadPoolExecutor(_READERS) as pool:
                arrays = list(pool.map(read_array, manifest.files))
        names = [file.array for file in manifest.files]
        return GenerationFiles(arrays=dict(zip(names, arrays, strict=True)), facts=manifest.facts)

    def _read(self, path: Path, number: int, sha256: str, size: int | None = None) -> bytes:
        """Return the bytes of a file that are certainly those that were written."""
        if path.is_symlink() or not path.is_file():
            raise _damaged(path, number, "a file", "none")
        if size is not None and (found := path.stat().st_size) != size:
            raise _damaged(path, number, f"{size} bytes", f"{found} bytes")
        try:
            content = self._disk.read(path)
        except OSError as error:
            if error.errno == errno.EIO:
                raise _damaged(path, number, "readable bytes", error.strerror or "none") from error
            raise
        if (digest := hashlib.sha256(content).hexdigest()) != sha256:
            raise _damaged(path, number, f"sha256 {sha256}", f"sha256 {digest}")
        return content

    def numbers(self) -> list[int]:
        """See `Generations.numbers`."""
        matches = [_NAME.fullmatch(name) for name in self._names()]
        numbers = sorted(int(match[1]) for match in matches if match)
        with _our_errors(self._folder, "listed"):
            return [number for number in numbers if _is_folder(self._path(number))]

    def quarantine(self, number: int) -> str:
        """See `Generations.quarantine`.

        Raises:
            NotFoundError: There is none of this number.
            UnavailableError: The disk refuses.
        """
        path = self._path(number)
        taken = set(self._names())
        base = f"quarantine-{path.name}"
        names = chain([base], (f"{base}-{i}" for i in count(2)))
        name = next(name for name in names if name not in taken)
        with _our_errors(path, "put aside"):
            self._check_there(number)
            self._disk.rename(path, self._folder / name)
            self._disk.sync_folder(self._folder)
        return name

    def delete(self, number: int) -> None:
        """See `Generations.delete`.

        Raises:
            UnavailableError: The disk refuses.
        """
        with _our_errors(self._path(number), "deleted"):
            self._remove(self._path(number))

    def clean(self, keep: Collection[int]) -> list[str]:
        """See `Generations.clean`.

        Raises:
            UnavailableError: The disk refuses.
        """
        left = [name for name in self._names() if name.endswith(_ASIDE)]
        old = [self._path(number) for number in self.numbers() if number not in keep]
        with _our_errors(self._folder, "cleaned"):
            for name in left:
                self._disk.remove(self._folder / name)
            for path in old:
                self._remove(path)
        return sorted([*left, *(path.name for path in old)])

    def _remove(self, path: Path) -> None:
        """Remove a generation; it is whole for as long as it has its name."""
        if path.exists():
            self._disk.remove(_aside(path))
            self._disk.rename(path, _aside(path))
            self._disk.sync_folder(self._folder)
        self._disk.remove(_aside(path))

    def _check_there(self, number: int) -> None:
        if not _is_folder(self._path(number)):
            raise NotFoundError(
                f"There is no generation {number} in {self._folder}. Name another, or make one with `polyhash rebuild`.",
                reason="GENERATION_NOT_FOUND",
            )

    def _names(self) -> list[str]:
        with _our_errors(self._folder, "listed"):
            return sorted(path.name for path in self._folder.iterdir()) if self._folder.exists() else []

    def _path(self, number: int) -> Path:
        return self._folder / f"gen-{number:06d}"


def _aside(path: Path) -> Path:
    return path.with_name(path.name + _ASIDE)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _damaged(path: Path, number: int, expected: str, found: str) -> DataLossError:
    return DataLossError(
        f"Generation {number} is damaged: {path} should have {expected}, has {found}. Nothing is lost: `polyhash rebuild` "
        "makes another generation from the catalog.",
        reason="GENERATION_DAMAGED",
        generation=number,
        file=path.name,
    )


@contextmanager
def _our_errors(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be {done} now ({error.strerror}). Check free disk space and permissions, then try again.",
            reason="GENERATION_UNAVAILABLE",
        ) from error
