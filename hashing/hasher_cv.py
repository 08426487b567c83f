"""Any hasher with parameters chosen by validation: what a comparison owes to methods whose defaults were not meant for the data.

In: a hasher, parameters to try, embeddings with labels. Out: the hasher fitted with the best. How samples are held out
is `held_out`'s, and the same for the joint hasher.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, UInt8
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import validate_data

from hashing.estimator import CodeEstimator, seeded_rng
from hashing.held_out import folds, held_out_precision, shared_labels
from hashing.labels import LabelInput, read_labels
from hashing.layout import CodeLayout


class HasherCV(CodeEstimator):
    """A hasher fitted with those parameters whose codes rank held-out samples best.

    Args:
        estimator: What to fit; its other parameters hold for all candidates.
        candidates: Parameters to try, as dicts.

    Attributes:
        best_estimator_: The hasher fitted on all samples.
        best_params_: What it was given; nothing if no two held-out samples share a label.
    """

    def __init__(self, estimator: CodeEstimator, *, candidates: Sequence[Mapping[str, Any]]) -> None:
        self.estimator = estimator
        self.candidates = candidates

    def fit(self, X: ArrayLike, y: LabelInput) -> "HasherCV":
        """Choose, then fit on all samples; raises what the estimator's `fit` does."""
        x = np.asarray(X)
        labels = read_labels(y, len(x))
        rows = list(folds(labels, None, seeded_rng(self.estimator.random_state)))
        entries = y if isinstance(y, list | tuple) else list(np.asarray(y))
        scores = []
        for params in self.candidates if rows else ():
            found = []
            for kept, held in rows:
                hasher = clone(self.estimator).set_params(**params)
                codes = hasher.fit(x[kept], [entries[i] for i in kept.tolist()]).encode(x[held])
                relevant = shared_labels(labels, held)
                found += [held_out_precision(part, relevant).mean() for part in codes.values()]
            scores.append(float(np.mean(found)))
        self.best_params_ = dict(self.candidates[int(np.argmax(scores))]) if scores else {}
        self.best_estimator_ = clone(self.estimator).set_params(**self.best_params_).fit(X, y)
        validate_data(self, X, skip_check_array=True)  # remembers the width and the names of columns
        return self

    @property
    def _layout(self) -> CodeLayout:
        layout: CodeLayout = self.best_estimator_._layout  # noqa: SLF001 - one of its kind
        return layout

    def _records(self, x: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        records: UInt8[np.ndarray, "n record_bytes"] = self.best_estimator_.transform(x)
        return records

    def _scores(self, x: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        scores: dict[int, Float64[np.ndarray, "n _bits"]] = self.best_estimator_.project(x)
        return scores
