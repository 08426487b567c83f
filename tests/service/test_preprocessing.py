"""The input square: the ways a model folder may describe it, and its pixels against Pillow's plain steps."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidArgumentError, NotFoundError
from service.records import Preprocessing
from service.vision.preprocessing import InputSquare, read_input_square

SETTINGS = {
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.25, 0.2],
    "resample": 3,
}


def read(folder: Path, **change: object) -> InputSquare:
    """Return what is read when the settings are changed like this."""
    (folder / "preprocessor_config.json").write_text(json.dumps(SETTINGS | change))
    return read_input_square(folder)


def sizes(square: InputSquare) -> tuple[int, int, bool]:
    return square.preprocessing.resize_px, square.preprocessing.crop_px, square.preprocessing.keep_aspect


@pytest.mark.parametrize(
    ("change", "expected"),  # resize_px, crop_px, keep_aspect
    [
        ({}, (32, 32, False)),
        ({"size": 32}, (32, 32, False)),
        ({"size": 40, "do_center_crop": True, "crop_size": 32}, (40, 32, True)),
        ({"size": {"shortest_edge": 32}}, (32, 32, True)),
        (
            {
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
            },
            (256, 224, True),
        ),
        (
            {"size": {"height": 40, "width": 40}, "do_center_crop": True, "crop_size": 32},
            (40, 32, False),
        ),
        ({"crop_size": {"height": 8, "width": 8}}, (32, 32, False)),  # EfficientNet names one it does not use
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (256, 224, True)),
        ({"size": {"shortest_edge": 224}, "crop_pct": None}, (256, 224, True)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, (384, 384, False)),
    ],
)
def test_all_ways_of_saying_sizes_are_read(tmp_path: Path, change, expected):
    assert sizes(read(tmp_path, **change)) == expected


@pytest.mark.parametrize(
    ("change", "mean", "std"),
    [
        ({}, (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)),
        ({"do_normalize": False}, (0, 0, 0), (1, 1, 1)),
        (
            {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51.0] * 3},
            (0.5, 0.5, 0.5),
            (0.2, 0.2, 0.2),
        ),
        (
            {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
            (0.5, 0.5, 0.5),
            (0.5, 0.5, 0.5),
        ),
    ],
)
def test_all_ways_of_saying_scales_become_mean_and_std_of_unit_pixels(tmp_path: Path, change, mean, std):
    found = read(tmp_path, **change).preprocessing
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(std)


def test_settings_inside_a_processor_config_are_found(tmp_path: Path):
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": SETTINGS}))
    inside = read_input_square(tmp_path)
    assert inside == read(tmp_path)
    assert inside.resample is Image.Resampling.BICUBIC


def test_missing_settings_are_not_guessed(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"has no preprocessor_config\.json"):
        read_input_square(tmp_path)


def test_settings_that_are_no_json_are_refused(tmp_path: Path):
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(InvalidArgumentError, match="is no JSON"):
        read_input_square(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": {"height": 32, "width": 48}}, "the size 32 x 48 is no square"),
        ({"size": {"longest_edge": 32}}, "value 'height' is missing"),
        (
            {"do_center_crop": True, "crop_size": 48},
            "the crop of 48 px is larger than the resized image of 32 px",
        ),
        ({"image_mean": [0.5]}, "mean and std need three values, got [0.5]"),
        ({"image_std": [0.5, 0.0, 0.5]}, "std must be above 0, got [0.5, 0.0, 0.5]"),
        ({"rescale_factor": 0}, "rescale_factor must be above 0, got 0"),
        ({"resample": 77}, "77 is not a valid Resampling"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(tmp_path: Path, change, message):
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        read(tmp_path, **change)


def square_of(*, keep_aspect: bool) -> InputSquare:
    return InputSquare(
        preprocessing=Preprocessing(
            resize_px=40, crop_px=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), keep_aspect=keep_aspect
        )
    )


def smooth_picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / 9 + c) * np.cos(y / 7) for c in range(3)]
    return np.stack(waves, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 61), (33, 33), (20, 31), (300, 50)])
def test_the_crop_is_the_middle_of_the_resized_image(height, width):
    image = smooth_picture(height, width)
    shorter = min(height, width)
    resized = Image.fromarray(image).resize(
        (40 * width // shorter, 40 * height // shorter), Image.Resampling.BILINEAR
    )
    x, y = (resized.width - 32) // 2, (resized.height - 32) // 2
    expected = np.asarray(resized.crop((x, y, x + 32, y + 32))).astype(int)
    assert np.abs(square_of(keep_aspect=True).cut(image) - expected).max() <= 1


def test_a_squashed_crop_is_the_middle_of_the_squashed_image():
    image = smooth_picture(60, 90)
    squashed = Image.fromarray(image).resize((40, 40), Image.Resampling.BILINEAR)
    expected = np.asarray(squashed.crop((4, 4, 36, 36))).astype(int)
    assert np.abs(square_of(keep_aspect=False).cut(image) - expected).max() <= 1


def test_a_strip_costs_no_more_memory_than_its_crop():
    strip = np.full((1, 200_000, 3), 9, dtype=np.uint8)  # resized whole it would be 40 x 8,000,000
    assert (square_of(keep_aspect=True).cut(strip) == 9).all()
