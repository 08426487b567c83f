"""Exact search by scanning all codes of one length with faiss.IndexBinaryFlat.

In: codes with ascending image ids, ids to hide, queries. Out: `Neighbours`.
Leaves lengths up to 16 bits, where buckets are far faster, to `index_bucket`.

Theory of operation. FAISS allows concurrent searches but no search beside an add, which may move the storage. Hence the
codes lie in a few segments whose codes never change once written, and a search works on the tuple of segments it found
when it began: it takes no lock and never waits, not even while a million codes are merged. An add makes a new segment,
swallowing the last ones while they are small or less than FANOUT times as large, as a binary counter carries: a code is
copied O(log n) times in its life, and a million codes lie in at most four segments.

FAISS's ids are positions in a segment. They ascend as image ids do, and FAISS breaks ties by them (heap and counting
mode, with and without selector; held by the contract suite), so its order is ours: (distance, image_id). A largest
distance is cut off after the search, as FAISS's range_search is strict and unbounded in size.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import faiss
import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from hashing.codes import check_lengths
from hashing.index import NO_ID, Neighbours, check_codes, check_new_ids, check_search

MIN_SEGMENT = 4096  # copying so many 64-bit codes takes as long as two FAISS calls
FANOUT = 8
MAX_OVERFETCH = 512  # fetching 500 more costs 0.3 of a scan of 1M x 64 bits; a selector costs 0.9, always
QUERY_BATCH = 32  # what FAISS scans for at once; bounds memory when k is large


@final
class FlatIndex:
    """A `CodeIndex` of any length. Searches run in the caller's thread alone, whatever OpenMP is set to."""

    def __init__(self, bits: int) -> None:
        (self._bits,) = check_lengths([bits])
        self._segments: tuple[_Segment, ...] = ()
        self._last_id = NO_ID
        self._writing = threading.Lock()

    @property
    def bits(self) -> int:
        """Code length in bits."""
        return self._bits

    def __len__(self) -> int:
        return sum(segment.n_rows - segment.n_dead for segment in self._segments)

    def add(self, image_ids: Int64[np.ndarray, " n"], codes: UInt8[np.ndarray, "n bytes"]) -> None:
        """Append n codes; see `CodeIndex.add`."""
        codes = check_codes(codes, bits=self._bits)
        with self._writing:
            image_ids = check_new_ids(image_ids, n_codes=len(codes), last_id=self._last_id)
            if not len(image_ids):
                return
            kept, n_rows = len(self._segments), len(image_ids)
            while kept and self._segments[kept - 1].n_rows < max(MIN_SEGMENT, FANOUT * n_rows):
                kept -= 1
                n_rows += self._segments[kept].n_rows
            parts = [segment.live() for segment in self._segments[kept:]] + [(image_ids, codes)]
            merged = _Segment(*(np.concatenate(part) for part in zip(*parts, strict=True)))
            self._segments = (*self._segments[:kept], merged)
            self._last_id = int(image_ids[-1])

    def remove(self, image_ids: Int64[np.ndarray, " n"]) -> int:
        """Hide these ids; see `CodeIndex.remove`. A segment is copied once half of it is dead."""
        wanted = np.unique(image_ids)
        with self._writing:
            removed = sum(segment.remove(wanted) for segment in self._segments)
            if any(segment.half_dead for segment in self._segments):
                shrunk = (_Segment(*part.live()) if part.half_dead else part for part in self._segments)
                self._segments = tuple(segment for segment in shrunk if segment.n_rows)
        return removed

    def search(
        self, codes: UInt8[np.ndarray, "nq bytes"], *, k: int, max_distance: int | None = None
    ) -> list[Neighbours]:
        """Return the nearest codes per query; see `CodeIndex.search`."""
        xq = check_codes(codes, bits=self._bits)
        check_search(k, max_distance)
        segments = self._segments
        found: list[Neighbours] = []
        with _one_thread():
            for start in range(0, len(xq), QUERY_BATCH):
                batch = xq[start : start + QUERY_BATCH]
                parts = [segment.search(batch, k) for segment in segments]
                found += [_merge([part[row] for part in parts], k) for row in range(len(batch))]
        return found if max_distance is None else [_within(hits, max_distance) for hits in found]


