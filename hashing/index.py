"""What every code index has in common: its Protocol, its answer, which rows it may find, and what it accepts.

In: codes of one length, search options. Out: the checked arrays, or an error that says what is wrong.
Leaves searching to `index_flat` and `index_bucket`, and knows no FAISS, so anything may import it.

Convention: codes are addressed by row, their place in the order in which they were added: 0, 1, 2, ... A row is never moved or
given away again. Whoever keeps image ids keeps them ascending by row, so that (distance, row) is (distance, image_id).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int32, Int64, Shaped, UInt8, UInt16

from hashing.errors import CodeShapeError, HashingError

REMOVED = int(np.iinfo(np.uint16).max)  # the distance of a removed row


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Answer to one query: hits in the total order (distance, row)."""

    rows: Int64[np.ndarray, " hits"]
    distances: Int32[np.ndarray, " hits"]


@final
class Selection:
    """Which rows of an index may be found; rows that were added later may not."""

    def __init__(
        self,
        *,
        mask: Bool[np.ndarray, " n"] | None = None,
        rows: Int64[np.ndarray, " m"] | None = None,
        n_rows: int,
    ) -> None:
        """Take one of both: a mask by row, or ascending rows, each once, below `n_rows`; neither is copied."""
        if (mask is None) is (rows is None) or (mask is not None and len(mask) != n_rows):
            raise HashingError("A selection takes either a mask as long as n_rows, or rows.")
        self.n_rows = n_rows
        self._mask, self._rows = mask, rows

    def __len__(self) -> int:
        return self._n_set if self._rows is None else len(self._rows)

    @property
    def share(self) -> float:
        """Share of the rows that may be found."""
        return len(self) / self.n_rows if self.n_rows else 0.0

    @cached_property
    def mask(self) -> Bool[np.ndarray, " n"]:
        """Whether each row may be found."""
        if self._mask is not None:
            return self._mask
        mask = np.zeros(self.n_rows, dtype=np.bool_)
        mask[self._rows] = True
        return mask

    @cached_property
    def rows(self) -> Int64[np.ndarray, " m"]:
        """The rows that may be found, ascending."""
        return np.flatnonzero(self.mask) if self._rows is None else self._rows

    @cached_property
    def _n_set(self) -> int:
        return int(np.count_nonzero(self.mask))


@runtime_checkable
class CodeIndex(Protocol):
    """Exact search in the codes of ONE length.

    Any number of threads may search while one or more add and remove; a search sees each added batch wholly or not at
    all.
    """

    @property
    def bits(self) -> int:
        """Code length in bits."""
        ...

    @property
    def n_rows(self) -> int:
        """How many rows it has, removed ones included: the row that the next code gets."""
        ...

    def __len__(self) -> int:
        """Return how many live codes it holds."""
        ...

    def add(self, codes: UInt8[np.ndarray, "n bytes"]) -> None:
        """Append n codes as the rows `n_rows`, `n_rows + 1`, ... Cost does not grow with the index, on average.

        Raises:
            CodeShapeError: The codes have another length or dtype.
        """
        ...

    def remove(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Hide these rows from every later search; returns how many were live. Rows that are not there are passed over."""
        ...

    def codes(self, rows: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m bytes"]:
        """Return the codes of these rows, removed ones included."""
        ...

    def distances(
        self, code: UInt8[np.ndarray, " bytes"], rows: Int64[np.ndarray, " m"]
    ) -> UInt16[np.ndarray, " m"]:
        """Return the distances in bits of one code to the codes in these rows, in any order; `REMOVED` for removed rows."""
        ...

    def search(
        self,
        codes: UInt8[np.ndarray, "nq bytes"],
        *,
        k: int,
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[Neighbours]:
        """Return, per query, exactly min(k, live codes within max_distance among those selected) nearest codes in total order.

        Args:
            codes: Query codes of this index's length.
            k: How many at most, >= 1. May exceed the size.
            max_distance: Largest Hamming distance in bits that still counts (inclusive), or None.
            among: Rows that may be found; None for all.

        Raises:
            CodeShapeError: The codes have another length or dtype.
            HashingError: k is below 1 or max_distance below 0.
        """
        ...

    def scan(
        self, code: UInt8[np.ndarray, " bytes"], *, among: Selection | None = None
    ) -> tuple[Int64[np.ndarray, " m"], Int32[np.ndarray, " m"]]:
        """Return the rows of all live codes among those selected, ascending, and their distances to one code.

        What counts, histograms and pages at any depth are made of.
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


def check_search(k: int, max_distance: int | None) -> None:
    """Raise HashingError if k is below 1 or max_distance below 0."""
    if k < 1:
        raise HashingError(f"k must be at least 1, got {k}.")
    if max_distance is not None and max_distance < 0:
        raise HashingError(
            f"max_distance must be at least 0 bits, got {max_distance}. Leave it out for no limit."
        )
