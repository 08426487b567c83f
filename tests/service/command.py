"""The command `polyhash` in tests: in this process where its answer counts, in one of its own where signals do.

In: arguments as typed. Out: exit status and what was printed, or a running process. Also small pictures to feed it.
"""

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from service.cli import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - any JSON value
        """What `--json` printed, and nothing else beside it."""
        return json.loads(self.out)


def polyhash(*arguments: object) -> Finished:
    """Run the command in this process."""
    out, err = StringIO(), StringIO()
    with (
        patch.object(sys, "argv", ["polyhash", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Finished(status=int(ended.value.code or 0), out=out.getvalue(), err=err.getvalue())


def unfolded(message: str) -> str:
    """Return what is told of wrong usage on one line and without its frame."""
    return " ".join(message.replace("│", " ").split())


def start_polyhash(*arguments: object, killed_at: str = "") -> subprocess.Popen[str]:
    """Start the command in a process of its own; at `killed_at`, a method such as `module:Class.name`, it ends by SIGKILL."""
    code = "from service.cli import main; main()"
    if killed_at:
        owner, _, name = killed_at.rpartition(".")
        code = (
            "import os, pkgutil\n"
            f"setattr(pkgutil.resolve_name({owner!r}), {name!r}, lambda *_, **__: os.kill(os.getpid(), 9))\n{code}"
        )
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto'}",
            "PYTHONUNBUFFERED": "",  # as users have it: output comes late to a pipe
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_pictures(folder: Path, count: int, *, seed: int = 0, width: int = 48, height: int = 36) -> None:
    """Fill a folder with noisy pictures `000.png`, ..., each seed and number different."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        base = rng.integers(0, 256, size=(6, 8, 3), dtype=np.uint8)
        Image.fromarray(base).resize((width, height)).save(folder / f"{number:03d}.png", compress_level=1)
