"""Codebooks: their cost, local optimality, nesting and the corner cases of few and many classes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.codebook import class_codebook, class_codebooks, codebook_cost


def plain_cost(words):
    classes, bits = words.shape
    total = 0.0
    for i in range(classes):
        for j in range(classes):
            if i != j:
                distance = sum(words[i, k] != words[j, k] for k in range(bits))
                total += math.exp(-(distance - bits / 2) / max(bits / 16, 0.5))
    return total


@given(st.integers(1, 6), st.sampled_from([8, 16, 32]), st.integers(0, 9))
def test_cost_is_the_sum_over_pairs_of_classes(classes, bits, seed):
    words = np.random.default_rng(seed).choice((-1.0, 1.0), size=(classes, bits))
    assert codebook_cost(words) == pytest.approx(plain_cost(words))


@given(st.integers(2, 12), st.sampled_from([8, 16]), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_no_single_flip_lowers_the_cost_of_a_codebook(classes, bits, seed):
    words = class_codebook(classes, bits, rng=np.random.default_rng(seed))
    cost = plain_cost(words)
    for i in range(classes):
        for k in range(bits):
            flipped = words.copy()
            flipped[i, k] *= -1
            assert plain_cost(flipped) >= cost * (1 - 1e-9)


def test_ten_classes_lie_further_apart_than_random_words():
    words = class_codebook(10, 32, rng=np.random.default_rng(0))
    distances = (32 - words @ words.T)[np.triu_indices(10, 1)] / 2
    assert distances.min() >= 15


def test_nested_codebooks_are_prefixes_of_the_longer_ones():
    books = class_codebooks(10, (8, 16, 32), nested=True, rng=np.random.default_rng(0))
    assert (books[16][:, :8] == books[8]).all()
    assert (books[32][:, :16] == books[16]).all()


def test_independent_codebooks_are_not():
    books = class_codebooks(10, (8, 16), nested=False, rng=np.random.default_rng(0))
    assert (books[16][:, :8] != books[8]).any()


@pytest.mark.parametrize("nested", [False, True])
def test_known_codewords_stay_and_new_ones_lie_far_from_them(nested):
    lengths = (8, 16, 32)
    rng = np.random.default_rng(0)
    known = class_codebooks(6, lengths, nested=nested, rng=rng)
    books = class_codebooks(10, lengths, nested=nested, rng=rng, known=known)
    for bits in lengths:
        assert (books[bits][:6] == known[bits]).all()
        assert books[bits].shape == (10, bits)
    distances = (32 - books[32] @ books[32].T)[np.triu_indices(10, 1)] / 2
    assert distances.min() >= 12
    if nested:
        assert (books[32][:, :8] == books[8]).all()


@given(st.integers(0, 9))
@settings(max_examples=10)
def test_no_single_flip_of_a_new_codeword_lowers_the_cost_of_a_codebook_with_known_ones(seed):
    rng = np.random.default_rng(seed)
    words = class_codebook(7, 8, rng=rng, known=class_codebook(4, 8, rng=rng))
    cost = plain_cost(words)
    for i, k in np.ndindex(3, 8):
        flipped = words.copy()
        flipped[4 + i, k] *= -1
        assert plain_cost(flipped) >= cost * (1 - 1e-9)


def test_a_codebook_of_known_words_only_is_they():
    known = class_codebook(4, 8, rng=np.random.default_rng(0))
    assert (class_codebook(4, 8, rng=np.random.default_rng(1), known=known) == known).all()


def test_the_same_seed_gives_the_same_codebook():
    first, second = (class_codebook(7, 16, rng=np.random.default_rng(3)) for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("classes", [1, 300, 20_000])
def test_one_class_and_more_classes_than_words_are_fine(classes):
    words = class_codebook(classes, 8, rng=np.random.default_rng(0))
    assert words.shape == (classes, 8)
    assert set(np.unique(words)) <= {-1.0, 1.0}


def test_more_classes_than_words_use_most_words():
    words = class_codebook(300, 8, rng=np.random.default_rng(0))
    assert len(np.unique(words, axis=0)) > 200
