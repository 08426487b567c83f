"""Ridge regression in closed form, from features and from sums over them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.labels import read_labels
from hashing.ridge import FeatureRidge, GramRidge, solve_ridge
from hashing.training_set import TrainingSet


def draw(seed, n=20, m=4, bits=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, m)), rng.choice((-1.0, 1.0), size=(n, bits)), rng.exponential(size=n)


def least_squares(x, y, e, ridge):
    """Return the ridge regression as least squares with one more row per column, which pulls it to 0."""
    root = np.sqrt(e)[:, None]
    rows = np.vstack([root * x, np.sqrt(ridge) * np.eye(x.shape[1])])
    return np.linalg.lstsq(rows, np.vstack([root * y, np.zeros((x.shape[1], y.shape[1]))]), rcond=None)[0]


@given(st.integers(0, 99), st.sampled_from([0.01, 1.0, 100.0]))
@settings(max_examples=30)
def test_all_forms_are_the_least_squares_solution(seed, ridge):
    x, y, e = draw(seed)
    expected = least_squares(x, y, np.ones(20), ridge)
    np.testing.assert_allclose(solve_ridge(x.T @ x, x.T @ y, ridge=ridge), expected, atol=1e-9)
    np.testing.assert_allclose(FeatureRidge(x, ridge).fit(y), expected, atol=1e-9)
    np.testing.assert_allclose(GramRidge(x.T @ x, ridge).solve(x.T @ y), expected, atol=1e-9)
    weighted = GramRidge(x.T @ (e[:, None] * x), ridge).solve(x.T @ (e[:, None] * y))
    np.testing.assert_allclose(weighted, least_squares(x, y, e, ridge), atol=1e-9)


@given(st.integers(0, 99), st.sampled_from([0.01, 1.0]))
@settings(max_examples=20)
def test_leverage_is_what_a_sample_adds_to_its_own_score(seed, ridge):
    x, _, e = draw(seed)
    samples = TrainingSet(x, lambda rows: rows, read_labels(None, 20), sample_weight=e, dtype=np.float64)
    (chunk,) = samples.chunks()
    leverages = GramRidge(samples.gram(), ridge).leverages(chunk)
    for i in range(20):
        own = np.zeros((20, 1))
        own[i] = 1.0  # the score of sample i of a regression to its own vote alone
        assert leverages[i] == pytest.approx((x[i] @ least_squares(x, own, e, ridge)).item())


def test_a_regression_keeps_its_penalty_and_gram_matrix_as_given():
    x, y, _ = draw(0)
    gram = x.T @ x
    ridge = GramRidge(gram, 0.5)
    assert ridge.penalty == FeatureRidge(x, 0.5).penalty == 0.5
    assert (ridge.gram == x.T @ x).all()
    assert ridge.solve(x.T @ y).shape == (4, 3)
