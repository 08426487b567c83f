"""Exact search in codes of 8 or 16 bits through a table of all codes there can be.

In: codes in the order of their rows, rows to hide, queries. Out: `Neighbours`.
Leaves longer codes, of which there are too many to list, to `index_flat`.

Theory of operation. The table lists the rows of every code (its bucket), ascending. A search walks the rings around its
query: the bucket at distance 0, those at distance 1, and so on, until it has k live rows; within a ring it takes the
smallest rows, so the order is (distance, row). Rows that came after the table was built, the tail, are scanned; once they
are many, or most rows of the table are dead, the table is built anew, without the dead.

A search works on the state it found when it began and takes no lock. Only tombstones are written in place: a bucket's
count of them first, then the rows, so a walk that finds too few rows can tell that it has to look again.
"""

import threading
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt, UInt8, UInt16, UInt32

from hashing.codes import check_lengths
from hashing.errors import CodeLengthError
from hashing.index import REMOVED, Neighbours, Selection, check_codes, check_search
from hashing.index_nearest import take_nearest

MAX_BUCKET_BITS = 16
MIN_TAIL = 4096  # scanning so many rows costs a few microseconds
TAIL_SHARE = 32  # a tail of n/32 rows: a row is sorted 32 times on average, however large the index
WALK_COST = 4  # a row met on a walk costs as much as counting the bits of so many


