"""Separate training: our own optimiser on every length alone, what joint learning has to justify itself against.

In: embeddings and labels. Out: codes. Everything but the association between lengths is as in `JointHasher`.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float64, UInt8
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from hashing.joint import JointHasher
from hashing.joint_cv import CANDIDATES, JointHasherCV
from hashing.labels import LabelInput
from hashing.layout import CodeLayout


@final
class SeparateHasher(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """One hasher per length, each fitted for itself; same features, starts and sweeps as the joint one.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        estimator: Whose other parameters hold; beta is 0 whatever it says. None takes `JointHasher()`.
        tune: Choose nu and lp of every length by validation, from the values that `JointHasherCV` tries.

    Attributes:
        hashers_: The fitted hasher of every length.
        lengths_: Code lengths, ascending.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        estimator: JointHasher | None = None,
        tune: bool = False,
    ) -> None:
        self.lengths = lengths
        self.estimator = estimator
        self.tune = tune

    def fit(self, X: ArrayLike, y: LabelInput = None) -> "SeparateHasher":
        """Learn the codes of every length, one after the other; raises as `JointHasher.fit`."""
        self.lengths_ = CodeLayout.of(self.lengths).lengths
        base = clone(JointHasher() if self.estimator is None else self.estimator)
        base.set_params(beta=0.0, joint_encoding=False)
        candidates = [{"nu": candidate["nu"], "joint_encoding": False} for candidate in CANDIDATES]
        self.hashers_ = {}
        for bits in self.lengths_:
            alone = clone(base).set_params(lengths=(bits,))
            tuned = JointHasherCV(alone, candidates=candidates, per_length=False) if self.tune else alone
            self.hashers_[bits] = tuned.fit(X, y)
        self.n_features_in_ = self.hashers_[self.lengths_[0]].n_features_in_
        return self

    def transform(self, X: ArrayLike) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths side by side, shortest first."""
        return np.hstack(list(self.encode(X).values()))

    def encode(self, X: ArrayLike) -> dict[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the packed codes of every length."""
        check_is_fitted(self)
        return {bits: hasher.encode(X)[bits] for bits, hasher in self.hashers_.items()}

    def project(self, X: ArrayLike) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        """Return the scores of every length."""
        check_is_fitted(self)
        return {bits: hasher.project(X)[bits] for bits, hasher in self.hashers_.items()}

    @property
    def _n_features_out(self) -> int:
        return sum(self.lengths_) // 8

    def __sklearn_tags__(self) -> Tags:
        return get_tags(JointHasher() if self.estimator is None else self.estimator)
