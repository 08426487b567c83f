"""Feature maps: embeddings to the centred features that the hash projections read.

In: embeddings. Out: features with a final 1, linear or radial (RBF anchors), of the embeddings or of what the layers of
a trained trunk make of them. Leaves the projections to the solver, and trunks to `hashing.deep`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

import numpy as np
from jaxtyping import Float, Float32, Float64

MAX_ANCHORS = 1000
FIT_ROWS = 8192  # width and mean of radial features are those of so many rows, evenly spaced: bounds memory

Layer = tuple[Float32[np.ndarray, "_inputs _outputs"], Float32[np.ndarray, " _outputs"]]


class FeatureKind(Enum):
    """How embeddings become features."""

    LINEAR = "linear"
    RBF = "rbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMap:
    """A fitted feature map. Every part is float32, so that what is saved is what was fitted.

    Attributes:
        kind: Linear or radial.
        normalize: Whether embeddings are scaled to unit length first.
        mean: Training mean of the features, subtracted; of a sample of the rows if radial and there are many.
        anchors: Training embeddings that radial features measure distances to; no rows if linear.
        width: Twice the squared kernel width, the median squared distance to the anchors; 1 if linear.
        layers: Weights and biases of a trunk: each makes relu(x W + b) of its input before features are taken. Usually none.
    """

    kind: FeatureKind
    normalize: bool
    mean: Float32[np.ndarray, " m"]
    anchors: Float32[np.ndarray, "anchors d"]
    width: float
    layers: tuple[Layer, ...] = ()

    @property
    def n_inputs(self) -> int:
        """Width of the embeddings."""
        return len(self.layers[0][0]) if self.layers else self.anchors.shape[1]

    def __call__(self, embeddings: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n m1"]:
        """Return the features of n embeddings; the last is 1. Rows do not influence each other."""
        x = scaled(embeddings, self.normalize)
        for weight, bias in self.layers:
            x = np.maximum(x @ weight.astype(np.float64) + bias, 0.0)
        features = np.ones((len(x), len(self.mean) + 1))
        match self.kind:
            case FeatureKind.LINEAR:
                features[:, :-1] = x
            case FeatureKind.RBF:
                distances = _squared_distances(x, self.anchors)
                distances /= -self.width
                np.exp(distances, out=features[:, :-1])
            case _:
                assert_never(self.kind)
        features[:, :-1] -= self.mean
        return features


def fit_features(
    embeddings: Float[np.ndarray, "n d"],
    *,
    kind: FeatureKind,
    normalize: bool,
    n_anchors: int | None,
    rng: np.random.Generator,
) -> FeatureMap:
    """Return the feature map of training embeddings.

    Args:
        embeddings: The training embeddings.
        kind: Linear or radial.
        normalize: Whether to scale embeddings to unit length first.
        n_anchors: Anchors of radial features, drawn from the rows; None takes all, at most 1,000.
        rng: Draws the anchors.
    """
    if kind is FeatureKind.LINEAR:
        n = len(embeddings)
        sums = [scaled(embeddings[i : i + FIT_ROWS], normalize).sum(axis=0) for i in range(0, n, FIT_ROWS)]
        return FeatureMap(
            kind=kind,
            normalize=normalize,
            mean=(np.sum(sums, axis=0) / n).astype(np.float32),
            anchors=np.empty((0, embeddings.shape[1]), dtype=np.float32),
            width=1.0,
        )
    wanted = min(n_anchors or MAX_ANCHORS, len(embeddings))
    rows = np.sort(rng.choice(len(embeddings), size=wanted, replace=False))
    anchors = scaled(embeddings[rows], normalize).astype(np.float32)
    distances = _squared_distances(scaled(evenly_spaced(embeddings), normalize), anchors)
    width = float(np.float32(np.median(distances))) or 1.0
    mean = np.exp(-distances / width).mean(axis=0).astype(np.float32)
    return FeatureMap(kind=kind, normalize=normalize, mean=mean, anchors=anchors, width=width)


def evenly_spaced(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "some d"]:
    """Return all rows, or FIT_ROWS of them spread over the whole if there are more."""
    rows = np.linspace(0, len(embeddings) - 1, min(FIT_ROWS, len(embeddings))).astype(int)
    return np.asarray(embeddings[rows])


def scaled(embeddings: Float[np.ndarray, "n d"], normalize: bool) -> Float64[np.ndarray, "n d"]:  # noqa: FBT001 - a setting
    """Return the rows in float64, scaled to unit length if asked."""
    return unit_rows(embeddings) if normalize else embeddings.astype(np.float64)


def unit_rows(embeddings: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d"]:
    """Return the rows scaled to unit length; zero rows stay zero."""
    x = embeddings.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", x, x))
    return x / np.where(norms > 0, norms, 1.0)[:, None]


def _squared_distances(
    x: Float64[np.ndarray, "n d"], anchors: Float32[np.ndarray, "m d"]
) -> Float64[np.ndarray, "n m"]:
    a = anchors.astype(np.float64)
    distances: Float64[np.ndarray, "n m"] = (
        x @ a.T
    )  # in place from here on: the memory it moves is the time it takes
    distances *= -2
    distances += np.einsum("nd,nd->n", x, x)[:, None]
    distances += np.einsum("md,md->m", a, a)
    np.maximum(distances, 0.0, out=distances)
    return distances
