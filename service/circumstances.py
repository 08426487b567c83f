"""Under what circumstances a figure was measured: commit, date and hardware.

In: nothing. Out: short texts for reports. A figure without them cannot be compared.
"""

import datetime as dt
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a report says about its own making.

    Attributes:
        commit: Short git commit, with `+` if the tree had changes; the version where there is no git.
        date: Day, ISO 8601, UTC.
        hardware: Processor, usable cores, Python.
    """

    commit: str
    date: str
    hardware: str

    def __str__(self) -> str:
        return f"{self.date}, commit {self.commit}, {self.hardware}"


def read_circumstances() -> Circumstances:
    """Return the circumstances of this process."""
    return Circumstances(
        commit=_commit(),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        hardware=f"{_processor()}, {usable_cores()} cores, Python {platform.python_version()}",
    )


def usable_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux can tell
        return os.cpu_count() or 1


def _commit() -> str:
    commit, changed = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain")
    return commit + ("+" if changed else "") if commit else version("polyhash")


def _git(*arguments: str) -> str:
    """Return what git says about the folder of this file; empty where there is no git or no repository."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - ours
    except (OSError, subprocess.CalledProcessError):
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
