"""Batches of prepared squares through a network, beside each other.

In: a network's pass over some squares, then any number of squares. Out: the features of all of them, in order. What a pass
computes is left to the backbones.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import final

import numpy as np
from jaxtyping import UInt8

from service.circumstances import usable_cores
from service.records import Features

Forward = Callable[[UInt8[np.ndarray, "n s s 3"]], Features]


@final
class ForwardPool:
    """One thread per core, each taking whole batches through all layers; threads inside a layer wait for each other."""

    def __init__(self, forward: Forward, *, example: Features, batch_images: int) -> None:
        """Take a pass.

        Args:
            forward: Called with at most `batch_images` squares, and at least one, from several threads.
            example: What it returns for any squares.
            batch_images: Squares per pass.
        """
        self._forward = forward
        self._batch_images = batch_images
        self._empty = Features(embeddings=example.embeddings[:0], feature_maps=example.feature_maps[:0])
        self._threads = ThreadPoolExecutor(usable_cores(), thread_name_prefix="forward")

    def run(self, prepared: UInt8[np.ndarray, "n s s 3"]) -> Features:
        """Return the features of n squares; a single batch stays in the caller's thread."""
        batches = [
            prepared[start : start + self._batch_images]
            for start in range(0, len(prepared), self._batch_images)
        ]
        if len(batches) < 2:
            return self._forward(prepared) if batches else self._empty
        parts = list(self._threads.map(self._forward, batches))
        return Features(
            embeddings=np.concatenate([part.embeddings for part in parts]),
            feature_maps=np.concatenate([part.feature_maps for part in parts]),
        )
