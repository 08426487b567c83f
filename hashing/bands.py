"""Bands of bits: pieces of codes that are compared as numbers.

In: packed codes, ranges of bits. Out: the bits of a range as one number per code, codes as words, distances between words.
Leaves what equal bands say about distances to `near_duplicates` and `band_table`.

Convention: bit 0 is the low bit of byte 0; words stand by column, (words, n), so that distances run along memory.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Int32, Int64, UInt, UInt8, UInt64

MAX_BAND_BITS = 64


def band_edges(bits: int, n_bands: int) -> list[tuple[int, int]]:
    """Return `n_bands` disjoint ranges [start, stop) that cover all bits; their widths differ by at most one."""
    edges = [bits * band // n_bands for band in range(n_bands + 1)] if n_bands else []
    return list(pairwise(edges))


def band_values(codes: UInt8[np.ndarray, "n bytes"], start: int, stop: int) -> UInt64[np.ndarray, " n"]:
    """Return bits start..stop-1 of every code as a number; at most `MAX_BAND_BITS` of them."""
    values = np.zeros(len(codes), dtype=np.uint64)
    for byte in range(start // 8, -(-stop // 8)):
        part, shift = codes[:, byte].astype(np.uint64), 8 * byte - start
        values |= part << shift if shift >= 0 else part >> -shift
    return values & np.uint64((1 << (stop - start)) - 1)


def as_words(codes: UInt8[np.ndarray, "n bytes"]) -> UInt[np.ndarray, "words n"]:
    """Return the codes as columns of the widest words that they divide into."""
    width = next(size for size in (8, 4, 2, 1) if codes.shape[1] % size == 0)
    return np.ascontiguousarray(np.ascontiguousarray(codes).view(f"<u{width}").T)


def word_distances(
    words: UInt[np.ndarray, "words n"],
    at: Int64[np.ndarray, " m"] | slice,
    others: UInt[np.ndarray, "words n2"],
    others_at: Int64[np.ndarray, " m"] | int,
) -> Int32[np.ndarray, " m"]:
    """Return the Hamming distances in bits between codes `at` of the ones and `others_at` of the others."""
    distances = np.zeros(len(words[0, at]), dtype=np.int32)
    for column, other in zip(words, others, strict=True):
        distances += np.bitwise_count(column[at] ^ other[others_at])
    return distances
