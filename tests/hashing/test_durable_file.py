"""Durable files: whole or absent at every moment, and a disk that fails is told."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.durable_file import DISK, write_durably
from tests.service.failing_disk import FailingDisk, Stopped, broken, full, stop


@settings(max_examples=25)  # each is synced to the disk
@given(contents=st.lists(st.binary(max_size=100), min_size=1, max_size=4))
def test_the_last_content_is_there_and_nothing_beside_it(contents, tmp_path_factory):
    path = tmp_path_factory.mktemp("durable") / "file"
    for content in contents:
        write_durably(path, content)
    assert DISK.read(path) == contents[-1]
    assert list(path.parent.iterdir()) == [path]


def test_content_is_synced_before_its_name_and_the_name_before_the_return(tmp_path):
    disk = FailingDisk()
    write_durably(tmp_path / "file", b"content", disk=disk)
    assert [step for step in disk.passed if step.endswith("after")] == [
        "write file.partial, after",
        "rename file, after",
        f"sync_folder {tmp_path.name}, after",
    ]


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fault", [stop, broken, full])
@pytest.mark.parametrize("old", [None, b"old content"])
def test_at_every_boundary_there_is_the_old_file_or_the_new_one(tmp_path, old, fault, lasting):
    seen = set()
    for at in range(7):
        path = tmp_path / str(at) / "file"
        path.parent.mkdir()
        if old is not None:
            path.write_bytes(old)
        with suppress(OSError, Stopped):
            write_durably(path, b"new", disk=FailingDisk(fault, at=at, lasting=lasting))
        if fault is not stop and not (fault is broken and lasting):  # else nobody could tidy up
            assert {entry.name for entry in path.parent.iterdir()} <= {"file"}
        seen.add(path.read_bytes() if path.exists() else None)
    assert seen == {old, b"new"}


def test_the_boundaries_are_as_many_as_the_test_above_tries(tmp_path):
    disk = FailingDisk()
    write_durably(tmp_path / "file", b"new", disk=disk)
    assert len(disk.passed) == 7


def test_the_first_failure_is_the_one_that_is_told(tmp_path):
    with pytest.raises(OSError, match=r"at write file.partial, half"):
        write_durably(tmp_path / "file", b"new", disk=FailingDisk(broken, at=1))


def test_removing_takes_a_file_a_folder_with_its_content_or_nothing_and_follows_no_link(tmp_path):
    outside = tmp_path / "outside"
    (outside / "in").mkdir(parents=True)
    folder = tmp_path / "folder"
    DISK.make_folder(folder / "deep")
    DISK.make_folder(folder / "deep")
    DISK.write(folder / "deep" / "file", memoryview(b"x"))
    (folder / "link").symlink_to(outside)
    (tmp_path / "link").symlink_to(outside)
    DISK.remove(folder / "deep" / "file")
    for path in (folder, tmp_path / "link", tmp_path / "never"):
        DISK.remove(path)
    assert sorted(tmp_path.rglob("*")) == [outside, outside / "in"]
