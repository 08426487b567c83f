"""What the service needs of processes beside it, or machines, that do heavy work for a store.

In: what to do, by the identity of a model. Out: futures.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float16, UInt8

from service.records import (
    BuiltGeneration,
    Extraction,
    FittedModel,
)


@runtime_checkable
class Workers(Protocol):
    """Does heavy work for a store in other processes, so that serving goes on; another machine could implement it too."""

    def encode(
        self, embeddings: Float16[np.ndarray, "n d"], *, hasher: str
    ) -> "Future[UInt8[np.ndarray, 'n record_bytes']]":
        """Return code records of embeddings by a registered hasher."""
        ...

    def extract(self, image_ids: Sequence[int], *, backbone: str) -> Future[Extraction]:
        """Return embeddings of images by a registered backbone, from their originals as they were indexed."""
        ...

    def fit(self, *, backbone: str, lengths: tuple[int, ...], nested: bool, seed: int) -> Future[FittedModel]:
        """Fit a hasher on the embeddings that the catalog has of a backbone, and put its file into the store."""
        ...

    def build_generation(self, number: int, *, hasher: str) -> Future[BuiltGeneration]:
        """Write the files of a generation with everything that the catalog holds of a hasher, and check them.

        What is written is read again, verified, searched with sampled queries and compared with a plain scan of the catalog's
        codes; DataLossError if that differs.
        """
        ...

    def close(self) -> None:
        """End the processes; work that was not begun is given up."""
        ...
