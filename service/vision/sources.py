"""Reading the encoded bytes of pictures from plain files and plain tar archives, now or again later.

In: paths, or a `source` as the catalog keeps it (`file path` or `archive path!member`). Out: bytes.
What the bytes mean is left to `images`; which files make up a set, to `datasets`.
"""

import lzma
import os
import posixpath
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from service.errors import NotFoundError
from service.vision.images import DEFAULT_LIMITS, ImageLimits

MEMBER_MARK = "!"
TAR_FAULTS = (
    tarfile.TarError,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
)  # all that reading a damaged archive raises


@dataclass(frozen=True, slots=True, kw_only=True)
class TarIndex:
    """Where the regular members of a plain tar archive lie.

    Attributes:
        spans: First byte and size in bytes by member name, in archive order; of members of one name the first.
        damage: What ended the reading before the archive's end, or empty.
    """

    spans: Mapping[str, tuple[int, int]]
    damage: str


def read_source(source: str, *, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of the picture that `source` names. Thread-safe.

    Raises:
        NotFoundError: The file, archive or member is gone.
        ImageTooLargeError: It has more bytes than the limits allow; nothing was read.
        OSError: It is there, but cannot be read.
    """
    path = Path(source)
    if os.path.lexists(path):
        return read_file(path, limits=limits)
    at = source.find(MEMBER_MARK)
    while at >= 0:
        archive = Path(source[:at])
        if archive.is_file():
            return read_member(archive, source[at + 1 :], limits=limits)
        at = source.find(MEMBER_MARK, at + 1)
    raise NotFoundError(f"The picture {source} is gone: no such file.", source=source)


def read_file(path: Path, *, limits: ImageLimits) -> bytes:
    """Return the bytes of a regular file; anything else, such as a pipe, is refused without waiting for it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"The picture {path} is gone: no such file.", source=str(path)) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file")
        limits.check_bytes(status.st_size)
        return file.read()


def read_member(archive: Path, member: str, *, limits: ImageLimits) -> bytes:
    """Return the bytes of a member of a plain tar archive, read at its place."""
    index = tar_index(archive)
    if member not in index.spans:
        raise NotFoundError(
            missing_member(archive.name, member, len(index.spans), index.damage), source=member
        )
    start, size = index.spans[member]
    limits.check_bytes(size)
    with archive.open("rb", buffering=0) as file:
        content = os.pread(file.fileno(), size, start)
    if len(content) < size:
        raise OSError(f"{archive} ends within {member}: the archive is truncated")
    return content


def nameable(source: str) -> str:
    """Return the source, or nothing where its path is not UTF-8: a catalog could not keep it."""
    try:
        source.encode("utf-8")
    except UnicodeEncodeError:
        return ""
    return source


def missing_member(archive: str, member: str, count: int, damage: str) -> str:
    """Return the message about a picture that an archive does not hold, or not any more."""
    cause = f"it is damaged ({damage})" if damage else "no such member"
    return f"{archive} gives no {member}: {cause} after {count} readable pictures."


def tar_index(archive: Path) -> TarIndex:
    """Return the index of a plain tar archive, from memory if the file has not changed.

    Raises:
        NotFoundError: The archive is gone.
    """
    try:
        status = archive.stat()
    except FileNotFoundError:
        raise NotFoundError(f"The archive {archive} is gone.", source=str(archive)) from None
    return _scan_tar(archive, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _scan_tar(archive: Path, _changed_ns: int, byte_size: int) -> TarIndex:
    spans: dict[str, tuple[int, int]] = {}
    damage = ""
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                name = posixpath.normpath(member.name)
                if member.islnk() and member.linkname in spans:
                    spans.setdefault(name, spans[member.linkname])
                elif member.isreg() and not member.issparse():
                    spans.setdefault(name, (member.offset_data, member.size))
    except TAR_FAULTS as error:
        damage = str(error)
    whole = {name: span for name, span in spans.items() if sum(span) <= byte_size}
    return TarIndex(spans=whole, damage=damage)
