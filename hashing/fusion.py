"""Codes of any length by selecting bits of the codes there are: nothing is learned anew, stored records are enough.

In: codes or a fitted hasher, labels, a number of bits. Out: which bits to take, and codes made of them. How the codes
came about is the hashers' business.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import validate_data

from hashing.codes import pack_codes, unpack_codes
from hashing.errors import CodeLengthError, LabelError
from hashing.estimator import CodeEstimator
from hashing.joint import JointHasher
from hashing.labels import LabelInput, read_labels
from hashing.layout import CodeLayout


@dataclass(frozen=True, slots=True)
class BitSelection:
    """Bits of a code record that make a code of their own, the most telling first: so every prefix is a selection too.

    Attributes:
        columns: Which bits of the record.
    """

    columns: Int64[np.ndarray, " bits"]

    def codes(self, records: UInt8[np.ndarray, "n record_bytes"]) -> UInt8[np.ndarray, "n bytes"]:
        """Return the packed codes that records hold in these bits."""
        return pack_codes(unpack_codes(records)[:, self.columns])


def select_bits(records: UInt8[np.ndarray, "n record_bytes"], y: LabelInput, bits: int) -> BitSelection:
    """Return the bits that tell the classes apart best, chosen one after the other.

    Each bit is the one with which the class means of the chosen bits cost least as a codebook: the cost is that of
    `codebook.codebook_cost`, sum over classes i != j of exp(<m_i, m_j> / 2T), T = max(chosen / 16, 1/2).

    Args:
        records: Code records of labelled samples; the codes of all lengths compete.
        y: Their labels, in any form of `labels.read_labels`; unlabelled ones are left out.
        bits: How many.

    Raises:
        CodeLengthError: The records have fewer bits, or no multiple of 8 is asked for.
        LabelError: The labels tell no two samples apart.

    Source: the fusion that the abstract of SDMLH (IEEE Trans. Big Data) promises without formulas; ours is 01-hashing 1.7.
    """
    available = 8 * records.shape[1]
    if bits % 8 or not 8 <= bits <= available:
        raise CodeLengthError(
            f"Bits can be selected in multiples of 8 from 8 to the {available} of these records, got {bits}."
        )
    labels = read_labels(y, len(records))
    if not labels.informative:
        raise LabelError(
            "Bits are selected by how they tell classes apart: expected samples of at least two classes, got "
            f"{labels.counts}. Label samples of at least two classes, or use a nested hasher and its prefixes."
        )
    known = labels.labelled
    counts = np.maximum(labels.targets[known].sum(axis=0), 1)
    means = labels.targets[known].T @ unpack_codes(records[known]) / counts[:, None]
    return BitSelection(_greedy(means, bits))


def _greedy(means: Float64[np.ndarray, "c columns"], bits: int) -> Int64[np.ndarray, " bits"]:
    inner = np.zeros((len(means), len(means)))
    off_diagonal = ~np.eye(len(means), dtype=bool)
    free = list(range(means.shape[1]))
    chosen: list[int] = []
    for _ in range(bits):
        temperature = max((len(chosen) + 1) / 16, 0.5)
        closeness = np.exp(inner / 2 / temperature) * off_diagonal
        costs = [
            float((closeness * np.exp(np.outer(means[:, k], means[:, k] / 2 / temperature))).sum())
            for k in free
        ]
        best = free.pop(int(np.argmin(costs)))
        chosen.append(best)
        inner += np.outer(means[:, best], means[:, best])
    return np.array(chosen, dtype=np.int64)


class FusedHasher(CodeEstimator):
    """Codes of lengths that were not trained, made of selected bits of a hasher's codes.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to the sum of the hasher's lengths.
        estimator: The hasher whose bits are used; None takes `JointHasher()`.

    Attributes:
        estimator_: The fitted hasher.
        selection_: Its bits, most telling first; a code of r bits is the first r.
        lengths_: Code lengths, ascending.
    """

    def __init__(
        self, *, lengths: Sequence[int] = (24, 48, 96), estimator: JointHasher | None = None
    ) -> None:
        self.lengths = lengths
        self.estimator = estimator

    def fit(self, X: ArrayLike, y: LabelInput) -> "FusedHasher":
        """Fit the hasher, then select bits of its codes of the same samples.

        Raises:
            CodeLengthError: A length is no multiple of 8 or above the sum of the hasher's.
            LabelError: The labels tell no two samples apart.
        """
        lengths = CodeLayout.of(self.lengths).lengths
        self.estimator_ = clone(JointHasher() if self.estimator is None else self.estimator).fit(X, y)
        self.selection_ = select_bits(self.estimator_.transform(X), y, lengths[-1])
        self.lengths_ = lengths
        validate_data(self, X, skip_check_array=True)  # remembers the width and the names of columns
        return self

    @property
    def _layout(self) -> CodeLayout:
        return CodeLayout(self.lengths_, nested=True)

    def _records(self, x: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        return self.selection_.codes(self.estimator_.encoder_.records(x))

    def _scores(self, x: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        scores = self.estimator_.encoder_.project(x)
        layout: CodeLayout = self.estimator_.encoder_.layout
        wanted = layout.lengths[-1:] if layout.nested else layout.lengths
        columns = np.hstack([scores[bits] for bits in wanted])[:, self.selection_.columns]
        return {bits: columns[:, :bits] for bits in self.lengths_}
