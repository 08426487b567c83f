"""Labels: whatever a user has, as the matrices the solver needs.

In: no labels, class numbers, class names, a multi-hot matrix or label collections. Out: targets, entry weights, classes.
Leaves to others what the labels are used for.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from hashing.errors import LabelError

ClassWeight = str | Mapping[Any, int | float] | None
LabelInput = Sequence[Any] | Shaped[np.ndarray, "..."] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels of n samples over c classes.

    Attributes:
        targets: 1 where a sample has a class, 0 elsewhere (also where it is not known).
        weights: What each known entry counts; 0 where it is not known. One column stands for all classes alike.
        classes: The classes, in the order of the columns of `targets`.
    """

    targets: Float[np.ndarray, "n c"]
    weights: Float[np.ndarray, "n 1"] | Float[np.ndarray, "n c"]
    classes: Shaped[np.ndarray, " c"]

    @property
    def labelled(self) -> Bool[np.ndarray, " n"]:
        """Which samples have at least one known entry."""
        return np.asarray((self.weights > 0).any(axis=1))

    def take(self, rows: Int64[np.ndarray, " some"]) -> "Labels":
        """Return the labels of some samples, over all classes."""
        return Labels(targets=self.targets[rows], weights=self.weights[rows], classes=self.classes)

    @property
    def informative(self) -> bool:
        """Whether the labels tell any two samples apart."""
        known = self.targets[self.labelled]
        return len(known) > 0 and not (known == known[0]).all()

    @property
    def counts(self) -> str:
        """How many labelled samples there are, and of how many classes, for messages."""
        known = self.targets[self.labelled]
        n, c = len(known), int(known.any(axis=0).sum())
        alike = ", all alike" if c > 1 and not self.informative else ""
        return f"{n} labelled sample{'' if n == 1 else 's'} of {c} class{'' if c == 1 else 'es'}{alike}"


def read_labels(y: LabelInput, n: int, *, class_weight: ClassWeight = None) -> Labels:
    """Return the labels of n samples.

    Args:
        y: None; n class numbers (-1 or NaN is unlabelled); n class names (None or "" is unlabelled); an (n, c) matrix
            of 0 and 1 (NaN is a missing entry); or n collections of class names (an empty one is unlabelled).
        n: How many samples there are.
        class_weight: None; what each class counts (1 if not named); or "balanced" for labelled / (c * members), so that
            rare classes count as much as common ones. A sample of several classes counts their mean.

    Raises:
        LabelError: The labels are of another number or kind, or a class weight is not a finite number of at least 0.
    """
    if y is None:
        y = [()] * n
    if not isinstance(y, list | tuple):
        y = np.asarray(y)  # also what only promises to become an array, such as a pandas Series
    if len(y) != n:
        raise LabelError(f"Expected labels for {n} samples, got {len(y)}. Give one entry per row of X.")
    labels = _from_collections(list(y)) if _holds_collections(y) else _from_array(y)
    return labels if class_weight is None else weigh(labels, class_weights(labels, class_weight))


def _holds_collections(y: Sequence[Any] | Shaped[np.ndarray, "..."]) -> bool:
    """Tell label collections from rows of a multi-hot matrix, whose entries are numbers."""
    rows = [row for row in y if isinstance(row, tuple | list | set | frozenset)]
    return len(rows) == len(y) and not any(isinstance(entry, int | float) for row in rows for entry in row)


def _from_collections(rows: Sequence[Collection[Any]]) -> Labels:
    if wrong := sorted(repr(name) for row in rows for name in row if not isinstance(name, str)):
        raise LabelError(f"Unknown label type: class names must be str, got {wrong[0]}.")
    classes = np.array(sorted({name for row in rows for name in row}), dtype=np.str_)
    column = {name: k for k, name in enumerate(classes.tolist())}
    targets = np.zeros((len(rows), len(classes)))
    for i, row in enumerate(rows):
        targets[i, [column[name] for name in row]] = 1
    return Labels(targets=targets, weights=targets.any(axis=1, keepdims=True).astype(float), classes=classes)


