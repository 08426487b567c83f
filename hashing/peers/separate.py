"""Separate training: our own optimiser on every length alone, what joint learning has to justify itself against.

In: embeddings and labels. Out: codes. Everything but the association between lengths is as in `JointHasher`.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float, Float64, UInt8
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import validate_data

from hashing.estimator import CodeEstimator
from hashing.joint import JointHasher
from hashing.joint_cv import CANDIDATES, JointHasherCV
from hashing.labels import LabelInput
from hashing.layout import CodeLayout


@final
class SeparateHasher(CodeEstimator):
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
        weights = dict.fromkeys(candidate["nu"] for candidate in CANDIDATES)
        candidates = [{"nu": nu, "joint_encoding": False} for nu in weights]
        self.hashers_ = {}
        for bits in self.lengths_:
            alone = clone(base).set_params(lengths=(bits,))
            tuned = JointHasherCV(alone, candidates=candidates, per_length=False) if self.tune else alone
            self.hashers_[bits] = tuned.fit(X, y)
        validate_data(self, X, skip_check_array=True)  # remembers the width and the names of columns
        return self

    @property
    def _layout(self) -> CodeLayout:
        return CodeLayout(self.lengths_)

    def _records(self, x: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        return np.hstack([hasher.encoder_.records(x) for hasher in self.hashers_.values()])

    def _scores(self, x: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        return {bits: hasher.encoder_.project(x)[bits] for bits, hasher in self.hashers_.items()}
