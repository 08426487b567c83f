"""Fidelity and coverage by nearest neighbours: improved precision and recall, density and coverage.

In: features of real and of generated samples, the name of their space. Out: the scores with the sizes of both samples.
Leaves embedding to gan_aug.feature_space.

Convention: the neighbourhood of a sample is the closed ball to its k-th nearest neighbour of its own sample, itself not
counted. Distances are Euclidean, in float64; two that differ by rounding alone are equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Real

from gan_aug.feature_space import check_comparable

CHUNK_CELLS = 4_000_000  # distances held at once
ROUNDING = 1e-12  # of squared distances, relative to the largest squared length of a vector


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionRecall:
    """Improved precision and recall.

    Attributes:
        space: Name of the feature space.
        n_real: Real samples.
        n_fake: Generated samples.
        k: Which neighbour bounds a neighbourhood.
        precision: Share of generated samples that are in a neighbourhood of a real one.
        recall: Share of real samples that are in a neighbourhood of a generated one.
    """

    space: str
    n_real: int
    n_fake: int
    k: int
    precision: float
    recall: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DensityCoverage:
    """Density and coverage.

    Attributes:
        space: Name of the feature space.
        n_real: Real samples.
        n_fake: Generated samples.
        k: Which neighbour bounds a neighbourhood.
        density: Mean over generated samples of the real neighbourhoods they are in, divided by k; about 1 for samples of
            one distribution, and not bounded by 1.
        coverage: Share of real samples in whose neighbourhood there is a generated one.
    """

    space: str
    n_real: int
    n_fake: int
    k: int
    density: float
    coverage: float


def precision_recall(
    real: Real[np.ndarray, "n d"], fake: Real[np.ndarray, "m d2"], *, space: str, k: int = 3
) -> PrecisionRecall:
    """Return improved precision and recall.

    Raises:
        BatchError: if a sample has not more than k rows or a number that is not finite, or their widths differ.

    Source: Kynkaanniemi et al. 2019 (arXiv 1904.06991), eqs. 1 and 2; k = 3 as there.
    """
    check_comparable(real, fake, at_least=k + 1)
    x, y, rounding = _centred(real, fake)
    around_real, around_fake = (_squared_radii(each, k) + rounding for each in (x, y))
    precise, recalled = np.zeros(len(y), dtype=bool), np.zeros(len(x), dtype=bool)
    for rows, distances in _squared_distances(y, x):
        precise[rows] = (distances <= around_real).any(1)
        recalled |= (distances <= around_fake[rows, None]).any(0)
    return PrecisionRecall(
        space=space,
        n_real=len(x),
        n_fake=len(y),
        k=k,
        precision=float(precise.mean()),
        recall=float(recalled.mean()),
    )


def density_coverage(
    real: Real[np.ndarray, "n d"], fake: Real[np.ndarray, "m d2"], *, space: str, k: int = 5
) -> DensityCoverage:
    """Return density and coverage, which outliers of the generator cannot raise: only real neighbourhoods count.

    Raises:
        BatchError: if a sample has not more than k rows or a number that is not finite, or their widths differ.

    Source: Naeem et al. 2020 (arXiv 2002.09797), eqs. 3 and 5; k = 5 as there.
    """
    check_comparable(real, fake, at_least=k + 1)
    x, y, rounding = _centred(real, fake)
    around_real = _squared_radii(x, k) + rounding
    hits, covered = 0, np.zeros(len(x), dtype=bool)
    for _, distances in _squared_distances(y, x):
        inside = distances <= around_real
        hits += int(inside.sum())
        covered |= inside.any(0)
    return DensityCoverage(
        space=space,
        n_real=len(x),
        n_fake=len(y),
        k=k,
        density=hits / (k * len(y)),
        coverage=float(covered.mean()),
    )


def _centred(
    real: Real[np.ndarray, "n d"], fake: Real[np.ndarray, "m d"]
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"], float]:
    """Return both samples with the mean of the real one at 0, and the rounding error of their squared distances."""
    mean = np.asarray(real, np.float64).mean(0)
    x, y = real - mean, fake - mean
    longest = max(np.square(each).sum(1).max() for each in (x, y))
    return x, y, ROUNDING * float(longest)


def _squared_distances(
    rows: Float64[np.ndarray, "n d"], columns: Float64[np.ndarray, "m d"]
) -> Iterator[tuple[slice, Float64[np.ndarray, "_rows m"]]]:
    """Yield the squared distances of some rows to all columns, as many rows at a time as memory allows."""
    step = max(1, CHUNK_CELLS // len(columns))
    lengths = np.square(columns).sum(1)
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        yield (
            slice(start, start + step),
            np.square(chunk).sum(1)[:, None] + lengths - 2 * chunk @ columns.T,
        )


def _squared_radii(x: Float64[np.ndarray, "n d"], k: int) -> Float64[np.ndarray, " n"]:
    """Return every sample's squared distance to its k-th nearest other sample."""
    radii = []
    for rows, distances in _squared_distances(x, x):
        own = np.arange(len(distances))
        distances[own, own + rows.start] = np.inf
        radii.append(np.partition(distances, k - 1, axis=1)[:, k - 1])
    return np.concatenate(radii)
