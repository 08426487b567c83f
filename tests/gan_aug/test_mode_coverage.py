"""Modes of mixtures: the mixture's own points, collapses, the bounds of what counts, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_aug.data import grid, ring
from gan_aug.errors import BatchError
from gan_aug.mode_coverage import mode_coverage

mixtures = pytest.mark.parametrize(("mixture", "modes"), [(ring(), 8), (grid(), 25)], ids=["ring", "grid"])


def points_at(mixture, counts, offset=0.0):
    """Return so many points per mode, all at one distance from its centre, in deviations."""
    centres = np.repeat(mixture.centres, counts, axis=0).astype(np.float32)
    return centres + np.float32([offset * mixture.deviation, 0.0])


@mixtures
def test_the_mixtures_own_points_cover_it_evenly_and_nearly_all_are_good(mixture, modes):
    result = mode_coverage(mixture.dataset(5000, seed=1).samples, mixture)
    assert (result.covered, result.near, result.modes, result.n_fake) == (modes, modes, modes, 5000)
    assert result.space == "plane"
    assert result.high_quality == pytest.approx(1 - math.exp(-8), abs=0.001)
    # Twice the divergence of n draws is chi-square over n.
    assert result.divergence == pytest.approx((modes - 1) / (2 * 5000), rel=0.9)


@mixtures
def test_a_collapse_to_one_mode_is_good_covers_one_and_is_as_uneven_as_can_be(mixture, modes):
    counts = [0] * modes
    counts[3] = 100
    result = mode_coverage(points_at(mixture, counts), mixture)
    assert (result.covered, result.near, result.high_quality) == (1, 1, 1.0)
    assert result.divergence == pytest.approx(math.log(modes))


def test_a_mode_counts_from_twenty_of_five_thousand_points_on():
    counts = [4961, 20, 19, 0, 0, 0, 0, 0]
    assert mode_coverage(points_at(ring(), counts), ring()).covered == 2
    assert mode_coverage(points_at(ring(), [996, 4, 0, 0, 0, 0, 0, 0]), ring()).covered == 2
    assert mode_coverage(points_at(ring(), [997, 3, 0, 0, 0, 0, 0, 0]), ring()).covered == 1


def test_points_are_good_up_to_four_deviations_and_near_beyond():
    inside, outside = (points_at(ring(), [10] * 8, offset) for offset in (3.99, 4.01))
    assert mode_coverage(inside, ring()).high_quality == 1
    result = mode_coverage(np.concatenate([outside, inside[:10]]), ring())
    assert (result.covered, result.near) == (1, 8)
    assert result.high_quality == pytest.approx(10 / 90)


@given(st.lists(st.integers(0, 9), min_size=8, max_size=8).filter(any), st.integers(0, 99))
@settings(max_examples=30)
def test_the_divergence_is_that_of_the_shares_and_order_does_not_matter(counts, seed):
    points = points_at(ring(), counts)
    shares = [count / sum(counts) for count in counts if count]
    result = mode_coverage(np.random.default_rng(seed).permutation(points), ring())
    assert result == mode_coverage(points, ring())
    assert result.divergence == pytest.approx(sum(p * math.log(8 * p) for p in shares), abs=1e-12)


def test_points_that_cannot_be_judged_are_refused():
    with pytest.raises(BatchError, match="Modes are counted among points, got none"):
        mode_coverage(np.zeros((0, 2), dtype=np.float32), ring())
    with pytest.raises(BatchError, match="Points must be finite"):
        mode_coverage(np.full((3, 2), np.inf, dtype=np.float32), ring())
