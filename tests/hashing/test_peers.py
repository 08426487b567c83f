"""The peers: what all of them keep to, and what each of them computes."""

import numpy as np
import pytest
from sklearn.base import clone

from hashing import rotation as rotations
from hashing.codebook import class_codebooks
from hashing.codes import hamming_distances, unpack_codes
from hashing.errors import CodeLengthError, HashingError, LabelError
from hashing.layout import CodeLayout
from hashing.metrics import score_codes
from hashing.peers import projection
from hashing.peers.codebook_ridge import CodebookRidgeHasher
from hashing.peers.cosdish import COSDISHHasher
from hashing.peers.fsdh import FSDHHasher
from hashing.peers.fssh import FSSHHasher
from hashing.peers.hashing_baseline import HashingBaselineHasher
from hashing.peers.itq import ITQHasher
from hashing.peers.lsh import LSHHasher
from hashing.peers.scdh import SCDHHasher
from hashing.peers.sdh import SDHHasher
from hashing.peers.supervised import SupervisedProjectionHasher
from hashing.rotation import fit_rotation, principal_axes

PEERS = [
    LSHHasher,
    ITQHasher,
    HashingBaselineHasher,
    CodebookRidgeHasher,
    SDHHasher,
    FSDHHasher,
    FSSHHasher,
    COSDISHHasher,
    SCDHHasher,
]
LENGTHS = (8, 16, 40)


