"""Where training starts: codewords for labels, predictions where there are none, rotations without any."""

import numpy as np
import pytest

from hashing.codebook import class_codebooks
from hashing.labels import read_labels
from hashing.objective import Problem
from hashing.ridge import FeatureRidge
from hashing.start import codebook_codes, rotated_codes

LENGTHS = (8, 16)


def start(x, y, seed=0):
    labels = read_labels(y, len(x))
    features = np.hstack([x, np.ones((len(x), 1))])
    problem = Problem(features=features, targets=labels.targets, label_weights=labels.weights)
    ridge = FeatureRidge(features, 0.1)
    rng = np.random.default_rng(seed)
    return codebook_codes(problem, labels, LENGTHS, nested=False, ridge=ridge, rng=rng)


def blobs(n=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return np.eye(classes)[y] * 5 + rng.normal(size=(n, classes)), y


def test_labelled_samples_start_at_the_codeword_of_their_class():
    x, y = blobs()
    books = class_codebooks(3, LENGTHS, nested=False, rng=np.random.default_rng(0))
    codes = start(x, y)
    for bits in LENGTHS:
        assert (codes[bits] == books[bits][y]).all()


def test_samples_of_several_classes_start_at_the_majority_of_their_codewords():
    x, _ = blobs(n=6)
    y = [[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 1, 0]]
    books = class_codebooks(3, LENGTHS, nested=False, rng=np.random.default_rng(0))
    assert (start(x, y)[8][0] == np.sign(books[8].sum(axis=0))).all()


def test_unlabelled_samples_start_where_a_projection_fitted_on_the_labelled_ones_puts_them():
    x, y = blobs()
    partly = np.where(np.arange(60) < 30, y, -1)
    codes = start(x, partly)
    features = np.hstack([x, np.ones((60, 1))])
    known = features[:30]
    P = np.linalg.solve(known.T @ known + 0.1 * np.eye(4), known.T @ codes[8][:30])
    assert (codes[8][30:] == np.where(features[30:] @ P > 0, 1, -1)).all()


@pytest.mark.parametrize("d", [4, 20])
def test_rotated_codes_are_signs_of_every_length_also_beyond_the_dimensions(d):
    x = np.random.default_rng(0).normal(size=(50, d))
    codes = rotated_codes(x, LENGTHS, np.random.default_rng(0))
    for bits in LENGTHS:
        assert codes[bits].shape == (50, bits)
        assert set(np.unique(codes[bits])) == {-1.0, 1.0}
        assert len(np.unique(codes[bits], axis=1).T) == bits  # rotations differ


def test_rotated_codes_of_two_far_groups_differ_more_between_than_within():
    x = np.random.default_rng(0).normal(size=(40, 12))
    x[20:] += 8
    B = rotated_codes(x, LENGTHS, np.random.default_rng(0))[16]
    inner = B @ B.T
    assert inner[:20, :20].mean() > inner[:20, 20:].mean() + 4
