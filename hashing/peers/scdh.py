"""SCDH: codes drawn to a real twin that is balanced and decorrelated without any slack.

In: embeddings and labels. Out: code records. Leaves the features to `SupervisedProjectionHasher`.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float, Float64

from hashing.errors import CodeLengthError
from hashing.features import unit_rows
from hashing.peers.projection import Projections
from hashing.peers.supervised import SupervisedProjectionHasher, check_parameters, similarity_product
from hashing.ridge import FeatureRidge


@final
class SCDHHasher(SupervisedProjectionHasher):
    """Features regressed onto codes B that share a similarity matrix with a balanced, decorrelated real twin Z.

    Minimises, over P, Z and B in turn and each step exactly, so that no epoch raises it,

        ||bits S - Z B'||^2 + lam ||X P - B||^2 + alpha ||B - Z||^2 + beta ||P||^2   with Z'1 = 0 and Z'Z = n I,

    where S = 2 Y Y' - 1 1' of label vectors Y of length 1. S is never held: an epoch takes O(n bits (bits + classes)).
    Samples without labels are left out. Every length is learned on its own.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024; less than the number of labelled samples.
        epochs: Rounds of P, Z and B.
        alpha: How close B is drawn to Z.
        beta: Ridge of P.
        lam: How close B is drawn to what features can predict.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes all labelled rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        random_state: Seed of anchors, first codes and what the codes leave open of Z.

    Source: Chen, Tian, Zhang, Wang and Zhang, Strongly constrained discrete hashing, IEEE TIP 2020. The paper's text was
        not at hand: objective and defaults are those of its published code, the steps are derived from the objective.
        Differs from the code: P is fitted once more to the last codes; Z comes of a singular value decomposition; at
        most 1,000 anchors, not 2,000, and squared distances in the kernel.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        epochs: int = 10,
        alpha: float = 0.1,
        beta: float = 1.0,
        lam: float = 10.0,
        features: str = "rbf",
        n_anchors: int | None = None,
        normalize: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.epochs = epochs
        self.alpha = alpha
        self.beta = beta
        self.lam = lam
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
            above_zero={"alpha": self.alpha, "beta": self.beta, "lam": self.lam},
            at_least_one={"epochs": self.epochs},
        )
        if lengths[-1] >= len(targets):
            raise CodeLengthError(
                "Codes of SCDHHasher are decorrelated, which takes more labelled samples than bits, "
                f"got {len(targets)} samples for {lengths[-1]} bits. Label more, or leave out longer codes."
            )
        ridge = FeatureRidge(features, self.beta / self.lam)
        projections: Projections = {}
        for bits in lengths:
            codes, _ = twin_codes(
                targets,
                features,
                bits,
                ridge=ridge,
                alpha=self.alpha,
                lam=self.lam,
                epochs=self.epochs,
                rng=rng,
            )
            projections[bits] = ridge.fit(codes)
        return projections


def twin_codes(
    targets: Float[np.ndarray, "n c"],
    features: Float64[np.ndarray, "n m"],
    bits: int,
    *,
    ridge: FeatureRidge,
    alpha: float,
    lam: float,
    epochs: int,
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, "n bits"], Float64[np.ndarray, "n bits"]]:
    """Return the codes B (+1/-1) and their real twin Z, both after `epochs` rounds of exact steps.

    Args:
        targets: 1 where a sample has a class.
        features: What the codes are predicted from.
        bits: The length of the codes, less than n.
        ridge: Of these features, with the penalty beta / lam.
        alpha: Weight of ||B - Z||^2.
        lam: Weight of ||X P - B||^2.
        epochs: How many rounds.
        rng: Draws the first codes and directions of Z that the codes leave open.
    """
    unit_labels = unit_rows(targets)
    twin = rng.normal(size=(len(targets), bits))
    codes = _signs(twin)
    for _ in range(epochs):
        predicted = features @ ridge.fit(codes)
        twin = nearest_decorrelated(bits * similarity_product(unit_labels, codes) + alpha * codes, rng)
        codes = _signs(bits * similarity_product(unit_labels, twin) + alpha * twin + lam * predicted)
    return codes, twin


def nearest_decorrelated(
    matrix: Float64[np.ndarray, "n bits"], rng: np.random.Generator
) -> Float64[np.ndarray, "n bits"]:
    """Return Z nearest to the matrix among those with Z'Z = n I and Z'1 = 0: the polar factor of its centred self.

    Where that has a lower rank than columns, random directions fill up; all are equally near.
    """
    n, bits = matrix.shape
    centred = matrix - matrix.mean(axis=0)
    u, singular, vt = np.linalg.svd(centred, full_matrices=False)
    rank = np.count_nonzero(singular > singular[0] * n * np.finfo(float).eps)
    free = rng.normal(size=(n, bits - rank))
    free -= free.mean(axis=0)
    free -= u[:, :rank] @ (u[:, :rank].T @ free)
    filled = np.hstack([u[:, :rank], np.linalg.qr(free)[0]])
    return np.asarray(np.sqrt(n) * filled @ vt)


def _signs(scores: Float64[np.ndarray, "n bits"]) -> Float64[np.ndarray, "n bits"]:
    return np.where(scores > 0, 1.0, -1.0)
