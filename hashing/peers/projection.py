"""What the peers share: codes that are signs of projected features, as a scikit-learn transformer.

In: embeddings and, for some, labels. Out: code records. Leaves the choice of features and projections to the peers.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Shaped, UInt8
from sklearn.utils.validation import validate_data

from hashing.codes import check_lengths, pack_codes
from hashing.estimator import CodeEstimator, seeded_rng
from hashing.features import FeatureMap
from hashing.labels import Labels, read_labels
from hashing.layout import CodeLayout

CHUNK = 4096  # rows at a time: bounds memory

Projections = dict[int, Float64[np.ndarray, "_m _bits"]]


class ProjectionHasher(CodeEstimator):
    """Codes of several lengths, each the sign of a projection of the same features.

    Attributes:
        lengths_: Code lengths, ascending.
        feature_map_: Embeddings to centred features.
        projections_: Features to scores, by length.
        n_features_in_: Width of the embeddings.
    """

    lengths: Sequence[int]
    random_state: int | np.random.RandomState | None

    @abstractmethod
    def _learn(
        self,
        embeddings: Float[np.ndarray, "n d"],
        labels: Labels,
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> tuple[FeatureMap, Projections]:
        """Return the features and, for every length, their projections."""

    def fit(
        self, X: Float[np.ndarray, "n d"], y: Sequence[Any] | Shaped[np.ndarray, "..."] | None = None
    ) -> "ProjectionHasher":
        """Learn the codes of all lengths from n embeddings.

        Args:
            X: Training embeddings.
            y: Labels in any form of `labels.read_labels`.

        Raises:
            CodeLengthError: A length is no multiple of 8 up to 1,024.
            LabelError: The labels do not fit the samples, or are needed and missing.
            ValueError: X is not finite or has fewer than two rows.
        """
        lengths = check_lengths(self.lengths)
        X = validate_data(self, X, dtype=(np.float64, np.float32), ensure_min_samples=2)
        rng = seeded_rng(self.random_state)
        self.feature_map_, self.projections_ = self._learn(X, read_labels(y, len(X)), lengths, rng)
        self.lengths_ = lengths
        return self

    @property
    def _layout(self) -> CodeLayout:
        return CodeLayout(self.lengths_)

    def _records(self, x: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        records = np.empty((len(x), self._layout.record_bytes), dtype=np.uint8)
        for start in range(0, len(x), CHUNK):
            rows = slice(start, start + CHUNK)
            records[rows] = np.hstack([pack_codes(scores) for scores in self._scores(x[rows]).values()])
        return records

    def _scores(self, x: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        features = self.feature_map_(x)
        return {bits: features @ self.projections_[bits] for bits in self.lengths_}
