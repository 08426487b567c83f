"""What the supervised peers share: the features of the labelled samples, from which each learns its projections.

In: embeddings and labels. Out: features and targets of the labelled samples, handed to the peer, and products with their
similarity. Leaves the codes to it.
"""

from abc import abstractmethod

import numpy as np
from jaxtyping import Float, Float64

from hashing.errors import HashingError, LabelError
from hashing.features import FeatureKind, FeatureMap, fit_features
from hashing.labels import Labels
from hashing.peers.projection import ProjectionHasher, Projections


class SupervisedProjectionHasher(ProjectionHasher):
    """A peer that learns from labelled samples alone. Others are left out; a missing entry counts as 0."""

    features: str
    n_anchors: int | None
    normalize: bool

    @abstractmethod
    def _learn_projections(
        self,
        features: Float64[np.ndarray, "n m"],
        targets: Float[np.ndarray, "n c"],
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Projections:
        """Return the projections of every length from n labelled samples, targets[i, k] = 1 where i has class k."""

    def _learn(
        self,
        embeddings: Float[np.ndarray, "n d"],
        labels: Labels,
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> tuple[FeatureMap, Projections]:
        if not labels.informative:
            raise LabelError(
                f"{type(self).__name__} learns from labels alone: expected at least two samples of different classes, "
                f"got {labels.counts}. Label samples of at least two classes, or use ITQHasher, which needs no labels."
            )
        kinds = [kind.value for kind in FeatureKind]
        if self.features not in kinds:
            raise HashingError(f"features must be one of {kinds}, got {self.features!r}.")
        if self.n_anchors is not None and self.n_anchors < 1:
            raise HashingError(f"n_anchors must be None or at least 1, got {self.n_anchors}.")
        known = labels.labelled
        feature_map = fit_features(
            embeddings[known],
            kind=FeatureKind(self.features),
            normalize=self.normalize,
            n_anchors=self.n_anchors,
            rng=rng,
        )
        learned = self._learn_projections(feature_map(embeddings[known]), labels.targets[known], lengths, rng)
        return feature_map, learned


def check_parameters(*, above_zero: dict[str, float], at_least_one: dict[str, int]) -> None:
    """Refuse hyper-parameters that are out of range.

    Raises:
        HashingError: A number is not finite and above 0, or a count is below 1.
    """
    for name, value in above_zero.items():
        if not 0 < value < np.inf:
            raise HashingError(f"{name} must be finite and above 0, got {value}.")
    for name, count in at_least_one.items():
        if count < 1:
            raise HashingError(f"{name} must be at least 1, got {count}.")


def similarity_product(
    unit_labels: Float64[np.ndarray, "n c"], matrix: Float64[np.ndarray, "n bits"]
) -> Float64[np.ndarray, "n bits"]:
    """Return S M without S = 2 Y Y' - 1 1', the similarities of all n samples with all."""
    return np.asarray(2 * unit_labels @ (unit_labels.T @ matrix) - matrix.sum(axis=0))
