"""Sums over samples against plain loops; they add up over chunks, count weights, and grow by classes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.layout import CodeLayout
from hashing.moments import Moments
from tests.hashing.problems import chunks_of, problems


def summed(problem, size=100, trust=None):
    """Return the moments of a problem's start, added in chunks."""
    layout, per_class = problem.layout, problem.label_weights.shape[1] != 1
    n_features, n_classes = problem.features.shape[1], problem.targets.shape[1]
    moments = Moments.empty(layout, n_features=n_features, n_classes=n_classes, per_class=per_class)
    with chunks_of(size):
        for chunk in problem.samples().chunks():
            part = {bits: t[chunk.rows] for bits, t in (trust or {}).items()}
            moments.add_(chunk, problem.start[:, chunk.rows].astype(float), part, layout)
    return moments


def some_trust(problem, seed=0):
    rng = np.random.default_rng(seed)
    return {bits: rng.random(len(problem.features)) for bits in problem.layout.lengths}


def entries(problem, trust):
    """Return what each label entry of each sample counts for each length, (n, c)."""
    full = np.broadcast_to(problem.label_weights * problem.sample_weight[:, None], problem.targets.shape)
    return {bits: full * (trust[bits][:, None] if trust else 1) for bits in problem.layout.lengths}


def assert_same(first, second):
    np.testing.assert_allclose(first.codes, second.codes, atol=1e-9)
    np.testing.assert_allclose(first.features, second.features, atol=1e-9)
    assert first.feature_weight == pytest.approx(second.feature_weight)
    for bits, part in first.labels.items():
        np.testing.assert_allclose(part.codes, second.labels[bits].codes, atol=1e-9)
        np.testing.assert_allclose(part.labels, second.labels[bits].labels, atol=1e-9)
        assert part.power == pytest.approx(second.labels[bits].power)


@given(problems(), st.booleans(), st.integers(1, 40))
@settings(max_examples=40)
def test_moments_are_sums_over_samples(problem, robust, size):
    trust = some_trust(problem) if robust else None
    moments = summed(problem, size, trust)
    codes, features = np.zeros_like(moments.codes), np.zeros_like(moments.features)
    for b, phi, e in zip(problem.start.T.astype(float), problem.features, problem.sample_weight, strict=True):
        codes += np.outer(b, b)
        features += e * np.outer(phi, b)
    np.testing.assert_allclose(moments.codes, codes, atol=1e-9)
    np.testing.assert_allclose(moments.features, features, atol=1e-9)
    assert moments.feature_weight == pytest.approx(problem.sample_weight.sum())
    for bits, d in entries(problem, trust).items():
        part = moments.labels[bits]
        B = problem.start[problem.layout.columns[bits]].astype(float)
        for k, (y, weights) in enumerate(zip(problem.targets.T, d.T, strict=True)):
            gram = sum(weight * np.outer(b, b) for weight, b in zip(weights, B.T, strict=True))
            products = sum(w * b * hit for w, b, hit in zip(weights, B.T, y, strict=True))
            np.testing.assert_allclose(part.codes[k if len(part.codes) > 1 else 0], gram, atol=1e-9)
            np.testing.assert_allclose(part.labels[:, k], products, atol=1e-9)
        assert part.power == pytest.approx((d * problem.targets**2).sum())


@given(problems(), st.booleans(), st.integers(1, 20))
@settings(max_examples=40)
def test_moments_add_up_over_chunks(problem, robust, size):
    trust = some_trust(problem) if robust else None
    assert_same(summed(problem, size, trust), summed(problem, 100, trust))


@given(problems())
@settings(max_examples=40)
def test_a_sample_that_counts_twice_is_two_samples_but_for_what_codes_say_of_codes(problem):
    twice = np.repeat(np.arange(len(problem.features)), 1 + (np.arange(len(problem.features)) % 2))
    weighted = dataclasses.replace(problem, sample_weight=1.0 + np.arange(len(problem.features)) % 2)
    repeated = dataclasses.replace(
        problem,
        features=problem.features[twice],
        targets=problem.targets[twice],
        label_weights=problem.label_weights[twice],
        sample_weight=np.ones(len(twice)),
        start=problem.start[:, twice],
    )
    first, second = summed(weighted), summed(repeated)
    assert_same(dataclasses.replace(first, codes=second.codes), second)


@given(problems())
@settings(max_examples=20)
def test_trust_of_one_changes_nothing(problem):
    ones = {bits: np.ones(len(problem.features)) for bits in problem.layout.lengths}
    assert_same(summed(problem, trust=ones), summed(problem))


@given(problems())
@settings(max_examples=20)
def test_copies_share_nothing(problem):
    moments = summed(problem)
    copy = moments.copy()
    copy.codes += 1
    copy.labels[problem.layout.lengths[0]].codes += 1
    assert_same(moments, summed(problem))


def with_labels(problem, targets, label_weights):
    return summed(dataclasses.replace(problem, targets=targets, label_weights=label_weights))


@given(problems())
@settings(max_examples=40)
def test_more_classes_are_classes_that_no_sample_has(problem):
    n = len(problem.features)
    alike = problem.label_weights[:, :1]
    wider = np.hstack([problem.targets, np.zeros((n, 2))])
    c = wider.shape[1]
    moments = with_labels(problem, problem.targets, alike)
    assert not moments.per_class
    assert_same(moments.with_classes(c, per_class=False), with_labels(problem, wider, alike))
    assert_same(
        moments.with_classes(c, per_class=True), with_labels(problem, wider, np.repeat(alike, c, axis=1))
    )


@given(problems())
@settings(max_examples=40)
def test_more_classes_are_unknown_to_samples_whose_entries_count_differently(problem):
    n, c = problem.targets.shape
    each = np.random.default_rng(n).random((n, c + 2))  # at least two classes, else entries are samples
    targets = np.hstack([problem.targets, np.ones((n, 2))])
    moments = with_labels(problem, targets, each)
    assert moments.per_class
    expected = with_labels(
        problem, np.hstack([targets, np.zeros((n, 3))]), np.hstack([each, np.zeros((n, 3))])
    )
    for per_class in (True, False):  # once they count differently, they do
        assert_same(moments.with_classes(c + 5, per_class=per_class), expected)


def test_moments_of_no_samples_are_zero():
    moments = Moments.empty(CodeLayout((2, 3), nested=True), n_features=4, n_classes=2, per_class=True)
    assert moments.codes.shape == (3, 3)
    assert moments.features.shape == (4, 3)
    assert moments.labels[2].codes.shape == (2, 2, 2)
    assert moments.labels[3].labels.shape == (3, 2)
    assert not moments.codes.any()
    assert moments.feature_weight == 0
