"""FSDH: SDH with the regression turned round, so that all bits of a code have a closed form.

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
class FSDHHasher(SupervisedProjectionHasher):
    """Fast supervised discrete hashing: lowers ||B - YW||^2 + lam ||W||^2 + nu ||B - XP||^2 over codes B, W and P in turn.

    W and P are ridge regressions, B = sgn(YW + nu XP). New samples are encoded by the signs of XP. Samples without labels
    are left out; a missing entry counts as 0. Every length is learned on its own. Nothing balances the bits: with few classes
    some are constant.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes all labelled rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        lam: Ridge of W.
        nu: Weight of the fit to the features.
        lp: Ridge of P.
        n_iterations: How often B, W and P are updated.
        random_state: Seed of anchors and first codes.

    Source: Gui, Liu, Sun, Tao and Tan, Fast supervised discrete hashing, TPAMI 40(2), 2018 (arXiv 1904.03556). Differs
        from the paper: features are centred, and the width of the kernel is that of `fit_features` (median distance) in
        place of a fixed 0.4.
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
            at_least_one={"n_iterations": self.n_iterations},
        )
        ridge = FeatureRidge(features, self.lp)
        overlap = targets.T @ targets
        projections: Projections = {}
        for bits in lengths:
            codes = rng.choice((-1.0, 1.0), size=(len(features), bits))
            for _ in range(self.n_iterations):
                words = solve_ridge(overlap, targets.T @ codes, ridge=self.lam)
                scores = targets @ words + self.nu * (features @ ridge.fit(codes))
                codes = np.where(scores > 0, 1.0, -1.0)
            projections[bits] = ridge.fit(codes)
        return projections
