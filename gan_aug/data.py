"""Data to learn from: digits, mixtures of Gaussians in the plane, folders; and a loader whose position can be restored.

In: arrays or a folder of images. Out: `Batch` tensors, images in [-1, 1].
Sprites are rendered by gan_aug.sprites.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped, UInt8
from PIL import Image
from torch import Tensor

from gan_aug.errors import BatchError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images in [-1, 1] or points, with their conditions."""

    images: Float[Tensor, "b c ..."]
    y: Float[Tensor, "b k"] | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Samples in memory.

    Args:
        samples: images [n, c, size, size] as uint8, or points [n, d] as float32.
        y: one-hot classes or attributes in {0, 1}; none if unlabelled.
        names: of the classes or attributes.

    Raises:
        BatchError: if images are not square, or labels do not fit them.
    """

    samples: UInt8[np.ndarray, "n c h w"] | Float32[np.ndarray, "n d"]
    y: Float32[np.ndarray, "n k"] | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.samples):
            raise BatchError("A data set needs at least one sample, got none.")
        if self.samples.ndim == 4 and self.samples.shape[2] != self.samples.shape[3]:
            raise BatchError(f"Images must be square, got {self.samples.shape[2:]} px. Crop or pad them.")
        if self.y is not None and self.y.shape != (len(self.samples), len(self.names)):
            raise BatchError(
                f"{len(self.samples)} samples with {len(self.names)} names need labels of that shape, got {self.y.shape}."
            )

    @property
    def channels(self) -> int:
        """Channels of an image, or coordinates of a point."""
        return int(self.samples.shape[1])

    @property
    def size(self) -> int | None:
        """Side of an image in px; none for points."""
        return self.samples.shape[2] if self.samples.ndim == 4 else None

    def first_conditions(self, n: int) -> Float[Tensor, "n k"]:
        """Return the conditions of the first samples, from the start again where there are fewer.

        Raises:
            BatchError: if the samples are unlabelled.
        """
        if self.y is None:
            raise BatchError("These samples have no labels. Give labelled data.")
        return torch.from_numpy(self.y[np.arange(n) % len(self.y)])

    def batch(self, indices: Shaped[np.ndarray, " b"]) -> Batch:
        """Return some samples as tensors."""
        samples = torch.from_numpy(self.samples[indices])
        if samples.dtype == torch.uint8:
            samples = samples.float() / 127.5 - 1
        return Batch(images=samples, y=None if self.y is None else torch.from_numpy(self.y[indices]))


@final
class Loader:
    """Batches without end, every sample once per epoch, in an order that follows from the seed.

    Args:
        dataset: the samples.
        batch_size: samples per batch; a batch may span two epochs.
        seed: of the order.
    """

    def __init__(self, dataset: Dataset, *, batch_size: int, seed: int = 0) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.position = 0  # samples given so far; all that must be kept to go on
        self._order = lru_cache(maxsize=2)(
            lambda epoch: np.random.default_rng((seed, epoch)).permutation(len(dataset.samples))
        )

    @property
    def epoch(self) -> int:
        """Whole passes over the data so far."""
        return self.position // len(self.dataset.samples)

    def next(self) -> Batch:
        """Return the next batch."""
        places = np.arange(self.position, self.position + self.batch_size)
        self.position += self.batch_size
        epochs, offsets = np.divmod(places, len(self.dataset.samples))
        indices = [self._order(int(epoch))[offset] for epoch, offset in zip(epochs, offsets, strict=True)]
        return self.dataset.batch(np.array(indices))


def digits(size: int = 32) -> Dataset:
    """Return scikit-learn's 1,797 handwritten digits, 8 x 8, enlarged, with their ten classes."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  # slow to import, and only digits need it

    bunch = load_digits()
    images = [
        np.asarray(
            Image.fromarray(np.uint8(each * (255 / 16))).resize((size, size), Image.Resampling.BICUBIC)
        )
        for each in bunch.images
    ]
    y = np.eye(10, dtype=np.float32)[bunch.target]
    return Dataset(samples=np.stack(images)[:, None], y=y, names=tuple("0123456789"))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Gaussians of one width in the plane.

    Source: Gulrajani et al. 2017, the authors' toy data; centres and deviation are divided by their deviation.
    """

    centres: Float32[np.ndarray, "modes 2"]
    deviation: float

    def dataset(self, n: int, *, seed: int) -> Dataset:
        """Return n points, each of a random Gaussian, labelled by it."""
        rng = np.random.default_rng(seed)
        modes = rng.integers(len(self.centres), size=n)
        points = self.centres[modes] + self.deviation * rng.normal(size=(n, 2))
        y = np.eye(len(self.centres), dtype=np.float32)[modes]
        return Dataset(
            samples=points.astype(np.float32), y=y, names=tuple(map(str, range(len(self.centres))))
        )


def ring() -> Mixture:
    """Return 8 Gaussians on a circle: radius 2, deviation 0.02, both divided by 1.414."""
    angles = np.arange(8) * (2 * math.pi / 8)
    centres = 2 * np.stack([np.cos(angles), np.sin(angles)], 1) / 1.414
    return Mixture(centres=centres.astype(np.float32), deviation=0.02 / 1.414)


def grid() -> Mixture:
    """Return 25 Gaussians at (2i, 2j), deviation 0.05, both divided by 2.828."""
    steps = np.arange(-2, 3)
    centres = 2 * np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2) / 2.828
    return Mixture(centres=centres.astype(np.float32), deviation=0.05 / 2.828)


def folder(path: Path, *, size: int) -> Dataset:
    """Return the images of a folder, cropped to their middle square and resized; subfolders are classes.

    Raises:
        BatchError: if there is no image, or a file is none.
    """
    files = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES)
    if not files:
        raise BatchError(f"No image ({', '.join(sorted(SUFFIXES))}) found under {path}. Check the folder.")
    samples = np.stack([_read(each, size) for each in files])
    parents = [each.relative_to(path).parts[0] if each.parent != path else "" for each in files]
    names = tuple(sorted(set(parents)))
    if names == ("",):
        return Dataset(samples=samples)
    labels = [names.index(each) for each in parents]
    return Dataset(samples=samples, y=np.eye(len(names), dtype=np.float32)[labels], names=names)


def _read(path: Path, size: int) -> UInt8[np.ndarray, "3 size size"]:
    try:
        with Image.open(path) as image:
            image.load()
            rgb = image.convert("RGB")
    except OSError as error:
        raise BatchError(f"{path} cannot be read as an image: {error}. Mend or remove it.") from error
    side = min(rgb.size)
    left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
    square = rgb.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
