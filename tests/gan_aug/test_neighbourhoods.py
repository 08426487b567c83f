"""Precision, recall, density, coverage: against plain loops, where they must be 0 or 1, their laws and expectations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gan_aug import neighbourhoods
from gan_aug.errors import BatchError
from gan_aug.neighbourhoods import density_coverage, precision_recall

# Few whole numbers, so that ties and duplicates abound.
samples = st.integers(6, 12).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.integers(-3, 3)))


def scores(real, fake, k=3):
    first, second = (
        precision_recall(real, fake, space="test", k=k),
        density_coverage(real, fake, space="test", k=k),
    )
    return first.precision, first.recall, second.density, second.coverage


def loops(real, fake, k):
    """Return the four scores by the definitions, in exact arithmetic for whole numbers."""

    def squared(a, b):
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))

    def radius(points, i):
        return sorted(squared(points[i], each) for j, each in enumerate(points) if j != i)[k - 1]

    def inside(y, points):
        return [squared(y, x) <= radius(points, i) for i, x in enumerate(points)]

    return (
        np.mean([any(inside(y, real)) for y in fake]),
        np.mean([any(inside(x, fake)) for x in real]),
        np.sum([inside(y, real) for y in fake]) / (k * len(fake)),
        np.mean([any(squared(y, x) <= radius(real, i) for y in fake) for i, x in enumerate(real)]),
    )


def gaussian(seed, n=400, d=8):
    return np.random.default_rng(seed).normal(size=(n, d))


@given(samples, samples, st.integers(1, 5))
@settings(max_examples=60)
def test_scores_are_those_of_plain_loops_ties_and_duplicates_included(real, fake, k):
    assert scores(real, fake, k) == pytest.approx(loops(real, fake, k))


@given(samples, samples, st.integers(0, 100))
@settings(max_examples=40)
def test_precision_is_the_recall_of_the_exchange_and_neither_order_nor_place_nor_scale_matter(
    real, fake, seed
):
    expected = pytest.approx(scores(real, fake))
    exchanged = precision_recall(fake, real, space="test")
    assert (exchanged.recall, exchanged.precision) == scores(real, fake)[:2]
    rng = np.random.default_rng(seed)
    assert scores(rng.permutation(real), rng.permutation(fake)) == expected
    assert scores(0.1 * real + 7.3, 0.1 * fake + 7.3) == expected


def test_chunks_of_rows_change_nothing(monkeypatch):
    real, fake = gaussian(1, 50), gaussian(2, 37)
    expected = scores(real, fake)
    monkeypatch.setattr(neighbourhoods, "CHUNK_CELLS", 4 * 50)
    assert scores(real, fake) == expected


def test_a_set_is_precise_complete_and_covered_by_itself():
    precision, recall, density, coverage = scores(gaussian(1), gaussian(1))
    assert (precision, recall, coverage) == (1, 1, 1)
    assert density >= 1


def test_samples_far_away_score_zero():
    assert scores(gaussian(1), gaussian(2) + 100) == (0, 0, 0, 0)


def test_two_samples_of_one_distribution_have_the_density_and_coverage_that_theory_expects():
    results = [
        density_coverage(gaussian(2 * seed), gaussian(2 * seed + 1), space="test") for seed in range(8)
    ]
    n, k = 400, 5
    # Naeem et al. 2020, section 3.3: 1 - (n - 1) ... (n - k) / ((2n - 1) ... (2n - k)).
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    assert np.mean([each.coverage for each in results]) == pytest.approx(expected, abs=0.01)
    assert np.mean([each.density for each in results]) == pytest.approx(1, abs=0.05)
    assert (results[0].space, results[0].n_real, results[0].n_fake, results[0].k) == ("test", n, n, k)


def test_a_dropped_mode_costs_recall_and_coverage_but_neither_precision_nor_density():
    modes = np.repeat([[-20.0] * 8, [20.0] * 8], 200, axis=0)
    real, full = gaussian(1) + modes, gaussian(2) + modes
    collapsed = gaussian(3) - 20
    precision, recall, density, coverage = scores(real, full)
    bad_precision, bad_recall, bad_density, bad_coverage = scores(real, collapsed)
    assert bad_precision >= precision - 0.05
    assert bad_density >= density - 0.1
    assert bad_recall <= 0.5
    assert recall > 0.85
    assert bad_coverage <= 0.5
    assert coverage > 0.85


def test_outliers_cost_precision_and_density_in_proportion():
    real, fake = gaussian(1), gaussian(2)
    spoiled = fake.copy()
    spoiled[:100] += 50
    before, after = scores(real, fake), scores(real, spoiled)
    assert after[0] == pytest.approx(0.75 * before[0], abs=0.05)
    assert after[2] == pytest.approx(0.75 * before[2], abs=0.1)


def test_one_real_outlier_raises_precision_but_hardly_density():
    # The weakness of precision that density mends (Naeem et al. 2020, figure 3).
    fake = gaussian(2) + 6
    real = gaussian(1)
    with_outlier = np.concatenate([real, np.full((1, 8), 9.0)])
    clean, spoiled = scores(real, fake), scores(with_outlier, fake)
    assert clean[0] < 0.05
    assert spoiled[0] > 0.9
    assert spoiled[2] < 0.5


def test_a_sample_needs_more_rows_than_neighbours():
    x = gaussian(1, n=5)
    with pytest.raises(BatchError, match="needs at least 6 real samples, got 5"):
        density_coverage(x, x, space="test")
    result = precision_recall(x, x, space="test")
    assert (result.space, result.n_real, result.n_fake, result.k) == ("test", 5, 5, 3)
    with pytest.raises(BatchError, match="needs at least 4 generated samples, got 3"):
        precision_recall(x, x[:3], space="test")
