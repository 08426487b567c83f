"""PCA-ITQ: principal components, rotated until their signs lie close to them.

In: embeddings. Out: code records. Labels are ignored. The usual unsupervised method.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float

from hashing.features import FeatureKind, FeatureMap, fit_features
from hashing.labels import Labels
from hashing.peers.projection import ProjectionHasher, Projections
from hashing.rotation import rotated_axes


@final
class ITQHasher(ProjectionHasher):
    """Signs of rotated principal component scores.

    Codes longer than the rank of the centred training embeddings are joined from several rotations of all components,
    each from a random start of its own.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        normalize: Scale embeddings to unit length first.
        random_state: Seed of the first rotations.

    Source: Gong and Lazebnik, Iterative quantization: a Procrustean approach to learning binary codes, CVPR 2011.
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
        features = feature_map(embeddings)
        projections = {
            bits: np.vstack([rotated_axes(features[:, :-1], bits, rng), np.zeros(bits)]) for bits in lengths
        }
        return feature_map, projections
