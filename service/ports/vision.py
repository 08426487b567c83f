"""What the service needs to turn encoded bytes into pixels, and pixels into features.

In: bytes, RGB uint8 (h, w, 3). Out: decoded images, embeddings and feature maps.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from service.records import (
    DecodedImage,
    Features,
    Preprocessing,
)


@runtime_checkable
class Backbone(Protocol):
    """Turns images into embeddings and feature maps; one pass serves hashing and emotion."""

    @property
    def identity(self) -> str:
        """Name and weights hash, `NAME@HEX12`; travels with everything computed from it."""
        ...

    @property
    def dim(self) -> int:
        """Width d of the embeddings."""
        ...

    @property
    def stride(self) -> int:
        """Input pixels per feature map cell."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """How `prepare` makes the input square."""
        ...

    def prepare(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        """Return the input square of one image. Thread-safe and cheap; runs beside `extract`."""
        ...

    def extract(self, prepared: UInt8[np.ndarray, "n s s 3"]) -> Features:
        """Return the features of n prepared squares. Rows do not influence each other."""
        ...


@runtime_checkable
class Decode(Protocol):
    """Turns encoded bytes into pixels; a JPEG is not decoded larger than its use needs."""

    def __call__(self, content: bytes, *, target_px: int) -> DecodedImage:
        """Return the picture, whose shorter side will be looked at in `target_px`. Raises ImageError."""
        ...
