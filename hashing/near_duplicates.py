"""Near duplicates among many codes: pairs within a Hamming radius, and the clusters that they chain into.

In: packed codes of one length, a radius in bits. Out: pairs with distances, or a label per code.
Looks only at pairs whose codes agree in some bands of bits; leaves lookups during ingest to `band_table`.

Theory of operation. Cut the bits into r + s bands. Two codes within distance r differ in at most r of the bands, so they agree in s of
them. For each choice of s bands, codes are sorted by those bits and compared inside runs of equal ones only. A larger s means
more sorting, shorter runs; s = 0 compares all pairs. Codes decide: for s = 0..3 the runs of a few choices are counted, the cheapest s wins.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hashing.bands import MAX_BAND_BITS, as_words, band_edges, band_values, word_distances
from hashing.errors import HashingError
from hashing.index import check_codes

PAIRS_AT_ONCE = 1 << 20  # some 60 MB of intermediate arrays
MAX_AGREEING = 3
SORTING_COST = 8  # sorting a code once costs about as much as comparing so many pairs
DENSE_SHARE = 64  # where one pair in so many is near, most of the others have just become superfluous


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPairs:
    """Pairs of rows within the radius; row_a < row_b."""

    rows_a: Int64[np.ndarray, " m"]
    rows_b: Int64[np.ndarray, " m"]
    distances: Int32[np.ndarray, " m"]


def near_pairs(codes: UInt8[np.ndarray, "n bytes"], *, radius: int) -> Iterator[NearPairs]:
    """Yield every pair of codes within the radius exactly once, a bounded number at a time, in no order.

    n equal codes make n (n - 1) / 2 pairs: `near_clusters` is for galleries. Errors come with the first step.

    Args:
        codes: Codes of one length.
        radius: Largest Hamming distance in bits that counts (inclusive).

    Raises:
        CodeShapeError: The codes are no two-dimensional uint8 array.
        HashingError: The radius is below 0.
    """
    codes = _checked(codes, radius)
    if not len(codes):
        return
    words, banding = as_words(codes), _cheapest_banding(codes, radius)
    for choice in banding.choices:
        keys = banding.keys(codes, choice)
        order = np.argsort(keys, kind="stable")  # rows ascend within a run, so row_a < row_b
        ends = _run_ends(keys[order][1:] != keys[order][:-1])
        for _, a, b in _pair_blocks(np.arange(1, len(order) + 1), ends):
            rows_a, rows_b = order[a], order[b]
            distances = word_distances(words, rows_a, words, rows_b)
            near = np.flatnonzero(distances <= radius)
            near = near[banding.firsts(codes[rows_a[near]] ^ codes[rows_b[near]], choice)]
            if len(near):
                yield NearPairs(rows_a=rows_a[near], rows_b=rows_b[near], distances=distances[near])


def near_clusters(
    codes: UInt8[np.ndarray, "n bytes"],
    *,
    radius: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Int64[np.ndarray, " n"]:
    """Return for every row the smallest row of its cluster, itself when it is alone.

    A cluster is what chains of codes within the radius connect (single linkage), so its ends may be farther apart. Equal codes count
    once, and pairs that are connected already are passed over, so many equal or close codes cost little. Memory beside the codes
    is about 150 bytes per code and 100 MB.

    Args:
        codes: Codes of one length.
        radius: Largest Hamming distance in bits that connects (inclusive).
        on_progress: Called with (work done, work in all), in units that mean nothing else.

    Raises:
        CodeShapeError: The codes are no two-dimensional uint8 array.
        HashingError: The radius is below 0.
    """
    codes = _checked(codes, radius)
    first_rows, distinct_of = _distinct(codes)
    labels = _distinct_clusters(codes[first_rows], radius, on_progress)
    smallest = np.full(len(first_rows), len(codes), dtype=np.int64)
    np.minimum.at(smallest, labels, first_rows)
    clusters: Int64[np.ndarray, " n"] = smallest[labels][distinct_of]
    return clusters


def _checked(codes: UInt8[np.ndarray, "..."], radius: int) -> UInt8[np.ndarray, "n bytes"]:
    if radius < 0:
        raise HashingError(f"radius must be at least 0 bits, got {radius}.")
    return check_codes(codes, bits=8 * codes.shape[-1])


@dataclass(frozen=True, slots=True)
class _Banding:
    """Bands of which any two codes within the radius agree in `agreeing`."""

    bands: list[tuple[int, int]]
    agreeing: int

    @classmethod
    def of(cls, bits: int, radius: int, agreeing: int) -> "_Banding":
        most = MAX_BAND_BITS // max(
            agreeing, 1
        )  # so that a key is one word; looking at fewer bits loses no pair
        edges = band_edges(bits, radius + agreeing)
        return cls([(start, min(stop, start + most)) for start, stop in edges], agreeing)

    @property
    def choices(self) -> Iterator[tuple[int, ...]]:
        """Each choice of bands that may agree, in lexicographic order."""
        return combinations(range(len(self.bands)), self.agreeing)

    def keys(self, codes: UInt8[np.ndarray, "n bytes"], choice: tuple[int, ...]) -> UInt64[np.ndarray, " n"]:
        """Return the bits of the chosen bands as one number per code."""
        keys = np.zeros(len(codes), dtype=np.uint64)
        for start, stop in (self.bands[band] for band in choice):
            keys = (keys << (stop - start)) | band_values(codes, start, stop)
        return keys

    def firsts(
        self, differences: UInt8[np.ndarray, "m bytes"], choice: tuple[int, ...]
    ) -> Int64[np.ndarray, " m2"]:
        """Return the pairs, known to agree in the chosen bands, that agree in no earlier choice."""
        agreed = np.zeros(len(differences), dtype=np.int64)
        for start, stop in self.bands[: choice[-1] + 1 if choice else 0]:
            agreed += band_values(differences, start, stop) == 0
        return np.flatnonzero(agreed == self.agreeing)


def _cheapest_banding(codes: UInt8[np.ndarray, "n bytes"], radius: int) -> _Banding:
    bits, n_codes = 8 * codes.shape[1], len(codes)
    best, least = _Banding.of(bits, radius, 0), n_codes * (n_codes - 1) / 2
    for agreeing in range(1, MAX_AGREEING + 1):
        n_choices = math.comb(radius + agreeing, agreeing)
        if n_choices * SORTING_COST * n_codes >= least:
            break
        banding = _Banding.of(bits, radius, agreeing)
        ends = tuple(range(agreeing)), tuple(range(radius, radius + agreeing))
        n_pairs = sum(_n_pairs(banding.keys(codes, choice)) for choice in ends) / len(ends)
        cost = n_choices * (SORTING_COST * n_codes + n_pairs)
        if cost < least:
            best, least = banding, cost
    return best


def _n_pairs(keys: UInt64[np.ndarray, " n"]) -> int:
    sizes = np.unique_counts(keys).counts
    return int((sizes * (sizes - 1)).sum()) // 2


def _run_ends(changes: Bool[np.ndarray, " n_less_1"]) -> Int64[np.ndarray, " n"]:
    """Return where the run of every position ends; changes[i] says whether a run starts at i + 1."""
    ends = np.append(np.flatnonzero(changes) + 1, len(changes) + 1)
    return np.repeat(ends, np.diff(ends, prepend=0))


def _pair_blocks(
    firsts: Int64[np.ndarray, " n"], ends: Int64[np.ndarray, " n"]
) -> Iterator[tuple[int, Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]]:
    """Yield the pairs (i, firsts[i]), ..., (i, ends[i] - 1) of positions in blocks, each with the i at which the next begins."""
    sizes = ends - firsts
    totals = np.cumsum(sizes)
    start = done = 0
    while start < len(sizes):
        stop = max(start + 1, int(np.searchsorted(totals, done + PAIRS_AT_ONCE, side="right")))
        block = slice(start, stop)
        a = np.repeat(np.arange(start, stop), sizes[block])
        b = np.arange(done, done + len(a)) + np.repeat(
            firsts[block] + sizes[block] - totals[block], sizes[block]
        )
        yield stop, a, b
        start, done = stop, int(totals[stop - 1])


def _distinct(
    codes: UInt8[np.ndarray, "n bytes"],
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " n"]]:
    """Return the first row of every distinct code, and which of these each row has."""
    words = as_words(codes)
    order = np.lexsort(words)
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = np.any([word[order][1:] != word[order][:-1] for word in words], axis=0)
    distinct_of = np.empty(len(order), dtype=np.int64)
    distinct_of[order] = np.cumsum(is_new) - 1
    return order[is_new], distinct_of


def _distinct_clusters(
    codes: UInt8[np.ndarray, "n bytes"], radius: int, on_progress: Callable[[int, int], None] | None
) -> Int64[np.ndarray, " n"]:
    words, banding, n_codes = as_words(codes), _cheapest_banding(codes, radius), len(codes)
    work = n_codes * math.comb(len(banding.bands), banding.agreeing)
    labels = np.arange(n_codes)
    for number, choice in enumerate(banding.choices, start=1):
        keys = banding.keys(codes, choice)
        left = _in_company(keys)
        while len(left):
            order = left[np.lexsort((labels[left], keys[left]))]
            key_changes, label_changes = np.diff(keys[order]) != 0, np.diff(labels[order]) != 0
            ends = _run_ends(key_changes)
            firsts = _run_ends(key_changes | label_changes)  # partners of the same label lie before these
            for stop, a, b in _pair_blocks(firsts, ends):
                near = np.flatnonzero(word_distances(words, order[a], words, order[b]) <= radius)
                labels = _united(labels, order[a[near]], order[b[near]])
                left = order[stop:]
                if on_progress:
                    on_progress(number * n_codes - len(left), work)
                if len(near) * DENSE_SHARE > len(a):
                    break
        if on_progress:
            on_progress(number * n_codes, work)
    return labels


def _in_company(keys: UInt64[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    """Return the positions whose key another one has too."""
    order = np.argsort(keys)
    same = np.zeros(len(keys) + 1, dtype=np.bool_)
    same[1:-1] = keys[order][1:] == keys[order][:-1]
    return order[same[1:] | same[:-1]]


def _united(
    labels: Int64[np.ndarray, " n"], a: Int64[np.ndarray, " m"], b: Int64[np.ndarray, " m"]
) -> Int64[np.ndarray, " n"]:
    """Return the labels after joining the clusters of a[i] and b[i]; a label is a member's position."""
    apart = labels[a] != labels[b]
    if not apart.any():
        return labels
    roots, ends = np.unique(np.stack([labels[a[apart]], labels[b[apart]]]), return_inverse=True)
    links = coo_array((np.ones(len(ends[0]), np.bool_), (ends[0], ends[1])), shape=(len(roots),) * 2)
    _, components = connected_components(links, directed=False)
    _, chosen = np.unique(components, return_index=True)
    parents = np.arange(len(labels))
    parents[roots] = roots[chosen[components]]
    united: Int64[np.ndarray, " n"] = parents[labels]
    return united
