"""Spaces in which samples are compared, and the features of images there.

In: images as bytes. Out: one float32 vector per image. A figure means something only beside the name of its space.
Encoders are passed in by the caller as a `FeatureSpace`; only pixels are a space of this package.
"""

from collections.abc import Sequence
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Real, UInt8
from torch import Tensor

from gan_aug.errors import BatchError

BATCH = 256  # images


@runtime_checkable
class FeatureSpace(Protocol):
    """What makes vectors of images."""

    @property
    def name(self) -> str:
        """What is printed beside every figure; names the network, its layer and its image size."""
        ...

    def features(self, images: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n d"]:
        """Return one vector per image."""
        ...


@final
class PixelSpace:
    """The pixels themselves, in [0, 1]: for distances between images of one size, not for their likeness."""

    name = "pixels"

    def features(self, images: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n d"]:
        """Return the pixels of every image in a row."""
        return images.reshape(len(images), -1).astype(np.float32) / 255


def rgb_bytes(images: Float[Tensor, "n c h w"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Return images in [-1, 1], beyond which they are clipped, as bytes; one channel is taken three times.

    Raises:
        BatchError: if there are neither one nor three channels.
    """
    if images.shape[1] not in {1, 3}:
        raise BatchError(f"Images must have 1 or 3 channels to be embedded, got {images.shape[1]}.")
    pixels = images.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def embed(images: UInt8[np.ndarray, "n h w 3"], space: FeatureSpace) -> Float32[np.ndarray, "n d"]:
    """Return the features of images, computed a batch at a time.

    Raises:
        BatchError: if there are no images.
    """
    if not len(images):
        raise BatchError(f"There must be images to embed in {space.name}, got none.")
    starts = range(0, len(images), BATCH)
    return np.concatenate([space.features(images[start : start + BATCH]) for start in starts])


def perceptual_vectors(maps: Sequence[Float[np.ndarray, "n _c _h _w"]]) -> Float32[np.ndarray, "n d"]:
    """Return vectors whose squared Euclidean distances are perceptual distances between images.

    In every layer each pixel's channels are divided by their length; the distance is the squared difference, summed
    over channels, averaged over pixels, summed over layers. Not calibrated on human judgements, so not LPIPS, whose
    `lpips=False` weighting it is.

    Args:
        maps: activations of some layers of a network, of the same images.

    Source: Zhang et al. 2018 (arXiv 1801.03924), eq. 1 with all weights 1.
    """
    layers = []
    for each in maps:
        length = np.sqrt(np.square(each).sum(1, keepdims=True)) + 1e-10
        pixels = each.shape[2] * each.shape[3]
        layers.append((each / (length * np.sqrt(pixels))).reshape(len(each), -1))
    return np.concatenate(layers, 1).astype(np.float32)


def check_comparable(real: Real[np.ndarray, "n d"], fake: Real[np.ndarray, "m d2"], *, at_least: int) -> None:
    """Check that two samples can be compared.

    Raises:
        BatchError: if a sample is too small, holds a number that is not finite, or their widths differ.
    """
    for name, sample in (("real", real), ("generated", fake)):
        if len(sample) < at_least:
            raise BatchError(
                f"This figure needs at least {at_least} {name} samples, got {len(sample)}. Give more."
            )
        if not np.isfinite(sample).all():
            raise BatchError(
                f"Features of {name} samples must be finite, got NaN or infinity. Look for a generator that diverged."
            )
    if real.shape[1] != fake.shape[1]:
        raise BatchError(
            f"Both samples must be of one feature space, got {real.shape[1]} numbers per real sample and "
            f"{fake.shape[1]} per generated one. Embed both by the same encoder."
        )
