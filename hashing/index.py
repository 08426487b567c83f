"""What every code index has in common: its Protocol, its answer, and what it accepts.

In: codes of one length, image ids, search options. Out: the checked arrays, or an error that says what is wrong.
Leaves searching to `index_flat` and `index_bucket`, and knows no FAISS, so anything may import it.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, Shaped, UInt8

from hashing.errors import CodeShapeError, HashingError

NO_ID = -1  # below every image id: what an empty index has added last


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Answer to one query: hits in the total order (distance, image_id)."""

    image_ids: Int64[np.ndarray, " hits"]
    distances: Int32[np.ndarray, " hits"]


@runtime_checkable
class CodeIndex(Protocol):
    """Exact search in the codes of ONE length. Ids are added in ascending order.

    Any number of threads may search while one or more add and remove; a search sees each added batch wholly or not at
    all.
    """

    @property
    def bits(self) -> int:
        """Code length in bits."""
        ...

    def __len__(self) -> int:
        """Return how many live codes it holds."""
        ...

    def add(self, image_ids: Int64[np.ndarray, " n"], codes: UInt8[np.ndarray, "n bytes"]) -> None:
        """Append n codes. Ids are strictly ascending and above all ids added before, removed ones included.

        Raises:
            CodeShapeError: The codes have another length or dtype.
            HashingError: There are more or fewer ids than codes, or the ids do not ascend.
        """
        ...

    def remove(self, image_ids: Int64[np.ndarray, " n"]) -> int:
        """Hide these ids from every later search; returns how many were live. Cost does not grow with the index."""
        ...

    def search(
        self, codes: UInt8[np.ndarray, "nq bytes"], *, k: int, max_distance: int | None = None
    ) -> list[Neighbours]:
        """Return, per query, exactly min(k, live codes within max_distance) nearest codes in total order.

        Args:
            codes: Query codes of this index's length.
            k: How many at most, >= 1. May exceed the size.
            max_distance: Largest Hamming distance in bits that still counts (inclusive), or None.

        Raises:
            CodeShapeError: The codes have another length or dtype.
            HashingError: k is below 1 or max_distance below 0.
        """
        ...


def check_codes(codes: Shaped[np.ndarray, "..."], *, bits: int) -> UInt8[np.ndarray, "n bytes"]:
    """Return the codes, contiguous.

    Raises:
        CodeShapeError: They are no uint8 array of shape (n, bits / 8).
    """
    if codes.dtype != np.uint8:
        raise CodeShapeError(
            f"Codes must be packed bytes (uint8), got {codes.dtype}. Pack signs with pack_codes."
        )
    if codes.ndim != 2:
        raise CodeShapeError(f"Codes must be two-dimensional (n, {bits // 8}), got shape {codes.shape}.")
    if 8 * codes.shape[1] != bits:
        raise CodeShapeError(
            f"Index holds {bits}-bit codes, got {8 * codes.shape[1]}-bit. Take the {bits}-bit part of the records."
        )
    return np.ascontiguousarray(codes)


def check_new_ids(
    image_ids: Shaped[np.ndarray, "..."], *, n_codes: int, last_id: int
) -> Int64[np.ndarray, " n"]:
    """Return the ids of n_codes new codes as an array of their own.

    Raises:
        HashingError: They are no n_codes integers that ascend strictly from above last_id.
    """
    if image_ids.shape != (n_codes,) or image_ids.dtype.kind not in "iu":
        raise HashingError(
            f"Expected {n_codes} integer ids, one per code, got {image_ids.dtype} of shape {image_ids.shape}."
        )
    ids = image_ids.astype(np.int64)
    before = np.concatenate([[last_id], ids[:-1]])
    if (wrong := np.flatnonzero(ids <= before)).size:
        at = int(wrong[0])
        raise HashingError(
            f"Image ids must ascend strictly: id {ids[at]} at position {at} follows id {before[at]}. "
            "Add images in the order of their ids, each once."
        )
    return ids


def check_search(k: int, max_distance: int | None) -> None:
    """Raise HashingError if k is below 1 or max_distance below 0."""
    if k < 1:
        raise HashingError(f"k must be at least 1, got {k}.")
    if max_distance is not None and max_distance < 0:
        raise HashingError(
            f"max_distance must be at least 0 bits, got {max_distance}. Leave it out for no limit."
        )
