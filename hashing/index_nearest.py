"""Counting the bits in which codes differ, and taking the nearest: what indexes do without FAISS, and the funnel's second step.

In: queries, codes, the rows to look at. Out: distances, and the first ones in the order (distance, row).
Leaves which rows to look at, and whether that pays, to the indexes.
"""

import numpy as np
from jaxtyping import Int64, UInt8, UInt16

from hashing.index import Neighbours

CHUNK = 1 << 15  # rows at a time: their codes stay in the cache, however many rows there are


def count_differing_bits(
    xq: UInt8[np.ndarray, "nq bytes"],
    codes: UInt8[np.ndarray, "n bytes"],
    rows: Int64[np.ndarray, " m"] | None = None,
) -> UInt16[np.ndarray, "nq _m"]:
    """Return the distances in bits of every query to the codes in these rows, or to all; arrays are contiguous."""
    width = next(width for width in (8, 4, 2, 1) if xq.shape[1] % width == 0)
    queries, words = xq.view(f"u{width}"), codes.view(f"u{width}")
    distances = np.empty((len(xq), len(codes) if rows is None else len(rows)), dtype=np.uint16)
    total = np.uint8 if 8 * xq.shape[1] <= np.iinfo(np.uint8).max else np.uint16
    for start in range(0, distances.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        columns = (words[part] if rows is None else words.take(rows[part], axis=0)).T
        for counted, query in zip(distances, queries, strict=True):
            differing = np.bitwise_count(columns[0] ^ query[0]).astype(total, copy=False)
            for column, word in zip(columns[1:], query[1:], strict=True):
                differing += np.bitwise_count(column ^ word)
            counted[part] = differing
    return distances


def take_nearest(
    rows: Int64[np.ndarray, " m"],
    distances: UInt16[np.ndarray, " m"],
    *,
    k: int,
    max_distance: int | None = None,
) -> Neighbours:
    """Return the k first in the order (distance, row), of rows that ascend, within max_distance."""
    limit = int(np.partition(distances, k - 1)[k - 1]) if k < len(distances) else None
    if max_distance is not None:
        limit = max_distance if limit is None else min(limit, max_distance)
    if limit is not None:
        near = np.flatnonzero(distances <= limit)
        rows, distances = rows[near], distances[near]
    first = np.argsort(distances, kind="stable")[:k]
    return Neighbours(rows=rows[first], distances=distances[first].astype(np.int32))