@final
class BucketIndex:
    """A `CodeIndex` of 8 or 16 bits."""

    def __init__(self, bits: int) -> None:
        (self._bits,) = check_lengths([bits])
        if bits > MAX_BUCKET_BITS:
            raise CodeLengthError(
                f"A bucket index holds codes of 8 or 16 bits, got {bits}. Use a flat index."
            )
        self._dtype = np.dtype(f"<u{bits // 8}")
        self._rings = _rings(self._dtype)
        values, live = np.empty(0, self._dtype), np.empty(0, np.bool_)
        self._state = _State(values=values, live=live, n_rows=0, table=_Table.of(values, live))
        self._n_dead = 0
        self._writing = threading.Lock()

    @property
    def bits(self) -> int:
        """Code length in bits."""
        return self._bits

    @property
    def n_rows(self) -> int:
        """How many rows it has, removed ones included."""
        return self._state.n_rows

    def __len__(self) -> int:
        return self._state.n_rows - self._n_dead

    def add(self, codes: UInt8[np.ndarray, "n bytes"]) -> None:
        """Append n codes; see `CodeIndex.add`."""
        new = check_codes(codes, bits=self._bits).view(self._dtype)[:, 0]
        with self._writing:
            grown = self._state.grown(new)
            if grown.n_rows - grown.table.n_rows > max(MIN_TAIL, grown.n_rows // TAIL_SHARE):
                grown = grown.tabled()
            self._state = grown

    def remove(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Hide these rows; see `CodeIndex.remove`."""
        wanted = np.unique(rows)
        with self._writing:
            state = self._state
            wanted = wanted[(wanted >= 0) & (wanted < state.n_rows)]
            wanted = wanted[state.live[wanted]]
            table, tabled = state.table, wanted[wanted < state.table.n_rows]
            np.add.at(table.n_dead, state.values[tabled], 1)
            state.live[wanted] = False
            self._n_dead += len(wanted)
            table_dead = int(table.n_dead.sum())
            if table_dead > MIN_TAIL and 2 * table_dead > len(table.rows):
                self._state = state.tabled()
        return len(wanted)

    def codes(self, rows: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m bytes"]:
        """Return the codes of these rows; see `CodeIndex.codes`."""
        found: UInt8[np.ndarray, "m bytes"] = self._state.values[rows].view(np.uint8)
        return found.reshape(len(rows), self._bits // 8)

    def distances(
        self, code: UInt8[np.ndarray, " bytes"], rows: Int64[np.ndarray, " m"]
    ) -> UInt16[np.ndarray, " m"]:
        """Return the distances of one code to those in these rows; see `CodeIndex.distances`."""
        (query,) = check_codes(code[None], bits=self._bits).view(self._dtype)[:, 0]
        state = self._state
        counted: UInt16[np.ndarray, " m"] = np.bitwise_count(state.values[rows] ^ query).astype(np.uint16)
        counted[~state.live[rows]] = REMOVED
        return counted

    def search(
        self,
        codes: UInt8[np.ndarray, "nq bytes"],
        *,
        k: int,
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[Neighbours]:
        """Return the nearest codes per query; see `CodeIndex.search`."""
        queries = check_codes(codes, bits=self._bits).view(self._dtype)[:, 0]
        check_search(k, max_distance)
        reach = self._bits if max_distance is None else min(max_distance, self._bits)
        state = self._state
        return [self._walk(state, query, k=k, reach=reach, among=among) for query in queries]

    def scan(
        self, code: UInt8[np.ndarray, " bytes"], *, among: Selection | None = None
    ) -> tuple[Int64[np.ndarray, " m"], Int32[np.ndarray, " m"]]:
        """Return the rows of all live selected codes and their distances; see `CodeIndex.scan`."""
        (query,) = check_codes(code[None], bits=self._bits).view(self._dtype)[:, 0]
        state = self._state
        rows = state.live_rows(among)
        return rows, np.bitwise_count(state.values[rows] ^ query).astype(np.int32)

    def _walk(
        self, state: "_State", query: np.unsignedinteger, *, k: int, reach: int, among: Selection | None
    ) -> Neighbours:
        rings: list[Int64[np.ndarray, " hits"]] = []
        n_met = 0
        missing = k
        for ring in self._rings[: reach + 1]:
            buckets = ring ^ query
            if among is not None:
                n_met += int(state.table.sizes[buckets].sum())
                if n_met * WALK_COST > len(among):  # few are selected, or few of them nearby
                    return state.nearest_of(query, among, k=k, reach=reach)
            rings.append(state.first_in(buckets, n=missing, among=among))
            missing -= len(rings[-1])
            if not missing:
                break
        rows = np.concatenate(rings)
        distances = np.repeat(np.arange(len(rings), dtype=np.int32), [len(ring) for ring in rings])
        if not missing:
            reach = len(rings) - 2  # at the same distance, rows of the tail come last
        tail = state.nearest_in_tail(query, k=k, reach=reach, among=among)
        if len(tail.rows):
            distances = np.concatenate([distances, tail.distances])
            first = np.argsort(distances, kind="stable")[:k]
            rows, distances = np.concatenate([rows, tail.rows])[first], distances[first]
        return Neighbours(rows=rows, distances=distances)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What a search works on: code and life of every row, with room to grow behind the last, and a table of the first."""

    values: UInt[np.ndarray, " room"]  # the code as a number
    live: Bool[np.ndarray, " room"]  # written in place
    n_rows: int
    table: "_Table"

    def grown(self, values: UInt[np.ndarray, " n"]) -> "_State":
        """Return the state with these rows behind the last one."""
        n_rows = self.n_rows + len(values)
        grown = replace(self, n_rows=n_rows)
        if n_rows > len(self.values):
            room = 2 * n_rows if self.n_rows else n_rows  # what is loaded at once may never grow
            grown = replace(grown, values=np.empty(room, self.values.dtype), live=np.empty(room, np.bool_))
            grown.values[: self.n_rows] = self.values[: self.n_rows]
            grown.live[: self.n_rows] = self.live[: self.n_rows]
        grown.values[self.n_rows : n_rows] = values
        grown.live[self.n_rows : n_rows] = True
        return grown

    def tabled(self) -> "_State":
        """Return the state with all live rows in its table."""
        # Tombstones to come go to this table's counts, so a search in the old table must not see them.
        live = self.live.copy()
        return replace(self, live=live, table=_Table.of(self.values[: self.n_rows], live[: self.n_rows]))

    def live_rows(self, among: Selection | None) -> Int64[np.ndarray, " m"]:
        """Return the live rows among those selected, ascending."""
        if among is None:
            return np.flatnonzero(self.live[: self.n_rows])
        rows = among.rows[: np.searchsorted(among.rows, self.n_rows)]
        live: Int64[np.ndarray, " m"] = rows[self.live[rows]]
        return live

    def first_in(
        self, buckets: UInt[np.ndarray, " ring"], *, n: int, among: Selection | None
    ) -> Int64[np.ndarray, " hits"]:
        """Return the n first live rows among those selected in these buckets of the table, ascending."""
        table = self.table
        buckets = buckets[table.sizes[buckets] > 0]
        while True:
            n_dead = table.n_dead[buckets]
            # Without a selection, the n first live rows of a bucket are among its n + dead first rows.
            taken = table.sizes[buckets]
            taken = np.minimum(taken, n + n_dead) if among is None else taken
            ends = np.cumsum(taken, dtype=np.int64)
            offsets = np.repeat(table.starts[buckets] + taken - ends, taken)
            rows = table.rows[offsets + np.arange(len(offsets))]
            if not n_dead.any():
                break
            rows = rows[self.live[rows]]
            if len(rows) >= n or among is not None or np.array_equal(table.n_dead[buckets], n_dead):
                break
        if among is not None:
            rows = rows[rows < among.n_rows]
            rows = rows[among.mask[rows]]
        rows.sort()
        return rows[:n].astype(np.int64)

    def nearest_of(self, query: np.unsignedinteger, among: Selection, *, k: int, reach: int) -> Neighbours:
        """Return the k nearest live rows among those selected, by counting the bits of each."""
        rows = self.live_rows(among)
        distances = np.bitwise_count(self.values[rows] ^ query).astype(np.uint16)
        return take_nearest(rows, distances, k=k, max_distance=reach)

    def nearest_in_tail(
        self, query: np.unsignedinteger, *, k: int, reach: int, among: Selection | None
    ) -> Neighbours:
        """Return the k first live rows among those selected that are not in the table."""
        tail = slice(self.table.n_rows, self.n_rows)
        distances = np.bitwise_count(self.values[tail] ^ query)
        near = np.flatnonzero((distances <= reach) & self.live[tail])
        if among is not None:
            near = near[near + tail.start < among.n_rows]
            near = near[among.mask[near + tail.start]]
        return take_nearest(near + tail.start, distances[near].astype(np.uint16), k=k)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The live ones of the first rows by code: bucket b holds rows[starts[b] : starts[b] + sizes[b]]."""

    n_rows: int  # how many rows of the index it covers
    rows: UInt32[np.ndarray, " n"]
    starts: Int64[np.ndarray, " buckets"]
    sizes: Int64[np.ndarray, " buckets"]
    n_dead: Int64[np.ndarray, " buckets"]  # how many died since; written in place

    @classmethod
    def of(cls, values: UInt[np.ndarray, " n"], live: Bool[np.ndarray, " n"]) -> "_Table":
        """Return the table of rows with these codes."""
        rows = np.flatnonzero(live).astype(np.uint32)
        held = values[rows]
        sizes = np.bincount(held, minlength=256**values.itemsize)
        return cls(
            n_rows=len(values),
            rows=rows[np.argsort(held, kind="stable")],
            starts=np.cumsum(sizes) - sizes,
            sizes=sizes,
            n_dead=np.zeros_like(sizes),
        )


def _rings(dtype: np.dtype[np.unsignedinteger]) -> list[UInt[np.ndarray, " ring"]]:
    """Return, per distance, all differences of two codes at that distance."""
    masks = np.arange(256**dtype.itemsize).astype(dtype)
    weights = np.bitwise_count(masks)
    return [masks[weights == distance] for distance in range(8 * dtype.itemsize + 1)]
