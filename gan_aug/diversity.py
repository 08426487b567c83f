"""How different the samples of a generator are from each other.

In: features of samples in groups, and of real ones, the name of their space. Out: their mean pairwise distances.
Leaves embedding, and the making of perceptual vectors, to gan_aug.feature_space.

Convention: means are over all pairs of different samples, each computed without going through the pairs.
"""

from dataclasses import dataclass
from enum import Enum
from typing import assert_never, final

import numpy as np
from jaxtyping import Float64, Real

from gan_aug.errors import BatchError
from gan_aug.feature_space import check_comparable


class Distance(Enum):
    """Between two vectors of features."""

    SQUARED = "squared"  # sum of squared differences: the perceptual distance of `perceptual_vectors`
    ABSOLUTE = "absolute"  # mean of absolute differences: L1 of pixels


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """Mean pairwise distances of generated samples of one condition, and of real samples.

    Attributes:
        space: Name of the feature space.
        distance: Between two samples.
        n_real: Real samples.
        n_groups: Conditions, or inputs, for which there are samples; 1 for an unconditional generator.
        n_fake: Generated samples in every group.
        value: Mean distance over the pairs of a group, then over the groups.
        of_real: Mean distance over the pairs of real samples.
    """

    space: str
    distance: Distance
    n_real: int
    n_groups: int
    n_fake: int
    value: float
    of_real: float

    @property
    def ratio(self) -> float:
        """The distance as a share of the real samples'. 0: a collapse to one sample; of one label less than 1 is due."""
        return self.value / self.of_real


def diversity(
    real: Real[np.ndarray, "n d"],
    fake: Real[np.ndarray, "groups m d2"],
    *,
    space: str,
    distance: Distance = Distance.SQUARED,
) -> Diversity:
    """Return the diversity of samples in groups.

    Args:
        real: features of real samples, of all conditions.
        fake: features of as many samples for every condition; distances are within a group.
        space: name of the feature space.
        distance: which.

    Raises:
        BatchError: if a group or the real samples are fewer than two, all real ones are equal, there is a number that is
            not finite, or the widths differ.

    Source: Zhu et al. 2017 (arXiv 1711.11586), section 5; ten samples and all 45 pairs in Choi et al. 2020.
    """
    groups, n_fake, width = fake.shape
    if n_fake < 2:
        raise BatchError(f"Pairs need at least 2 samples per group, got {n_fake}.")
    check_comparable(real, fake.reshape(groups * n_fake, width), at_least=2)
    of_real = float(_mean_pairwise(np.asarray(real, np.float64), distance))
    if of_real == 0:
        raise BatchError(
            f"The {len(real)} real samples are all equal in {space}. Give others to compare with."
        )
    return Diversity(
        space=space,
        distance=distance,
        n_real=len(real),
        n_groups=groups,
        n_fake=n_fake,
        value=float(np.mean(_mean_pairwise(np.asarray(fake, np.float64), distance))),
        of_real=of_real,
    )


def _mean_pairwise(x: Float64[np.ndarray, "... n d"], distance: Distance) -> Float64[np.ndarray, "..."]:
    """Return the mean distance over all pairs of rows."""
    match distance:
        case Distance.SQUARED:
            # Two draws differ by twice the variance.
            return np.asarray(2 * x.var(-2, ddof=1).sum(-1))
        case Distance.ABSOLUTE:
            # The i-th smallest of n numbers is the larger in i pairs and the smaller in n - 1 - i.
            n = x.shape[-2]
            times = 2 * np.arange(n) - (n - 1)
            sums = (np.sort(x, -2) * times[:, None]).sum(-2)
            return np.asarray(sums.mean(-1) / (n * (n - 1) / 2))
        case _:
            assert_never(distance)
