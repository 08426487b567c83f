"""The index of a whole gallery: code records by row, searched at any one length, or through the funnel of two.

In: code records in the order of their rows, rows to hide, queries. Out: `Neighbours`, with what a funnel did.
Leaves the search in one length to its `CodeIndex`, and how deep the funnel looks to `funnel`.

Theory of operation. Every length has an index of its own, with the same rows. A batch goes to one after the other, and
`n_rows` is published last: no search finds rows beyond the `n_rows` it read when it began, so a batch appears in all lengths
at once. Such rows turn up only beside an add; then the search is repeated among the rows before them.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import final

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from hashing.errors import CodeLengthError, HashingError
from hashing.funnel import FunnelAnswer, FunnelPlan
from hashing.index import CodeIndex, Neighbours, Selection, check_search
from hashing.index_build import build_index
from hashing.layout import CodeLayout

WALK_COST = 10  # a row met on a filtered walk through the table costs as much as counting the bits of so many


@final
class RecordIndex:
    """Codes of all lengths of a layout by row. One thread may add and remove while any number search."""

    def __init__(self, layout: CodeLayout, make_index: Callable[[int], CodeIndex] = build_index) -> None:
        self._layout = layout
        self._indexes = {bits: make_index(bits) for bits in layout.lengths}
        self._n_rows = 0
        self._writing = threading.Lock()

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a record hold the code of which length."""
        return self._layout

    @property
    def n_rows(self) -> int:
        """How many rows it has, removed ones included: the row that the next record gets."""
        return self._n_rows

    def __len__(self) -> int:
        return len(self._indexes[self._layout.lengths[-1]])

    def add(self, records: UInt8[np.ndarray, "n record_bytes"]) -> None:
        """Append n records as the rows `n_rows`, `n_rows + 1`, ...

        Raises:
            CodeShapeError: The records have another width or dtype; nothing is added.
        """
        codes = self._layout.split(records)
        with self._writing:
            for bits, index in self._indexes.items():
                index.add(codes[bits])
            self._n_rows += len(records)

    def remove(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Hide these rows from every later search; returns how many were live. Rows that are not there are passed over."""
        with self._writing:
            removed = [index.remove(rows) for index in self._indexes.values()]
        return removed[-1]

    def records(self, rows: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m record_bytes"]:
        """Return the records of these rows, removed ones included."""
        lengths = self._layout.lengths[-1:] if self._layout.nested else self._layout.lengths
        return np.concatenate([self._indexes[bits].codes(rows) for bits in lengths], axis=1)

    def search(
        self,
        codes: UInt8[np.ndarray, "nq bytes"],
        *,
        bits: int,
        k: int,
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[Neighbours]:
        """Return the nearest codes of one length per query; see `CodeIndex.search`.

        Raises:
            CodeLengthError: There are no codes of this length.
        """
        n_rows, index = self._n_rows, self._index(bits)
        found = index.search(codes, k=k, max_distance=max_distance, among=among)
        if all(hits.rows.max(initial=-1) < n_rows for hits in found):
            return found
        return index.search(codes, k=k, max_distance=max_distance, among=_bounded(among, n_rows))

    def scan(
        self, code: UInt8[np.ndarray, " bytes"], *, bits: int, among: Selection | None = None
    ) -> tuple[Int64[np.ndarray, " m"], Int32[np.ndarray, " m"]]:
        """Return the rows of all live codes of one length among those selected, and their distances; see `CodeIndex.scan`.

        Raises:
            CodeLengthError: There are no codes of this length.
        """
        n_rows, index = self._n_rows, self._index(bits)
        rows, distances = index.scan(code, among=among)
        known = int(np.searchsorted(rows, n_rows))
        return rows[:known], distances[:known]

    def search_funnel(
        self,
        records: UInt8[np.ndarray, "nq record_bytes"],
        *,
        k: int,
        plan: FunnelPlan,
        among: Selection | None = None,
        max_distance: int | None = None,
    ) -> list[FunnelAnswer]:
        """Return the nearest by the longest length per query, of those that the plan's short length proposes.

        All selected rows are ranked instead where that is cheaper, and where a query's neighbours are farther away
        than those that the plan was measured on.

        Args:
            records: Query records.
            k: How many at most, >= 1.
            plan: How many candidates are needed.
            among: Rows that may be found; None for all.
            max_distance: Largest distance in bits by the longest length that still counts (inclusive), or None.

        Raises:
            HashingError: The plan is for another longest length, or k or max_distance is too small.
        """
        check_search(k, max_distance)
        longest = self._layout.lengths[-1]
        if plan.long_bits != longest:
            raise HashingError(
                f"The funnel plan ranks by {plan.long_bits} bits, the index by {longest}. Plan on this index."
            )
        codes = self._layout.split(records)
        depth = plan.depth(k, len(self))
        if depth is not None and among is not None:
            # A walk meets about candidates / share rows; counting the bits of all selected ones may cost less.
            depth = depth if among.share * len(among) > WALK_COST * depth.candidates else None
        if depth is None or plan.short_bits is None:
            found = self.search(codes[longest], bits=longest, k=k, max_distance=max_distance, among=among)
            return [
                FunnelAnswer(neighbours=hits, lengths=(longest,), n_candidates=0, exact=True)
                for hits in found
            ]
        proposals = self.search(codes[plan.short_bits], bits=plan.short_bits, k=depth.candidates, among=among)
        answers = []
        for code, proposed in zip(codes[longest], proposals, strict=True):
            rank = partial(self.search, code[None], bits=longest, k=k, max_distance=max_distance)
            (hits,) = rank(among=Selection(rows=np.sort(proposed.rows), n_rows=self._n_rows))
            exact = len(proposed.rows) < depth.candidates  # the short length had no more to propose
            if not exact and _reach(hits, k, longest if max_distance is None else max_distance) > depth.reach:
                (hits,) = rank(among=among)
                exact = True
            answers.append(
                FunnelAnswer(
                    neighbours=hits,
                    lengths=(plan.short_bits, longest),
                    n_candidates=len(proposed.rows),
                    exact=exact,
                )
            )
        return answers

    def _index(self, bits: int) -> CodeIndex:
        if bits not in self._indexes:
            raise CodeLengthError(
                f"The index has codes of {list(self._indexes)} bits, got {bits}. Take one of these."
            )
        return self._indexes[bits]


def _reach(hits: Neighbours, k: int, limit: int) -> int:
    """Return the largest distance at which one of the k nearest within the limit may lie."""
    return int(hits.distances[-1]) if len(hits.rows) == k else limit


def _bounded(among: Selection | None, n_rows: int) -> Selection:
    """Return what is selected of the first n_rows."""
    if among is None:
        return Selection(mask=np.ones(n_rows, dtype=np.bool_), n_rows=n_rows)
    return Selection(mask=among.mask[:n_rows], n_rows=n_rows) if among.n_rows > n_rows else among
