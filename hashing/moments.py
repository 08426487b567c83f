"""Sums over samples: all that the closed-form updates need to know of them (01-hashing 1.7).

In: chunks of features, labels and codes. Out: moments, which add up over chunks and over appended data. What they
determine is `objective`'s and `solver`'s.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from hashing.layout import CodeLayout
from hashing.training_set import Chunk


@dataclass(slots=True)
class LabelMoments:
    """What the label map of one length needs.

    Attributes:
        codes: B^T D B; one for all classes, or one per class where label entries count differently.
        labels: B^T D Y.
        power: ||D^1/2 Y||^2.
    """

    codes: Float64[np.ndarray, "k bits bits"]
    labels: Float64[np.ndarray, "bits c"]
    power: float


@dataclass(slots=True)
class Moments:
    """What all maps need.

    Attributes:
        codes: B^T B of the columns of all lengths.
        features: Phi^T E B.
        feature_weight: The sum of E, hence b^T E b of every column.
        labels: Moments of the label map of each length.
    """

    codes: Float64[np.ndarray, "columns columns"]
    features: Float64[np.ndarray, "m columns"]
    feature_weight: float
    labels: dict[int, LabelMoments]

    @classmethod
    def empty(cls, layout: CodeLayout, *, n_features: int, n_classes: int, per_class: bool) -> "Moments":
        """Return the moments of no samples.

        Args:
            layout: The columns of all lengths.
            n_features: Width of Phi.
            n_classes: Width of Y.
            per_class: Whether label entries of one sample count differently.
        """
        grams = n_classes if per_class else 1
        return cls(
            codes=np.zeros((layout.n_columns, layout.n_columns)),
            features=np.zeros((n_features, layout.n_columns)),
            feature_weight=0.0,
            labels={
                bits: LabelMoments(np.zeros((grams, bits, bits)), np.zeros((bits, n_classes)), 0.0)
                for bits in layout.lengths
            },
        )

    @property
    def per_class(self) -> bool:
        """Whether label entries of one sample count differently."""
        return any(len(moments.codes) != 1 for moments in self.labels.values())

    def copy(self) -> "Moments":
        """Return moments that share nothing with these."""
        return deepcopy(self)

    def with_classes(self, n_classes: int, *, per_class: bool) -> "Moments":
        """Return the same moments over more classes.

        None of the samples so far has any of the new ones. If label entries count differently, it is not known
        whether they do.
        """
        moments = self.copy()
        for part in moments.labels.values():
            bits, known = part.labels.shape
            part.labels = np.hstack([part.labels, np.zeros((bits, n_classes - known))])
            if per_class and not self.per_class:
                part.codes = np.repeat(part.codes, n_classes, axis=0)
            elif self.per_class:
                part.codes = np.concatenate([part.codes, np.zeros((n_classes - known, bits, bits))])
        return moments

    def add_(
        self,
        chunk: Chunk,
        codes: Float[np.ndarray, "columns n"],
        trust: dict[int, Float[np.ndarray, " n"]],
        layout: CodeLayout,
    ) -> None:
        """Add a chunk of samples.

        Args:
            chunk: Its features, labels and weights.
            codes: Its codes, samples as columns.
            trust: What the labels of each sample count for each length, besides their own weights; empty if the same.
            layout: The columns of all lengths.
        """
        # Sums of up to 2^24 signs are exact in float32.
        gram = (codes @ codes.T).astype(np.float64)
        weighted = codes if chunk.uniform_features else codes * chunk.feature_weights
        self.codes += gram
        self.features += chunk.features.T @ weighted.T
        self.feature_weight += float(chunk.feature_weights.sum(dtype=np.float64))
        if not trust and chunk.label_weights.shape[1] == 1:
            self._add_labels_alike_(chunk, codes, gram, layout)
        else:
            for bits, part in layout.columns.items():
                weights = chunk.label_weights * trust[bits][:, None] if trust else chunk.label_weights
                _add_labels_(self.labels[bits], codes[part], chunk.targets, weights)

    def _add_labels_alike_(
        self,
        chunk: Chunk,
        codes: Float[np.ndarray, "columns n"],
        gram: Float64[np.ndarray, "columns columns"],
        layout: CodeLayout,
    ) -> None:
        """Add labels whose weights are those of the sample, for all lengths: one product serves all."""
        weighted = codes if chunk.uniform_labels else codes * chunk.label_weights[:, 0]
        if not chunk.uniform_labels:
            gram = (weighted @ codes.T).astype(np.float64)
        labels = weighted @ chunk.targets
        power = float((chunk.label_weights * chunk.targets**2).sum(dtype=np.float64))
        for bits, part in layout.columns.items():
            moments = self.labels[bits]
            moments.codes[0] += gram[part, part]
            moments.labels += labels[part]
            moments.power += power


def _add_labels_(
    moments: LabelMoments,
    codes: Float[np.ndarray, "bits n"],
    targets: Float[np.ndarray, "n c"],
    weights: Float[np.ndarray, "n 1"] | Float[np.ndarray, "n c"],
) -> None:
    for k, column in enumerate(weights.T):
        moments.codes[k] += (codes * column) @ codes.T
    moments.labels += codes @ (weights * targets)
    moments.power += float((weights * targets**2).sum(dtype=np.float64))
