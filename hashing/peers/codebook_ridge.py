"""Class codebook and ridge regression: the supervised baseline without iterations.

In: embeddings and labels. Out: code records. It beats discrete methods far more elaborate (01-hashing, finding 3), so it
stands in every comparison.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float, Float64

from hashing.codebook import class_codebooks
from hashing.features import FeatureKind
from hashing.peers.projection import Projections
from hashing.peers.supervised import SupervisedProjectionHasher
from hashing.ridge import DEFAULT_LP, FeatureRidge


@final
class CodebookRidgeHasher(SupervisedProjectionHasher):
    """Features regressed onto well separated codewords of their classes; samples without labels are left out.

    With several labels the codewords vote, bit by bit; a tie asks nothing of that bit.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes all labelled rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        lp: Ridge; None takes that of `JointHasher`.
        random_state: Seed of codebooks and anchors.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        features: str = "rbf",
        n_anchors: int | None = None,
        normalize: bool = True,
        lp: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.features = features
        self.n_anchors = n_anchors
        self.normalize = normalize
        self.lp = lp
        self.random_state = random_state

    def _learn_projections(
        self,
        features: Float64[np.ndarray, "n m"],
        targets: Float[np.ndarray, "n c"],
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Projections:
        ridge = FeatureRidge(features, DEFAULT_LP[FeatureKind(self.features)] if self.lp is None else self.lp)
        books = class_codebooks(targets.shape[1], lengths, nested=False, rng=rng)
        return {bits: ridge.fit(np.sign(targets @ words)) for bits, words in books.items()}