@pytest.fixture(scope="module")
def clusters():
    """Embeddings of six noisy classes in a corner of the space, most of the noise in few directions."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 24)) + 3
    labels = np.arange(420) % 6
    noise = rng.normal(size=(420, 24)) * np.where(np.arange(24) < 3, 2.0, 0.7)
    return (centres[labels] + noise).astype(np.float32), labels


@pytest.mark.parametrize("peer", PEERS)
class TestEveryPeer:
    def test_transform_returns_records_of_all_lengths(self, peer, clusters):
        x, labels = clusters
        hasher = peer(lengths=(40, 8, 16), random_state=0).fit(x, labels)
        records = hasher.transform(x)
        assert hasher.lengths_ == LENGTHS
        assert (records.dtype, records.shape) == (np.uint8, (420, 8))
        assert hasher.get_feature_names_out().shape == (8,)
        codes = CodeLayout(LENGTHS).split(records)
        for bits in LENGTHS:
            shares = (unpack_codes(codes[bits]) > 0).mean(axis=0)
            # A bit of a random code of six classes is constant once in 32.
            assert ((shares > 0) & (shares < 1)).mean() >= 0.75

    def test_codes_are_signs_of_projected_features(self, peer, clusters):
        x, labels = clusters
        hasher = peer(lengths=LENGTHS, random_state=0).fit(x, labels)
        codes = CodeLayout(LENGTHS).split(hasher.transform(x[:9]))
        for row, embedding in enumerate(x[:9]):
            features = hasher.feature_map_(embedding[None])[0]
            for bits in LENGTHS:
                signs = [1 if features @ column > 0 else -1 for column in hasher.projections_[bits].T]
                assert unpack_codes(codes[bits])[row].tolist() == signs

    def test_the_same_seed_gives_the_same_codes_and_another_seed_others(self, peer, clusters):
        x, labels = clusters
        hasher = peer(lengths=LENGTHS, random_state=1)
        records = hasher.fit(x, labels).transform(x)
        np.testing.assert_array_equal(clone(hasher).fit(x, labels).transform(x), records)
        assert (peer(lengths=LENGTHS, random_state=2).fit(x, labels).transform(x) != records).any()

    def test_rows_do_not_influence_each_other(self, peer, clusters, monkeypatch):
        x, labels = clusters
        hasher = peer(lengths=LENGTHS, random_state=0).fit(x, labels)
        records = hasher.transform(x)
        monkeypatch.setattr(projection, "CHUNK", 100)
        np.testing.assert_array_equal(hasher.transform(x), records)
        np.testing.assert_array_equal(hasher.transform(x[7:8]), records[7:8])

    def test_a_length_no_code_can_have_is_refused(self, peer, clusters):
        with pytest.raises(CodeLengthError, match="multiples of 8 from 8 to 1024, got 12"):
            peer(lengths=(12,)).fit(*clusters)

    def test_embeddings_of_another_width_are_refused(self, peer, clusters):
        x, labels = clusters
        hasher = peer(lengths=(8,)).fit(x, labels)
        with pytest.raises(ValueError, match=r"X has 23 features, but .* is expecting 24 features"):
            hasher.transform(x[:, 1:])


def test_what_knows_more_ranks_better(clusters):
    x, labels = clusters
    scores = []
    for peer in (LSHHasher, ITQHasher, CodebookRidgeHasher):
        records = peer(lengths=(16,), random_state=0).fit(x[:300], labels[:300]).transform(x)
        scores.append(
            score_codes(records[300:], records[:300], labels[300:], labels[:300]).mean_average_precision
        )
    lsh, pca_itq, codebook = scores
    assert 1 / 6 < lsh < pca_itq < codebook


def test_lsh_distance_is_the_angle_around_the_mean():
    x = np.random.default_rng(0).normal(size=(40, 3)) + 5
    hasher = LSHHasher(lengths=(1024,), normalize=False, random_state=0).fit(x)
    distances = hamming_distances(hasher.transform(x), hasher.transform(x))
    centred = x - x.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    angles = np.arccos(np.clip(unit @ unit.T, -1, 1))
    np.testing.assert_allclose(distances / 1024, angles / np.pi, atol=5 * 0.5 / np.sqrt(1024))


def test_principal_axes_are_the_right_singular_vectors():
    x = np.random.default_rng(1).normal(size=(50, 6)) * [5, 4, 3, 2, 1, 0]
    x -= x.mean(axis=0)
    axes = principal_axes(x)
    _, _, vt = np.linalg.svd(x)
    assert axes.shape == (6, 5)  # the last direction has no variance
    np.testing.assert_allclose(np.abs(np.sum(axes.T * vt[:5], axis=1)), 1, atol=1e-9)


def test_itq_rotates_scores_closer_to_their_signs():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(200, 8)) * np.arange(8, 0, -1)
    rotation = fit_rotation(scores, rng)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(8), atol=1e-12)

    def loss(rotated):
        return sum((value - (1 if value > 0 else -1)) ** 2 for value in rotated.ravel().tolist())

    others = [np.linalg.qr(rng.normal(size=(8, 8)))[0] for _ in range(20)]
    assert loss(scores @ rotation) < min(loss(scores @ other) for other in [np.eye(8), *others])


def test_every_round_of_itq_brings_scores_closer_to_their_signs(monkeypatch):
    scores = np.random.default_rng(5).normal(size=(200, 8)) * np.arange(8, 0, -1)
    losses = []
    for rounds in range(12):
        monkeypatch.setattr(rotations, "ROUNDS", rounds)
        rotated = scores @ fit_rotation(scores, np.random.default_rng(6))
        losses.append(((np.abs(rotated) - 1) ** 2).sum())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_itq_codes_longer_than_the_rank_join_several_rotations():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(100, 3)) @ rng.normal(size=(3, 12))  # rank 3
    hasher = ITQHasher(lengths=(8,), normalize=False, random_state=0).fit(x)
    weights = hasher.projections_[8]
    assert np.linalg.matrix_rank(weights, tol=1e-9) == 3
    np.testing.assert_allclose(weights[:, :3].T @ weights[:, :3], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(weights[:, 3:6].T @ weights[:, 3:6], np.eye(3), atol=1e-9)
    assert not np.allclose(weights[:, :3], weights[:, 3:6])


def test_identical_embeddings_get_identical_codes_from_itq():
    records = ITQHasher(lengths=(8,), random_state=0).fit_transform(np.ones((5, 4)))
    assert len(np.unique(records, axis=0)) == 1


def test_codebook_ridge_projects_onto_the_votes_of_the_codewords():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 5))
    y = (rng.random((60, 3)) < 0.4).astype(float)
    hasher = CodebookRidgeHasher(
        lengths=(8, 16), features="linear", normalize=False, lp=0.7, random_state=0
    ).fit(x, y)
    seed = np.random.RandomState(0).randint(2**31)
    books = class_codebooks(3, (8, 16), nested=False, rng=np.random.default_rng(seed))
    features = np.hstack([x - x.mean(axis=0).astype(np.float32), np.ones((60, 1))])
    padded = np.vstack([features, np.sqrt(0.7) * np.eye(6)])  # ridge as least squares
    for bits, words in books.items():
        votes = np.array([[np.sign(sum(words[y[i] > 0, bit])) for bit in range(bits)] for i in range(60)])
        expected = np.linalg.lstsq(padded, np.vstack([votes, np.zeros((6, bits))]), rcond=None)[0]
        np.testing.assert_allclose(hasher.projections_[bits], expected, atol=1e-9)


@pytest.mark.parametrize("features", ["linear", "rbf"])
def test_codebook_ridge_leaves_unlabelled_samples_out(features, clusters):
    x, labels = clusters
    with_others = np.where(np.arange(420) < 200, labels, -1)
    hasher = CodebookRidgeHasher(lengths=LENGTHS, features=features, random_state=0)
    expected = clone(hasher).fit(x[:200], labels[:200]).transform(x)
    np.testing.assert_array_equal(hasher.fit(x, with_others).transform(x), expected)


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (None, "0 labelled samples of 0 classes"),
        (np.full(420, -1), "0 labelled samples of 0 classes"),
        (np.where(np.arange(420) < 1, 0, -1), "1 labelled sample of 1 class"),
        (np.zeros(420, dtype=int), "420 labelled samples of 1 class"),
        (np.ones((420, 2)), "420 labelled samples of 2 classes, all alike"),
    ],
)
def test_codebook_ridge_needs_labels_of_two_classes(labels, got, clusters):
    with pytest.raises(
        LabelError,
        match=rf"at least two samples of different classes, got {got}\. Label samples of at least two classes, or use ITQ",
    ):
        CodebookRidgeHasher().fit(clusters[0], labels)


def test_codebook_ridge_names_the_features_it_knows(clusters):
    with pytest.raises(HashingError, match=r"features must be one of \['linear', 'rbf'\], got 'cubic'"):
        CodebookRidgeHasher(features="cubic").fit(*clusters)


@pytest.mark.parametrize("peer", [peer for peer in PEERS if issubclass(peer, SupervisedProjectionHasher)])
def test_no_supervised_peer_learns_from_no_anchors(peer, clusters):
    with pytest.raises(HashingError, match="n_anchors must be None or at least 1, got 0"):
        peer(n_anchors=0).fit(*clusters)
