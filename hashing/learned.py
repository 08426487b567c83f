"""What a fitted hasher keeps of its samples, so that more can be added in closed form (01-hashing 1.7).

In: moments, codewords and classes of earlier samples; new samples. Out: the same with them, and maps for all codes. The
sweeps over a whole training set are `solver`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int8, Shaped

from hashing.codebook import class_codebooks
from hashing.energy import CodeEnergy, SharedCurvature, descend_bits_
from hashing.errors import LabelError
from hashing.labels import Labels
from hashing.layout import CodeLayout
from hashing.moments import Moments
from hashing.objective import LossWeights, Maps, association_curvature
from hashing.ridge import GramRidge
from hashing.solver import fit_maps, label_energy, label_trust
from hashing.start import join_books
from hashing.training_set import Chunk, TrainingSet

Trust = dict[int, Float[np.ndarray, " _n"]]  # by length; empty if all labels are trusted alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The sums over all samples learned from, and the codewords of their classes.

    Attributes:
        ridge: The features' ridge regression.
        moments: Sums over samples with their codes.
        books: Codewords of the classes by length; empty while there are no labels.
        classes: The classes, in the order of the columns of the label moments.
        class_weights: What classes count, by name; those not named count 1.
    """

    ridge: GramRidge
    moments: Moments
    books: dict[int, Float64[np.ndarray, "c _bits"]]
    classes: Shaped[np.ndarray, " c"]
    class_weights: Mapping[Any, float]

    def maps(self, weights: LossWeights, layout: CodeLayout) -> Maps:
        """Return the minimisers of J among all maps."""
        return fit_maps(self.moments, self.ridge, weights, layout)

    def extended(self, labels: Labels, layout: CodeLayout, rng: np.random.Generator) -> "Learned":
        """Return the same with codewords for the classes that are new in these labels.

        Raises:
            LabelError: Names were learned and these are numbers, or the other way round.
        """
        if not len(labels.classes):
            return self
        if len(self.classes) and (self.classes.dtype.kind == "U") != (labels.classes.dtype.kind == "U"):
            raise LabelError(
                f"Learned labels such as {self.classes[0]!r}, got {labels.classes[0]!r}. Give the same kind."
            )
        new = np.setdiff1d(labels.classes, self.classes) if len(self.classes) else labels.classes
        classes = np.concatenate([self.classes, new]) if len(self.classes) else new
        per_class = labels.weights.shape[1] != 1
        if not len(new) and per_class == self.moments.per_class:
            return self
        books = class_codebooks(
            len(classes), layout.lengths, nested=layout.nested, rng=rng, known=self.books or None
        )
        moments = self.moments.with_classes(len(classes), per_class=per_class)
        return replace(self, books=books, classes=classes, moments=moments)

    def aligned(self, labels: Labels) -> Labels:
        """Return the labels over the classes of this, in its order."""
        columns = {name: k for k, name in enumerate(self.classes.tolist())}
        places = [columns[name] for name in labels.classes.tolist()]
        targets = np.zeros((len(labels.targets), len(self.classes)))
        targets[:, places] = labels.targets
        weights = labels.weights
        if weights.shape[1] != 1:
            weights = np.zeros_like(targets)
            weights[:, places] = labels.weights
        elif self.moments.per_class:
            weights = np.repeat(weights, len(self.classes), axis=1)
        return Labels(targets=targets, weights=weights, classes=self.classes)

    def added(
        self,
        samples: TrainingSet,
        weights: LossWeights,
        layout: CodeLayout,
        *,
        passes: int,
        robust: float | None = None,
    ) -> tuple["Learned", Maps]:
        """Return the same with samples added, and the best maps for all codes.

        The new codes start from codewords, or scores where there are no labels, and are updated once by the bit rule,
        with maps that have seen them. J of all samples falls from the start of the new codes to the end. With robust
        labels, those that the maps of the earlier samples contradict count less.
        """
        ridge = GramRidge(self.ridge.gram + samples.gram(), self.ridge.penalty)
        codes = self._start(samples, weights, layout)
        trust = self._trust(samples, weights, layout, robust)
        maps = fit_maps(self._moments_with(samples, codes, trust, layout), ridge, weights, layout)
        for chunk in samples.chunks():
            part = codes[:, chunk.rows].astype(samples.dtype)
            _update_codes_(
                part, chunk, _of(trust, chunk), maps, weights=weights, layout=layout, passes=passes
            )
            codes[:, chunk.rows] = part
        moments = self._moments_with(samples, codes, trust, layout)
        return replace(self, ridge=ridge, moments=moments), fit_maps(moments, ridge, weights, layout)

    def _moments_with(
        self, samples: TrainingSet, codes: Int8[np.ndarray, "columns n"], trust: Trust, layout: CodeLayout
    ) -> Moments:
        moments = self.moments.copy()
        for chunk in samples.chunks():
            moments.add_(chunk, codes[:, chunk.rows].astype(samples.dtype), _of(trust, chunk), layout)
        return moments

    def _trust(
        self,
        samples: TrainingSet,
        weights: LossWeights,
        layout: CodeLayout,
        robust: float | None,
    ) -> Trust:
        """Return what the labels of new samples count, judged by the codes that their features predict."""
        if robust is None:
            return {}
        maps = self.maps(weights, layout)
        trust = {bits: np.ones(len(samples), dtype=samples.dtype) for bits in layout.lengths}
        for chunk in samples.chunks():
            predicted = np.where(maps.projection.T @ chunk.features.T > 0, 1, -1).astype(samples.dtype)
            for bits, part in layout.columns.items():
                trust[bits][chunk.rows] = label_trust(chunk, predicted[part], maps.labels[bits], delta=robust)
        return trust

    def _start(
        self, samples: TrainingSet, weights: LossWeights, layout: CodeLayout
    ) -> Int8[np.ndarray, "columns n"]:
        projection = self.maps(weights, layout).projection
        codes = np.empty((layout.n_columns, len(samples)), dtype=np.int8)
        for chunk in samples.chunks():
            predicted = np.where(projection.T @ chunk.features.T > 0, 1, -1)
            votes = (
                np.sign(join_books(self.books, layout).T @ chunk.targets.T) if self.books else 0 * predicted
            )
            codes[:, chunk.rows] = np.where(votes == 0, predicted, votes)
        return codes


def _update_codes_(
    codes: Float[np.ndarray, "columns n"],
    chunk: Chunk,
    trust: Trust,
    maps: Maps,
    *,
    weights: LossWeights,
    layout: CodeLayout,
    passes: int,
) -> None:
    """Lower J in the codes of new samples, with the maps as they are."""
    linear, curvatures = label_energy(chunk, maps.labels, trust, weights, layout)
    nu = weights.of_features(layout)[:, None] * chunk.feature_weights
    association = association_curvature(maps.associations, weights, layout)
    energy = CodeEnergy(
        linear=(linear + nu * (maps.projection.T @ chunk.features.T)).astype(codes.dtype),
        curvatures=[SharedCurvature(association.astype(codes.dtype)), *curvatures],
    )
    descend_bits_(codes, energy, blocks=list(layout.blocks.values())[::-1], passes=passes)


def _of(trust: Trust, chunk: Chunk) -> Trust:
    return {bits: weights[chunk.rows] for bits, weights in trust.items()}
