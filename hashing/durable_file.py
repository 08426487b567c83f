"""Files that are whole or absent, whatever happens while they are written, and there to stay once they are.

In: a path and bytes. Out: the file. What the bytes mean is the caller's; everything durable is made of the few steps of a
`Disk`, so that a test can let any of them fail.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path


class Disk:
    """The steps that durable files are made of. Each raises OSError when the disk refuses."""

    def read(self, path: Path) -> bytes:
        """Return a file's bytes."""
        return path.read_bytes()

    def write(self, path: Path, content: bytes | memoryview) -> None:
        """Write a file whose content survives a power cut on return; its name does after `sync_folder`."""
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file or folder; a file takes the place of an older one, in one step."""
        old.replace(new)

    def make_folder(self, folder: Path) -> None:
        """Make a folder and those above it; present is fine."""
        folder.mkdir(parents=True, exist_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder survive a power cut."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder with all that is in it; absent is fine."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


DISK = Disk()


def write_durably(path: Path, content: bytes, *, disk: Disk = DISK) -> None:
    """Write a file, replacing an older one of that name; it survives a power cut on return.

    Raises:
        OSError: The disk refuses; the older file is untouched, unless only its name could not be synced.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        disk.write(partial, content)
        disk.rename(partial, path)
    except BaseException:
        with suppress(OSError):  # the first failure is the one to tell
            disk.remove(partial)
        raise
    disk.sync_folder(path.parent)
