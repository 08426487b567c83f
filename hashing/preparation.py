"""What a fit starts from, whatever its loss weights: features, their ridge regression, codewords and start codes.

In: embeddings and labels. Out: a preparation, which several fits on the same samples may share. What they do with it is
`joint`'s and `joint_cv`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int8

from hashing.codebook import class_codebooks
from hashing.features import FeatureKind, FeatureMap, fit_features
from hashing.labels import Labels
from hashing.layout import CodeLayout
from hashing.ridge import GramRidge
from hashing.start import codebook_codes, rotated_codes
from hashing.training_set import TrainingSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Samples made ready for sweeps.

    Attributes:
        layout: Which columns belong to which length.
        feature_map: Embeddings to features.
        samples: What is learned from.
        ridge: The features' ridge regression, factorised.
        leverages: What `ridge.leverages` says of every chunk.
        books: Codewords of the classes by length; empty without informative labels.
        start: The codes to start from.
        class_weights: What classes count, by name.
    """

    layout: CodeLayout
    feature_map: FeatureMap
    samples: TrainingSet
    ridge: GramRidge
    leverages: list[Float64[np.ndarray, " _n"]]
    books: dict[int, Float64[np.ndarray, "c _bits"]]
    start: Int8[np.ndarray, "columns n"]
    class_weights: Mapping[Any, float]

    def with_ridge(self, penalty: float) -> "Preparation":
        """Return the same with another ridge of the projections; start codes stay."""
        if penalty == self.ridge.penalty:
            return self
        ridge = GramRidge(self.ridge.gram, penalty)
        return replace(
            self, ridge=ridge, leverages=[ridge.leverages(chunk) for chunk in self.samples.chunks()]
        )


def prepare(
    embeddings: Float[np.ndarray, "n d"],
    labels: Labels,
    layout: CodeLayout,
    *,
    kind: FeatureKind,
    normalize: bool,
    n_anchors: int | None,
    ridge: float,
    sample_weight: Float64[np.ndarray, " n"] | None,
    rng: np.random.Generator,
    class_weights: Mapping[Any, float],
) -> Preparation:
    """Return what a fit on these samples starts from.

    Args:
        embeddings: The training embeddings.
        labels: Their labels. If these tell no two samples apart, codes start from rotated principal components.
        layout: Which columns belong to which length.
        kind: Linear or radial features.
        normalize: Whether to scale embeddings to unit length first.
        n_anchors: Anchors of radial features; None takes all rows, at most 1,000.
        ridge: Ridge of the projections.
        sample_weight: What each sample counts; None counts all alike.
        rng: Draws anchors, then codewords or rotations.
        class_weights: What is in the labels' weights of what their classes count; kept for later samples.
    """
    feature_map = fit_features(embeddings, kind=kind, normalize=normalize, n_anchors=n_anchors, rng=rng)
    samples = TrainingSet(embeddings, feature_map, labels, sample_weight=sample_weight)
    solved = GramRidge(samples.gram(), ridge)
    books = {}
    if labels.informative:
        books = class_codebooks(len(labels.classes), layout.lengths, nested=layout.nested, rng=rng)
        start = codebook_codes(samples, books, layout, solved)
    else:
        start = rotated_codes(embeddings, normalize=normalize, layout=layout, rng=rng)
    return Preparation(
        layout=layout,
        feature_map=feature_map,
        samples=samples,
        ridge=solved,
        leverages=[solved.leverages(chunk) for chunk in samples.chunks()],
        books=books,
        start=start,
        class_weights=class_weights,
    )