class _Segment:
    """Codes that never change, with tombstones that only grow; one writer, any number of searches."""

    def __init__(self, image_ids: Int64[np.ndarray, " n"], codes: UInt8[np.ndarray, "n bytes"]) -> None:
        self._index = faiss.IndexBinaryFlat(8 * codes.shape[1])
        self._index.add(codes)
        self._image_ids = image_ids
        self._live_bits = np.full((len(image_ids) + 7) // 8, 255, dtype=np.uint8)
        self._only_live = faiss.SearchParameters(  # type: ignore[call-arg]  # FAISS's stub lacks its own wrapper
            sel=faiss.IDSelectorBitmap(self._live_bits)  # type: ignore[call-arg,arg-type]
        )
        self.n_rows = len(image_ids)
        self.n_dead = 0

    @property
    def half_dead(self) -> bool:
        """Whether dropping the dead rows pays."""
        return 2 * self.n_dead >= self.n_rows

    def live(self) -> tuple[Int64[np.ndarray, " n"], UInt8[np.ndarray, "n bytes"]]:
        """Return ids and codes of the live rows."""
        codes = self._index.reconstruct_n(0, self.n_rows)
        if not self.n_dead:
            return self._image_ids, codes
        live = self._is_live(np.arange(self.n_rows))
        return self._image_ids[live], codes[live]

    def remove(self, image_ids: Int64[np.ndarray, " wanted"]) -> int:
        """Mark the rows of these distinct ids dead; returns how many were live."""
        rows = np.searchsorted(self._image_ids, image_ids)
        rows = rows[self._image_ids[np.minimum(rows, self.n_rows - 1)] == image_ids]
        rows = rows[self._is_live(rows)]
        np.bitwise_and.at(self._live_bits, rows >> 3, ~(1 << (rows & 7)).astype(np.uint8))
        self.n_dead += len(rows)
        return len(rows)

    def search(self, xq: UInt8[np.ndarray, "nq bytes"], k: int) -> list[Neighbours]:
        """Return the k nearest live rows per query."""
        distances, rows, kept = self._fetch(xq, k)
        found = []
        for q in range(len(xq)):
            nearest = kept[q].nonzero()[0][:k]
            found.append(
                Neighbours(image_ids=self._image_ids[rows[q, nearest]], distances=distances[q, nearest])
            )
        return found

    def _fetch(
        self, xq: UInt8[np.ndarray, "nq bytes"], k: int
    ) -> tuple[Int32[np.ndarray, "nq k"], Int64[np.ndarray, "nq k"], Bool[np.ndarray, "nq k"]]:
        """Return distances and rows in total order, and which of them count: the k first of these are the answer."""
        while 0 < (n_dead := self.n_dead) <= MAX_OVERFETCH:
            n_fetched = min(k + n_dead, self.n_rows)
            distances, rows = self._index.search(xq, n_fetched)
            kept = self._is_live(rows)
            # Rows removed since n_dead was read may leave too few: look again.
            if n_fetched == self.n_rows or kept.sum(axis=1).min() >= k:
                return distances, rows, kept
        selected = self._only_live if n_dead else None
        distances, rows = self._index.search(xq, min(k, self.n_rows), params=selected)
        return distances, rows, rows >= 0

    def _is_live(self, rows: Int64[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        live: Bool[np.ndarray, "*shape"] = (self._live_bits[rows >> 3] >> (rows & 7) & 1).astype(bool)
        return live


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
    """Return the k first of all parts, whose ids ascend from part to part."""
    if len(parts) == 1:
        return parts[0]
    image_ids = np.concatenate([np.empty(0, np.int64), *(part.image_ids for part in parts)])
    distances = np.concatenate([np.empty(0, np.int32), *(part.distances for part in parts)])
    first = np.argsort(distances, kind="stable")[:k]
    return Neighbours(image_ids=image_ids[first], distances=distances[first])


def _within(hits: Neighbours, max_distance: int) -> Neighbours:
    n_near = int(np.searchsorted(hits.distances, max_distance, side="right"))
    return Neighbours(image_ids=hits.image_ids[:n_near], distances=hits.distances[:n_near])
