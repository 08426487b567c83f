"""What the peers share: codes that are signs of projected features, as a scikit-learn transformer.

In: embeddings and, for some, labels. Out: code records. Leaves the choice of features and projections to the peers.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Shaped, UInt8
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hashing.codes import check_lengths, pack_codes
from hashing.features import FeatureMap
from hashing.labels import Labels, read_labels
from hashing.layout import CodeLayout

CHUNK = 4096  # rows at a time: bounds memory

Projections = dict[int, Float64[np.ndarray, "_m _bits"]]


class ProjectionHasher(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]  # untyped
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
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        self.feature_map_, self.projections_ = self._learn(X, read_labels(y, len(X)), lengths, rng)
        self.lengths_ = lengths
        return self

    def transform(self, X: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths side by side, shortest first."""
        return np.hstack(list(self.encode(X).values()))

    def encode(self, X: Float[np.ndarray, "n d"]) -> dict[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the packed codes of every length."""
        X = self._checked(X)
        codes = {bits: np.empty((len(X), bits // 8), dtype=np.uint8) for bits in self.lengths_}
        for start in range(0, len(X), CHUNK):
            rows = slice(start, start + CHUNK)
            for bits, scores in self._scores(X[rows]).items():
                codes[bits][rows] = pack_codes(scores)
        return codes

    def project(self, X: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        """Return the scores of every length, whose signs are the codes."""
        return self._scores(self._checked(X))

    def _checked(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        check_is_fitted(self)
        checked: Float[np.ndarray, "n d"] = validate_data(
            self, X, dtype=(np.float64, np.float32), reset=False
        )
        return checked

    def _scores(self, embeddings: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        features = self.feature_map_(embeddings)
        return {bits: features @ self.projections_[bits] for bits in self.lengths_}

    @property
    def _n_features_out(self) -> int:
        return CodeLayout(self.lengths_).record_bytes

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn is untyped
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are uint8 whatever goes in
        return tags
