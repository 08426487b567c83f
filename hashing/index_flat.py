"""Exact search by scanning the codes of one length: all with faiss.IndexBinaryFlat, or a selection by counting bits.

In: codes in the order of their rows, rows to hide, queries. Out: `Neighbours`.
Leaves lengths up to 16 bits, where buckets are far faster, to `index_bucket`.

Theory of operation. FAISS allows concurrent searches but no search beside an add, which may move the storage. Hence the
codes lie in a few segments of consecutive rows whose codes never change once written, and a search works on the tuple of
segments it found when it began: it takes no lock and never waits, not even while a million codes are merged. An add makes
a new segment, swallowing the last ones while they are small or less than FANOUT times as large, as a binary counter
carries: a code is copied O(log n) times in its life, and a million codes lie in at most four segments.

FAISS breaks ties by position (heap and counting mode, with and without selector; held by the contract suite), so its order
is ours: (distance, row). A largest distance is cut off after the search, as FAISS's range_search is strict and unbounded
in size. FAISS tests its selector code by code, which costs more than gathering the selected codes and counting their bits
unless nearly all are selected; its heap costs more than counting all and partitioning where k is large.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import faiss
import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt16

from hashing.codes import check_lengths
from hashing.index import Neighbours, Selection, check_codes, check_search
from hashing.index_nearest import count_differing_bits, take_nearest
from hashing.index_segment import Segment

MIN_SEGMENT = 4096  # copying so many 64-bit codes takes as long as two FAISS calls
FANOUT = 8
QUERY_BATCH = 32  # what FAISS scans for at once; bounds memory when k is large
SELECTOR_SHARE = 0.75  # at half of 1M x 128 random rows the selector takes 2.8 times as long as gathering
MAX_HEAP = 4096  # at k = 10,000 the heap takes 1.5 to 2.5 times as long as counting all
MAX_COUNTED = 1 << 24  # distances held at once while counting: 32 MiB


@final
class FlatIndex:
    """A `CodeIndex` of any length. Searches run in the caller's thread alone, whatever OpenMP is set to."""

    def __init__(self, bits: int) -> None:
        (self._bits,) = check_lengths([bits])
        self._segments: tuple[Segment, ...] = ()
        self._writing = threading.Lock()

    @property
    def bits(self) -> int:
        """Code length in bits."""
        return self._bits

    @property
    def n_rows(self) -> int:
        """How many rows it has, removed ones included."""
        return _stop(self._segments)

    def __len__(self) -> int:
        return sum(segment.n_rows - segment.n_dead for segment in self._segments)

    def add(self, codes: UInt8[np.ndarray, "n bytes"]) -> None:
        """Append n codes; see `CodeIndex.add`."""
        codes = check_codes(codes, bits=self._bits)
        if not len(codes):
            return
        with self._writing:
            segments, n_rows = self._segments, len(codes)
            kept = len(segments)
            while kept and segments[kept - 1].n_rows < max(MIN_SEGMENT, FANOUT * n_rows):
                kept -= 1
                n_rows += segments[kept].n_rows
            carried = segments[kept:]
            last = Segment.merged(carried, codes) if carried else Segment(_stop(segments), codes)
            self._segments = (*segments[:kept], last)

    def remove(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Hide these rows; see `CodeIndex.remove`."""
        wanted = np.unique(rows)
        with self._writing:
            return sum(segment.remove(segment.part_of(wanted)) for segment in self._segments)

    def codes(self, rows: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m bytes"]:
        """Return the codes of these rows; see `CodeIndex.codes`."""
        found = np.empty((len(rows), self._bits // 8), dtype=np.uint8)
        for segment, here, local in _located(self._segments, rows):
            found[here] = segment.codes.take(local, axis=0)
        return found

    def distances(
        self, code: UInt8[np.ndarray, " bytes"], rows: Int64[np.ndarray, " m"]
    ) -> UInt16[np.ndarray, " m"]:
        """Return the distances of one code to those in these rows; see `CodeIndex.distances`."""
        xq = check_codes(code[None], bits=self._bits)
        found = np.empty(len(rows), dtype=np.uint16)
        for segment, here, local in _located(self._segments, rows):
            found[here] = segment.distances(xq, local)
        return found

    def search(
        self,
        codes: UInt8[np.ndarray, "nq bytes"],
        *,
        k: int,
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[Neighbours]:
        """Return the nearest codes per query; see `CodeIndex.search`."""
        xq = check_codes(codes, bits=self._bits)
        check_search(k, max_distance)
        segments = self._segments
        if k > MAX_HEAP or (among is not None and among.share < SELECTOR_SHARE):
            return _count(segments, xq, k, max_distance, among)
        found = _scan(segments, xq, k, among)
        return found if max_distance is None else [_within(hits, max_distance) for hits in found]

    def scan(
        self, code: UInt8[np.ndarray, " bytes"], *, among: Selection | None = None
    ) -> tuple[Int64[np.ndarray, " m"], Int32[np.ndarray, " m"]]:
        """Return the rows of all live selected codes and their distances; see `CodeIndex.scan`."""
        xq = check_codes(code[None], bits=self._bits)
        segments = self._segments
        rows = [segment.live_rows(among) for segment in segments]
        distances = _distances(segments, rows, xq)
        return _joined(segments, rows), distances[0].astype(np.int32)


def _stop(segments: tuple[Segment, ...]) -> int:
    return segments[-1].stop if segments else 0


def _located(
    segments: tuple[Segment, ...], rows: Int64[np.ndarray, " m"]
) -> Iterator[tuple[Segment, slice | Int64[np.ndarray, " _h"], Int64[np.ndarray, " _h"]]]:
    """Yield the segments, which of the rows are theirs, and these counted from their start."""
    for segment in segments:
        if len(segments) == 1:
            yield segment, slice(None), rows
        elif len(here := np.flatnonzero((rows >= segment.start) & (rows < segment.stop))):
            yield segment, here, rows[here] - segment.start


def _scan(
    segments: tuple[Segment, ...], xq: UInt8[np.ndarray, "nq bytes"], k: int, among: Selection | None
) -> list[Neighbours]:
    """Return the k nearest per query by FAISS."""
    selected = [segment.live_bits(among) for segment in segments]
    found: list[Neighbours] = []
    with _one_thread():
        for start in range(0, len(xq), QUERY_BATCH):
            batch = xq[start : start + QUERY_BATCH]
            parts = [part.search(batch, k, only) for part, only in zip(segments, selected, strict=True)]
            found += [_merge([part[row] for part in parts], k) for row in range(len(batch))]
    return found


def _count(
    segments: tuple[Segment, ...],
    xq: UInt8[np.ndarray, "nq bytes"],
    k: int,
    max_distance: int | None,
    among: Selection | None,
) -> list[Neighbours]:
    """Return the k nearest per query by counting the bits of all live selected codes."""
    local = [segment.live_rows(among) for segment in segments]
    rows = _joined(segments, local)
    found: list[Neighbours] = []
    batch = max(1, MAX_COUNTED // max(1, len(rows)))
    for start in range(0, len(xq), batch):
        distances = _distances(segments, local, xq[start : start + batch])
        found += [take_nearest(rows, counted, k=k, max_distance=max_distance) for counted in distances]
    return found


def _joined(
    segments: tuple[Segment, ...], rows: list[Int64[np.ndarray, " _m"] | None]
) -> Int64[np.ndarray, " n"]:
    """Return the segments' own rows as rows of the index."""
    parts = [
        np.arange(segment.start, segment.stop) if part is None else part + segment.start
        for segment, part in zip(segments, rows, strict=True)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int64), *parts])


