"""Diversity against loops over pairs, at its extremes, and its refusals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_aug.diversity import Distance, diversity
from gan_aug.errors import BatchError


def samples(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


DISTANCES = {
    Distance.SQUARED: lambda a, b: sum((a - b) ** 2),
    Distance.ABSOLUTE: lambda a, b: np.mean(abs(a - b)),
}


@pytest.mark.parametrize("distance", Distance)
@given(seed=st.integers(0, 1000), groups=st.integers(1, 3), n=st.integers(2, 6))
@settings(max_examples=20)
def test_it_is_the_mean_over_all_pairs_of_a_group_and_then_over_groups(distance, seed, groups, n):
    real, fake = samples(seed, 5, 4), samples(seed + 1, groups, n, 4)

    def mean_of_pairs(rows):
        pairs = itertools.combinations(rows.astype(np.float64), 2)
        return np.mean([DISTANCES[distance](a, b) for a, b in pairs])

    result = diversity(real, fake, space="test", distance=distance)
    assert result.value == pytest.approx(np.mean([mean_of_pairs(group) for group in fake]))
    assert result.of_real == pytest.approx(mean_of_pairs(real))
    assert result.ratio == result.value / result.of_real
    assert (result.space, result.distance, result.n_real) == ("test", distance, 5)
    assert (result.n_groups, result.n_fake) == (groups, n)


@pytest.mark.parametrize("distance", Distance)
def test_a_collapse_has_no_diversity_and_the_real_distribution_has_a_ratio_of_one(distance):
    real = samples(1, 2000, 8)
    collapsed = np.repeat(samples(2, 3, 1, 8), 10, axis=1)
    assert diversity(real, collapsed, space="test", distance=distance).ratio == pytest.approx(0, abs=1e-6)
    alike = diversity(real, samples(3, 1, 2000, 8), space="test", distance=distance)
    assert alike.ratio == pytest.approx(1, abs=0.03)


def test_differences_between_groups_are_no_diversity():
    apart = np.zeros((2, 3, 4), dtype=np.float32)
    apart[1] = 9.0
    assert diversity(samples(1, 5, 4), apart, space="test").value == 0


def test_pairs_are_needed_and_real_samples_that_differ():
    with pytest.raises(BatchError, match="at least 2 samples per group, got 1"):
        diversity(samples(1, 5, 4), samples(2, 3, 1, 4), space="test")
    with pytest.raises(BatchError, match="The 5 real samples are all equal in pixels"):
        diversity(np.ones((5, 4)), samples(2, 3, 2, 4), space="pixels")
    with pytest.raises(BatchError, match="at least 2 real samples, got 1"):
        diversity(samples(1, 1, 4), samples(2, 3, 2, 4), space="test")
