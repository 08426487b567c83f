"""Linear and radial features against their formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing import features as features_module
from hashing.features import FeatureKind, fit_features, unit_rows


def embeddings(n, d=5, seed=0):
    return np.random.default_rng(seed).normal(1, 2, size=(n, d)).astype(np.float32)


def fitted(x, kind, *, normalize=False, n_anchors=None):
    return fit_features(x, kind=kind, normalize=normalize, n_anchors=n_anchors, rng=np.random.default_rng(0))


@pytest.mark.parametrize("kind", FeatureKind)
@pytest.mark.parametrize("normalize", [False, True])
def test_training_features_have_mean_zero_and_end_in_one(kind, normalize):
    x = embeddings(40)
    features = fitted(x, kind, normalize=normalize)(x)
    np.testing.assert_allclose(features[:, :-1].mean(axis=0), 0, atol=1e-6)
    assert (features[:, -1] == 1).all()


def test_linear_features_are_embeddings_without_their_mean():
    x = embeddings(10)
    np.testing.assert_allclose(fitted(x, FeatureKind.LINEAR)(x)[:, :-1], x - x.mean(axis=0), atol=1e-6)


def test_radial_features_fall_with_squared_distance_over_its_median():
    x, new = embeddings(12), embeddings(3, seed=1)
    feature_map = fitted(x, FeatureKind.RBF, n_anchors=4)
    distances = [[((a.astype(float) - b) ** 2).sum() for b in feature_map.anchors] for a in x]
    width = np.median(distances)
    mean = np.exp(-np.array(distances) / width).mean(axis=0)
    for row, a in zip(feature_map(new), new, strict=True):
        expected = [np.exp(-((a.astype(float) - b) ** 2).sum() / width) for b in feature_map.anchors]
        np.testing.assert_allclose(row[:-1], expected - mean, atol=1e-6)


def test_anchors_are_training_rows_drawn_once():
    x = embeddings(50)
    anchors = fitted(x, FeatureKind.RBF, n_anchors=20).anchors
    rows = {row.tobytes() for row in x}
    assert len({anchor.tobytes() for anchor in anchors} & rows) == 20


@pytest.mark.parametrize(("n", "expected"), [(30, 30), (1200, 1000)])
def test_anchors_default_to_all_rows_up_to_a_thousand(n, expected):
    assert len(fitted(embeddings(n, d=2), FeatureKind.RBF).anchors) == expected


@given(st.floats(1e-3, 1e3))
def test_normalized_features_ignore_the_length_of_an_embedding(scale):
    x = embeddings(20)
    feature_map = fitted(x, FeatureKind.RBF, normalize=True)
    np.testing.assert_allclose(feature_map(x.astype(float) * scale), feature_map(x), atol=1e-6)


@pytest.mark.parametrize("kind", FeatureKind)
def test_features_of_identical_embeddings_are_finite(kind):
    x = np.zeros((6, 3), dtype=np.float32)
    assert (fitted(x, kind, normalize=True)(x)[:, :-1] == 0).all()


def test_unit_rows_have_length_one_and_zero_stays_zero():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(unit_rows(x), [[0.6, 0.8], [0, 0]])


def test_width_and_mean_of_many_rows_are_those_of_rows_spread_over_all(monkeypatch):
    x = np.random.default_rng(0).normal(size=(101, 3)) + np.arange(101)[:, None]
    monkeypatch.setattr(features_module, "FIT_ROWS", 11)
    fitted = fit_features(x, kind=FeatureKind.RBF, normalize=False, n_anchors=5, rng=np.random.default_rng(0))
    distances = np.array([[((row - anchor) ** 2).sum() for anchor in fitted.anchors] for row in x[::10]])
    assert fitted.width == pytest.approx(np.median(distances), rel=1e-6)
    np.testing.assert_allclose(fitted.mean, np.exp(-distances / fitted.width).mean(axis=0), rtol=1e-5)
    linear = fit_features(
        x, kind=FeatureKind.LINEAR, normalize=False, n_anchors=None, rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(linear.mean, x.mean(axis=0), rtol=1e-6)  # in parts, but of all rows
