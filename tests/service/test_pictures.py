"""Pictures: the bytes that were indexed or a reason why not, never another picture."""

import hashlib
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from service.compose import thumbnail_jpeg
from service.errors import DataLossError, NotFoundError, UnavailableError
from service.records import ImageRow
from service.usecases.pictures import Pictures
from service.vision.sources import read_source
from tests.contracts.fakes import MemoryOriginals, png
from tests.contracts.memory_catalog import MemoryCatalog, noon

CONTENT = png(1, width=300, height=100)


@pytest.fixture
def originals():
    return MemoryOriginals()


@pytest.fixture
def pictures(originals):
    return Pictures(MemoryCatalog(), originals, read_source=read_source, thumbnail_jpeg=thumbnail_jpeg)


def row(source="", *, stored=False):
    return ImageRow(
        image_id=7,
        sha256=hashlib.sha256(CONTENT).digest(),
        name="one.png",
        source=str(source),
        stored=stored,
        byte_size=len(CONTENT),
        width=300,
        height=100,
        format="PNG",
        labels=(),
        attributes={},
        created_at=noon(),
        sequence=1,
    )


def test_a_file_is_read_from_where_it_was(pictures, tmp_path):
    (tmp_path / "one.png").write_bytes(CONTENT)
    assert pictures.content(row(tmp_path / "one.png")) == CONTENT


def test_a_copy_is_taken_from_the_store_even_if_the_file_has_changed(pictures, originals, tmp_path):
    (tmp_path / "one.png").write_bytes(png(2))
    kept = row(tmp_path / "one.png", stored=True)
    originals.put(kept.sha256, CONTENT)
    assert pictures.content(kept) == CONTENT


def test_a_file_that_has_changed_is_not_shown_as_what_it_was(pictures, tmp_path):
    (tmp_path / "one.png").write_bytes(png(2))
    with pytest.raises(
        DataLossError, match=r"image 7 \(one.png\) has changed since it was indexed. Delete"
    ) as caught:
        pictures.content(row(tmp_path / "one.png"))
    assert caught.value.reason == "ORIGINAL_CHANGED"


def test_a_file_that_is_gone_is_told_without_its_path(pictures, tmp_path):
    with pytest.raises(NotFoundError, match=r"image 7 \(one.png\) is gone from where it was") as caught:
        pictures.content(row(tmp_path / "one.png"))
    assert caught.value.reason == "ORIGINAL_NOT_FOUND"
    assert str(tmp_path) not in str(caught.value) + str(caught.value.metadata)


def test_a_file_that_cannot_be_read_is_told_with_the_reason(pictures, tmp_path):
    with pytest.raises(
        UnavailableError, match=r"cannot be read now \(Is a directory\)\. Check its disk"
    ) as caught:
        pictures.content(row(tmp_path))
    assert caught.value.reason == "ORIGINAL_UNREADABLE"


def test_a_copy_that_is_gone_is_told(pictures):
    with pytest.raises(NotFoundError, match="No such original"):
        pictures.content(row(stored=True))


@pytest.mark.parametrize(
    ("side_px", "size"), [(60, (60, 20)), (300, (300, 100)), (5000, (300, 100)), (1, (1, 1))]
)
def test_a_thumbnail_is_a_jpeg_no_larger_than_asked_for(pictures, tmp_path, side_px, size):
    (tmp_path / "one.png").write_bytes(CONTENT)
    thumbnail = Image.open(BytesIO(pictures.thumbnail(row(tmp_path / "one.png"), side_px=side_px)))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", size)


def test_a_row_is_found_by_id_or_told_missing():
    catalog = MemoryCatalog()
    pictures = Pictures(catalog, MemoryOriginals(), read_source=read_source, thumbnail_jpeg=thumbnail_jpeg)
    catalog.get_images = lambda ids: {7: replace(row(), image_id=7)} if 7 in ids else {}
    assert pictures.row(7) == row()
    with pytest.raises(NotFoundError, match=r"No image 8 in the gallery\. List the images") as caught:
        pictures.row(8)
    assert (caught.value.reason, caught.value.field) == ("IMAGE_NOT_FOUND", "image_id")
