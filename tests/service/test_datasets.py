"""Image sets: tables, names and folders are read in a fixed order, and what cannot be used says why without stopping the rest."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import InvalidArgumentError, NotFoundError, PolyhashError
from service.records import SourceImage
from service.vision.datasets import ImageSet, open_image_set
from service.vision.images import decode_image

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
shared_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared data sets are not beside the repository"
)

FILES = {"a.png": b"content a", "cats/b.png": b"content b" * 200, "ünï cödé.png": b"content c"}
TABLE = "file,label,group,split\na.png,dog,1,train\ncats/b.png,cat,2,query\nünï cödé.png,dog,3,train\n"


def write_files(folder: Path) -> None:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


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


class TestTables:
    def test_labels_come_from_the_chosen_column_and_several_are_joined_by_a_bar(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text(
            "file,labels,category,mood\na.png,dog| cat |dog,animal,\n", "utf-8"
        )
        labels = {
            choice: next(iter(open_image_set(str(tmp_path), label=choice))).labels
            for choice in (None, "category", "mood")
        }
        assert labels == {None: ("dog", "cat"), "category": ("animal",), "mood": ()}
        with pytest.raises(
            InvalidArgumentError, match=r"no label column 'theme'. Columns there are: labels, category, mood"
        ):
            open_image_set(str(tmp_path), label="theme")

    def test_without_a_label_column_pictures_are_unlabelled(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("file,colour\na.png,red\n", "utf-8")
        (image,) = open_image_set(str(tmp_path))
        assert (image.labels, image.attributes) == ((), {"colour": "red"})

    def test_a_byte_order_mark_windows_line_ends_blank_lines_and_quotes_are_read(
        self, tmp_path: Path
    ) -> None:
        write_files(tmp_path)
        (tmp_path / "labels.csv").write_bytes(
            b'\xef\xbb\xbffile, label\r\n"a.png","one, ""two"""\r\n\r\n./cats//b.png,x\r\n'
        )
        images = by_name(open_image_set(str(tmp_path)))
        assert {name: image.labels for name, image in images.items()} == {
            "a.png": ('one, "two"',),
            "cats/b.png": ("x",),
        }

    def test_rows_that_cannot_be_used_are_reported_one_by_one(self, tmp_path: Path) -> None:
        write_files(tmp_path)
        rows = [
            "a.png,dog",
            ",cat",
            "../secret.png,x",
            "/etc/hostname,x",
            "cats/../../x.png,x",
            "./a.png,cat",
            "b.png",
            "n\0ul.png,x",
        ]
        (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(rows), "utf-8")
        images = open_image_set(str(tmp_path))
        seen = read_all(images)
        assert len(images) == len(seen) == 8
        assert seen.pop("a.png") == FILES["a.png"]
        expected = {
            3: "names no file",
            4: "outside of the set folder",
            5: "outside of the set folder",
            6: "outside of the set folder",
            7: "names the same picture as line 2, which is the one that counts",
            8: "has 1 cells, its header has 2",
            9: "outside of the set folder",
        }
        assert seen == {
            f"labels.csv line {line}": f"Cannot be used: line {line} of labels.csv {reason}."
            if line in {3, 7, 8}
            else f"Cannot be used: line {line} of labels.csv names a file {reason}."
            for line, reason in expected.items()
        }

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "has no column 'file'.*got: an empty file"),
            (b"name,label\na.png,x\n", "has no column 'file'.*got: name, label"),
            (b"file,label,label\n", "names a column twice"),
            (b"file,label\na.png,caf\xe9\n", r"is not UTF-8 text \(line 2\)"),
            (b'file,label\na.png,"open\n', "is not a comma-separated table at line 2"),
            (
                b"file,label\na.png," + b"x" * 200_000,
                "is not a comma-separated table at line 2: field larger",
            ),
        ],
    )
    def test_an_unreadable_table_is_an_error_that_names_it(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        (tmp_path / "labels.csv").write_bytes(content)
        with pytest.raises(InvalidArgumentError, match=f"labels.csv {message}"):
            open_image_set(str(tmp_path))

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=60))
    def test_no_table_raises_anything_but_our_errors(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "labels.csv").write_bytes(b"file,label,split\n" + content)
        try:
            images = open_image_set(str(tmp_path))
        except InvalidArgumentError:
            return
        assert len(images) == sum(1 for _ in images)
        read_all(images)

    def test_a_table_without_rows_is_an_empty_set(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("file,label\n", "utf-8")
        images = open_image_set(str(tmp_path))
        assert (len(images), list(images)) == (0, [])


class TestNames:
    def test_an_unknown_split_is_an_error_that_lists_those_there_are(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text(TABLE, "utf-8")
        with pytest.raises(
            InvalidArgumentError, match=r"no split 'test'. Splits there are: query, train"
        ) as caught:
            open_image_set(f"{tmp_path}:train+test")
        assert caught.value.field == "split"
        with pytest.raises(InvalidArgumentError, match="names an empty split"):
            open_image_set(f"{tmp_path}:train+")

    def test_a_set_without_splits_cannot_be_split(self, tmp_path: Path) -> None:
        write_files(tmp_path)
        with pytest.raises(InvalidArgumentError, match="no column 'split', so 'train' cannot be selected"):
            open_image_set(f"{tmp_path}:train")

    def test_an_existing_path_with_a_colon_wins_over_a_split(self, tmp_path: Path) -> None:
        plain, with_colon = tmp_path / "set", tmp_path / "set:query"
        for folder in (plain, with_colon):
            folder.mkdir()
            (folder / "labels.csv").write_text(TABLE, "utf-8")
        assert len(open_image_set(str(with_colon))) == 3
        assert len(open_image_set(f"{with_colon}:query")) == 1
        with_colon.joinpath("labels.csv").unlink()
        with_colon.rmdir()
        assert len(open_image_set(f"{plain}:query")) == 1

    @pytest.mark.parametrize("spec", ["", ":", "nowhere", "nowhere:train", "no\0where", "x" * 5000])
    def test_a_set_that_does_not_exist_is_not_found(self, spec: str) -> None:
        with pytest.raises(NotFoundError, match=r"does not exist. Give a folder of images"):
            open_image_set(spec)

    def test_a_file_is_no_set(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"x")
        with pytest.raises(InvalidArgumentError, match="is no folder"):
            open_image_set(str(tmp_path / "a.png"))


class TestFolders:
    def test_files_are_labelled_by_their_first_folder_and_sorted(self, tmp_path: Path) -> None:
        for name in ("zebra/1.png", "ape/x/2.png", "ape/1.png", "loose.png", "ape/.DS_Store", ".git/config"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(name.encode())
        images = open_image_set(str(tmp_path))
        found = [(image.name, image.labels, image.read().decode()) for image in images]
        assert found == [
            ("ape/1.png", ("ape",), "ape/1.png"),
            ("ape/x/2.png", ("ape",), "ape/x/2.png"),
            ("loose.png", (), "loose.png"),
            ("zebra/1.png", ("zebra",), "zebra/1.png"),
        ]
        assert len(images) == 4
        with pytest.raises(InvalidArgumentError, match="Columns there are: label"):
            open_image_set(str(tmp_path), label="mood")

    def test_links_are_followed_but_never_in_a_circle(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "x.png").write_bytes(b"x")
        folder = tmp_path / "set"
        (folder / "class").mkdir(parents=True)
        (folder / "class" / "up").symlink_to(folder)
        (folder / "self").symlink_to("self")
        (folder / "dangling.png").symlink_to("nothing")
        (folder / "linked").symlink_to(outside)
        images = open_image_set(str(folder))
        seen = read_all(images)
        assert len(images) == len(seen) == 4
        assert seen["linked/x.png"] == b"x"
        assert "the folder leads back to one above it" in str(seen["class/up"])
        assert "gone: no such file" in str(seen["dangling.png"])
        assert "symbolic links" in str(seen["self"])

    def test_a_pipe_is_reported_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        assert "not a regular file" in str(read_all(open_image_set(str(tmp_path)))["pipe.png"])

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_what_may_not_be_read_is_reported(self, tmp_path: Path) -> None:
        write_files(tmp_path)
        (tmp_path / "a.png").chmod(0)
        (tmp_path / "cats").chmod(0)
        try:
            seen = read_all(open_image_set(str(tmp_path)))
        finally:
            (tmp_path / "cats").chmod(0o700)
        assert "Permission denied" in str(seen["a.png"])
        assert "the folder cannot be listed (Permission denied)" in str(seen["cats"])

    def test_names_that_are_not_utf8_and_very_long_names_are_read(self, tmp_path: Path) -> None:
        strange, long = os.fsdecode(b"caf\xe9.png"), "n" * 251 + ".png"
        for name in (strange, long):
            (tmp_path / name).write_bytes(b"x")
        images = by_name(open_image_set(str(tmp_path)))
        assert list(images) == ["caf\N{REPLACEMENT CHARACTER}.png", long]
        assert [image.read() for image in images.values()] == [b"x", b"x"]
        assert [image.source for image in images.values()] == ["", str(tmp_path / long)]


@shared_data
@pytest.mark.parametrize(
    ("name", "count", "label_column", "first_labels"),
    [
        ("bsds", 150, None, ()),
        ("caltech101:query", 523, "label", None),
        ("coco128:train", 128, "labels", ("bowl", "broccoli", "orange")),
        ("corel1k", 800, "label", ("africa",)),
        ("mnist10k", 8000, "label", ("7",)),
        ("oasis:query+train", 669, "category", ("Object",)),
    ],
)
def test_the_shared_sets_are_read(
    name: str, count: int, label_column: str | None, first_labels: tuple[str, ...] | None
) -> None:
    images = open_image_set(str(SHARED / name))
    assert (len(images), images.label_column, images.name) == (count, label_column, name)
    entries = list(images)
    assert len(entries) == count
    if first_labels is not None:
        assert entries[0].labels == first_labels
    for entry in entries[:: count // 10]:
        assert min(decode_image(entry.read()).pixels.shape[:2]) >= 28


@shared_data
def test_the_shared_compressed_set_is_listed_at_once_and_streamed_in_order() -> None:
    images = open_image_set(str(SHARED / "cifar10"))
    assert len(images) == 50_000
    for entry, _ in zip(images, range(20), strict=False):
        assert decode_image(entry.read()).pixels.shape == (32, 32, 3)
        assert entry.labels == (entry.name.split("/")[1],)
