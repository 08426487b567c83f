"""PCA-ITQ: principal components, rotated until their signs lie close to them.

In: embeddings. Out: code records. Labels are ignored. The usual unsupervised method.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float, Float64

from hashing.features import FeatureKind, FeatureMap, fit_features
from hashing.labels import Labels
from hashing.peers.projection import ProjectionHasher, Projections

ROUNDS = 50  # Gong and Lazebnik


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
        axes = principal_axes(features[:, :-1])
        projections = {}
        for bits in lengths:
            leading = axes[:, :bits]
            scores = features[:, :-1] @ leading
            n_rotations = -(-bits // leading.shape[1])
            rotated = np.hstack([leading @ fit_rotation(scores, rng) for _ in range(n_rotations)])
            projections[bits] = np.vstack([rotated[:, :bits], np.zeros(bits)])
        return feature_map, projections


def principal_axes(centred: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "d rank"]:
    """Return the principal axes of centred samples, largest variance first, at least one; none without variance."""
    variances, axes = np.linalg.eigh(centred.T @ centred)
    rank = np.count_nonzero(variances > variances[-1] * len(variances) * np.finfo(float).eps)
    return axes[:, ::-1][:, : max(1, rank)]


def fit_rotation(scores: Float64[np.ndarray, "n r"], rng: np.random.Generator) -> Float64[np.ndarray, "r r"]:
    """Return a rotation R that makes ||sign(scores R) - scores R|| small: a fixed point of the two half steps."""
    rotation, _ = np.linalg.qr(rng.normal(size=(scores.shape[1], scores.shape[1])))
    for _ in range(ROUNDS):
        signs = np.where(scores @ rotation > 0, 1.0, -1.0)
        u, _, vt = np.linalg.svd(scores.T @ signs)
        rotation = u @ vt
    return rotation
