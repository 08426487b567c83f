"""Galleries of scenes on disk: an image set whose table says all that is known of each picture."""

import csv

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidArgumentError
from service.scenes.gallery import COLUMNS, ImageFormat, contact_sheet, gallery, write_gallery
from service.scenes.render import render
from service.scenes.sampling import sample_scene
from service.scenes.scene import Conditions, Season, TimeOfDay

NIGHT_WINTER = Conditions(time=TimeOfDay.NIGHT, season=Season.WINTER)
CHOICE = {"size_px": 96, "seed": 4, "categories": ("beach", "city"), "affect_share": 0.5}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A PNG gallery of 2 categories x 5 instances x 2 conditions, its rows, and the reported progress."""
    folder = tmp_path_factory.mktemp("gallery")
    progress = []
    count = write_gallery(
        folder,
        5,
        conditions=(Conditions(), NIGHT_WINTER),
        image_format=ImageFormat.PNG,
        on_image=lambda done, total: progress.append((done, total)),
        **CHOICE,
    )
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return folder, count, rows, progress


def test_table_names_every_file_once(written):
    folder, count, rows, _ = written
    assert tuple(rows[0]) == COLUMNS
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.png")}
    assert files == {row["file"] for row in rows}
    assert count == len(rows) == len(files) == 2 * 5 * 2
    assert "beach/0003-night-winter-clear.png" in files


def test_rows_say_what_the_pictures_show(written):
    folder, _, rows, _ = written
    for row in rows:
        category, number = row["instance"].split("-")
        night = row["time"] == "night"
        picture = render(
            sample_scene(category, int(number), 4, affect_share=0.5), NIGHT_WINTER if night else None, 96
        )
        np.testing.assert_array_equal(np.asarray(Image.open(folder / row["file"])), picture.image)
        assert row["label"] == category
        assert (row["season"], row["weather"]) == ("winter" if night else "summer", "clear")
        box = [row[name] for name in ("box_x0", "box_y0", "box_x1", "box_y1")]
        if picture.planted is None:
            assert [row["affect"], row["affect_polarity"], *box] == [""] * 6
        else:
            assert row["affect"] == picture.planted.affect.kind
            assert row["affect_polarity"] == picture.planted.affect.polarity.value
            assert tuple(map(int, box)) == picture.planted.box_xyxy
    assert {row["affect"] == "" for row in rows} == {True, False}


def test_split_never_cuts_through_an_instance(written):
    _, _, rows, _ = written
    splits = {}
    for row in rows:
        splits.setdefault(row["instance"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert sorted(name for name, found in splits.items() if found == {"query"}) == [
        "beach-0000",
        "beach-0004",
        "city-0000",
        "city-0004",
    ]


def test_progress_counts_every_picture(written):
    _, count, _, progress = written
    assert progress == [(done, count) for done in range(1, count + 1)]


def test_jpeg_gallery_is_written_alike_twice(tmp_path):
    for name in ("one", "two"):
        write_gallery(tmp_path / name, 1, **CHOICE)
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    with Image.open(tmp_path / "one" / "beach" / "0000-day-summer-clear.jpg") as picture:
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (96, 96), "RGB")


def test_contact_sheet_has_a_row_per_category_and_a_picture_per_instance_and_condition():
    sheet = contact_sheet(instances=2, conditions=(NIGHT_WINTER,), categories=("lake", "room", "street"))
    assert sheet.shape == (3 * 96, (2 + 1) * 96, 3)
    np.testing.assert_array_equal(sheet[96:192, 96:192], render(sample_scene("room", 1), None, 96).image)


@pytest.mark.parametrize(("instances", "conditions"), [(0, (NIGHT_WINTER,)), (1, ())])
def test_empty_gallery_is_refused(instances, conditions):
    with pytest.raises(
        InvalidArgumentError, match=f"got instances={instances} and {len(conditions)} conditions"
    ):
        next(gallery(instances, conditions=conditions))
