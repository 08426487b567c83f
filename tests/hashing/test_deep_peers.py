"""The deep peers: that they learn, keep the shape of the other hashers, and spend the same."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hashing.codes import hamming_distances
from hashing.deep.peers import CSQHasher, NHLHasher, OrthoHashHasher, centroids, hash_centres
from hashing.errors import LabelError

PEERS = [CSQHasher, OrthoHashHasher, NHLHasher]
QUICK = {"lengths": (8, 16), "hidden": (16,), "epochs": 2, "batch_size": 16, "random_state": 0}


def small(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(size=(n, 6)) + 2 * np.eye(6)[y]).astype(np.float32), y


@pytest.mark.parametrize("peer", PEERS)
def test_it_learns_digits(peer):
    x, y = load_digits(return_X_y=True)
    hasher = peer(lengths=(16, 32), hidden=(64,), epochs=25, learning_rate=5e-3, random_state=0)
    codes = hasher.fit(x[:800], y[:800]).encode(x[800:])
    for bits in (16, 32):
        nearest = hamming_distances(codes[bits][:100], codes[bits][100:]).argsort(axis=1, kind="stable")[
            :, :20
        ]
        assert (y[900:][nearest] == y[800:900, None]).mean() > 0.85


@pytest.mark.parametrize("peer", PEERS)
def test_records_codes_and_scores_agree(peer):
    x, y = small()
    hasher = peer(**QUICK).fit(x, y)
    codes, scores = hasher.encode(x), hasher.project(x)
    assert (hasher.transform(x) == np.hstack([codes[8], codes[16]])).all()
    for bits in (8, 16):
        assert (np.unpackbits(codes[bits], axis=1, bitorder="little") == (scores[bits] > 0)).all()


def test_nested_codes_are_prefixes():
    x, y = small()
    codes = NHLHasher(**QUICK).fit(x, y).encode(x)
    assert (codes[8][:, 0] == codes[16][:, 0]).all()


@pytest.mark.parametrize("peer", PEERS)
def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_state_alone(peer):
    x, y = small()
    before = torch.get_rng_state()
    first, second = (peer(**QUICK).fit(x, y).project(x) for _ in range(2))
    assert (torch.get_rng_state() == before).all()
    assert all((first[bits] == second[bits]).all() for bits in first)


@pytest.mark.parametrize("peer", PEERS)
def test_samples_without_a_known_class_change_nothing(peer):
    x, y = small()
    extended = np.vstack([x, small(10, seed=1)[0]])
    alone = peer(**QUICK).fit(x, y).project(x)
    together = peer(**QUICK).fit(extended, np.concatenate([y, np.full(10, -1)])).project(x)
    assert all((alone[bits] == together[bits]).all() for bits in alone)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(
    "y",
    [[("a", "b"), ("b",), (), ("a",)] * 10, np.array([[1, np.nan], [0, 1], [np.nan, np.nan], [1, 1]] * 10)],
    ids=["collections", "matrix with gaps"],
)
def test_several_labels_give_codes(peer, y):
    assert peer(**QUICK).fit(small(40)[0], y).transform(small(40)[0]).shape == (40, 3)


@pytest.mark.parametrize("peer", PEERS)
def test_labels_are_needed(peer):
    with pytest.raises(
        LabelError,
        match=f"{peer.__name__} learns from labels alone: .* got 60 labelled samples of 1 class. .* or use DeepJointHasher",
    ):
        peer(**QUICK).fit(small()[0], ["a"] * 60)


@pytest.mark.parametrize(("n_classes", "bits", "least"), [(8, 8, 4), (20, 16, 8), (5, 24, 2)])
def test_centres_are_far_apart(n_classes, bits, least):
    words = hash_centres(n_classes, bits, np.random.default_rng(0))
    distances = (bits - words @ words.T) / 2
    assert words.shape == (n_classes, bits)
    assert set(np.unique(words)) == {-1.0, 1.0}
    assert distances[~np.eye(n_classes, dtype=bool)].min() >= least


def test_more_classes_than_a_hadamard_matrix_has_get_balanced_words():
    words = hash_centres(40, 16, np.random.default_rng(0))
    assert (words.sum(axis=1) == 0).all()


def test_a_sample_of_several_classes_has_the_bitwise_vote_of_their_centres():
    centres = np.array([[1.0, 1, -1], [1.0, -1, -1], [-1.0, 1, -1]])
    targets = np.array([[1.0, 1, 0], [1, 1, 1], [0, 0, 1]])
    words = centroids(targets, centres, np.random.default_rng(0))
    assert words[1].tolist() == [1, 1, -1]
    assert words[2].tolist() == [-1, 1, -1]
    assert words[0, [0, 2]].tolist() == [1, -1]
    assert abs(words[0, 1]) == 1
