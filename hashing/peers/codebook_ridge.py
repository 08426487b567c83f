"""Class codebook and ridge regression: the supervised baseline without iterations.

In: embeddings and labels. Out: code records. It beats discrete methods far more elaborate (01-hashing, finding 3), so it
stands in every comparison.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float

from hashing.codebook import class_codebooks
from hashing.errors import HashingError, LabelError
from hashing.features import FeatureKind, FeatureMap, fit_features
from hashing.labels import Labels
from hashing.peers.projection import ProjectionHasher, Projections
from hashing.ridge import DEFAULT_LP, FeatureRidge


@final
class CodebookRidgeHasher(ProjectionHasher):
    """Features regressed onto well separated codewords of their classes; samples without labels are left out.

    With several labels the codewords vote, bit by bit; a tie asks nothing of that bit.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes a fifth of the labelled rows, at most 1,000.
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

    def _learn(
        self,
        embeddings: Float[np.ndarray, "n d"],
        labels: Labels,
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> tuple[FeatureMap, Projections]:
        if not labels.informative:
            raise LabelError(
                "CodebookRidgeHasher learns from labels alone: expected at least two samples of different classes, "
                "got none. Label some, or use ITQHasher."
            )
        kinds = [kind.value for kind in FeatureKind]
        if self.features not in kinds:
            raise HashingError(f"features must be one of {kinds}, got {self.features!r}.")
        kind = FeatureKind(self.features)
        known = labels.labelled
        feature_map = fit_features(
            embeddings[known], kind=kind, normalize=self.normalize, n_anchors=self.n_anchors, rng=rng
        )
        ridge = FeatureRidge(feature_map(embeddings[known]), DEFAULT_LP[kind] if self.lp is None else self.lp)
        books = class_codebooks(len(labels.classes), lengths, nested=False, rng=rng)
        votes = {bits: np.sign(labels.targets[known] @ words) for bits, words in books.items()}
        return feature_map, {bits: ridge.fit(vote) for bits, vote in votes.items()}
