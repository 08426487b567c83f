"""The manifest of a generation: what its folder must hold, byte for byte.

In: arrays and facts, or the bytes of MANIFEST.json. Out: those bytes, or checked entries. Touches no disk.

A manifest that was made by somebody else is read with distrust: whatever is in it, it names no file outside its folder.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from service.errors import DataLossError, InvalidArgumentError, StoreFormatError

FORMAT_VERSION = 1
MANIFEST = "MANIFEST.json"
_FILE_NAME = re.compile(r"[0-9]{3,9}-[A-Za-z0-9_-]{0,60}\.bin", re.ASCII)
_DTYPE = re.compile(r"[<|][biuf][0-9]{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFile:
    """One file of a generation: the elements of an array in C order, and nothing else.

    Attributes:
        array: Name of the array.
        file: Name of its file in the generation's folder.
        dtype: NumPy's short form, little-endian: `|u1`, `<i8`, ...
        shape: Of the array.
        size: Bytes of the file.
        sha256: Of the file, in hexadecimal.
    """

    array: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    sha256: str

    def view(self, content: bytes) -> np.ndarray:
        """Return the array in these bytes, read-only and without a copy."""
        return np.frombuffer(content, dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a generation's folder must hold."""

    number: int
    facts: Mapping[str, Any]
    files: Sequence[ArrayFile]

    def to_json(self) -> bytes:
        """Return the content of MANIFEST.json.

        Raises:
            InvalidArgumentError: The facts are no JSON values.
        """
        try:
            text = json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(
                f"The facts of generation {self.number} are no JSON values ({error}). Keep numbers in arrays.",
                reason="GENERATION_FACTS",
            ) from error
        return text.encode("ascii")


def little_endian(name: str, array: np.ndarray) -> np.ndarray:
    """Return the array in C order and little-endian, copied only if it is not.

    Raises:
        InvalidArgumentError: Its elements are neither bool nor integers nor floats.
    """
    if array.dtype.kind not in "biuf":
        raise InvalidArgumentError(
            f"Array {name!r} of a generation has dtype {array.dtype}; a generation keeps bool, integer and float arrays. "
            "Keep texts in the facts.",
            reason="GENERATION_DTYPE",
        )
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def file_name(place: int, array: str) -> str:
    """Return the name of the file of the array that stands at this place in the manifest."""
    return f"{place:03d}-{re.sub('[^A-Za-z0-9_-]', '_', array)[:60]}.bin"


def parse_manifest(content: bytes, *, number: int, where: str) -> Manifest:
    """Return the manifest in these bytes.

    Args:
        content: What MANIFEST.json holds.
        number: Of the generation in whose folder it lies.
        where: Path of the file, for messages.

    Raises:
        DataLossError: It is no manifest, contradicts itself, or belongs to another generation.
        StoreFormatError: It is of another format version.
    """
    try:
        found = json.loads(content)
        version = _typed(found, dict, "it")["format_version"]
        if _typed(version, int, "format_version") == FORMAT_VERSION:
            manifest = _manifest(found)
            _check(manifest.number == number, f"it is that of generation {manifest.number}")
            return manifest
    except KeyError as error:
        raise _damaged(where, number, f"{error} is missing") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(where, number, str(error)) from error
    raise StoreFormatError(
        f"{where} is of format version {version}, this polyhash reads version {FORMAT_VERSION}. Nothing is lost: "
        "`polyhash rebuild` makes a generation that it reads.",
        found=version,
        expected=FORMAT_VERSION,
    )


def _damaged(where: str, number: int, cause: str) -> DataLossError:
    return DataLossError(
        f"{where} is no manifest of generation {number}: {cause}. Nothing is lost: `polyhash rebuild` makes another "
        "generation from the catalog.",
        reason="GENERATION_DAMAGED",
        generation=number,
        file=MANIFEST,
    )


def _manifest(found: Mapping[str, Any]) -> Manifest:
    files = [_array_file(entry) for entry in _typed(found["files"], list, "files")]
    _check(len({file.array for file in files}) == len(files), "two files hold the same array")
    return Manifest(
        number=_typed(found["number"], int, "number"),
        facts=_typed(found["facts"], dict, "facts"),
        files=files,
    )


def _array_file(found: object) -> ArrayFile:
    entry = _typed(found, dict, "an entry of files")
    shape = tuple(_typed(extent, int, "an extent") for extent in _typed(entry["shape"], list, "shape"))
    texts = {key: _typed(entry[key], str, key) for key in ("array", "file", "dtype", "sha256")}
    file = ArrayFile(shape=shape, size=_typed(entry["size"], int, "size"), **texts)
    _check(_FILE_NAME.fullmatch(file.file), f"no file of a generation is called {file.file[:80]!r}")
    _check(_DTYPE.fullmatch(file.dtype), f"no array of a generation has dtype {file.dtype[:80]!r}")
    _check(len(shape) <= 8 and min(shape, default=0) >= 0, f"{file.file} cannot have this shape")
    _check(prod(max(extent, 1) for extent in shape) < 2**48, f"{file.file} cannot have this shape")
    try:
        n_bytes = prod(shape) * np.dtype(file.dtype).itemsize
    except TypeError as error:
        raise ValueError(f"NumPy has no dtype {file.dtype}") from error
    _check(file.size == n_bytes, f"{file.file} of this shape and dtype has {n_bytes} bytes")
    return file


def _typed(value: Any, kind: type, name: str) -> Any:  # noqa: ANN401 - JSON
    _check(type(value) is kind, f"{name} should be {kind.__name__}, is {type(value).__name__}")
    return value


def _check(holds: object, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
