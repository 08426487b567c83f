"""Files that are whole or absent, whatever happens while they are written, and there to stay once they are.

In: a path and bytes. Out: the file. What the bytes mean is the caller's.
"""

import os
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Write a file, replacing an older one of that name; it survives a power cut on return."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
