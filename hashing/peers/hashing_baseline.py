"""Hashing-Baseline: principal components in a random rotation, the method without labels or iterations.

In: embeddings. Out: code records. Labels are ignored. What is left of ITQ when nothing is learned but the components.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float

from hashing.features import FeatureKind, FeatureMap, fit_features
from hashing.labels import Labels
from hashing.peers.projection import ProjectionHasher, Projections
from hashing.rotation import principal_axes


@final
class HashingBaselineHasher(ProjectionHasher):
    """Signs of principal component scores, as many as bits, in a random rotation that spreads the variance over them.

    Codes longer than the rank of the centred training embeddings are joined from several rotations of all components.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        normalize: Scale embeddings to unit length first.
        random_state: Seed of the rotations.

    Source: Moummad, Zaher, Rauch and Joly, Hashing-Baseline: rethinking hashing in the age of pretrained models,
        arXiv 2509.14427, 2025. A sigmoid of the scores above 1/2 is a score above 0. Differs from the paper: queries
        are binary too, where the paper compares their sigmoids with the codes of the database; it has no codes longer
        than the rank.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        normalize: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.normalize = normalize
        self.random_state = random_state

    def _learn(
        self,
        embeddings: Float[np.ndarray, "n d"],
        labels: Labels,
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> tuple[FeatureMap, Projections]:
        del labels
        feature_map = fit_features(
            embeddings, kind=FeatureKind.LINEAR, normalize=self.normalize, n_anchors=None, rng=rng
        )
        axes = principal_axes(feature_map(embeddings)[:, :-1])
        projections: Projections = {}
        for bits in lengths:
            leading = axes[:, :bits]
            rank = leading.shape[1]
            rotations = [np.linalg.qr(rng.normal(size=(rank, rank)))[0] for _ in range(-(-bits // rank))]
            rotated = leading @ np.hstack(rotations)[:, :bits]
            projections[bits] = np.vstack([rotated, np.zeros(bits)])  # no offset from the mean
        return feature_map, projections
