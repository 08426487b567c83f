"""Labels: whatever a user has, as the matrices the solver needs.

In: no labels, class numbers, class names, a multi-hot matrix or label collections. Out: targets, entry weights, classes.
Leaves to others what the labels are used for.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from hashing.errors import LabelError

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

    @property
    def informative(self) -> bool:
        """Whether the labels tell any two samples apart."""
        known = self.targets[self.labelled]
        return len(known) > 0 and not (known == known[0]).all()


def read_labels(y: LabelInput, n: int, *, balance: bool = False) -> Labels:
    """Return the labels of n samples.

    Args:
        y: None; n class numbers (-1 or NaN is unlabelled); n class names (None or "" is unlabelled); an (n, c) matrix
            of 0 and 1 (NaN is a missing entry); or n collections of class names (an empty one is unlabelled).
        n: How many samples there are.
        balance: Weigh a sample of class k by labelled / (c * members of k), the mean over its classes if it has
            several, so that rare classes count as much as common ones.

    Raises:
        LabelError: The labels are of another number or kind.
    """
    if y is None:
        y = [()] * n
    if not isinstance(y, list | tuple):
        y = np.asarray(y)  # also what only promises to become an array, such as a pandas Series
    if len(y) != n:
        raise LabelError(f"Expected labels for {n} samples, got {len(y)}. Give one entry per row of X.")
    labels = _from_collections(list(y)) if _holds_collections(y) else _from_array(y)
    return _balanced(labels) if balance else labels


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


def _balanced(labels: Labels) -> Labels:
    n_labels = labels.targets.sum(axis=1)
    members = np.maximum(labels.targets.sum(axis=0), 1)
    rarity = labels.labelled.sum() / (len(labels.classes) * members)
    weight = np.where(n_labels > 0, labels.targets @ rarity / np.maximum(n_labels, 1), 1.0)
    return Labels(targets=labels.targets, weights=labels.weights * weight[:, None], classes=labels.classes)
