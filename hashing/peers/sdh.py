"""SDH: codes from which a linear classifier reads the labels, found bit by bit.

In: embeddings and labels. Out: code records. Leaves the features to `SupervisedProjectionHasher`.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float, Float64

from hashing.peers.projection import Projections
from hashing.peers.supervised import SupervisedProjectionHasher, check_parameters
from hashing.ridge import FeatureRidge, solve_ridge


@final
class SDHHasher(SupervisedProjectionHasher):
    """Supervised discrete hashing: lowers ||Y - BW||^2 + lam ||W||^2 + nu ||B - XP||^2 over codes B, W and P in turn.

    W and P are ridge regressions, B goes by discrete cyclic coordinate descent (`descend_bits`). New samples are encoded
    by the signs of XP. Samples without labels are left out; a missing entry counts as 0. Every length is learned on its
    own. Nothing balances the bits: with few classes some are constant.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes all labelled rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        lam: Ridge of the classifier W.
        nu: Weight of the fit to the features.
        lp: Ridge of P.
        n_iterations: How often B, W and P are updated.
        n_sweeps: At most so many passes over the bits in one update of B; fewer once no bit flips.
        random_state: Seed of anchors and first codes.

    Source: Shen, Shen, Liu and Shen, Supervised discrete hashing, CVPR 2015, with the L2 loss; random first codes, and lp,
        as in public code of it. Differs from the paper: features are centred, and the width of the kernel is that of
        `fit_features` (median distance) in place of a fixed 0.4.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        features: str = "rbf",
        n_anchors: int | None = None,
        normalize: bool = True,
        lam: float = 1.0,
        nu: float = 1e-5,
        lp: float = 1e-2,
        n_iterations: int = 5,
        n_sweeps: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.features = features
        self.n_anchors = n_anchors
        self.normalize = normalize
        self.lam = lam
        self.nu = nu
        self.lp = lp
        self.n_iterations = n_iterations
        self.n_sweeps = n_sweeps
        self.random_state = random_state

    def _learn_projections(
        self,
        features: Float64[np.ndarray, "n m"],
        targets: Float[np.ndarray, "n c"],
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Projections:
        check_parameters(
            above_zero={"lam": self.lam, "nu": self.nu, "lp": self.lp},
            at_least_one={"n_iterations": self.n_iterations, "n_sweeps": self.n_sweeps},
        )
        ridge = FeatureRidge(features, self.lp)
        projections: Projections = {}
        for bits in lengths:
            codes = rng.choice((-1.0, 1.0), size=(len(features), bits))
            for _ in range(self.n_iterations):
                classifier = solve_ridge(codes.T @ codes, codes.T @ targets, ridge=self.lam)
                pull = self.nu * (features @ ridge.fit(codes))
                codes = descend_bits(codes, targets, classifier, pull, n_sweeps=self.n_sweeps)
            projections[bits] = ridge.fit(codes)
        return projections


def descend_bits(
    codes: Float64[np.ndarray, "n bits"],
    targets: Float[np.ndarray, "n c"],
    classifier: Float64[np.ndarray, "bits c"],
    pull: Float64[np.ndarray, "n bits"],
    *,
    n_sweeps: int,
) -> Float64[np.ndarray, "n bits"]:
    """Return codes B (+1/-1) of lower or the same ||Y - BW||^2 - 2 tr(B' pull).

    Each bit in turn is set to the best sign given the others, for all samples at once: sgn(q - B'W'w), where q is its
    column of pull + YW', w its row of W, and B' and W' are the others. Holding Y - BW makes that O(n c), not O(n bits).

    Args:
        codes: Codes to start from.
        targets: Y, 1 where a sample has a class.
        classifier: W.
        pull: What each bit is drawn to besides.
        n_sweeps: At most so many passes over the bits.
    """
    codes = codes.copy()
    residual = targets - codes @ classifier
    for _ in range(n_sweeps):
        before = codes.copy()
        for k, weights in enumerate(classifier):
            scores = pull[:, k] + residual @ weights + codes[:, k] * (weights @ weights)
            flipped = (scores > 0) != (codes[:, k] > 0)
            codes[flipped, k] *= -1
            residual[flipped] -= 2 * np.outer(codes[flipped, k], weights)
        if (codes == before).all():
            break
    return codes
