"""Samples in chunks: all of them once and in order, with their weights, and no more memory than asked for."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing import training_set
from hashing.labels import read_labels
from hashing.training_set import TrainingSet
from tests.hashing.problems import chunks_of


def samples(n=10, y=None, **parameters):
    x = np.arange(2.0 * n).reshape(n, 2)
    return x, TrainingSet(x, lambda rows: rows + 1, read_labels(y, n), **parameters)


@given(st.integers(1, 30), st.integers(1, 12))
def test_chunks_are_all_samples_in_their_order(n, size):
    y = np.arange(n) % 3
    x, training = samples(n, y)
    with chunks_of(size):
        chunks = list(training.chunks())
    assert len(training) == n
    assert all(len(chunk.features) <= size for chunk in chunks)
    assert [i for chunk in chunks for i in range(n)[chunk.rows]] == list(range(n))
    assert (np.vstack([chunk.features for chunk in chunks]) == x + 1).all()
    assert (np.vstack([chunk.targets for chunk in chunks]) == training.labels.targets).all()


def test_sample_weights_count_for_features_and_labels_and_class_weights_for_labels_only():
    weight = np.array([1.0, 2.0, 0.5, 3.0])
    labels = read_labels([0, 1, -1, 1], 4, class_weight={1: 4.0})
    training = TrainingSet(np.ones((4, 1)), lambda rows: rows, labels, sample_weight=weight)
    (chunk,) = training.chunks()
    assert chunk.feature_weights.tolist() == [1, 2, 0.5, 3]
    assert chunk.label_weights.ravel().tolist() == [1, 8, 0, 12]
    assert not chunk.uniform_features
    assert not chunk.uniform_labels


def test_missing_entries_have_weights_of_their_own():
    labels = read_labels(np.array([[1, np.nan], [0, 1]]), 2)
    training = TrainingSet(np.ones((2, 1)), lambda rows: rows, labels, sample_weight=np.array([2.0, 3.0]))
    (chunk,) = training.chunks()
    assert chunk.label_weights.tolist() == [[2, 0], [3, 3]]


def test_a_chunk_says_whether_all_its_samples_count_one():
    training = samples(4, [0, 1, -1, 1])[1]
    with chunks_of(2):
        first, second = training.chunks()
    assert (first.uniform_features, first.uniform_labels) == (True, True)
    assert (second.uniform_features, second.uniform_labels) == (True, False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chunks_are_of_the_type_asked_for(dtype):
    (chunk,) = samples(4, [0, 1, 1, 0], dtype=dtype)[1].chunks()
    for array in (chunk.features, chunk.targets, chunk.feature_weights, chunk.label_weights):
        assert array.dtype == dtype


@given(st.integers(1, 30), st.integers(1, 12), st.booleans())
def test_gram_is_the_weighted_sum_of_outer_products(n, size, labelled):
    rng = np.random.default_rng(n)
    x, e, y = rng.normal(size=(n, 3)), rng.random(n), np.where(np.arange(n) % 2, -1, 0)
    training = TrainingSet(x, lambda rows: rows, read_labels(y, n), sample_weight=e, dtype=np.float64)
    with chunks_of(size):
        gram = training.gram(labelled=labelled)
    counted = [i for i in range(n) if y[i] == 0 or not labelled]
    np.testing.assert_allclose(gram, sum(e[i] * np.outer(x[i], x[i]) for i in counted), atol=1e-12)


def test_a_weight_of_two_is_a_repeated_row_in_the_gram_matrix():
    x = np.random.default_rng(0).normal(size=(6, 3))
    counts = np.array([1, 2, 1, 3, 1, 0])
    rows, repeated = np.arange(6), np.repeat(np.arange(6), counts)
    weighted, plain = (
        TrainingSet(x[i], lambda rows: rows, read_labels(None, len(i)), sample_weight=e, dtype=np.float64)
        for i, e in ((rows, counts.astype(float)), (repeated, None))
    )
    np.testing.assert_allclose(weighted.gram(), plain.gram())


@pytest.mark.parametrize(("kept", "calls"), [(4, 4), (2, 6), (0, 8)])
def test_features_beyond_the_room_for_them_are_computed_anew_in_every_sweep(kept, calls, monkeypatch):
    chunk_bytes = 5 * 2 * 4
    monkeypatch.setattr(training_set, "CACHE_BYTES", kept * chunk_bytes)
    called = []
    training = TrainingSet(np.ones((20, 2)), lambda rows: called.append(1) or rows, read_labels(None, 20))
    with chunks_of(5):
        sweeps = [np.vstack([chunk.features for chunk in training.chunks()]) for _ in range(2)]
    assert len(called) == calls
    assert (sweeps[0] == sweeps[1]).all()


def test_without_room_for_features_memory_does_not_grow_with_the_samples(monkeypatch):
    """A hundred features per embedding of one number: kept, they would be all there is."""
    monkeypatch.setattr(training_set, "CACHE_BYTES", 0)

    def peak(n):
        training = TrainingSet(
            np.ones((n, 1)), lambda rows: np.repeat(rows, 100, axis=1), read_labels(None, n)
        )
        tracemalloc.start()
        with chunks_of(500):
            training.gram()
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak_bytes

    peak(500)  # what is allocated once
    assert peak(20_000) < 1.1 * peak(2_000)