def _from_array(y: Sequence[Any] | Shaped[np.ndarray, "..."]) -> Labels:
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise LabelError(f"Cannot read the labels as one array: {error}.") from error
    if array.ndim == 2:
        return _from_multi_hot(array)
    if array.ndim != 1:
        raise LabelError(f"Labels must be one- or two-dimensional, got shape {array.shape}.")
    if array.dtype.kind in "OUS":
        return _from_collections([() if name is None or name == "" else (name,) for name in array.tolist()])
    return _from_numbers(array)


def _from_numbers(numbers: Shaped[np.ndarray, " n"]) -> Labels:
    if numbers.dtype.kind not in "iufb":
        raise LabelError(f"Labels must be numbers, names or None, got dtype {numbers.dtype}.")
    known = ~np.isnan(numbers.astype(float))
    if (numbers[known] != numbers[known].astype(np.int64)).any() or (numbers[known] < -1).any():
        raise LabelError("Class numbers must be whole and not negative, or -1 for unlabelled.")
    whole = np.where(known, numbers, -1).astype(np.int64)
    classes = np.unique(whole[whole >= 0])
    targets = (whole[:, None] == classes[None, :]).astype(float)
    return Labels(targets=targets, weights=(whole >= 0).astype(float)[:, None], classes=classes)


def _from_multi_hot(matrix: Shaped[np.ndarray, "n c"]) -> Labels:
    try:
        matrix = matrix.astype(float)
    except (TypeError, ValueError) as error:
        raise LabelError(f"A label matrix must hold 0, 1 or NaN: {error}.") from error
    known = ~np.isnan(matrix)
    if not np.isin(matrix[known], (0, 1)).all():
        wrong = matrix[known][~np.isin(matrix[known], (0, 1))][0]
        raise LabelError(f"A label matrix must hold 0, 1 or NaN, got {wrong:g}.")
    partly = known.any(axis=1) & ~known.all(axis=1)
    weights = known.astype(float) if partly.any() else known.all(axis=1, keepdims=True).astype(float)
    return Labels(targets=np.where(known, matrix, 0.0), weights=weights, classes=np.arange(matrix.shape[1]))


def weigh(labels: Labels, per_class: Mapping[Any, int | float]) -> Labels:
    """Return labels that count what their classes count, the mean over the classes of a sample; 1 if not named."""
    n_labels = labels.targets.sum(axis=1)
    weights = np.array([per_class.get(name, 1.0) for name in labels.classes.tolist()], dtype=float)
    weight = np.where(n_labels > 0, labels.targets @ weights / np.maximum(n_labels, 1), 1.0)
    return Labels(targets=labels.targets, weights=labels.weights * weight[:, None], classes=labels.classes)


def class_weights(labels: Labels, class_weight: ClassWeight) -> dict[Any, float]:
    """Return what the classes of these labels count, by name; nothing if all count alike.

    Args:
        labels: The labels.
        class_weight: As in `read_labels`.

    Raises:
        LabelError: A weight is not a finite number of at least 0, or of a class that no sample has.
    """
    if class_weight is None:
        return {}
    names = labels.classes.tolist()
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise LabelError(
                f"class_weight must be None, 'balanced' or a weight per class, got {class_weight!r}."
            )
        members = np.maximum(labels.targets.sum(axis=0), 1)
        balanced = labels.labelled.sum() / (len(names) * members)
        return dict(zip(names, balanced.tolist(), strict=True))
    if unknown := sorted(map(repr, set(class_weight) - set(names))):
        raise LabelError(f"class_weight names {unknown[0]}, which no sample has. Name classes of the labels.")
    weights = {name: float(weight) for name, weight in class_weight.items()}
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights.values()):
        raise LabelError(f"Class weights must be finite and at least 0, got {dict(class_weight)}.")
    return weights
