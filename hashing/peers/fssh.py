"""FSSH: codes between the labels and the features, whose product is to be the similarity of all pairs.

In: embeddings and labels. Out: code records. Leaves the features to `SupervisedProjectionHasher`.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float, Float64

from hashing.features import unit_rows
from hashing.peers.projection import Projections
from hashing.peers.supervised import SupervisedProjectionHasher, check_parameters, similarity_product
from hashing.ridge import FeatureRidge


@final
class FSSHHasher(SupervisedProjectionHasher):
    """Fast scalable supervised hashing: lowers ||S - YG (XW)'||^2 + mu ||B - YG||^2 + theta ||B - XW||^2 over G, W and B.

    All three have closed forms. S, 1 for samples of the same class and else -1, is never held: it stands only in SY, and
    is 2 UU' - 11', where U has the rows of Y at unit length. Of samples with several labels that is twice the cosine of
    their label vectors less one, between -1 (none shared) and 1 (the same). New samples are encoded by the signs of XP,
    P a ridge regression onto B. Samples without labels are left out; a missing entry counts as 0. Every length is learned
    on its own. Nothing balances the bits: with few classes some are constant.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes all labelled rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        mu: Weight of the fit to the labels.
        theta: Weight of the fit to the features.
        lp: Ridge of P and, for W, of X'X, as if below X stood sqrt(lp) I with similarities and codes of 0.
        n_iterations: How often G, W and B are updated.
        random_state: Seed of anchors and of the first B and W.

    Source: Luo, Nie, He, Wu, Chen and Xu, Fast scalable supervised hashing, SIGIR 2018; P in place of W for new samples,
        and lp, as in public code of it, since W ranks far worse. Differs from the paper: X'X and Y'Y need not
        be invertible (lp, pseudo-inverse); S of several labels is graded; features are centred but not scaled to unit
        variance, and the width of the kernel is that of `fit_features` (median distance) in place of a fixed 0.4.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        features: str = "rbf",
        n_anchors: int | None = None,
        normalize: bool = True,
        mu: float = 1e4,
        theta: float = 1e-2,
        lp: float = 1.0,
        n_iterations: int = 5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.features = features
        self.n_anchors = n_anchors
        self.normalize = normalize
        self.mu = mu
        self.theta = theta
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
            above_zero={"mu": self.mu, "theta": self.theta, "lp": self.lp},
            at_least_one={"n_iterations": self.n_iterations},
        )
        ridge = FeatureRidge(features, self.lp)
        return {bits: self._learn_projection(features, targets, ridge, bits, rng) for bits in lengths}

    def _learn_projection(
        self,
        features: Float64[np.ndarray, "n m"],
        targets: Float[np.ndarray, "n c"],
        ridge: FeatureRidge,
        bits: int,
        rng: np.random.Generator,
    ) -> Float64[np.ndarray, "m bits"]:
        similar = similarity_product(unit_rows(targets), targets)
        similar_fit = ridge.fit(similar)
        overlap = targets.T @ targets
        inverse_overlap = np.linalg.pinv(overlap, hermitian=True)
        codes = rng.choice((-1.0, 1.0), size=(len(features), bits))
        projection = rng.normal(size=(features.shape[1], bits))
        scores = features @ projection
        for _ in range(self.n_iterations):
            drawn = self.mu * (targets.T @ codes) + similar.T @ scores
            gram = scores.T @ scores + self.lp * (projection.T @ projection)
            words = inverse_overlap @ _divide(drawn, gram, self.mu)
            drawn = self.theta * ridge.fit(codes) + similar_fit @ words
            projection = _divide(drawn, words.T @ overlap @ words, self.theta)
            scores = features @ projection
            codes = np.where(self.mu * (targets @ words) + self.theta * scores > 0, 1.0, -1.0)
        return ridge.fit(codes)


def _divide(
    matrix: Float64[np.ndarray, "m bits"], gram: Float64[np.ndarray, "bits bits"], weight: float
) -> Float64[np.ndarray, "m bits"]:
    """Return matrix (weight I + gram)^-1."""
    quotient: Float64[np.ndarray, "m bits"] = np.linalg.solve(gram + weight * np.eye(len(gram)), matrix.T).T
    return quotient
