"""Distances between the distributions of two samples of features: Frechet's (FID) and the kernel distance (KID).

In: features of real and of generated samples, the name of their space. Out: the distance with the sizes of both.
Leaves embedding to gan_aug.feature_space.

Convention: all in float64. Figures compare only within one feature space, one way of resizing, and for Frechet's
distance one size of samples: it falls as they grow, 5,000 of each being the least that is worth quoting.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Real

from gan_aug.errors import BatchError
from gan_aug.feature_space import check_comparable

BLOCKS = 10


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FrechetDistance:
    """Frechet's distance between Gaussians fitted to both samples.

    Attributes:
        space: Name of the feature space.
        n_real: Real samples.
        n_fake: Generated samples.
        value: The squared distance, as FID is quoted; 0 or more.
        of_means: The part of it that is the squared distance of the means.
    """

    space: str
    n_real: int
    n_fake: int
    value: float
    of_means: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDistance:
    """The squared maximum mean discrepancy with a cubic kernel, the mean over blocks of both samples.

    Attributes:
        space: Name of the feature space.
        n_real: Real samples.
        n_fake: Generated samples.
        value: Mean over the blocks; its expectation is 0 for samples of one distribution, so it may be negative.
        standard_error: Of the mean, from the blocks' spread.
        blocks: How many.
    """

    space: str
    n_real: int
    n_fake: int
    value: float
    standard_error: float
    blocks: int


def frechet_distance(
    real: Real[np.ndarray, "n d"], fake: Real[np.ndarray, "m d2"], *, space: str
) -> FrechetDistance:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2) of the samples' means and covariances.

    Raises:
        BatchError: if a sample has fewer than two rows or a number that is not finite, or their widths differ.

    Source: Heusel et al. 2017 (arXiv 1706.08500), eq. 6. Differs from the released code: roots are of symmetric
    matrices, by eigenvalues, so nothing is added to a covariance without full rank and no root turns out complex.
    """
    check_comparable(real, fake, at_least=2)
    xs = [np.asarray(sample, dtype=np.float64) for sample in (real, fake)]
    means = [x.mean(0) for x in xs]
    first, second = ((x - mean).T @ (x - mean) / (len(x) - 1) for x, mean in zip(xs, means, strict=True))
    of_means = float(np.square(means[0] - means[1]).sum())
    root = symmetric_root(first)
    common = np.trace(symmetric_root(root @ second @ root))
    # Rounding may leave a distance of 0 slightly negative.
    spread = max(0.0, float(np.trace(first) + np.trace(second) - 2 * common))
    return FrechetDistance(
        space=space, n_real=len(real), n_fake=len(fake), value=of_means + spread, of_means=of_means
    )


def symmetric_root(matrix: Float64[np.ndarray, "d d"]) -> Float64[np.ndarray, "d d"]:
    """Return the positive semi-definite square root of such a matrix.

    Eigenvalues below the rounding error of the largest count as 0: their roots would be 1e8 times that error.
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    values[values < len(values) * np.finfo(np.float64).eps * values[-1]] = 0.0
    root: Float64[np.ndarray, "d d"] = (vectors * np.sqrt(values)) @ vectors.T
    return root


def kernel_distance(
    real: Real[np.ndarray, "n d"],
    fake: Real[np.ndarray, "m d2"],
    *,
    space: str,
    rng: np.random.Generator,
    blocks: int = BLOCKS,
) -> KernelDistance:
    """Return the unbiased estimate of the squared maximum mean discrepancy, with its standard error.

    Args:
        real: real features.
        fake: generated features, of any other number.
        space: name of the feature space.
        rng: of the division into blocks.
        blocks: parts of equal size into which both samples are divided; what is left over is in none.

    Raises:
        BatchError: if there are fewer than two blocks, a sample has not two rows for each or a number that is not
            finite, or their widths differ.

    Source: Binkowski et al. 2018 (arXiv 1801.01401), section 4. Differs from the paper: blocks are disjoint where the
    paper's subsets overlap, so that they are independent and their spread tells the error of their mean.
    """
    if blocks < 2:
        raise BatchError(f"A standard error needs at least 2 blocks, got {blocks}.")
    check_comparable(real, fake, at_least=2 * blocks)
    parts = [
        rng.permutation(len(sample))[: len(sample) // blocks * blocks].reshape(blocks, -1)
        for sample in (real, fake)
    ]
    values = [
        squared_discrepancy(np.asarray(real[a], np.float64), np.asarray(fake[b], np.float64))
        for a, b in zip(*parts, strict=True)
    ]
    return KernelDistance(
        space=space,
        n_real=len(real),
        n_fake=len(fake),
        value=float(np.mean(values)),
        standard_error=float(np.std(values, ddof=1) / np.sqrt(blocks)),
        blocks=blocks,
    )


def squared_discrepancy(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> float:
    """Return the unbiased squared discrepancy of two samples under the kernel (x y / d + 1)^3.

    Source: Gretton et al. 2012, eq. 3: means over pairs of different samples, minus twice the mean over all cross pairs.
    """
    within = 0.0
    for each in (x, y):
        kernel = _cubic(each, each)
        within += (kernel.sum() - np.trace(kernel)) / (len(each) * (len(each) - 1))
    return float(within - 2 * _cubic(x, y).mean())


def _cubic(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "n m"]:
    kernel: Float64[np.ndarray, "n m"] = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel
