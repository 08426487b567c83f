"""The funnel: the shortest codes and distances to centres say which longest codes can be near, and only these are compared.

In: codes of two lengths by row; then queries by the longest. Out: exactly the nearest rows, or nothing where comparing all is
cheaper. Leaves rows that came later to `index_records`, and knows no FAISS.

Theory of operation. Rows whose shortest codes agree form a cell; rare ones join the nearest frequent one. A cell has a centre,
the majority of its longest codes, and its rows are ordered by their distance to it. By the triangle inequality a row at
distance d from its centre is at least |d - e| from a query at distance e from that centre. So once k rows within t are known,
only rows with |d - e| <= t can take their place: in every cell one run of consecutive rows. Codes learned from labels are alike
in many images; copies of a centre come first in their cell, their distance is e without a look, and k of them are enough.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt, UInt8, UInt16, UInt32

from hashing.index import REMOVED, Neighbours
from hashing.index_nearest import count_differing_bits

N_CELLS = 1024  # twice as many look at a sixth less, and cost as much more to go through
MIN_GATHERED = (
    0.5  # share of rows with a frequent short code; below, cells are of rows with nothing in common
)
CHUNK = 1 << 15  # rows at a time while cells are made
VOTERS = 64  # rows of a cell that its centre is the majority of
N_NEAREST, INNER = 16, 128  # cells, and of them as many innermost rows as are looked at first
FIRST_LOOK = 0.6  # of the distance known to be enough: most often nothing is found beyond
COST_OF_ROWS = 12  # a row that is looked at costs as much as this many rows of a scan

Rows = Int64[np.ndarray, " _m"]
Measure = Callable[[UInt8[np.ndarray, " bytes"], Rows], UInt16[np.ndarray, " _m"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelAnswer:
    """Answer to one query by two lengths.

    Attributes:
        neighbours: Exactly the nearest by the longest length.
        lengths: Lengths in bits that were used, the one that says where to look first.
        n_compared: How many longest codes were compared.
    """

    neighbours: Neighbours
    lengths: tuple[int, ...]
    n_compared: int


class Found(NamedTuple):
    """The nearest rows of a funnel.

    Attributes:
        neighbours: The hits in the order (distance, row).
        n_looked: How many rows were compared.
    """

    neighbours: Neighbours
    n_looked: int


class _Runs(NamedTuple):
    """Consecutive places in the order of cells."""

    starts: Int64[np.ndarray, " runs"]
    sizes: Int64[np.ndarray, " runs"]


@final
class Funnel:
    """The rows of one gallery in cells. It never changes but for `n_removed`, so any number of threads may search."""

    def __init__(
        self,
        centres: UInt8[np.ndarray, "cells bytes"],
        order: UInt32[np.ndarray, " n"],
        bounds: UInt32[np.ndarray, " bounds"],
        n_rows: int,
    ) -> None:
        """Take the rows cell by cell, nearest to the centre first, and where each distance of each cell begins."""
        self.n_rows = n_rows
        self.n_removed = 0  # of the rows in `order`, since; written by the index
        self._order, self._bounds = order, bounds
        self._centres = centres
        self._bits = 8 * centres.shape[1]
        self._first = np.arange(len(centres)) * (self._bits + 1)  # of each cell in `bounds`
        self._n_copies = (bounds[self._first + 1] - bounds[self._first]).astype(np.int64)

    @classmethod
    def of(
        cls,
        short: UInt[np.ndarray, " n"],
        long: Callable[[Rows], UInt8[np.ndarray, "_m bytes"]],
        live: Callable[[Rows], Bool[np.ndarray, " _m"]],
    ) -> "Funnel | None":
        """Put rows into cells; None where short codes are too evenly spread for that, as random ones are.

        Goes through the rows chunk by chunk: what is computed of all at once would stay in the process as free memory.

        Args:
            short: The shortest codes of all rows as numbers.
            long: Returns the longest codes of rows.
            live: Tells which rows to put in, one at least.
        """
        n_values = np.zeros(1 << (8 * short.itemsize), dtype=np.int64)
        for chunk in _chunks(len(short)):
            n_values += np.bincount(short[chunk[live(chunk)]], minlength=len(n_values))
        frequent = np.sort(np.argsort(-n_values, kind="stable")[:N_CELLS])
        frequent = frequent[n_values[frequent] > 0]
        if n_values[frequent].sum() < MIN_GATHERED * n_values.sum():
            return None
        cell_of = _cell_of(n_values, frequent)
        ends = np.cumsum(np.bincount(cell_of, weights=n_values, minlength=len(frequent))).astype(np.int64)
        order = np.empty(ends[-1], dtype=np.uint32)
        next_places = np.concatenate([[0], ends[:-1]])
        for chunk in _chunks(len(short)):
            rows = chunk[live(chunk)]
            cells = cell_of[short[rows]]
            sizes = np.bincount(cells, minlength=len(frequent))
            places = np.repeat(next_places - np.cumsum(sizes) + sizes, sizes) + np.arange(len(rows))
            order[places] = rows[np.argsort(cells, kind="stable")]
            next_places += sizes
        centres, held = [], []
        for value, part in zip(frequent, np.split(order, ends[:-1]), strict=True):
            rows = part.astype(np.int64)
            codes = long(rows)
            centre = _majority(codes[short[rows] == value])
            distances = count_differing_bits(centre, codes)[0]
            part[:] = part[np.argsort(distances, kind="stable")]
            centres.append(centre)
            held.append(np.bincount(distances, minlength=8 * codes.shape[1] + 1))
        bounds = np.concatenate([[0], np.cumsum(np.concatenate(held))]).astype(np.uint32)
        return cls(np.concatenate(centres), order, bounds, len(short))

    def nearest(
        self, query: UInt8[np.ndarray, " bytes"], *, k: int, reach: int, measure: Measure
    ) -> Found | None:
        """Return the k nearest rows that are not removed.

        Args:
            query: A code of the longest length.
            k: How many at most, >= 1.
            reach: Largest distance in bits that counts (inclusive).
            measure: Returns the distances of the query to the codes in rows; `REMOVED` for removed rows.

        Returns:
            Exactly those, or None where comparing all codes costs less, or rows were removed meanwhile.
        """
        n_removed = self.n_removed
        enough = k + n_removed  # so many rows hold k that are not removed
        to_centres = count_differing_bits(query[None], self._centres)[0].astype(np.int64)
        reach = min(reach, _kth(np.bincount(to_centres, weights=self._n_copies), enough))
        reach = min(reach, _kth_of(measure(query, self._inner(to_centres, max(INNER, k))), k))
        rows, distances = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint16)
        n_looked, seen = 0, -1
        for sight in (int(FIRST_LOOK * reach), reach):
            if seen >= reach:
                break
            runs = self._runs(to_centres, seen + 1, min(sight, reach), enough)
            n_looked += int(runs.sizes.sum())
            if n_looked * COST_OF_ROWS > self.n_rows:
                return None
            looked = self._rows(runs)
            measured = measure(query, looked)
            near = np.flatnonzero(measured <= reach)
            rows, distances = (
                np.concatenate([rows, looked[near]]),
                np.concatenate([distances, measured[near]]),
            )
            reach, seen = min(reach, _kth(np.bincount(distances), k)), sight
        if self.n_removed != n_removed:
            return None
        near = np.flatnonzero(distances <= reach)
        rows, distances = rows[near], distances[near]
        first = np.lexsort((rows, distances))[:k]
        return Found(Neighbours(rows=rows[first], distances=distances[first].astype(np.int32)), n_looked)

    def _inner(self, to_centres: Int64[np.ndarray, " cells"], n: int) -> Rows:
        """Return n rows of the nearest cells, innermost first, or fewer if these few have no more."""
        n_nearest = min(N_NEAREST, len(to_centres))
        nearest = np.argpartition(to_centres, n_nearest - 1)[:n_nearest]
        nearest = nearest[np.argsort(to_centres[nearest])]
        starts = self._bounds[self._first[nearest]].astype(np.int64)
        held = np.cumsum(self._bounds[self._first[nearest] + self._bits + 1] - starts)
        return self._rows(_Runs(starts, np.diff(np.minimum(held, n), prepend=0)))

    def _runs(self, to_centres: Int64[np.ndarray, " cells"], low: int, high: int, enough: int) -> _Runs:
        """Return the rows that are between `low` and `high` from the query at least, by their distances to centres."""
        inner = np.maximum(to_centres - high, 0)
        outer = np.minimum(to_centres + high, self._bits)
        if low == 0:
            runs = self._between(inner, outer)
        else:
            below = self._between(inner, np.maximum(to_centres - low, -1))
            above = self._between(np.minimum(to_centres + low, self._bits + 1), outer)
            runs = _Runs(*(np.concatenate(pair) for pair in zip(below, above, strict=True)))
            inner = np.concatenate([inner, to_centres + low])  # no copies in those above
        copied = np.flatnonzero((inner == 0) & (runs.sizes > 0))
        copied = copied[self._n_copies[copied % len(to_centres)] > enough]
        if not len(copied):
            return runs
        cells = copied % len(to_centres)
        runs.starts[copied] += self._n_copies[cells]
        runs.sizes[copied] -= self._n_copies[cells]
        starts = self._bounds[self._first[cells]].astype(np.int64)
        return _Runs(
            np.concatenate([runs.starts, starts]),
            np.concatenate([runs.sizes, np.full(len(copied), enough)]),
        )

    def _between(self, inner: Int64[np.ndarray, " cells"], outer: Int64[np.ndarray, " cells"]) -> _Runs:
        """Return the rows of each cell at these distances from its centre, both inclusive."""
        starts = self._bounds[self._first + inner].astype(np.int64)
        return _Runs(starts, np.maximum(self._bounds[self._first + outer + 1] - starts, 0))

    def _rows(self, runs: _Runs) -> Rows:
        ends = np.cumsum(runs.sizes)
        places = np.repeat(runs.starts - ends + runs.sizes, runs.sizes)
        places += np.arange(len(places))
        rows: Rows = self._order.take(places).astype(np.int64)
        return rows


def _chunks(n: int) -> Iterator[Rows]:
    """Yield the rows below n, some at a time."""
    return (np.arange(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def _kth_of(distances: UInt16[np.ndarray, " m"], k: int) -> int:
    """Return the least distance within which there are k that are not removed; `REMOVED` if there are fewer."""
    return _kth(np.bincount(distances[distances != REMOVED]), k)


def _kth(held: Int64[np.ndarray, " d"] | Float64[np.ndarray, " d"], k: int) -> int:
    """Return the least distance within which there are k, of how many there are at each; `REMOVED` if nowhere."""
    within = np.cumsum(held)
    return int(np.searchsorted(within, k)) if len(within) and within[-1] >= k else REMOVED


def _cell_of(
    n_values: Int64[np.ndarray, " codes"], frequent: Int64[np.ndarray, " cells"]
) -> UInt16[np.ndarray, " codes"]:
    """Return the cell of every short code that occurs: that of the nearest frequent one."""
    cell_of = np.zeros(len(n_values), dtype=np.uint16)
    occurring = np.flatnonzero(n_values)
    for some in np.array_split(occurring, -(-len(occurring) // 256)):
        cell_of[some] = np.bitwise_count(some[:, None] ^ frequent).argmin(axis=1)
    return cell_of


def _majority(codes: UInt8[np.ndarray, "m bytes"]) -> UInt8[np.ndarray, "1 bytes"]:
    """Return the majority, bit by bit, of codes evenly drawn from these."""
    voters = codes[:: -(-len(codes) // VOTERS)]
    ones = np.unpackbits(voters, axis=1).sum(axis=0, dtype=np.int64)
    return np.packbits(2 * ones > len(voters))[None]
