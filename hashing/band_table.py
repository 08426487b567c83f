"""The nearest code within a small radius, looked up in bands of bits while codes come and go.

In: codes of one length by row, rows to forget, queries. Out: the nearest live row of each query, or None.
Leaves k nearest codes and filters to the indexes, and locks to its owner: one thread at a time may call it.

Theory of operation. A code within distance r agrees with the query in at least one of r + 1 bands. Per band the rows stand sorted by
their bits there, so candidates are found by bisection; rows that came after the sorting, the tail, are compared one by one,
and merged in once they are many. Where bands would name a good part of all codes, all codes are compared, which is faster.
"""

from typing import final

import numpy as np
from jaxtyping import Bool, Int64, UInt, UInt8

from hashing.bands import MAX_BAND_BITS, as_words, band_edges, band_values, word_distances
from hashing.codes import check_lengths
from hashing.errors import HashingError
from hashing.index import check_codes

MIN_TAIL = 4096  # comparing so many codes costs some 20 microseconds
TAIL_SHARE = 32  # a tail of n/32 rows: a row is merged 32 times on average, however large the table
SCAN_SHARE = 8  # gathering a candidate costs about as much as comparing so many codes in order


@final
class BandTable:
    """Codes by row, 0, 1, 2, ... in the order they came, with an exact lookup of the nearest within a radius.

    At 128 bits and radius 8 it looks at about n / 2,000 codes of n that are spread evenly, and at the tail. Memory per row: bits / 8 + 1
    bytes with room to double, and 4 + (1, 2, 4 or 8) for each of max_radius + 1 bands: 88 bytes at most at 128 bits and radius 8.
    Radii so large that bands say nothing have no bands, and every lookup compares all codes.
    """

    def __init__(self, bits: int, *, max_radius: int) -> None:
        (self._bits,) = check_lengths([bits])
        if max_radius < 0:
            raise HashingError(f"max_radius must be at least 0 bits, got {max_radius}.")
        self.max_radius = max_radius
        self._words = as_words(np.empty((0, bits // 8), dtype=np.uint8))
        self._live = np.empty(0, dtype=np.bool_)
        self._n_rows = self._n_live = self._n_sorted = 0
        n_bands = max_radius + 1
        useless = (
            2 ** (bits // n_bands) <= SCAN_SHARE * n_bands
        )  # would name a good part of evenly spread codes
        self._bands = [] if useless else [_Band(*edges) for edges in band_edges(bits, n_bands)]

    @property
    def n_rows(self) -> int:
        """How many rows it has, removed ones included: the row that the next code gets."""
        return self._n_rows

    def __len__(self) -> int:
        """Return how many live codes it holds."""
        return self._n_live

    def add(self, codes: UInt8[np.ndarray, "n bytes"]) -> None:
        """Append n codes as the rows `n_rows`, `n_rows + 1`, ... Cost does not grow with the table, on average.

        Raises:
            CodeShapeError: The codes have another length or dtype.
        """
        codes = check_codes(codes, bits=self._bits)
        new = slice(self._n_rows, self._n_rows + len(codes))
        if new.stop > len(self._live):
            room = 2 * new.stop - len(self._live)
            self._words = np.pad(self._words, ((0, 0), (0, room)))
            self._live = np.pad(self._live, (0, room))
        self._words[:, new] = as_words(codes)
        self._live[new] = True
        self._n_rows, self._n_live = new.stop, self._n_live + len(codes)
        if new.stop - self._n_sorted > max(MIN_TAIL, new.stop // TAIL_SHARE):
            self._merge_tail()

    def remove(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Hide these rows from every later lookup; returns how many were live. Rows that are not there are passed over."""
        rows = np.unique(rows)
        rows = rows[(rows >= 0) & (rows < self._n_rows)]
        rows = rows[self._live[rows]]
        self._live[rows] = False
        self._n_live -= len(rows)
        return len(rows)

    def nearest_within(
        self, codes: UInt8[np.ndarray, "nq bytes"], *, radius: int
    ) -> list[tuple[int, int] | None]:
        """Return per query (row, distance) of the first live row in the order (distance, row), or None beyond the radius.

        Args:
            codes: Query codes of this table's length.
            radius: Largest distance in bits that counts (inclusive), 0 to `max_radius`.

        Raises:
            CodeShapeError: The codes have another length or dtype.
            HashingError: The radius is outside of what the table was made for.
        """
        codes = check_codes(codes, bits=self._bits)
        if not 0 <= radius <= self.max_radius:
            raise HashingError(
                f"radius must be from 0 to the table's max_radius of {self.max_radius} bits, got {radius}."
            )
        runs = np.array([band.runs(codes) for band in self._bands[: radius + 1]])  # (bands, 2, queries)
        queries = as_words(codes)
        return [
            self._nearest(queries[:, [at]], runs[..., at] if self._bands else None, radius)
            for at in range(len(codes))
        ]

    def _nearest(
        self, query: UInt[np.ndarray, "words 1"], runs: Int64[np.ndarray, "bands 2"] | None, radius: int
    ) -> tuple[int, int] | None:
        if runs is None or SCAN_SHARE * int((runs[:, 1] - runs[:, 0]).sum()) >= self._n_sorted:
            return self._first_of(slice(0, self._n_rows), query, radius)
        candidates = np.concatenate(
            [band.rows[start:stop] for band, (start, stop) in zip(self._bands, runs.tolist(), strict=False)]
        ).astype(np.int64)
        found = [
            self._first_of(candidates, query, radius),
            self._first_of(slice(self._n_sorted, self._n_rows), query, radius),
        ]
        # at the same distance the first is taken, and the rows of the tail come last
        return min((hit for hit in found if hit), key=lambda hit: hit[1], default=None)

    def _first_of(
        self, rows: Int64[np.ndarray, " m"] | slice, query: UInt[np.ndarray, "words 1"], radius: int
    ) -> tuple[int, int] | None:
        """Return the first live one of these rows within the radius, and its distance."""
        distances = word_distances(self._words, rows, query, 0)
        distances[~self._live[rows]] = self._bits + 1
        least = int(distances.min(initial=self._bits + 1))
        if least > min(radius, self._bits):
            return None
        if isinstance(rows, slice):
            return int(rows.start + distances.argmin()), least
        return int(rows[distances == least].min()), least

    def _merge_tail(self) -> None:
        """Take the tail into the sorted rows, and drop the dead from them."""
        tail = np.arange(self._n_sorted, self._n_rows)
        codes = np.ascontiguousarray(self._words[:, tail].T).view(np.uint8)
        for band in self._bands:
            band.merge(codes, tail, self._live)
        self._n_sorted = self._n_rows


@final
class _Band:
    """Rows sorted by their bits in one band; bands wider than a word are cut, which only adds candidates."""

    def __init__(self, start: int, stop: int) -> None:
        self._start, self._stop = start, min(stop, start + MAX_BAND_BITS)
        width = next(size for size in (1, 2, 4, 8) if 8 * size >= self._stop - self._start)
        self._keys = np.empty(0, dtype=f"<u{width}")
        self.rows = np.empty(0, dtype=np.uint32)

    def runs(
        self, codes: UInt8[np.ndarray, "nq bytes"]
    ) -> tuple[Int64[np.ndarray, " nq"], Int64[np.ndarray, " nq"]]:
        """Return where in `rows` the rows begin and end that agree with each code."""
        keys = self._values(codes)
        return np.searchsorted(self._keys, keys), np.searchsorted(self._keys, keys, side="right")

    def merge(
        self,
        codes: UInt8[np.ndarray, "n bytes"],
        rows: Int64[np.ndarray, " n"],
        live: Bool[np.ndarray, " n_rows"],
    ) -> None:
        """Take rows with these codes in, and drop those that are not live."""
        keys = np.concatenate([self._keys, self._values(codes)])
        rows = np.concatenate([self.rows, rows.astype(np.uint32)])
        keys, rows = keys[live[rows]], rows[live[rows]]
        order = np.argsort(keys, kind="stable")  # finds the sorted part and merges
        self._keys, self.rows = keys[order], rows[order]

    def _values(self, codes: UInt8[np.ndarray, "n bytes"]) -> UInt[np.ndarray, " n"]:
        return band_values(codes, self._start, self._stop).astype(self._keys.dtype)
