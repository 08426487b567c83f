"""Data to train on by name: digits, rendered scenes and sprites, points in the plane, any image set.

In: what `--data` says. Out: a `Dataset` of gan_aug, labels of an image set as its conditions.
Leaves reading image sets to `service.vision.datasets`, drawing to `service.scenes` and `gan_aug.sprites`.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from gan_aug.data import Dataset, Mixture, digits, grid, ring
from gan_aug.sprites import sprites
from service.cli import console
from service.cli.gan_plan import RunOptions
from service.cli.gan_run import SCENES
from service.errors import InvalidArgumentError, NotFoundError, PolyhashError
from service.records import SourceImage
from service.scenes.gallery import write_gallery
from service.scenes.render import MIN_SIZE_PX
from service.scenes.sampling import CATEGORIES
from service.vision.datasets import open_image_set, parse_set_spec
from service.vision.images import decode_image

MIXTURES: dict[str, Callable[[], Mixture]] = {"points": ring, "points25": grid}
BUILT_IN = ("digits", "scenes", "sprites", *MIXTURES)
DRAWN = 4000  # scenes or sprites, unless said
POINTS = 20_000  # likewise
DATA_SEED = 0  # the seed of a run changes the networks and the order, not what is learned from


def lasting_data(text: str) -> str:
    """Return the name of built-in data, or an image set such that it is found from any working folder.

    Raises:
        NotFoundError: There is no such image set.
        InvalidArgumentError: It is no folder.
    """
    if text in BUILT_IN:
        return text
    try:
        folder, splits = parse_set_spec(text)
    except NotFoundError as error:
        raise NotFoundError(
            f"--data {text} is none of {', '.join(BUILT_IN)}, and no image set: {error}"
        ) from error
    path = os.path.normpath(folder)
    return f"{path}:{'+'.join(splits)}" if splits else path


def load_data(options: RunOptions, folder: Path) -> Dataset:
    """Return what a run learns from.

    Args:
        options: Of the run.
        folder: Where scenes are drawn the first time.

    Raises:
        InvalidArgumentError: No image can be read, or the labels cannot.
        NotFoundError: The image set is gone.
    """
    n, size = options.samples, options.size
    if options.data in MIXTURES:
        return mixture_named(options.data).dataset(n or POINTS, seed=DATA_SEED)
    side = size or 0
    if options.data == "digits":
        return _first(digits(side), n)
    if options.data == "sprites":
        return sprites(n or DRAWN, size=side, seed=DATA_SEED)
    spec = options.data
    if spec == "scenes":
        spec, n = _scenes(folder / SCENES, n or DRAWN, side), None
    return _from_images(spec, size=side, at_most=n, label=options.label)


def mixture_named(data: str) -> Mixture:
    """Return the Gaussians that points were drawn from."""
    return MIXTURES[data]()


def _first(dataset: Dataset, n: int | None) -> Dataset:
    y = None if dataset.y is None else dataset.y[:n]
    return Dataset(samples=dataset.samples[:n], y=y, names=dataset.names)


def _scenes(folder: Path, n: int, size: int) -> str:
    """Return a folder of about n rendered scenes by clear day, drawn the first time."""
    instances, size_px = math.ceil(n / len(CATEGORIES)), max(size, MIN_SIZE_PX)
    drawn = folder / f"{instances}-of-each-{size_px}px"
    if not (drawn / "labels.csv").is_file():  # written last
        with console.progress("Drawing scenes", total=None, unit="pictures") as meter:
            write_gallery(drawn, instances, seed=DATA_SEED, size_px=size_px, on_image=meter)
    return str(drawn)


def _from_images(spec: str, *, size: int, at_most: int | None, label: str | None) -> Dataset:
    """Return the pictures of an image set: middle squares, in one channel if all are grey, any labels as conditions."""
    images = open_image_set(spec, label=label)
    labels: list[tuple[str, ...]] = []
    squares: list[UInt8[np.ndarray, "size size 3"]] = []
    entries = _spread(images, len(images), at_most)
    total = min(len(images), at_most or len(images))
    with console.progress(f"Reading {images.name}", total=total, unit="images") as meter:
        for entry in entries:
            try:
                square = _middle_square(decode_image(entry.read(), target_px=size).pixels, size)
            except (PolyhashError, OSError) as error:
                console.complain(f"skipped {entry.name}: {error}")
                continue
            squares.append(square)
            labels.append(entry.labels)
            meter(len(squares))
    for note in images.notes():
        console.say(note)
    if not squares:
        raise InvalidArgumentError(
            f"No image of {spec!r} could be read, so there is nothing to learn from. Give another set."
        )
    samples = np.stack(squares).transpose(0, 3, 1, 2)
    grey = bool((samples == samples[:, :1]).all())
    names = tuple(sorted({name for each in labels for name in each}))
    y: Float32[np.ndarray, "n k"] = np.zeros((len(labels), len(names)), dtype=np.float32)
    for row, each in zip(y, labels, strict=True):
        row[[names.index(name) for name in each]] = 1
    kept = np.ascontiguousarray(samples[:, : 1 if grey else 3])
    return Dataset(samples=kept, y=y if names else None, names=names)


def _spread(images: Iterable[SourceImage], count: int, at_most: int | None) -> Iterator[SourceImage]:
    """Yield at most so many entries, evenly spread, for sets are often sorted by class."""
    chosen = range(count) if at_most is None else np.linspace(0, count - 1, min(at_most, count)).astype(int)
    wanted = set(map(int, chosen))
    return (entry for place, entry in enumerate(images) if place in wanted)


def _middle_square(image: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    height, width = image.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS, box=box))
