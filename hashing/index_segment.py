"""Consecutive rows of a flat index: codes in FAISS's storage that never change, and which of them are live.

In: codes, rows to hide, queries. Out: the nearest of its rows, or views of its codes for whoever counts bits.
Leaves how many segments there are, and in which way they are searched, to `index_flat`.
"""

from collections.abc import Sequence
from typing import final

import faiss
import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt16

from hashing.index import REMOVED, Neighbours, Selection
from hashing.index_nearest import count_differing_bits

MAX_OVERFETCH = 512  # fetching 500 more costs 0.3 of a scan of 1M x 64 bits; a selector costs 0.9, always


@final
class Segment:
    """Codes of consecutive rows that never change, with tombstones that only grow; one writer, any number of searches.

    Its methods take and give rows counted from its own start.
    """

    def __init__(self, start: int, codes: UInt8[np.ndarray, "n bytes"]) -> None:
        self.start = start
        self.n_rows = len(codes)
        self.n_dead = 0
        self._index = faiss.IndexBinaryFlat(8 * codes.shape[1])
        self._index.add(codes)
        # A view of FAISS's own storage, valid as long as this segment: only copies of it leave a search.
        storage = self._index.xb.data()  # type: ignore[attr-defined]  # FAISS's stub lacks it
        self.codes: UInt8[np.ndarray, "n bytes"] = faiss.rev_swig_ptr(storage, codes.size).reshape(
            codes.shape
        )
        self._live_bits = np.full((len(codes) + 7) // 8, 255, dtype=np.uint8)
        self._only_live = _only(self._live_bits)

    @classmethod
    def merged(cls, parts: "Sequence[Segment]", codes: UInt8[np.ndarray, "n bytes"]) -> "Segment":
        """Return the segment of all rows of consecutive segments and, behind them, of new codes."""
        whole = cls(parts[0].start, np.concatenate([*(part.codes for part in parts), codes]))
        for part in parts:
            dead = np.flatnonzero(~part.is_live(np.arange(part.n_rows)))
            whole.remove(dead + part.start - whole.start)
        return whole

    @property
    def stop(self) -> int:
        """The first row behind it."""
        return self.start + self.n_rows

    def part_of(self, rows: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " _m"]:
        """Return its own rows of ascending rows of the index."""
        first, last = np.searchsorted(rows, [self.start, self.stop])
        return rows[first:last] - self.start

    def remove(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Mark distinct rows dead; returns how many were live."""
        rows = rows[self.is_live(rows)]
        np.bitwise_and.at(self._live_bits, rows >> 3, ~(1 << (rows & 7)).astype(np.uint8))
        self.n_dead += len(rows)
        return len(rows)

    def live_rows(self, among: Selection | None) -> Int64[np.ndarray, " m"] | None:
        """Return the live rows among those selected, ascending; None for every row there is."""
        if among is None:
            if not self.n_dead:
                return None
            return np.flatnonzero(np.unpackbits(self._live_bits, count=self.n_rows, bitorder="little"))
        rows = self.part_of(among.rows)
        return rows[self.is_live(rows)] if self.n_dead else rows

    def live_bits(self, among: Selection | None) -> UInt8[np.ndarray, " m"] | None:
        """Return which rows are live and selected, as FAISS wants it; None for every live row."""
        if among is None:
            return None
        selected = np.packbits(among.mask[self.start : self.stop], bitorder="little")
        return selected & self._live_bits[: len(selected)]

    def distances(
        self, xq: UInt8[np.ndarray, "1 bytes"], rows: Int64[np.ndarray, " m"]
    ) -> UInt16[np.ndarray, " m"]:
        """Return the distances of a query to its own rows; `REMOVED` for removed ones."""
        counted: UInt16[np.ndarray, " m"] = count_differing_bits(xq, self.codes, rows)[0]
        if self.n_dead:
            counted[~self.is_live(rows)] = REMOVED
        return counted

    def search(
        self, xq: UInt8[np.ndarray, "nq bytes"], k: int, selected: UInt8[np.ndarray, " m"] | None
    ) -> list[Neighbours]:
        """Return the k nearest live rows per query, as rows of the index."""
        distances, rows, kept = self._fetch(xq, k, selected)
        found = []
        for q in range(len(xq)):
            nearest = kept[q].nonzero()[0][:k]
            found.append(Neighbours(rows=rows[q, nearest] + self.start, distances=distances[q, nearest]))
        return found

    def _fetch(
        self, xq: UInt8[np.ndarray, "nq bytes"], k: int, selected: UInt8[np.ndarray, " m"] | None
    ) -> tuple[Int32[np.ndarray, "nq k"], Int64[np.ndarray, "nq k"], Bool[np.ndarray, "nq k"]]:
        """Return distances and rows in total order, and which of them count: the k first of these are the answer."""
        while selected is None and 0 < (n_dead := self.n_dead) <= MAX_OVERFETCH:
            n_fetched = min(k + n_dead, self.n_rows)
            distances, rows = self._index.search(xq, n_fetched)
            kept = self.is_live(rows)
            # Rows removed since n_dead was read may leave too few: look again.
            if n_fetched == self.n_rows or kept.sum(axis=1).min() >= k:
                return distances, rows, kept
        only = _only(selected) if selected is not None else self._only_live if self.n_dead else None
        distances, rows = self._index.search(xq, min(k, self.n_rows), params=only)
        return distances, rows, rows >= 0

    def is_live(self, rows: Int64[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Tell which of these rows are live."""
        live: Bool[np.ndarray, "*shape"] = (self._live_bits[rows >> 3] >> (rows & 7) & 1).astype(bool)
        return live


def _only(bits: UInt8[np.ndarray, " m"]) -> faiss.SearchParameters:
    """Return the setting that lets FAISS find only rows whose bit is set; it reads the bits in place."""
    return faiss.SearchParameters(  # type: ignore[call-arg]  # FAISS's stub lacks its own wrapper
        sel=faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]
    )
