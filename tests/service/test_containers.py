"""Containers: loose files, tar, tar.xz and arrays give the same pictures, and what is not there says so."""

import lzma
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from service.errors import ImageTooLargeError, InvalidArgumentError, NotFoundError, PolyhashError
from service.records import SourceImage
from service.vision.datasets import ImageSet, open_image_set
from service.vision.images import ImageLimits, decode_image
from service.vision.sources import read_source

FILES = {"a.png": b"content a", "cats/b.png": b"content b" * 200, "ünï cödé.png": b"content c"}
TABLE = "file,label,group,split\na.png,dog,1,train\ncats/b.png,cat,2,query\nünï cödé.png,dog,3,train\n"


def write_files(folder: Path) -> None:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def tar_bytes(files: dict[str, bytes] = FILES) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return buffer.getvalue()


def write_tar(folder: Path) -> None:
    (folder / "images.tar").write_bytes(tar_bytes())


def write_tar_xz(folder: Path) -> None:
    (folder / "images.tar.xz").write_bytes(lzma.compress(tar_bytes()))


CONTAINERS = pytest.mark.parametrize("write", [write_files, write_tar, write_tar_xz])


def read_all(images: ImageSet) -> dict[str, bytes | str]:
    """What an ingest run would see: bytes by name, or the reason why there are none."""
    seen: dict[str, bytes | str] = {}
    for image in images:
        try:
            seen[image.name] = image.read()
        except (PolyhashError, OSError) as error:
            seen[image.name] = str(error)
    return seen


def by_name(images: ImageSet) -> dict[str, SourceImage]:
    return {image.name: image for image in images}


class TestAllContainers:
    @CONTAINERS
    def test_all_containers_give_the_same_rows(self, tmp_path: Path, write: Callable[[Path], None]) -> None:
        write(tmp_path)
        (tmp_path / "labels.csv").write_text(TABLE, "utf-8")
        images = open_image_set(str(tmp_path))
        assert (len(images), images.name, images.label_column) == (3, tmp_path.name, "label")
        assert read_all(images) == FILES
        assert [image.labels for image in images] == [("dog",), ("cat",), ("dog",)]
        assert by_name(images)["cats/b.png"].attributes == {"group": "2", "split": "query"}
        assert images.notes() == []

    @CONTAINERS
    def test_reads_work_in_any_order_and_thread(self, tmp_path: Path, write: Callable[[Path], None]) -> None:
        write(tmp_path)
        (tmp_path / "labels.csv").write_text(TABLE, "utf-8")
        images = list(open_image_set(str(tmp_path))) * 20
        with ThreadPoolExecutor(4) as pool:
            contents = list(pool.map(lambda image: image.read(), reversed(images)))
        assert contents == [FILES[image.name] for image in reversed(images)]

    @CONTAINERS
    def test_splits_select_rows(self, tmp_path: Path, write: Callable[[Path], None]) -> None:
        write(tmp_path)
        (tmp_path / "labels.csv").write_text(TABLE, "utf-8")
        query = open_image_set(f"{tmp_path}:query")
        assert (query.name, len(query), list(read_all(query))) == (
            f"{tmp_path.name}:query",
            1,
            ["cats/b.png"],
        )
        assert read_all(open_image_set(f"{tmp_path}:train+query")) == FILES

    @CONTAINERS
    def test_a_missing_picture_is_reported_and_the_others_are_read(
        self, tmp_path: Path, write: Callable[[Path], None]
    ) -> None:
        write(tmp_path)
        (tmp_path / "labels.csv").write_text("file\na.png\nlost.png\ncats/b.png\n", "utf-8")
        seen = read_all(open_image_set(str(tmp_path)))
        assert len(seen) == 3
        assert (seen["a.png"], seen["cats/b.png"]) == (FILES["a.png"], FILES["cats/b.png"])
        assert "lost.png" in str(seen["lost.png"])
        assert "no such" in str(seen["lost.png"])

    @CONTAINERS
    def test_a_file_beyond_the_limit_is_reported_and_not_read(
        self, tmp_path: Path, write: Callable[[Path], None]
    ) -> None:
        write(tmp_path)
        (tmp_path / "labels.csv").write_text(TABLE, "utf-8")
        images = by_name(open_image_set(str(tmp_path), limits=ImageLimits(max_bytes=100)))
        assert images["a.png"].read() == FILES["a.png"]
        with pytest.raises(ImageTooLargeError, match="1800 bytes, the limit is 100"):
            images["cats/b.png"].read()


