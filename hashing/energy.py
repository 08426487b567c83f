"""The objective as a function of codes alone, and the bit rule that lowers it (01-hashing 1.5).

In: codes, a quadratic energy per sample. Out: flipped bits. Serves training and joint encoding alike; knows nothing of
where the energy comes from.

Convention: here samples are columns, so that all samples of one bit lie side by side in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

# Of the largest field of a sample: rounding noise, not a reason to flip. In units of the rounding of the number type.
TIE = 2.0**10


@runtime_checkable
class Curvature(Protocol):
    """A positive semidefinite matrix per sample, of which only products and single columns are ever needed."""

    def product(self, codes: Float[np.ndarray, "columns n"], block: slice) -> Float[np.ndarray, "block n"]:
        """Return the rows `block` of A_i b_i."""
        ...

    def diagonal(self, block: slice) -> Float[np.ndarray, "block _n"]:
        """Return the diagonals of A_i in `block`; one column if all samples are alike."""
        ...

    def column(
        self, k: int, block: slice, samples: Int[np.ndarray, " some"]
    ) -> Float[np.ndarray, "block _some"]:
        """Return the rows `block` of column k of A_i of these samples; one column if all are alike."""
        ...


@dataclass(frozen=True, slots=True)
class SharedCurvature:
    """A_i = A."""

    matrix: Float[np.ndarray, "columns columns"]

    def product(self, codes: Float[np.ndarray, "columns n"], block: slice) -> Float[np.ndarray, "block n"]:
        """Return the rows `block` of A b_i."""
        return np.asarray(self.matrix[block] @ codes)

    def diagonal(self, block: slice) -> Float[np.ndarray, "block 1"]:
        """Return the diagonal of A in `block`."""
        return np.diag(self.matrix)[block, None]

    def column(self, k: int, block: slice, samples: Int[np.ndarray, " some"]) -> Float[np.ndarray, "block 1"]:
        """Return the rows `block` of column k of A."""
        del samples
        return self.matrix[block, k : k + 1]


@dataclass(frozen=True, slots=True)
class ScaledCurvature:
    """A_i = w_i A: samples whose labels count differently."""

    matrix: Float[np.ndarray, "columns columns"]
    scale: Float[np.ndarray, " n"]

    def product(self, codes: Float[np.ndarray, "columns n"], block: slice) -> Float[np.ndarray, "block n"]:
        """Return the rows `block` of w_i A b_i."""
        return np.asarray(self.matrix[block] @ codes * self.scale)

    def diagonal(self, block: slice) -> Float[np.ndarray, "block n"]:
        """Return the diagonals of w_i A in `block`."""
        return np.outer(np.diag(self.matrix)[block], self.scale)

    def column(
        self, k: int, block: slice, samples: Int[np.ndarray, " some"]
    ) -> Float[np.ndarray, "block some"]:
        """Return the rows `block` of column k of w_i A of these samples."""
        return np.outer(self.matrix[block, k], self.scale[samples])


@dataclass(frozen=True, slots=True)
class EntryCurvature:
    """A_i = W diag(w_i) W^T: label entries that count differently, such as missing ones (01-hashing 1.7)."""

    label_map: Float[np.ndarray, "columns c"]
    scale: Float[np.ndarray, "c n"]

    def product(self, codes: Float[np.ndarray, "columns n"], block: slice) -> Float[np.ndarray, "block n"]:
        """Return the rows `block` of W (w_i * (W^T b_i))."""
        return np.asarray(self.label_map[block] @ (self.scale * (self.label_map.T @ codes)))

    def diagonal(self, block: slice) -> Float[np.ndarray, "block n"]:
        """Return sum_c W_kc^2 w_ic for every k in `block`."""
        return np.asarray(self.label_map[block] ** 2 @ self.scale)

    def column(
        self, k: int, block: slice, samples: Int[np.ndarray, " some"]
    ) -> Float[np.ndarray, "block some"]:
        """Return the rows `block` of W (w_i * W_k) of these samples."""
        return np.asarray(self.label_map[block] @ (self.scale[:, samples] * self.label_map[k][:, None]))


def merge(curvatures: Sequence[Curvature]) -> list[Curvature]:
    """Return curvatures of the same sum, all shared ones in one: each costs a product per block."""
    shared = [curvature.matrix for curvature in curvatures if isinstance(curvature, SharedCurvature)]
    others = [curvature for curvature in curvatures if not isinstance(curvature, SharedCurvature)]
    return [SharedCurvature(np.sum(shared, axis=0)), *others] if shared else others


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeEnergy:
    """b^T A_i b - 2 b^T c_i per sample i, where A_i is the sum of the curvatures."""

    linear: Float[np.ndarray, "columns n"]
    curvatures: Sequence[Curvature]

    def fields(self, codes: Float[np.ndarray, "columns n"], block: slice) -> Float[np.ndarray, "block n"]:
        """Return, for every bit k of a block, c_k - sum over j != k of A_kj b_j: what the rest wants it to be."""
        fields = self.linear[block].copy()
        for curvature in self.curvatures:
            fields -= curvature.product(codes, block)
            fields += curvature.diagonal(block) * codes[block]
        return fields

    def column(
        self, k: int, block: slice, samples: Int[np.ndarray, " some"]
    ) -> Float[np.ndarray, "block some"]:
        """Return the rows `block` of column k of A_i of these samples."""
        total = np.zeros((block.stop - block.start, len(samples)), dtype=self.linear.dtype)
        for curvature in self.curvatures:
            total += curvature.column(k, block, samples)
        return total


def descend_bits_(
    codes: Float[np.ndarray, "columns n"],
    energy: CodeEnergy,
    *,
    blocks: Sequence[slice],
    passes: int,
) -> Int[np.ndarray, " columns"]:
    """Flip every bit of every sample that lowers its energy, bit after bit; returns the flips of each bit.

    b_k <- sgn(field), unchanged at a tie: the energy falls by exactly 4 |field|. All samples of one bit are flipped at
    once: given the other blocks they are independent.

    Args:
        codes: Signs; changed in place.
        energy: What to lower.
        blocks: Columns to visit, block after block; bits outside all blocks stay.
        passes: Visits of each bit of a block before the next block, at most.

    Source: 01-hashing 1.5; discrete cyclic coordinate descent of SDH (Shen et al., CVPR 2015) for a joint energy.
    """
    flips = np.zeros(len(codes), dtype=np.int64)
    for block in blocks:
        own = codes[block]
        fields = energy.fields(codes, block)
        tie = TIE * np.finfo(fields.dtype).eps * np.abs(fields).max(axis=0)
        for _ in range(passes):
            before = flips[block].sum()
            for k in range(len(own)):
                moved = np.flatnonzero(fields[k] * own[k] < -tie)
                if not moved.size:
                    continue
                column = energy.column(block.start + k, block, moved)
                column[k] = 0.0  # a bit is no part of its own field
                fields[:, moved] += 2 * own[k, moved] * column
                own[k, moved] *= -1
                flips[block.start + k] += moved.size
            if flips[block].sum() == before:
                break
    return flips