def _distances(
    segments: tuple[Segment, ...],
    rows: list[Int64[np.ndarray, " _m"] | None],
    xq: UInt8[np.ndarray, "nq bytes"],
) -> UInt16[np.ndarray, "nq n"]:
    parts = [
        count_differing_bits(xq, segment.codes, part) for segment, part in zip(segments, rows, strict=True)
    ]
    return (
        parts[0] if len(parts) == 1 else np.concatenate([np.empty((len(xq), 0), np.uint16), *parts], axis=1)
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep FAISS in the calling thread: two threads took p99 from 0.25 to 30 ms on a busy machine (03-service).

    OpenMP's setting belongs to the calling thread, so setting it once at start leaves all other threads as they were.
    """
    n_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(n_threads)


def _merge(parts: list[Neighbours], k: int) -> Neighbours:
    """Return the k first of all parts, whose rows ascend from part to part."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)])
    distances = np.concatenate([np.empty(0, np.int32), *(part.distances for part in parts)])
    first = np.argsort(distances, kind="stable")[:k]
    return Neighbours(rows=rows[first], distances=distances[first])


def _within(hits: Neighbours, max_distance: int) -> Neighbours:
    n_near = int(np.searchsorted(hits.distances, max_distance, side="right"))
    return Neighbours(rows=hits.rows[:n_near], distances=hits.distances[:n_near])
