"""Validation inside a training set: which samples are held out, and how well codes rank them among themselves.

In: labels, codes of held-out samples. Out: folds, average precision per sample. What is fitted, and chosen, is the
callers'.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from sklearn.model_selection import KFold

from hashing.codes import hamming_distances
from hashing.labels import Labels
from hashing.metrics import average_precision

FOLDS = 5  # a fifth is held out at a time
FEW_FOLDS = 3  # of them are used where labels are few
MANY = 1000  # labelled samples from which one fold is enough
MAX_HELD_OUT = 1000  # samples ranked against each other per fold

Fold = tuple[Int64[np.ndarray, " kept"], Int64[np.ndarray, " held"]]


def folds(labels: Labels, n_folds: int | None, rng: np.random.Generator) -> Iterator[Fold]:
    """Yield which samples are kept, the unlabelled always among them, and which labelled ones are held out.

    Parts of which no two samples share a label are left out, as they cannot be ranked.

    Args:
        labels: Of all samples.
        n_folds: How many parts, at most 5; None takes 1 for MANY labelled samples or more, FEW_FOLDS otherwise.
        rng: Draws them.
    """
    labelled = rng.permutation(np.flatnonzero(labels.labelled))
    if len(labelled) < 2 * FOLDS:
        return
    wanted = n_folds or (1 if len(labelled) >= MANY else FEW_FOLDS)
    for _, picked in list(KFold(FOLDS).split(labelled))[:wanted]:
        held = np.sort(labelled[picked[:MAX_HELD_OUT]])
        if (np.triu(shared_labels(labels, held), 1) > 0).any():
            yield np.setdiff1d(np.arange(len(labels.targets)), labelled[picked]), held


def shared_labels(labels: Labels, rows: Int64[np.ndarray, " held"]) -> Float64[np.ndarray, "held held"]:
    """Return how many labels any two of these samples share."""
    return np.asarray(labels.targets[rows] @ labels.targets[rows].T)


def held_out_precision(
    codes: UInt8[np.ndarray, "n bytes"], shared: Float64[np.ndarray, "n n"]
) -> Float64[np.ndarray, " answerable"]:
    """Return the average precision of every sample ranked against the others, where some share a label with it."""
    others = ~np.eye(len(codes), dtype=bool)
    n = len(codes)
    distances = hamming_distances(codes, codes)[others].reshape(n, n - 1)
    precision = average_precision(distances, shared[others].reshape(n, n - 1) > 0)
    return np.asarray(precision[~np.isnan(precision)])


def surely_better(ours: Float64[np.ndarray, " held"], theirs: Float64[np.ndarray, " held"]) -> bool:
    """Tell whether the mean difference over the same samples exceeds its standard error."""
    difference = ours - theirs
    return bool(difference.mean() > difference.std(ddof=1) / np.sqrt(len(difference)))
