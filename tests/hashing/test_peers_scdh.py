"""SCDH: the objective its steps lower, the constraints its twin keeps, the codes that come of them."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.base import clone

from hashing.errors import CodeLengthError, HashingError, LabelError
from hashing.peers.scdh import SCDHHasher, nearest_decorrelated, twin_codes
from hashing.peers.supervised import similarity_product
from hashing.ridge import FeatureRidge


@pytest.fixture(scope="module")
def tagged():
    """Forty embeddings and their labels, some with several."""
    rng = np.random.default_rng(0)
    targets = (rng.random((40, 3)) < 0.5).astype(float)
    return targets @ rng.normal(size=(3, 5)) + 0.3 * rng.normal(size=(40, 5)), targets


def similarities(targets):
    """S of all pairs: twice the cosine of the label vectors, less one."""
    lengths = [sum(row) ** 0.5 or 1.0 for row in targets]
    return np.array(
        [
            [
                2 * sum(a * b for a, b in zip(u, v, strict=True)) / lengths[i] / lengths[j] - 1
                for j, v in enumerate(targets)
            ]
            for i, u in enumerate(targets)
        ]
    )


def objective(similar, features, codes, twin, *, alpha, beta, lam):
    projection = np.linalg.solve(
        lam * features.T @ features + beta * np.eye(features.shape[1]), lam * features.T @ codes
    )
    return (
        ((codes.shape[1] * similar - twin @ codes.T) ** 2).sum()
        + lam * ((features @ projection - codes) ** 2).sum()
        + alpha * ((codes - twin) ** 2).sum()
        + beta * (projection**2).sum()
    )


def test_similarities_are_multiplied_without_being_held(tagged):
    _, targets = tagged
    lengths = np.sqrt(targets.sum(axis=1, keepdims=True))
    matrix = np.random.default_rng(1).normal(size=(40, 6))
    products = similarity_product(targets / np.maximum(lengths, 1), matrix)
    np.testing.assert_allclose(products, similarities(targets) @ matrix, atol=1e-12)


@pytest.mark.parametrize("weights", [(0.1, 1.0, 10.0), (50.0, 3.0, 400.0)])
def test_every_epoch_lowers_the_objective_and_keeps_the_twin_balanced_and_decorrelated(weights, tagged):
    alpha, beta, lam = weights
    features, targets = tagged
    ridge, similar = FeatureRidge(features, beta / lam), similarities(targets)
    losses = []
    for epochs in range(1, 7):
        codes, twin = twin_codes(
            targets,
            features,
            8,
            ridge=ridge,
            alpha=alpha,
            lam=lam,
            epochs=epochs,
            rng=np.random.default_rng(2),
        )
        assert set(np.unique(codes)) == {-1, 1}
        np.testing.assert_allclose(twin.T @ twin, 40 * np.eye(8), atol=1e-9)
        np.testing.assert_allclose(twin.sum(axis=0), 0, atol=1e-9)
        losses.append(objective(similar, features, codes, twin, alpha=alpha, beta=beta, lam=lam))
    assert all(after <= before + 1e-6 for before, after in pairwise(losses))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("weights", [(0.1, 1.0, 10.0), (50.0, 3.0, 400.0)])
def test_no_single_bit_of_the_last_step_can_be_better(weights, tagged):
    alpha, beta, lam = weights
    features, targets = tagged
    similar, rng = similarities(targets), np.random.default_rng(2)
    ridge = FeatureRidge(features, beta / lam)
    settings = {"ridge": ridge, "alpha": alpha, "lam": lam}
    before, _ = twin_codes(targets, features, 8, **settings, epochs=2, rng=np.random.default_rng(2))
    codes, twin = twin_codes(targets, features, 8, **settings, epochs=3, rng=rng)
    predicted = features @ ridge.fit(before)

    def loss(signs):
        return (
            ((8 * similar - twin @ signs.T) ** 2).sum()
            + lam * ((predicted - signs) ** 2).sum()
            + alpha * ((signs - twin) ** 2).sum()
        )

    least = loss(codes)
    for i in range(40):
        for bit in range(8):
            flipped = codes.copy()
            flipped[i, bit] *= -1
            assert loss(flipped) >= least - 1e-6


def test_the_twin_keeps_the_constraints_where_they_leave_no_room():
    rng = np.random.default_rng(4)
    twin = nearest_decorrelated(np.outer(np.arange(9.0), np.ones(8)), rng)
    np.testing.assert_allclose(twin.T @ twin, 9 * np.eye(8), atol=1e-9)
    np.testing.assert_allclose(twin.sum(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("rank", [2, 5])
def test_the_twin_is_the_nearest_of_all_that_keep_the_constraints(rank):
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(20, rank)) @ rng.normal(size=(rank, 5)) + 7
    twin = nearest_decorrelated(matrix, rng)
    np.testing.assert_allclose(twin.T @ twin, 20 * np.eye(5), atol=1e-9)
    np.testing.assert_allclose(twin.sum(axis=0), 0, atol=1e-9)
    centred = matrix - matrix.mean(axis=0)
    for _ in range(200):
        other = rng.normal(size=(20, 5)) + rng.choice([0, 1, 10]) * centred
        other = np.sqrt(20) * np.linalg.qr(other - other.mean(axis=0))[0]
        assert (twin * matrix).sum() >= (other * matrix).sum()
    assert (twin * matrix).sum() == pytest.approx(np.sqrt(20) * np.linalg.norm(centred, ord="nuc"))


def test_projections_regress_features_onto_the_codes_of_explicit_similarities(tagged):
    x, targets = tagged
    hasher = SCDHHasher(lengths=(8, 16), epochs=4, features="linear", normalize=False, random_state=0).fit(
        x, targets
    )
    draws = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    features = np.hstack([x - x.mean(axis=0).astype(np.float32), np.ones((40, 1))])
    similar = similarities(targets)
    for bits in (8, 16):
        codes = np.where(draws.normal(size=(40, bits)) > 0, 1.0, -1.0)
        for _ in range(4):
            projection = np.linalg.solve(10 * features.T @ features + np.eye(6), 10 * features.T @ codes)
            twin = nearest_decorrelated(bits * similar @ codes + 0.1 * codes, draws)
            codes = np.where(bits * similar @ twin + 0.1 * twin + 10 * features @ projection > 0, 1.0, -1.0)
        expected = np.linalg.solve(10 * features.T @ features + np.eye(6), 10 * features.T @ codes)
        np.testing.assert_allclose(hasher.projections_[bits], expected, atol=1e-9)


def test_unlabelled_samples_are_left_out(tagged):
    x, targets = tagged
    hasher = SCDHHasher(lengths=(8,), random_state=0)
    expected = clone(hasher).fit(x[:30], targets[:30]).transform(x)
    some = np.where(np.arange(40)[:, None] < 30, targets, np.nan)
    np.testing.assert_array_equal(hasher.fit(x, some).transform(x), expected)


def test_more_bits_than_samples_can_decorrelate_are_refused(tagged):
    x, targets = tagged
    with pytest.raises(CodeLengthError, match="more labelled samples than bits, got 40 samples for 40 bits"):
        SCDHHasher(lengths=(16, 40)).fit(x, targets)


@pytest.mark.parametrize("labels", [None, np.zeros(40, dtype=int)])
def test_labels_are_needed(labels, tagged):
    with pytest.raises(LabelError, match="SCDHHasher learns from labels"):
        SCDHHasher().fit(tagged[0], labels)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("alpha", -0.5), ("beta", 0.0), ("lam", 0.0), ("lam", float("nan"))]
)
def test_arguments_out_of_range_are_refused_by_name(name, value, tagged):
    with pytest.raises(HashingError, match=rf"^{name} must be .*, got {value}"):
        SCDHHasher(lengths=(8,), **{name: value}).fit(*tagged)
