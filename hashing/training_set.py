"""Training samples, visited in chunks: embeddings become features chunk by chunk, so memory does not grow with them.

In: embeddings, a feature map, labels. Out: chunks, the Gram matrix of the features. Codes and maps are `solver`'s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from hashing.labels import Labels

CHUNK = 8192  # samples at a time
CACHE_BYTES = 2**30  # features up to this size are kept; larger ones are computed anew in every sweep

FeatureFunction = Callable[[Float[np.ndarray, "_n d"]], Float[np.ndarray, "_n m"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A run of samples.

    Attributes:
        rows: Which.
        features: Phi.
        feature_weights: The diagonal of E.
        targets: Y.
        label_weights: D; one column if the entries of a sample count alike.
        uniform_features: Whether all feature weights are 1.
        uniform_labels: Whether all label weights are 1.
    """

    rows: slice
    features: Float[np.ndarray, "n m"]
    feature_weights: Float[np.ndarray, " n"]
    targets: Float[np.ndarray, "n c"]
    label_weights: Float[np.ndarray, "n 1"] | Float[np.ndarray, "n c"]
    uniform_features: bool
    uniform_labels: bool


class TrainingSet:
    """Samples with labels and weights.

    Attributes:
        labels: The labels.
        sample_weight: What each sample counts in the M- and L-losses.
        dtype: Type of the features, targets and weights of the chunks: what the sweeps compute in.
    """

    def __init__(
        self,
        embeddings: Float[np.ndarray, "n d"],
        feature_map: FeatureFunction,
        labels: Labels,
        *,
        sample_weight: Float[np.ndarray, " n"] | None = None,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        self.labels = labels
        self.dtype = dtype
        self._embeddings = embeddings
        self._feature_map = feature_map
        self.sample_weight = np.ones(len(embeddings)) if sample_weight is None else sample_weight
        self._kept: dict[int, Float[np.ndarray, "_n m"]] = {}
        self._room = CACHE_BYTES

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._embeddings)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all samples in their order, at most CHUNK at a time."""
        for start in range(0, len(self), CHUNK):
            rows = slice(start, min(start + CHUNK, len(self)))
            weights = self.sample_weight[rows].astype(self.dtype)
            label_weights = (self.labels.weights[rows] * self.sample_weight[rows, None]).astype(self.dtype)
            yield Chunk(
                rows=rows,
                features=self._features(rows),
                feature_weights=weights,
                targets=self.labels.targets[rows].astype(self.dtype),
                label_weights=label_weights,
                uniform_features=bool((weights == 1).all()),
                uniform_labels=bool((label_weights == 1).all()),
            )

    def gram(self, *, labelled: bool = False) -> Float64[np.ndarray, "m m"]:
        """Return Phi^T E Phi, summed in float64; over the labelled samples only, if asked."""
        total: Float64[np.ndarray, "m m"] | None = None
        for chunk in self.chunks():
            phi = chunk.features.astype(np.float64) * np.sqrt(chunk.feature_weights)[:, None]
            if labelled:
                phi = phi[self.labels.labelled[chunk.rows]]
            product = phi.T @ phi
            total = product if total is None else total + product
        assert total is not None  # noqa: S101 - there are samples
        return total

    def _features(self, rows: slice) -> Float[np.ndarray, "n m"]:
        if rows.start in self._kept:
            return self._kept[rows.start]
        features = self._feature_map(self._embeddings[rows]).astype(self.dtype)
        if features.nbytes <= self._room:
            self._kept[rows.start] = features
            self._room -= features.nbytes
        return features
