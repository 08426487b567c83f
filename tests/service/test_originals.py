"""Copies of originals: the same bytes or a clear error."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.durable_file import Disk
from service.errors import DataLossError, NotFoundError, UnavailableError
from service.storage.originals import FolderOriginals
from tests.contracts.fakes import MemoryOriginals


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


@pytest.fixture
def originals(tmp_path) -> FolderOriginals:
    return FolderOriginals(tmp_path / "originals")


@pytest.fixture(params=["folder", "memory"])
def any_originals(request, originals):
    return originals if request.param == "folder" else MemoryOriginals()


def test_a_copy_comes_back_and_repeating_changes_nothing(any_originals):
    for content in (b"one", b"", b"two", b"one"):
        any_originals.put(sha256(content), content)
    assert [any_originals.get(sha256(content)) for content in (b"one", b"", b"two")] == [b"one", b"", b"two"]


def test_an_absent_copy_is_told(any_originals):
    with pytest.raises(NotFoundError) as caught:
        any_originals.get(sha256(b"never"))
    assert caught.value.reason == "ORIGINAL_NOT_FOUND"


def test_a_deleted_copy_is_gone_and_deleting_twice_is_fine(any_originals):
    any_originals.put(sha256(b"x"), b"x")
    any_originals.delete(sha256(b"x"))
    any_originals.delete(sha256(b"x"))
    with pytest.raises(NotFoundError):
        any_originals.get(sha256(b"x"))


@given(contents=st.lists(st.binary(max_size=50), max_size=5))
def test_any_bytes_lie_under_the_first_byte_of_their_digest(contents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    originals = FolderOriginals(folder)
    for content in contents:
        originals.put(sha256(content), content)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("*/*")}
    assert files == {f"{sha256(c).hex()[:2]}/{sha256(c).hex()}": c for c in contents}


def test_a_damaged_copy_is_told_and_never_given(originals, tmp_path):
    originals.put(sha256(b"content"), b"content")
    (path,) = tmp_path.glob("originals/*/*")
    path.write_bytes(b"c0ntent")
    with pytest.raises(DataLossError, match=r"copy .* is damaged: its sha256 is not its name"):
        originals.get(sha256(b"content"))


def test_a_copy_cut_off_by_a_crash_is_written_again(originals, tmp_path):
    digest = sha256(b"content")
    path = tmp_path / "originals" / digest.hex()[:2] / digest.hex()
    path.parent.mkdir(parents=True)
    path.with_suffix(".partial").write_bytes(b"con")
    with pytest.raises(NotFoundError, match="no copy of original"):
        originals.get(digest)
    originals.put(digest, b"content")
    assert originals.get(digest) == b"content"
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_refuses_is_told(originals, tmp_path):
    (tmp_path / "originals").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match=r"copy .* cannot be written now \(.*Check free disk space"):
        originals.put(sha256(b"x"), b"x")
    with pytest.raises(UnavailableError, match=r"copy .* cannot be read now"):
        originals.get(sha256(b"x"))


def test_a_copy_that_another_process_left_is_synced_before_it_counts(tmp_path, originals):
    class Watched(Disk):
        def __init__(self) -> None:
            self.synced: list[Path] = []

        def sync_folder(self, folder: Path) -> None:
            self.synced.append(folder)
            super().sync_folder(folder)

    originals.put(sha256(b"one"), b"one")  # by a process that may have been killed before it synced the name
    disk = Watched()
    later = FolderOriginals(tmp_path / "originals", disk=disk)
    for _ in range(3):
        later.put(sha256(b"one"), b"one")
    assert disk.synced == [tmp_path / "originals" / sha256(b"one").hex()[:2]]
