"""Locality-sensitive hashing: random hyperplanes, which learn nothing but the mean.

In: embeddings. Out: code records. Labels are ignored. The least a learned method has to beat.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float

from hashing.features import FeatureKind, FeatureMap, fit_features
from hashing.labels import Labels
from hashing.peers.projection import ProjectionHasher, Projections


@final
class LSHHasher(ProjectionHasher):
    """Signs of random projections of centred embeddings; Hamming distance estimates the angle around the mean.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        normalize: Scale embeddings to unit length first.
        random_state: Seed of the hyperplanes.

    Source: Charikar, Similarity estimation techniques from rounding algorithms, STOC 2002. Differs from the paper:
        hyperplanes pass through the training mean, because embeddings lie in a cone that planes through 0 hardly cut.
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
        projections = {bits: rng.normal(size=(embeddings.shape[1] + 1, bits)) for bits in lengths}
        for normals in projections.values():
            normals[-1] = 0.0  # no offset from the mean
        return feature_map, projections
