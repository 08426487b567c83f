"""Exact search in codes of 8 or 16 bits through a table of all codes there can be.

In: codes with ascending image ids, ids to hide, queries. Out: `Neighbours`.
Leaves longer codes, of which there are too many to list, to `index_flat`.

Theory of operation. Rows are numbered in the order they came. The table lists the rows of every code (its bucket),
ascending. A search walks the rings around its query: the bucket at distance 0, those at distance 1, and so on, until it
has k live rows; within a ring it takes the smallest row numbers, so the order is (distance, image_id). Rows that came
after the table was built, the tail, are scanned; once they are many the table is built anew, without the dead.

A search holds a lock for its own few dozen microseconds per query; tables are built outside of it.
"""

import threading
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt, UInt8

from hashing.codes import check_lengths
from hashing.errors import CodeLengthError
from hashing.index import NO_ID, Neighbours, check_codes, check_new_ids, check_search

MAX_BUCKET_BITS = 16
MIN_TAIL = 4096  # scanning so many rows costs a few microseconds
TAIL_SHARE = 32  # a tail of n/32 rows: a row is sorted 32 times on average, however large the index


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
        self._rows = _Rows.empty(0, self._dtype)
        self._n_rows = self._n_dead = 0
        self._table = _Table.of(self._rows.values)
        self._last_id = NO_ID
        self._writing = threading.Lock()  # one writer at a time; taken before _reading
        self._reading = threading.Lock()  # one writer's change or one query at a time

    @property
    def bits(self) -> int:
        """Code length in bits."""
        return self._bits

    def __len__(self) -> int:
        return self._n_rows - self._n_dead

    def add(self, image_ids: Int64[np.ndarray, " n"], codes: UInt8[np.ndarray, "n bytes"]) -> None:
        """Append n codes; see `CodeIndex.add`."""
        values = check_codes(codes, bits=self._bits).view(self._dtype)[:, 0]
        with self._writing:
            image_ids = check_new_ids(image_ids, n_codes=len(values), last_id=self._last_id)
            if not len(image_ids):
                return
            rows, new = self._rows, slice(self._n_rows, self._n_rows + len(values))
            if new.stop > len(rows.values):
                rows = rows.copied(slice(0, self._n_rows), room=2 * new.stop)
            rows.values[new], rows.image_ids[new], rows.live[new] = values, image_ids, True
            with self._reading:
                self._rows, self._n_rows = rows, new.stop
            self._last_id = int(image_ids[-1])
            if new.stop - self._table.n_rows > max(MIN_TAIL, new.stop // TAIL_SHARE):
                self._rebuild()

    def remove(self, image_ids: Int64[np.ndarray, " n"]) -> int:
        """Hide these ids; see `CodeIndex.remove`. The table is built anew once half of its rows are dead."""
        wanted = np.unique(image_ids)
        with self._writing:
            known = self._rows.image_ids[: self._n_rows]
            at = np.searchsorted(known, wanted)
            wanted, at = wanted[at < len(known)], at[at < len(known)]
            at = at[(known[at] == wanted) & self._rows.live[at]]
            tabled = at[at < self._table.n_rows]
            with self._reading:
                self._rows.live[at] = False
                np.add.at(self._table.n_dead, self._rows.values[tabled], 1)
                self._n_dead += len(at)
            if self._n_dead > MIN_TAIL and 2 * self._n_dead > self._n_rows:
                self._rebuild()
        return len(at)

    def search(
        self, codes: UInt8[np.ndarray, "nq bytes"], *, k: int, max_distance: int | None = None
    ) -> list[Neighbours]:
        """Return the nearest codes per query; see `CodeIndex.search`."""
        queries = check_codes(codes, bits=self._bits).view(self._dtype)[:, 0]
        check_search(k, max_distance)
        reach = self._bits if max_distance is None else min(max_distance, self._bits)
        found = []
        for query in queries:
            with self._reading:
                found.append(self._nearest(query, k=k, reach=reach))
        return found

    def _rebuild(self) -> None:
        """Drop the dead rows and take the tail into the table, while searches go on in the old one."""
        live = np.flatnonzero(self._rows.live[: self._n_rows])
        rows = self._rows.copied(live, room=2 * len(live))
        table = _Table.of(rows.values[: len(live)])
        with self._reading:
            self._rows, self._n_rows, self._n_dead, self._table = rows, len(live), 0, table

    def _nearest(self, query: np.unsignedinteger, *, k: int, reach: int) -> Neighbours:
        at, distances = self._nearest_in_table(query, k=k, reach=reach)
        if len(at) == k:
            reach = int(distances[-1]) - 1  # at the same distance, rows of the tail come last
        tail_at, tail_distances = self._nearest_in_tail(query, k=k, reach=reach)
        if len(tail_at):
            distances = np.concatenate([distances, tail_distances])
            first = np.argsort(distances, kind="stable")[:k]
            at, distances = np.concatenate([at, tail_at])[first], distances[first]
        return Neighbours(image_ids=self._rows.image_ids[at], distances=distances)

    def _nearest_in_table(
        self, query: np.unsignedinteger, *, k: int, reach: int
    ) -> tuple[Int64[np.ndarray, " hits"], Int32[np.ndarray, " hits"]]:
        rings: list[Int64[np.ndarray, " hits"]] = []
        missing = k
        for ring in self._rings[: reach + 1]:
            rings.append(self._first_in(ring ^ query, n=missing))
            missing -= len(rings[-1])
            if not missing:
                break
        distances = np.repeat(np.arange(len(rings), dtype=np.int32), [len(ring) for ring in rings])
        return np.concatenate(rings), distances

    def _first_in(self, buckets: UInt[np.ndarray, " ring"], *, n: int) -> Int64[np.ndarray, " hits"]:
        """Return the n first live rows in these buckets, ascending."""
        table = self._table
        buckets = buckets[table.sizes[buckets] > 0]
        # The n first live rows of a bucket are among its n + dead first rows.
        taken = np.minimum(table.sizes[buckets], n + table.n_dead[buckets])
        ends = np.cumsum(taken)
        offsets = np.repeat(table.starts[buckets] + taken - ends, taken)
        at = table.rows[offsets + np.arange(len(offsets))]
        if self._n_dead:
            at = at[self._rows.live[at]]
        at.sort()
        return at[:n]

    def _nearest_in_tail(
        self, query: np.unsignedinteger, *, k: int, reach: int
    ) -> tuple[Int64[np.ndarray, " hits"], Int32[np.ndarray, " hits"]]:
        tail = slice(self._table.n_rows, self._n_rows)
        distances = np.bitwise_count(self._rows.values[tail] ^ query)
        at = np.flatnonzero((distances <= reach) & self._rows.live[tail])
        at = at[np.argsort(distances[at], kind="stable")[:k]]
        return at + tail.start, distances[at].astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Code, image id and life of every row, with room to grow behind the last one."""

    values: UInt[np.ndarray, " room"]  # the code as a number
    image_ids: Int64[np.ndarray, " room"]
    live: Bool[np.ndarray, " room"]

    @classmethod
    def empty(cls, room: int, dtype: np.dtype[np.unsignedinteger]) -> "_Rows":
        return cls(
            values=np.empty(room, dtype), image_ids=np.empty(room, np.int64), live=np.empty(room, np.bool_)
        )

    def copied(self, chosen: slice | Int64[np.ndarray, " n"], *, room: int) -> "_Rows":
        """Return the chosen rows at the start of a new room."""
        n = len(self.values[chosen])
        rows = _Rows.empty(room, self.values.dtype)
        for name in self.__slots__:
            getattr(rows, name)[:n] = getattr(self, name)[chosen]
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The first rows by code: bucket b holds rows[starts[b] : starts[b] + sizes[b]], of which n_dead[b] are hidden."""

    n_rows: int
    rows: Int64[np.ndarray, " n"]
    starts: Int64[np.ndarray, " buckets"]
    sizes: Int64[np.ndarray, " buckets"]
    n_dead: Int64[np.ndarray, " buckets"]  # written in place

    @classmethod
    def of(cls, values: UInt[np.ndarray, " n"]) -> "_Table":
        """Return the table of rows with these codes."""
        sizes = np.bincount(values, minlength=256**values.itemsize)
        return cls(
            n_rows=len(values),
            rows=np.argsort(values, kind="stable"),
            starts=np.cumsum(sizes) - sizes,
            sizes=sizes,
            n_dead=np.zeros_like(sizes),
        )


def _rings(dtype: np.dtype[np.unsignedinteger]) -> list[UInt[np.ndarray, " ring"]]:
    """Return, per distance, all differences of two codes at that distance."""
    masks = np.arange(256**dtype.itemsize).astype(dtype)
    weights = np.bitwise_count(masks)
    return [masks[weights == distance] for distance in range(8 * dtype.itemsize + 1)]
