"""What every hasher is to scikit-learn: a transformer of embeddings into code records, which also gives codes and scores.

In: embeddings. Out: records, codes and scores of every length. Leaves fitting, and how codes are found, to the hashers.
"""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, Float64, UInt8
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hashing.encoder import Encoder
from hashing.layout import CodeLayout


class CodeEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]  # untyped
    """Codes of several lengths for embeddings of the width it was fitted on."""

    n_features_in_: int

    def transform(self, X: ArrayLike) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths side by side, shortest first; the longest code if nested."""
        return self._records(self._checked(X))

    def encode(self, X: ArrayLike) -> dict[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the packed codes of every length."""
        return self._layout.split(self.transform(X))

    def project(self, X: ArrayLike) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        """Return the scores of every length; their product with stored signs ranks finer than Hamming distance."""
        return self._scores(self._checked(X))

    @property
    @abstractmethod
    def _layout(self) -> CodeLayout:
        """Which bytes of a record hold the code of which length."""

    @abstractmethod
    def _records(self, x: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return the code records of checked embeddings."""

    @abstractmethod
    def _scores(self, x: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        """Return the scores of checked embeddings."""

    def _checked(self, X: ArrayLike) -> Float[np.ndarray, "n d"]:
        check_is_fitted(self)
        checked: Float[np.ndarray, "n d"] = validate_data(
            self, X, dtype=(np.float64, np.float32), reset=False
        )
        return checked

    @property
    def _n_features_out(self) -> int:
        return self._layout.record_bytes

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are uint8 whatever goes in
        return tags


class EncoderEstimator(CodeEstimator):
    """A hasher whose codes are those of an `Encoder`.

    Attributes:
        encoder_: What encodes.
    """

    encoder_: Encoder

    @property
    def _layout(self) -> CodeLayout:
        return self.encoder_.layout

    def _records(self, x: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        return self.encoder_.records(x)

    def _scores(self, x: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        return self.encoder_.project(x)


def seeded_rng(random_state: int | np.random.RandomState | None) -> np.random.Generator:
    """Return a generator of its own for what scikit-learn calls a random state."""
    return np.random.default_rng(check_random_state(random_state).randint(2**31))
