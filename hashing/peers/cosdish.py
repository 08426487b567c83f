"""COSDISH: discrete codes fitted to columns of the similarity matrix, other ones at every turn.

In: embeddings and labels. Out: code records. Leaves the features to `SupervisedProjectionHasher`.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float, Float32, Float64

from hashing.errors import HashingError
from hashing.peers.projection import Projections
from hashing.peers.supervised import SupervisedProjectionHasher, check_parameters
from hashing.ridge import FeatureRidge


@final
class COSDISHHasher(SupervisedProjectionHasher):
    """Features regressed onto codes whose inner products fit sampled columns of the similarity matrix S.

    S_ij is 1 if samples i and j share a label, else -1; it is never held. The codes of the sampled columns' own rows
    are fitted bit by bit to what earlier bits leave of `bits * S` (a binary quadratic program, `balanced_minimum`),
    then those of all other rows are the signs of S times them, which is exact in absolute error. Samples without
    labels are left out. Every length is learned on its own.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        n_columns: Columns sampled at a time; None takes as many as bits, as the paper does. A sweep takes
            O(n_columns^3 bits) besides O(n n_columns bits).
        n_samplings: How often columns are sampled.
        n_sweeps: Sweeps for the same columns.
        lp: Ridge of the regression onto the codes.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes all labelled rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        random_state: Seed of anchors, columns and first codes.

    Source: Kang, Li and Zhou, Column sampling based discrete supervised hashing, AAAI 2016; the quadratic program and the
        defaults are checked against published code. New samples get the codes of its linear classifier, not of its
        boosted trees. Differs from both: radial features by default. Differs from the code: like and unlike pairs
        count alike.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        n_columns: int | None = None,
        n_samplings: int = 10,
        n_sweeps: int = 3,
        lp: float = 1.0,
        features: str = "rbf",
        n_anchors: int | None = None,
        normalize: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.n_columns = n_columns
        self.n_samplings = n_samplings
        self.n_sweeps = n_sweeps
        self.lp = lp
        self.features = features
        self.n_anchors = n_anchors
        self.normalize = normalize
        self.random_state = random_state

    def _learn_projections(
        self,
        features: Float64[np.ndarray, "n m"],
        targets: Float[np.ndarray, "n c"],
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Projections:
        check_parameters(
            above_zero={"lp": self.lp},
            at_least_one={"n_samplings": self.n_samplings, "n_sweeps": self.n_sweeps},
        )
        if self.n_columns is not None and self.n_columns < 2:
            raise HashingError(f"n_columns must be None or at least 2, got {self.n_columns}.")
        ridge = FeatureRidge(features, self.lp)
        projections: Projections = {}
        for bits in lengths:
            codes = column_sampled_codes(
                targets,
                bits,
                n_columns=self.n_columns or bits,
                n_samplings=self.n_samplings,
                n_sweeps=self.n_sweeps,
                rng=rng,
            )
            projections[bits] = ridge.fit(codes.astype(np.float64))
        return projections


def column_sampled_codes(
    targets: Float[np.ndarray, "n c"],
    bits: int,
    *,
    n_columns: int,
    n_samplings: int,
    n_sweeps: int,
    rng: np.random.Generator,
) -> Float32[np.ndarray, "n bits"]:
    """Return the codes (+1/-1) of n samples with these classes; never holds more than n x n_columns similarities.

    Args:
        targets: 1 where a sample has a class.
        bits: The length of the codes.
        n_columns: Columns drawn at a time, all if there are fewer.
        n_samplings: How often columns are drawn.
        n_sweeps: Sweeps for the same columns.
        rng: Draws the first codes and the columns.
    """
    n = len(targets)
    codes = rng.choice((-1.0, 1.0), size=(n, bits)).astype(np.float32)
    for _ in range(n_samplings):
        sample = rng.choice(n, size=min(n_columns, n), replace=False)
        rest = np.delete(np.arange(n), sample)
        inside = _similarities(targets[sample], targets[sample])
        across = _similarities(targets[rest], targets[sample])
        for _ in range(n_sweeps):
            codes[sample] = _fit_sample(inside, across, codes[rest])
            scores = across @ codes[sample]
            codes[rest] = np.where(scores == 0, codes[rest], np.sign(scores))
    return codes


def balanced_minimum(
    quadratic: Float64[np.ndarray, "r r"], linear: Float64[np.ndarray, " r"]
) -> Float64[np.ndarray, " r"]:
    """Return r signs b, half of them (rounded down) +1, that make b'Qb + p'b small.

    With x = (b + 1) / 2 and one more x that is always 1 and carries p, the form is x'Q~x and a constant. Take r + 1 points
    with inner products lambda I - Q~, lambda large enough: x'Q~x orders the choices of half of the first r points and
    the last one as the scatter of the chosen around their mean does. Every point in turn is a centre and takes the
    points nearest to it; the cluster of least scatter is returned. Squared distances of the best cluster from one of its
    members sum, in the mean over members, to twice its scatter; so some member finds one of at most twice the least.
    Squared distances are 2 (lambda + Q~_ij): lambda decides nothing and is not needed.

    Args:
        quadratic: Q, symmetric, its diagonal 0.
        linear: p.
    """
    nearness = np.vstack([4 * quadratic, linear - 2 * quadratic.sum(axis=1)])
    np.fill_diagonal(nearness, -np.inf)  # a centre is nearest to itself
    members = np.argsort(nearness, axis=1, kind="stable")[:, : len(linear) // 2]
    candidates = np.full(nearness.shape, -1.0)
    np.put_along_axis(candidates, members, 1.0, axis=1)
    costs = np.einsum("ir,ir->i", candidates @ quadratic + linear, candidates)
    best: Float64[np.ndarray, " r"] = candidates[np.argmin(costs)]
    return best


def _fit_sample(
    inside: Float32[np.ndarray, "r r"],
    across: Float32[np.ndarray, "rest r"],
    others: Float32[np.ndarray, "rest bits"],
) -> Float64[np.ndarray, "r bits"]:
    """Return codes of the sampled rows: bit by bit, what the bits before it leave of `bits * S`."""
    bits = others.shape[1]
    pull = bits * (across.T @ others).astype(np.float64)  # sums of signs, exact in float32
    overlap = (others.T @ others).astype(np.float64)
    residual = -2 * bits * inside.astype(np.float64)
    fitted = np.zeros((len(inside), bits))
    for k in range(bits):
        np.fill_diagonal(residual, 0.0)  # what b_i^2 = 1 counts is no choice
        linear = -2 * (pull[:, k] - fitted[:, :k] @ overlap[:k, k])
        fitted[:, k] = balanced_minimum(residual, linear)
        residual += 2 * np.outer(fitted[:, k], fitted[:, k])
    return fitted


def _similarities(
    rows: Float[np.ndarray, "n c"], columns: Float[np.ndarray, "r c"]
) -> Float32[np.ndarray, "n r"]:
    """Return 1 where two samples share a class, -1 elsewhere."""
    return np.where(rows @ columns.T > 0, np.float32(1), np.float32(-1))
