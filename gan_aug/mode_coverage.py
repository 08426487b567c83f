"""How much of a mixture of Gaussians a generator of points has learnt.

In: points, the mixture they should be of. Out: the modes they cover, and the share of good points.
The mixtures are in gan_aug.data.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.spatial.distance import cdist

from gan_aug.data import Mixture
from gan_aug.errors import BatchError

RADIUS = 4.0  # standard deviations within which a point is of high quality
NEEDED, OF = 20, 5000  # the share of all points that a mode must have to count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ModeCoverage:
    """Modes found by points in the plane.

    Attributes:
        space: Name of the space, the plane in the units of the mixture.
        n_fake: Generated points.
        modes: Gaussians of the mixture, with which the points are compared in place of real ones.
        covered: Modes with at least 20 of 5,000 points within 4 standard deviations of their centre.
        near: Modes with at least 20 of 5,000 points nearer to their centre than to another, at any distance.
        high_quality: Share of points within 4 standard deviations of a centre.
        divergence: KL, in nats, of the shares of points nearest to each centre from equal shares; 0 to log(modes).
    """

    space: str
    n_fake: int
    modes: int
    covered: int
    near: int
    high_quality: float
    divergence: float


def mode_coverage(points: Float32[np.ndarray, "n 2"], mixture: Mixture) -> ModeCoverage:
    """Return how well points cover the Gaussians of a mixture.

    Of the mixture's own points a share of 1 - exp(-8), 0.99966, is of high quality.

    Args:
        points: 5,000 or another number, of which the same share must be near a mode.
        mixture: such as `ring()` or `grid()`.

    Raises:
        BatchError: if there are no points, or not finite ones.
    """
    if not len(points):
        raise BatchError("Modes are counted among points, got none.")
    if not np.isfinite(points).all():
        raise BatchError("Points must be finite, got NaN or infinity. Look for a generator that diverged.")
    distances: Float64[np.ndarray, "n modes"] = cdist(points, mixture.centres)
    nearest = distances.argmin(1)
    good = distances.min(1) <= RADIUS * mixture.deviation
    modes = len(mixture.centres)
    counts = np.bincount(nearest, minlength=modes)
    shares = counts[counts > 0] / len(points)
    return ModeCoverage(
        space="plane",
        n_fake=len(points),
        modes=modes,
        covered=_large(np.bincount(nearest[good], minlength=modes), len(points)),
        near=_large(counts, len(points)),
        high_quality=float(good.mean()),
        divergence=float((shares * np.log(shares)).sum()) + math.log(modes),
    )


def _large(counts: Int64[np.ndarray, " modes"], n: int) -> int:
    """Return how many of the counts are a sufficient share of n points."""
    return int((counts * OF >= NEEDED * n).sum())
