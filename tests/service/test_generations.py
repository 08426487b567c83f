"""Generations on disk: every byte is verified, and whatever else is found there is refused by name."""

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    StoreFormatError,
    UnavailableError,
)
from service.records import GenerationFiles
from service.storage.generations import FolderGenerations
from tests.contracts.generations import GenerationsContract, check_equal, generation
from tests.service.failing_disk import FailingDisk, broken

FOLDER = "gen-000001"


@pytest.fixture
def generations(tmp_path) -> FolderGenerations:
    return FolderGenerations(tmp_path / "generations")


@pytest.fixture(scope="module")
def generations_of_one(tmp_path_factory) -> FolderGenerations:
    return FolderGenerations(tmp_path_factory.mktemp("one") / "generations")


class TestFolderGenerations(GenerationsContract):
    """The promises of the Protocol."""


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, str]:
    """One generation, which tests leave as they found it, and the sha256 of its manifest."""
    folder = tmp_path_factory.mktemp("written") / "generations"
    return folder, FolderGenerations(folder).write(1, generation())


def read(folder: Path, digest: str) -> GenerationFiles:
    return FolderGenerations(folder).read(1, manifest_sha256=digest)


def check_damaged(written: tuple[Path, str], path: Path, message: str) -> None:
    with pytest.raises(DataLossError, match=message) as caught:
        read(*written)
    assert caught.value.reason == "GENERATION_DAMAGED"
    assert caught.value.metadata == {"generation": "1", "file": path.name}


# ---------------------------------------------------------------- damage


@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_noticed(written, data):
    folder, _ = written
    path = data.draw(st.sampled_from([p for p in sorted(folder.glob("*/*")) if p.stat().st_size]))
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    try:
        check_damaged(
            written, path, rf"{path.name} should have sha256 .*, has sha256 .* `polyhash rebuild` makes"
        )
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (name, change)
        for name in ("MANIFEST.json", "000-codes_16.bin", "004-nothing.bin")
        for change in ("longer", "missing", "folder", "link", "shorter", "empty")
        if name != "004-nothing.bin" or change not in {"shorter", "empty"}
    ],
)
def test_a_file_of_another_size_or_kind_is_noticed(written, name, change, tmp_path):
    path = written[0] / FOLDER / name
    whole = path.read_bytes()
    path.unlink()
    if change == "folder":
        path.mkdir()
    elif change == "link":
        (tmp_path / "outside").write_bytes(whole)
        path.symlink_to(tmp_path / "outside")
    elif change != "missing":
        path.write_bytes({"shorter": whole[:-1], "longer": whole + b"\0", "empty": b""}[change])
    try:
        expected = (
            "a file, has none" if change in {"missing", "folder", "link"} else r"(sha256 \w+|\d+ bytes), has"
        )
        check_damaged(written, path, expected)
    finally:
        path.rmdir() if change == "folder" else path.unlink(missing_ok=True)
        path.write_bytes(whole)
    check_equal(read(*written), generation())


def test_another_manifest_than_the_catalog_knows_is_noticed(written):
    path = written[0] / FOLDER / "MANIFEST.json"
    check_damaged((written[0], "ab" * 32), path, rf"should have sha256 {'ab' * 32}, has sha256 {written[1]}")


def test_a_generation_under_the_number_of_another_is_noticed(generations, tmp_path):
    digest = generations.write(2, generation())
    (tmp_path / "generations/gen-000002").rename(tmp_path / "generations/gen-000001")
    with pytest.raises(DataLossError, match="no manifest of generation 1: it is that of generation 2"):
        generations.read(1, manifest_sha256=digest)


@pytest.mark.parametrize("name", ["other.bin", "999-codes.bin"])
def test_a_file_that_the_manifest_does_not_name_is_passed_over(generations, tmp_path, name):
    digest = generations.write(1, generation())
    (tmp_path / "generations" / FOLDER / name).write_bytes(b"?")
    check_equal(generations.read(1, manifest_sha256=digest), generation())


def test_only_folders_of_the_right_name_are_generations(generations, tmp_path):
    generations.write(1, generation())
    folder = tmp_path / "generations"
    for name in (
        "gen-0000002",
        "gen-3",
        "gen-000004.tmp",
        "quarantine-gen-000005",
        "Gen-000006",
        "gen-00000\N{ARABIC-INDIC DIGIT SEVEN}",
    ):
        (folder / name).mkdir()
    (folder / "gen-000008").write_bytes(b"")
    (folder / "gen-000009").symlink_to(folder / FOLDER)
    assert generations.numbers() == [1]
    with pytest.raises(NotFoundError):
        generations.read(9, manifest_sha256="")


# ---------------------------------------------------------------- hostile manifests


def forge(folder: Path, change: dict, entry: dict) -> tuple[Path, str]:
    """Change values of the manifest and of its first entry; None takes one out. Returns what to read it with."""
    path = folder / FOLDER / "MANIFEST.json"
    manifest = json.loads(path.read_bytes())
    manifest["files"][0] = merged(manifest["files"][0], entry)
    path.write_text(json.dumps(merged(manifest, change)))
    return folder, hashlib.sha256(path.read_bytes()).hexdigest()


