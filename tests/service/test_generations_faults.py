"""Generations on failing disks: whatever happens while one is written or deleted, it is whole or absent."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.errors import UnavailableError
from service.records import GenerationFiles
from service.storage.generations import FolderGenerations
from tests.contracts.generations import check_equal
from tests.service.failing_disk import FailingDisk, Stopped, broken, full, stop

ROOT = Path(__file__).resolve().parents[2]
SMALL = GenerationFiles(arrays={"codes": np.arange(8, dtype=np.uint8), "ids": np.arange(8)}, facts={})


def leftover(store: Path) -> Path:
    """Return the folder of generation 1 and of what a killed writer of generation 2 left."""
    folder = store / "generations"
    store.mkdir(parents=True)
    FolderGenerations(folder).write(1, SMALL)
    (folder / "gen-000002.tmp").mkdir()
    (folder / "gen-000002.tmp/000-codes.bin").write_bytes(b"half")
    return folder


def check_whole(folder: Path, digests: dict[int, str]) -> list[int]:
    """Assert that every generation is complete and that cleaning leaves nothing else; returns their numbers."""
    generations = FolderGenerations(folder)
    found = generations.numbers()
    for number in found:
        check_equal(generations.read(number, manifest_sha256=digests[number]), SMALL)
    generations.clean(found)
    assert sorted(path.name for path in folder.iterdir()) == [f"gen-{number:06d}" for number in found]
    return found


@pytest.fixture(scope="module")
def digests(tmp_path_factory) -> dict[int, str]:
    generations = FolderGenerations(tmp_path_factory.mktemp("digests"))
    return {number: generations.write(number, SMALL) for number in (1, 2)}


def passed(store: Path) -> list[str]:
    """Return the boundaries of writing over a leftover and of deleting what was written."""
    disk = FailingDisk()
    generations = FolderGenerations(leftover(store), disk=disk)
    generations.write(2, SMALL)
    generations.delete(2)
    return disk.passed


def failure(action: Callable[[], object]) -> UnavailableError | None:
    """Return the error that an action ended with, if any."""
    try:
        action()
    except UnavailableError as error:
        return error
    return None


def test_a_name_is_given_only_to_what_has_been_synced(tmp_path):
    steps = passed(tmp_path / "store")
    assert [step.removesuffix(", after") for step in steps if step.endswith(", after")] == [
        "make_folder generations",
        "sync_folder store",
        "remove gen-000002.tmp",
        "make_folder gen-000002.tmp",
        "write 000-codes.bin",
        "write 001-ids.bin",
        "write MANIFEST.json",
        "sync_folder gen-000002.tmp",
        "rename gen-000002",
        "sync_folder generations",
        "rename gen-000002.tmp",
        "sync_folder generations",
        "remove gen-000002.tmp",
    ]


def test_a_process_that_ends_at_any_boundary_leaves_whole_generations(tmp_path, digests):
    seen = set()
    for at, step in enumerate(passed(tmp_path / "count" / "store")):
        folder = leftover(tmp_path / str(at) / "store")
        disk = FailingDisk(stop, at=at)
        generations = FolderGenerations(folder, disk=disk)
        with pytest.raises(Stopped):
            generations.delete(2) if generations.write(2, SMALL) else None
        assert disk.passed[at] == step
        seen.add(tuple(check_whole(folder, digests)))
        FolderGenerations(folder).delete(2)
        assert FolderGenerations(folder).write(2, SMALL) == digests[2]
    assert seen == {(1,), (1, 2)}


DYING = """
import sys
from pathlib import Path
from service.storage.generations import FolderGenerations
from tests.service.failing_disk import FailingDisk, kill
from tests.service.test_generations_faults import SMALL

FolderGenerations(Path(sys.argv[1]), disk=FailingDisk(kill, at=int(sys.argv[2]))).write(2, SMALL)
"""


def test_a_killed_process_leaves_what_a_stopped_one_does(tmp_path, digests):
    at = passed(tmp_path / "count").index("rename gen-000002, before")
    for extra, expected in ((0, [1]), (1, [1, 2])):
        folder = leftover(tmp_path / str(extra))
        killed = subprocess.run(  # noqa: S603 - this interpreter and a script of this file
            [sys.executable, "-c", DYING, str(folder), str(at + extra)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        assert check_whole(folder, digests) == expected


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fault", [broken, full])
def test_a_write_that_fails_at_any_boundary_is_told_and_leaves_nothing(tmp_path, digests, fault, lasting):
    told = 0
    for at in range(len(passed(tmp_path / "count"))):
        folder = leftover(tmp_path / str(at))
        disk = FailingDisk(fault, at=at, lasting=lasting)
        error = failure(lambda: FolderGenerations(folder, disk=disk).write(2, SMALL))  # noqa: B023 - called at once
        if error:
            told += 1
            assert error.reason == "GENERATION_UNAVAILABLE"
            cause = os.strerror(errno.EIO if fault is broken else errno.ENOSPC)
            assert f"gen-000002 cannot be written now ({cause}" in error.message
            assert "Check free disk space and permissions, then try again." in error.message
            if fault is full or not lasting:  # else it could not even tidy up
                assert [path.name for path in folder.iterdir()] == ["gen-000001"]
        check_whole(folder, digests)
    assert told > 10


@pytest.mark.parametrize("lasting", [False, True])
def test_a_deletion_that_fails_at_any_boundary_is_told_and_takes_all_or_nothing(tmp_path, digests, lasting):
    seen = []
    for at in range(7):
        folder = leftover(tmp_path / str(at))
        disk = FailingDisk(broken, at=at, lasting=lasting)
        error = failure(lambda: FolderGenerations(folder, disk=disk).delete(1))  # noqa: B023 - called at once
        assert "gen-000001 cannot be deleted now" in error.message
        seen.append(check_whole(folder, digests))
    assert seen == [[1], *[[]] * 6]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda generations: generations.quarantine(1), "gen-000001 cannot be put aside now"),
        (lambda generations: generations.delete(1), "gen-000001 cannot be deleted now"),
        (lambda generations: generations.clean([]), "generations cannot be cleaned now"),
    ],
)
def test_a_disk_that_refuses_is_told_by_every_method(tmp_path, method, message):
    folder = tmp_path / "generations"
    FolderGenerations(folder).write(1, SMALL)
    with pytest.raises(UnavailableError, match=message):
        method(FolderGenerations(folder, disk=FailingDisk(broken, at=0)))
    assert FolderGenerations(folder).numbers() == [1]


def test_a_folder_that_is_none_is_told(tmp_path):
    (tmp_path / "generations").write_text("a file")
    with pytest.raises(UnavailableError, match=r"generations cannot be listed now \(Not a directory\)"):
        FolderGenerations(tmp_path / "generations").numbers()


def test_reading_makes_no_folder(tmp_path):
    generations = FolderGenerations(tmp_path / "generations")
    assert generations.numbers() == []
    assert generations.clean([]) == []
    generations.delete(1)
    assert list(tmp_path.iterdir()) == []
