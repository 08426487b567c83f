"""The index of a whole gallery: code records by row, searched at any one length, or through the funnel of two.

In: code records in the order of their rows, rows to hide, queries. Out: `Neighbours`, with what a funnel did.
Leaves the search in one length to its `CodeIndex`, and which codes a funnel looks at to `funnel`.

Theory of operation. Every length has an index of its own, with the same rows. A batch goes to one after the other, and
`n_rows` is published last: no search finds rows beyond the `n_rows` it read when it began, so a batch appears in all lengths
at once. Such rows turn up only beside an add; then the search is repeated among the rows before them. A funnel covers the rows
that were there when it was made, and a search scans those that came later; `settle` makes another once they are many.
"""

import threading
from collections.abc import Callable
from typing import final

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from hashing.errors import CodeLengthError
from hashing.funnel import Funnel, FunnelAnswer
from hashing.index import REMOVED, CodeIndex, Neighbours, Selection, check_search
from hashing.index_build import build_index
from hashing.layout import CodeLayout

MIN_FUNNEL = 200_000  # rows; below, a scan of the longest codes takes no longer than going through all cells
SHARE_LEFT_OUT = 32  # of n/32 rows, added or removed, the n-th part of a new funnel's cost falls to each
N_TRIED = 16  # rows that a new funnel is asked for; if it pays for fewer than half of them it is given up


@final
class RecordIndex:
    """Codes of all lengths of a layout by row. One thread may add and remove while any number search."""

    def __init__(
        self,
        layout: CodeLayout,
        make_index: Callable[[int], CodeIndex] = build_index,
        *,
        min_funnel: int = MIN_FUNNEL,
    ) -> None:
        self._layout = layout
        self._indexes = {bits: make_index(bits) for bits in layout.lengths}
        self._n_rows = 0
        self._writing = threading.Lock()
        self._funnel: Funnel | None = None
        self._min_funnel = min_funnel  # rows from which `settle` makes a funnel

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
            funnel = self._funnel
            if funnel:  # beforehand, so that no search counts on rows that go meanwhile
                funnel.n_removed += len(rows)
            removed = [index.remove(rows) for index in self._indexes.values()][-1]
            if funnel:
                funnel.n_removed -= len(rows) - removed
        return removed

    def settle(self) -> None:
        """Make a funnel of all rows, if there is none or many rows were added or removed since the last one was made.

        To be called when a gallery was loaded, and now and then while it changes. Searches go on meanwhile.
        """
        with self._writing:
            funnel, n_rows = self._funnel, self._n_rows
            changed = n_rows - funnel.n_rows + funnel.n_removed if funnel else n_rows
            if len(self._layout.lengths) == 1 or changed < max(self._min_funnel, n_rows) // SHARE_LEFT_OUT:
                return
            if len(self) < self._min_funnel:
                self._funnel = None
                return
            made = self._new_funnel()
            self._funnel = made if made is not None and self._pays(made) else None
            if self._funnel is None:
                self._min_funnel = 2 * n_rows  # tried again when there are twice as many

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
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[FunnelAnswer]:
        """Return exactly the nearest by the longest length per query, through the funnel where that is quicker.

        Args:
            records: Query records.
            k: How many at most, >= 1.
            max_distance: Largest distance in bits by the longest length that still counts (inclusive), or None.
            among: Rows that may be found; None for all. No funnel is used for a part of them.

        Raises:
            HashingError: k or max_distance is too small.
        """
        check_search(k, max_distance)
        longest = self._layout.lengths[-1]
        codes, funnel = self._layout.split(records)[longest], self._funnel
        if funnel is not None and among is None:
            reach = longest if max_distance is None else max_distance
            return [self._through(funnel, code, k, reach) for code in codes]
        found = self.search(codes, bits=longest, k=k, max_distance=max_distance, among=among)
        n_compared = len(self) if among is None else len(among)
        return [_answer(hits, longest, n_compared) for hits in found]

    def _through(self, funnel: Funnel, code: UInt8[np.ndarray, " bytes"], k: int, reach: int) -> FunnelAnswer:
        shortest, longest, n_rows = self._layout.lengths[0], self._layout.lengths[-1], self._n_rows
        found = funnel.nearest(code, k=k, reach=reach, measure=self._indexes[longest].distances)
        if found is None or self._funnel is not funnel:  # one that was replaced is told of no removals
            (hits,) = self.search(code[None], bits=longest, k=k, max_distance=reach)
            return _answer(hits, longest, len(self))
        if n_rows == funnel.n_rows:
            return FunnelAnswer(
                neighbours=found.neighbours, lengths=(shortest, longest), n_compared=found.n_looked
            )
        later = Selection(rows=np.arange(funnel.n_rows, n_rows), n_rows=n_rows)
        (behind,) = self._indexes[longest].search(code[None], k=k, max_distance=reach, among=later)
        distances = np.concatenate([found.neighbours.distances, behind.distances])
        first = np.argsort(distances, kind="stable")[:k]
        rows = np.concatenate([found.neighbours.rows, behind.rows])[first]
        return FunnelAnswer(
            neighbours=Neighbours(rows=rows, distances=distances[first]),
            lengths=(shortest, longest),
            n_compared=found.n_looked + len(later),
        )

    def _new_funnel(self) -> Funnel | None:
        lengths = self._layout.lengths
        # 16 bits at most tell cells apart.
        short = np.ascontiguousarray(self._indexes[lengths[0]].codes(np.arange(self._n_rows))[:, :2])
        longest, nothing = self._indexes[lengths[-1]], np.zeros(lengths[-1] // 8, dtype=np.uint8)
        return Funnel.of(
            short.view(f"<u{short.shape[1]}")[:, 0],
            longest.codes,
            lambda rows: longest.distances(nothing, rows) != REMOVED,
        )

    def _pays(self, funnel: Funnel) -> bool:
        """Tell whether most queries look at few rows; for random codes none does."""
        longest = self._indexes[self._layout.lengths[-1]]
        asked = longest.codes(np.linspace(0, self._n_rows - 1, N_TRIED, dtype=np.int64))
        tried = [funnel.nearest(code, k=10, reach=longest.bits, measure=longest.distances) for code in asked]
        return 2 * sum(found is not None for found in tried) >= N_TRIED

    def _index(self, bits: int) -> CodeIndex:
        if bits not in self._indexes:
            raise CodeLengthError(
                f"The index has codes of {list(self._indexes)} bits, got {bits}. Take one of these."
            )
        return self._indexes[bits]


def _answer(hits: Neighbours, longest: int, n_compared: int) -> FunnelAnswer:
    return FunnelAnswer(neighbours=hits, lengths=(longest,), n_compared=n_compared)


def _bounded(among: Selection | None, n_rows: int) -> Selection:
    """Return what is selected of the first n_rows."""
    if among is None:
        return Selection(mask=np.ones(n_rows, dtype=np.bool_), n_rows=n_rows)
    return Selection(mask=among.mask[:n_rows], n_rows=n_rows) if among.n_rows > n_rows else among
