"""Binary codes as bytes: packing, unpacking and Hamming distances.

In: signs (+1/-1) or packed bytes. Out: packed bytes or distances. Knows nothing of how codes are learned or searched.

Convention: a bit is 1 where the sign is positive; bit 0 is the low bit of byte 0.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from hashing.errors import CodeLengthError, CodeShapeError

MAX_BITS = 1024


def check_lengths(lengths: Sequence[int]) -> tuple[int, ...]:
    """Return the lengths as an ascending tuple.

    Raises:
        CodeLengthError: A length is not a multiple of 8 in 8..1024, appears twice, or there is none.
    """
    found = tuple(sorted(int(bits) for bits in lengths))
    if not found:
        raise CodeLengthError(
            "At least one code length is needed, got none. Give for example 16, 32, 64, 128."
        )
    for bits in found:
        if bits % 8 or not 8 <= bits <= MAX_BITS:
            raise CodeLengthError(f"Code lengths must be multiples of 8 from 8 to {MAX_BITS}, got {bits}.")
    if len(set(found)) != len(found):
        raise CodeLengthError(f"Code lengths must differ from each other, got {list(lengths)}.")
    return found


def pack_codes(
    signs: Float[np.ndarray, "n bits"] | Int[np.ndarray, "n bits"],
) -> UInt8[np.ndarray, "n bytes"]:
    """Return packed codes; a bit is set where the sign is positive (zero counts as negative)."""
    return np.packbits(np.asarray(signs) > 0, axis=1, bitorder="little")


def unpack_codes(codes: UInt8[np.ndarray, "n bytes"]) -> Int[np.ndarray, "n bits"]:
    """Return the signs (int8, +1 or -1) of packed codes."""
    return np.unpackbits(codes, axis=1, bitorder="little").astype(np.int8) * 2 - 1


def hamming_distances(
    xq: UInt8[np.ndarray, "nq bytes"], xb: UInt8[np.ndarray, "nb bytes"]
) -> Int[np.ndarray, "nq nb"]:
    """Return all Hamming distances in bits (int32).

    Raises:
        CodeShapeError: The two sides differ in width.
    """
    if xq.shape[1] != xb.shape[1]:
        raise CodeShapeError(
            f"Cannot compare codes of {8 * xq.shape[1]} bits with codes of {8 * xb.shape[1]} bits."
        )
    width = next(size for size in (8, 4, 2, 1) if xq.shape[1] % size == 0)
    words_q = np.ascontiguousarray(xq).view(f"u{width}")
    words_b = np.ascontiguousarray(xb).view(f"u{width}")
    distances = np.zeros((len(xq), len(xb)), dtype=np.int32)
    for word_q, word_b in zip(
        words_q.T, words_b.T, strict=True
    ):  # one word at a time keeps memory at nq x nb
        distances += np.bitwise_count(word_q[:, None] ^ word_b[None, :])
    return distances