class TestArchives:
    def test_a_tar_gives_sources_that_can_be_read_again(self, tmp_path: Path) -> None:
        folder = tmp_path / "odd!name"
        folder.mkdir()
        write_tar(folder)
        (folder / "labels.csv").write_text(TABLE, "utf-8")
        images = by_name(open_image_set(str(folder)))
        assert images["a.png"].source == f"{folder}/images.tar!a.png"
        assert {name: read_source(image.source) for name, image in images.items()} == FILES
        with pytest.raises(NotFoundError, match=r"images.tar gives no gone.png: no such member"):
            read_source(f"{folder}/images.tar!gone.png")
        (folder / "images.tar").unlink()
        with pytest.raises(NotFoundError, match="is gone: no such file"):
            read_source(images["a.png"].source)

    def test_a_changed_tar_is_read_anew(self, tmp_path: Path) -> None:
        write_tar(tmp_path)
        source = f"{tmp_path}/images.tar!a.png"
        assert read_source(source) == FILES["a.png"]
        (tmp_path / "images.tar").write_bytes(tar_bytes({"first.png": b"shifts the rest", "a.png": b"new"}))
        assert read_source(source) == b"new"

    def test_sources_of_files_are_absolute_and_those_of_a_stream_are_empty(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_files(tmp_path)
        monkeypatch.chdir(tmp_path)
        (image, *_) = open_image_set(".")
        assert image.source == str(tmp_path / "a.png")
        assert read_source(image.source) == FILES["a.png"]
        write_tar_xz(tmp_path)
        (tmp_path / "labels.csv").write_text(TABLE, "utf-8")
        assert {image.source for image in open_image_set(".")} == {""}

    @pytest.mark.parametrize("write", [write_tar, write_tar_xz])
    def test_members_that_no_row_names_are_counted(
        self, tmp_path: Path, write: Callable[[Path], None]
    ) -> None:
        write(tmp_path)
        (tmp_path / "labels.csv").write_text("file\nünï cödé.png\n", "utf-8")
        images = open_image_set(str(tmp_path))
        assert list(read_all(images)) == ["ünï cödé.png"]
        (note,) = images.notes()
        assert "holds 2 pictures that labels.csv does not list; they are left out" in note

    def test_hard_links_dotted_names_and_repeated_names_in_a_tar_are_read(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "images.tar", "w") as tar:
            for name, content in (("./a.png", b"first"), ("a.png", b"second")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, BytesIO(content))
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.LNKTYPE, "a.png"
            tar.addfile(link)
        (tmp_path / "labels.csv").write_text("file\na.png\nlink.png\n", "utf-8")
        assert read_all(open_image_set(str(tmp_path))) == {"a.png": b"first", "link.png": b"first"}

    @pytest.mark.parametrize("name", ["images.tar", "images.tar.xz"])
    def test_a_truncated_archive_loses_only_the_pictures_behind_the_cut(
        self, tmp_path: Path, name: str
    ) -> None:
        noise = np.random.default_rng(0).bytes
        files = {f"{number}.png": noise(3000) for number in range(40)}
        content = tar_bytes(files)
        if name.endswith("xz"):
            content = lzma.compress(content)
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        (tmp_path / "labels.csv").write_text("file\n" + "\n".join(files), "utf-8")
        seen = read_all(open_image_set(str(tmp_path)))
        assert seen.keys() == files.keys()
        kept = [key for key, value in seen.items() if value == files[key]]
        assert 10 <= len(kept) <= 21
        assert kept == list(files)[: len(kept)]
        for key in files.keys() - set(kept):
            assert f"{name} gives no {key}: it is damaged" in str(seen[key])

    @pytest.mark.parametrize("name", ["images.tar", "images.tar.xz"])
    @pytest.mark.parametrize("content", [b"", b"no archive at all" * 100])
    def test_what_is_no_archive_is_an_error_that_names_it(
        self, tmp_path: Path, name: str, content: bytes
    ) -> None:
        (tmp_path / name).write_bytes(content)
        (tmp_path / "labels.csv").write_text(TABLE, "utf-8")
        with pytest.raises(InvalidArgumentError, match=f"{name} cannot be read. Expected a .*tar"):
            open_image_set(str(tmp_path))


class TestArrays:
    @pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 3)])
    def test_rows_become_pictures(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        np.savez_compressed(tmp_path / "images.npz", images=pixels)
        (tmp_path / "labels.csv").write_text("row,label\n2,two\n0,zero\n3,x\n-1,x\nzwei,x\n", "utf-8")
        images = open_image_set(str(tmp_path))
        assert [image.labels for image in images] == [("two",), ("zero",), ("x",), ("x",), ("x",)]
        seen = read_all(images)
        for row in (2, 0):
            content = seen.pop(f"row {row}")
            assert isinstance(content, bytes)
            expected = np.broadcast_to(pixels[row].reshape(4, 5, -1), (4, 5, 3))
            np.testing.assert_array_equal(decode_image(content).pixels, expected)
        assert seen == {
            f"row {key}": f"images.npz has no row '{key}'. Rows are numbered from 0 to 2."
            for key in ("3", "-1", "zwei")
        }

    def test_an_array_of_another_kind_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("row\n0\n", "utf-8")
        with pytest.raises(InvalidArgumentError, match=r"images.npz cannot be read.*No such file"):
            open_image_set(str(tmp_path))
        np.savez(tmp_path / "images.npz", images=np.zeros((2, 4, 4)))
        with pytest.raises(InvalidArgumentError, match=r"of uint8 .*, got: float64 \(2, 4, 4\)"):
            open_image_set(str(tmp_path))
        for content in (b"", b"no array", b"PK\3\4 damaged"):
            (tmp_path / "images.npz").write_bytes(content)
            with pytest.raises(InvalidArgumentError, match=r"images.npz cannot be read"):
                open_image_set(str(tmp_path))
