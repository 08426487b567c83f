"""Galleries: many rendered scenes, in memory, as an image set on disk, or as one contact sheet.

In: how many instances, which seed, size and conditions. Out: `RenderedScene`s, a folder with `labels.csv`, or pixels.
The folder is an image set that `service.vision` reads like any other.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from service.errors import InvalidArgumentError
from service.scenes.render import DEFAULT_SIZE_PX, RenderedScene, render
from service.scenes.sampling import CATEGORIES, DEFAULT_AFFECT_SHARE, sample_scene
from service.scenes.scene import Conditions, Season, TimeOfDay, Weather

CLEAR_DAY = Conditions()
SHEET_CONDITIONS = (
    Conditions(time=TimeOfDay.NIGHT),
    Conditions(season=Season.WINTER),
    Conditions(weather=Weather.STORM),
)
COLUMNS = (
    "file",
    "label",
    "instance",
    "time",
    "season",
    "weather",
    "affect",
    "affect_polarity",
    "box_x0",
    "box_y0",
    "box_x1",
    "box_y1",
    "split",
)
_QUERY_EVERY = 4  # one instance in four is a query
_JPEG_QUALITY = 88


class ImageFormat(Enum):
    """How a gallery's pictures are written."""

    JPEG = "jpg"
    PNG = "png"


def gallery(
    instances: int,
    *,
    seed: int = 0,
    size_px: int = DEFAULT_SIZE_PX,
    conditions: Sequence[Conditions] = (CLEAR_DAY,),
    categories: Sequence[str] = CATEGORIES,
    affect_share: float = DEFAULT_AFFECT_SHARE,
) -> Iterator[RenderedScene]:
    """Yield every instance of every category under every one of the conditions, in that order of nesting.

    Instance 7 of a category is the same scene however many others are asked for.

    Raises:
        InvalidArgumentError: No instances, no conditions, or an argument that `sample_scene` or `render` refuses.
    """
    if instances < 1 or not conditions:
        raise InvalidArgumentError(
            "A gallery needs at least one instance and one set of conditions, "
            f"got instances={instances} and {len(conditions)} conditions."
        )
    for instance in range(instances):
        for category in categories:
            scene = sample_scene(category, instance, seed, affect_share=affect_share)
            for condition in conditions:
                yield render(scene, condition, size_px)


def split_of(instance: int) -> str:
    """Return `query` or `train`; decided by the instance alone, so pictures of one scene never straddle."""
    return "query" if instance % _QUERY_EVERY == 0 else "train"


def write_gallery(
    folder: Path,
    instances: int,
    *,
    seed: int = 0,
    size_px: int = DEFAULT_SIZE_PX,
    conditions: Sequence[Conditions] = (CLEAR_DAY,),
    categories: Sequence[str] = CATEGORIES,
    affect_share: float = DEFAULT_AFFECT_SHARE,
    image_format: ImageFormat = ImageFormat.JPEG,
    on_image: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005  (names are the contract)
) -> int:
    """Write a gallery as an image set: `CATEGORY/INSTANCE-CONDITIONS.jpg` and `labels.csv`; returns how many pictures.

    Column `instance` is unique over categories (`beach-0007`); affect and box columns are empty where nothing is
    planted. Boxes are xyxy pixels, half-open.

    Args:
        folder: Is made if missing; files of the same names are replaced.
        instances: Scenes per category.
        seed: As for `sample_scene`.
        size_px: As for `render`.
        conditions: Pictures per scene.
        categories: Which categories.
        affect_share: As for `sample_scene`.
        image_format: JPEG of quality 88, or PNG.
        on_image: Called with (done, total) after each picture.

    Raises:
        InvalidArgumentError: As for `gallery`.
        OSError: The folder cannot be written.
    """
    total = instances * len(categories) * len(conditions)
    pictures = gallery(
        instances,
        seed=seed,
        size_px=size_px,
        conditions=conditions,
        categories=categories,
        affect_share=affect_share,
    )
    rows = []
    for done, picture in enumerate(pictures, start=1):
        row = _describe(picture, image_format)
        file = folder / str(row["file"])
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.image).save(file, quality=_JPEG_QUALITY)
        rows.append(row)
        on_image(done, total)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _describe(picture: RenderedScene, image_format: ImageFormat) -> dict[str, str | int]:
    row: dict[str, str | int] = {
        "file": f"{picture.category}/{picture.instance:04d}-{picture.conditions}.{image_format.value}",
        "label": picture.category,
        "instance": f"{picture.category}-{picture.instance:04d}",
        "time": picture.conditions.time.value,
        "season": picture.conditions.season.value,
        "weather": picture.conditions.weather.value,
        "split": split_of(picture.instance),
    }
    if picture.planted is not None:
        row |= {
            "affect": picture.planted.affect.kind,
            "affect_polarity": picture.planted.affect.polarity.value,
            **dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), picture.planted.box_xyxy, strict=True)),
        }
    return row


def contact_sheet(
    *,
    seed: int = 0,
    size_px: int = 96,
    instances: int = 2,
    conditions: Sequence[Conditions] = SHEET_CONDITIONS,
    categories: Sequence[str] = CATEGORIES,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return one picture with a row per category: instances on a clear summer day, then the first under conditions.

    docs/scenes.png is `Image.fromarray(contact_sheet()).quantize(256, kmeans=3).save("docs/scenes.png", optimize=True)`.
    """
    rows = []
    for category in categories:
        scenes = [sample_scene(category, instance, seed) for instance in range(instances)]
        pictures = [render(scene, CLEAR_DAY, size_px).image for scene in scenes]
        pictures += [render(scenes[0], condition, size_px).image for condition in conditions]
        rows.append(np.concatenate(pictures, axis=1))
    return np.concatenate(rows)
