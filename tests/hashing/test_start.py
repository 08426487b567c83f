"""Where training starts: codewords for labels, predictions where there are none, rotations without any."""

import numpy as np
import pytest

from hashing.codebook import class_codebooks
from hashing.labels import Labels, read_labels
from hashing.layout import CodeLayout
from hashing.ridge import GramRidge
from hashing.start import codebook_codes, join_books, rotated_codes
from hashing.training_set import TrainingSet
from tests.hashing.problems import chunks_of

LAYOUT = CodeLayout((8, 16))
NESTED = CodeLayout((8, 16), nested=True)


@pytest.fixture(autouse=True)
def several_chunks():
    with chunks_of(25):
        yield


def books(classes=3, *, nested=False):
    return class_codebooks(classes, (8, 16), nested=nested, rng=np.random.default_rng(0))


def start(x, y, layout=LAYOUT, sample_weight=None):
    labels = y if isinstance(y, Labels) else read_labels(y, len(x))
    samples = TrainingSet(
        np.hstack([x, np.ones((len(x), 1))]),
        lambda rows: rows,
        labels,
        sample_weight=sample_weight,
        dtype=np.float64,
    )
    words = books(len(labels.classes), nested=layout.nested)
    return codebook_codes(samples, words, layout, GramRidge(samples.gram(), 0.1))


def blobs(n=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return np.eye(classes)[y] * 5 + rng.normal(size=(n, classes)), y


@pytest.mark.parametrize("layout", [LAYOUT, NESTED], ids=["independent", "nested"])
def test_labelled_samples_start_at_the_codeword_of_their_class(layout):
    x, y = blobs()
    codes = start(x, y, layout)
    assert codes.dtype == np.int8
    for bits, part in layout.columns.items():
        assert (codes[part] == books(nested=layout.nested)[bits][y].T).all()


def test_joined_codebooks_hold_the_columns_that_each_length_adds():
    assert (join_books(books(), LAYOUT) == np.hstack([books()[8], books()[16]])).all()
    assert (join_books(books(nested=True), NESTED) == books(nested=True)[16]).all()


def test_samples_of_several_classes_start_at_the_majority_of_their_codewords():
    x, _ = blobs(n=6)
    y = [[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 1, 0]]
    assert (start(x, y)[:8, 0] == np.sign(books()[8].sum(axis=0))).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_unlabelled_samples_start_where_a_projection_fitted_on_the_labelled_ones_puts_them(weighted):
    x, y = blobs()
    x[30:] = np.random.default_rng(2).normal(size=(30, 3)) * (9, 0.3, 3)  # spread otherwise than the labelled
    e = np.random.default_rng(1).exponential(size=60) if weighted else np.ones(60)
    codes = start(x, np.where(np.arange(60) < 30, y, -1), sample_weight=e).T
    features = np.hstack([x, np.ones((60, 1))])
    known = features[:30]
    P = np.linalg.solve(
        known.T @ (e[:30, None] * known) + 0.1 * np.eye(4), known.T @ (e[:30, None] * codes[:30])
    )
    assert (codes[30:] == np.where(features[30:] @ P > 0, 1, -1)).all()


def test_bits_on_which_codewords_of_a_sample_disagree_start_where_the_other_samples_put_them():
    x, y = blobs()
    targets = np.eye(3)[y]
    targets[0] = [1, 1, 0]
    codes = start(x, targets).T
    ties = join_books(books(), LAYOUT)[:2].sum(axis=0) == 0
    assert ties.any()
    features = np.hstack([x, np.ones((60, 1))])
    votes = codes.astype(float)
    votes[0, ties] = 0  # has no say in what it is given
    P = np.linalg.solve(features.T @ features + 0.1 * np.eye(4), features.T @ votes)
    assert (codes[0, ties] == np.where(features[0] @ P > 0, 1, -1)[ties]).all()


@pytest.mark.parametrize("layout", [LAYOUT, NESTED], ids=["independent", "nested"])
@pytest.mark.parametrize("d", [4, 12, 20])
def test_rotated_codes_are_signs_of_every_length_also_beyond_the_dimensions(d, layout):
    x = np.random.default_rng(0).normal(size=(400, d))
    codes = rotated_codes(x, normalize=False, layout=layout, rng=np.random.default_rng(0))
    assert codes.shape == (layout.n_columns, 400)
    assert codes.dtype == np.int8
    for part in layout.columns.values():
        assert set(np.unique(codes[part])) == {-1, 1}
        bits = part.stop - part.start
        assert len(np.unique(codes[part], axis=0)) > min(d, bits - 1)  # rotations of the same axes differ


@pytest.mark.parametrize("layout", [LAYOUT, NESTED], ids=["independent", "nested"])
def test_rotated_codes_of_two_far_groups_differ_more_between_than_within(layout):
    x = np.random.default_rng(0).normal(size=(40, 12))
    x[20:] += 8
    B = rotated_codes(x, normalize=False, layout=layout, rng=np.random.default_rng(0))[
        layout.columns[16]
    ].T.astype(float)
    inner = B @ B.T
    assert inner[:20, :20].mean() > inner[:20, 20:].mean() + 2
