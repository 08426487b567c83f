"""A disk that fails at a chosen moment: full, broken, or with the process gone.

In: a boundary by number, and a fault. Out: a `Disk` that works until then. Each step has a boundary before and one after it;
writing and removing a folder also have one halfway.
"""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from hashing.durable_file import DISK, Disk

Fault = Callable[[str], None]

STEPS = ("read", "write", "rename", "make_folder", "sync_folder", "remove")


class Stopped(BaseException):
    """The process ended here; whoever catches this and goes on meets it again at the next step."""


def full(step: str) -> None:
    """Refuse whatever needs space; the rest goes on."""
    if step.startswith(("write", "make_folder")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken(step: str) -> None:
    """Refuse the step."""
    raise OSError(errno.EIO, f"{os.strerror(errno.EIO)} at {step}")


def stop(step: str) -> None:
    """End the process, as far as the disk can see."""
    raise Stopped(step)


def kill(step: str) -> None:
    """End the process for everyone."""
    del step
    os.kill(os.getpid(), signal.SIGKILL)


@final
class FailingDisk(Disk):
    """A real disk with a fault.

    Attributes:
        passed: The boundaries met so far, as "STEP NAME, WHEN".
    """

    def __init__(self, fault: Fault = stop, *, at: int | None = None, lasting: bool = True) -> None:
        """Choose the moment.

        Args:
            fault: What happens at the boundary, given what is under way.
            at: Number of the boundary, from 0; None only counts them.
            lasting: Whether it happens at every later boundary too, or just once.
        """
        self.passed: list[str] = []
        self._fault = fault
        self._at = at
        self._lasting = lasting

    def read(self, path: Path) -> bytes:
        self._boundary("read", path, "before")
        return super().read(path)

    def write(self, path: Path, content: bytes | memoryview) -> None:
        self._boundary("write", path, "before")
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        self._boundary("write", path, "half")
        super().write(path, content)
        self._boundary("write", path, "after")

    def rename(self, old: Path, new: Path) -> None:
        self._boundary("rename", new, "before")
        super().rename(old, new)
        self._boundary("rename", new, "after")

    def make_folder(self, folder: Path) -> None:
        self._boundary("make_folder", folder, "before")
        super().make_folder(folder)
        self._boundary("make_folder", folder, "after")

    def sync_folder(self, folder: Path) -> None:
        self._boundary("sync_folder", folder, "before")
        super().sync_folder(folder)
        self._boundary("sync_folder", folder, "after")

    def remove(self, path: Path) -> None:
        if not path.exists():
            return
        self._boundary("remove", path, "before")
        if path.is_dir():
            entries = sorted(path.iterdir())
            for entry in entries[: len(entries) // 2]:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            self._boundary("remove", path, "half")
        super().remove(path)
        self._boundary("remove", path, "after")

    def _boundary(self, step: str, path: Path, when: str) -> None:
        number = len(self.passed)
        self.passed.append(f"{step} {path.name}, {when}")
        if self._at is not None and (number == self._at or (self._lasting and number > self._at)):
            self._fault(self.passed[-1])


def everywhere(disk: FailingDisk, set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """Let all who were not told of another disk use this one, also in other threads; tests undo it by monkeypatch."""
    for step in STEPS:
        set_attribute(DISK, step, getattr(disk, step))