def merged(values: dict, change: dict) -> dict:
    return {key: value for key, value in (values | change).items() if value is not None}


@pytest.fixture
def folder(generations, tmp_path) -> Path:
    generations.write(1, generation())
    return tmp_path / "generations"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": None}, "'format_version' is missing"),
        ({"format_version": "1"}, "format_version should be int, is str"),
        ({"format_version": True}, "format_version should be int, is bool"),
        ({"number": 2}, "it is that of generation 2"),
        ({"number": 1.0}, "number should be int, is float"),
        ({"facts": []}, "facts should be dict, is list"),
        ({"files": {}}, "files should be list, is dict"),
        ({"files": [7]}, "an entry of files should be dict, is int"),
        ({"files": None}, "'files' is missing"),
    ],
)
def test_a_manifest_of_wrong_values_is_refused(folder, change, message):
    forged = forge(folder, change, {})
    check_damaged(
        forged, folder / FOLDER / "MANIFEST.json", f"MANIFEST.json is no manifest of generation 1: {message}"
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file": "../secret"}, r"no file of a generation is called '\.\./secret'"),
        ({"file": "/etc/passwd"}, "is called '/etc/passwd'"),
        ({"file": "000-a/../../../secret.bin"}, "is called"),
        ({"file": "000-a.bin\n"}, "is called"),
        ({"file": ""}, "is called ''"),
        ({"file": 3}, "file should be str, is int"),
        ({"array": "image_ids"}, "two files hold the same array"),
        ({"array": ["codes"]}, "array should be str, is list"),
        ({"sha256": None}, "'sha256' is missing"),
        ({"dtype": "O"}, "no array of a generation has dtype 'O'"),
        ({"dtype": "<u3"}, "NumPy has no dtype <u3"),
        ({"dtype": "<u0"}, "has 0 bytes|no dtype <u0"),
        ({"dtype": "<f8"}, "of this shape and dtype has 480 bytes"),
        ({"dtype": {"names": ["a"]}}, "dtype should be str, is dict"),
        ({"shape": 60}, "shape should be list, is int"),
        ({"shape": ["30", 2]}, "an extent should be int, is str"),
        ({"shape": [-30, -2]}, "cannot have this shape"),
        ({"shape": [30, 3]}, "has 90 bytes"),
        ({"shape": [2**62, 2**62]}, "cannot have this shape"),
        ({"shape": [0, 2**62], "size": 0}, "cannot have this shape"),
        ({"shape": [1] * 70, "size": 1}, "cannot have this shape"),
        ({"size": 1 << 80}, "has 60 bytes"),
        ({"size": 60.0}, "size should be int, is float"),
    ],
)
def test_a_manifest_with_a_hostile_entry_is_refused(folder, entry, message):
    (folder / "secret").write_bytes(bytes(60))
    check_damaged(forge(folder, {}, entry), folder / FOLDER / "MANIFEST.json", message)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_bytes_that_are_no_manifest_are_refused(folder, content):
    (folder / FOLDER / "MANIFEST.json").write_bytes(content)
    forged = folder, hashlib.sha256(content).hexdigest()
    check_damaged(forged, folder / FOLDER / "MANIFEST.json", "is no manifest of generation 1")


def test_another_format_version_is_refused_and_both_are_named(folder):
    with pytest.raises(
        StoreFormatError, match=r"format version 2, this polyhash reads version 1\. Nothing is lost"
    ):
        read(*forge(folder, {"format_version": 2, "files": None}, {}))


# ---------------------------------------------------------------- what cannot be kept


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.array([object()]), np.array([1j]), np.zeros(2, "i4,f4")]
)
def test_an_array_of_other_things_than_numbers_is_refused(generations, array):
    with pytest.raises(
        InvalidArgumentError, match=r"Array 'x' of a generation has dtype .* Keep texts in the facts"
    ):
        generations.write(1, GenerationFiles(arrays={"x": array}, facts={}))
    assert generations.numbers() == []


@pytest.mark.parametrize("fact", [float("nan"), b"bytes", np.int64(3)])
def test_a_fact_that_is_no_json_value_is_refused_and_nothing_is_left(generations, tmp_path, fact):
    with pytest.raises(
        InvalidArgumentError, match=r"facts of generation 1 are no JSON values .* Keep numbers in arrays"
    ):
        generations.write(1, GenerationFiles(arrays={}, facts={"x": fact}))
    assert os.listdir(tmp_path / "generations") == []  # noqa: PTH208 - names are enough


# ---------------------------------------------------------------- disks that refuse to be read


def test_a_sector_that_cannot_be_read_is_damage(written):
    disk = FailingDisk(broken, at=1)
    with pytest.raises(
        DataLossError, match=r"000-codes_16.bin should have readable bytes, has Input/output error"
    ):
        FolderGenerations(written[0], disk=disk).read(1, manifest_sha256=written[1])


def test_a_disk_that_refuses_a_reader_for_now_is_no_damage(written):
    def too_many_files(step: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files", step)

    with pytest.raises(UnavailableError, match=r"gen-000001 cannot be read now \(Too many open files\)"):
        FolderGenerations(written[0], disk=FailingDisk(too_many_files, at=1)).read(
            1, manifest_sha256=written[1]
        )
