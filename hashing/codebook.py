"""Class codebooks: one well separated codeword per class and length, where the joint training starts.

In: numbers of classes and bits, a random generator. Out: signs. Knows nothing of samples.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

MAX_ROUNDS = 500  # of one flip per class each; up to some hundred classes climbing ends by itself far earlier
MAX_WORK = (
    3e8  # classes^2 * bits per round, seconds in all; thousands of classes keep their random words, which do
)


def class_codebook(
    n_classes: int,
    bits: int,
    *,
    rng: np.random.Generator,
    frozen: Float64[np.ndarray, "c prefix"] | None = None,
    known: Float64[np.ndarray, "some bits"] | None = None,
) -> Float64[np.ndarray, "c bits"]:
    """Return codewords (+1/-1) far from each other: a local minimum of `codebook_cost` under single flips.

    Args:
        n_classes: How many codewords. More than 2**bits is fine: some then coincide.
        bits: Their length.
        rng: Draws the random start.
        frozen: Leading columns that stay as they are; the others are fitted around them.
        known: Leading codewords that stay as they are.
    """
    prefix = np.empty((n_classes, 0)) if frozen is None else frozen
    free = slice(prefix.shape[1], bits)
    words = np.hstack([prefix, rng.choice((-1.0, 1.0), size=(n_classes, bits - prefix.shape[1]))])
    n_known = 0 if known is None else len(known)
    if known is not None:
        words[:n_known] = known
    temperature = _temperature(bits)
    rounds = min(MAX_ROUNDS, int(MAX_WORK / (n_classes**2 * bits)))
    for _ in range(rounds):
        order = n_known + rng.permutation(n_classes - n_known)
        if not sum(_flip_best_(words, i, free, temperature) for i in order.tolist()):
            break
    return words


def class_codebooks(
    n_classes: int,
    lengths: Sequence[int],
    *,
    nested: bool,
    rng: np.random.Generator,
    known: Mapping[int, Float64[np.ndarray, "some _bits"]] | None = None,
) -> dict[int, Float64[np.ndarray, "c _bits"]]:
    """Return one codebook per ascending length; if nested, each is a prefix of the next.

    Args:
        n_classes: How many codewords each has.
        lengths: Code lengths in bits, ascending.
        nested: Whether each is a prefix of the next.
        rng: Draws the random starts; that of a length does not depend on which other lengths there are.
        known: Codebooks whose words stay as the first.
    """
    seed = int(rng.integers(2**63))
    books: dict[int, Float64[np.ndarray, "c _bits"]] = {}
    last = None
    for bits in lengths:
        own = np.random.default_rng([seed, bits])
        last = books[bits] = class_codebook(
            n_classes, bits, rng=own, frozen=last if nested else None, known=known[bits] if known else None
        )
    return books


def codebook_cost(words: Float64[np.ndarray, "c bits"]) -> float:
    """Return sum over i != j of exp(-(distance_ij - bits/2) / T), T = max(bits/16, 1/2): close pairs cost most."""
    bits = words.shape[1]
    closeness = np.exp(words @ words.T / 2 / _temperature(bits))  # distance = (bits - inner product) / 2
    return float(closeness.sum() - np.trace(closeness))


def _temperature(bits: int) -> float:
    return max(bits / 16, 0.5)


def _flip_best_(words: Float64[np.ndarray, "c bits"], i: int, free: slice, temperature: float) -> bool:
    """Flip the one free bit of codeword i that lowers the cost most; False if none does."""
    closeness = np.exp(words @ words[i] / 2 / temperature)
    closeness[i] = 0.0
    agree = words[:, free] == words[i, free]
    step = np.exp(np.where(agree, -1.0, 1.0) / temperature)
    change = closeness @ step - closeness.sum()
    if change.size == 0 or change.min() >= -1e-12 * closeness.sum():
        return False
    words[i, free.start + int(change.argmin())] *= -1
    return True
