"""Hashing-Baseline: principal components in a random rotation, with nothing else learned."""

import numpy as np
import pytest

from hashing.codes import unpack_codes
from hashing.peers.hashing_baseline import HashingBaselineHasher


@pytest.fixture(scope="module")
def spread():
    """Embeddings off the origin whose variance falls from direction to direction."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(120, 20)) * 0.8 ** np.arange(20) + rng.normal(size=20)


@pytest.mark.parametrize("normalize", [False, True])
def test_codes_are_signs_of_rotated_principal_component_scores(normalize, spread):
    hasher = HashingBaselineHasher(lengths=(8, 16), normalize=normalize, random_state=0).fit(spread)
    rows = np.array([row / np.linalg.norm(row) for row in spread]) if normalize else spread
    centred = rows - rows.mean(axis=0)
    _, _, vt = np.linalg.svd(centred)
    for bits, codes in hasher.encode(spread).items():
        weights = hasher.projections_[bits][:-1]
        rotation = vt[:bits] @ weights
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(bits), atol=1e-9)
        np.testing.assert_allclose(vt[:bits].T @ rotation, weights, atol=1e-9)  # of no other components
        scores = centred @ vt[:bits].T @ rotation
        probabilities = np.array([[1 / (1 + np.exp(-score)) for score in row] for row in scores])
        expected = np.where(probabilities > 0.5, 1, -1)
        sure = np.abs(scores) > 1e-6
        np.testing.assert_array_equal(unpack_codes(codes)[sure], expected[sure])


def test_the_rotation_spreads_the_variance_over_the_bits(spread):
    variances = []
    for seed in range(100):
        hasher = HashingBaselineHasher(lengths=(8,), normalize=False, random_state=seed).fit(spread)
        variances.append(hasher.project(spread)[8].var(axis=0))
    mean = np.mean(variances, axis=0)
    assert mean.max() / mean.min() < 1.5
    components = np.linalg.svd(spread - spread.mean(axis=0), compute_uv=False)[:8] ** 2
    assert components.max() / components.min() > 5
    np.testing.assert_allclose(np.sum(variances, axis=1), components.sum() / 120, rtol=1e-6)


def test_codes_longer_than_the_rank_join_several_rotations():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 3)) @ rng.normal(size=(3, 12))  # rank 3
    weights = HashingBaselineHasher(lengths=(8,), normalize=False, random_state=0).fit(x).projections_[8]
    assert weights.shape == (13, 8)
    assert np.linalg.matrix_rank(weights, tol=1e-9) == 3
    first, second, last = weights[:, :3], weights[:, 3:6], weights[:, 6:]
    for block in (first, second, last):
        np.testing.assert_allclose(block.T @ block, np.eye(block.shape[1]), atol=1e-9)
    assert not np.allclose(first, second)
    assert not np.allclose(first[:, :2], last)


def test_labels_are_ignored_and_no_offset_is_learned(spread):
    hasher = HashingBaselineHasher(lengths=(8,), random_state=3)
    without = hasher.fit(spread).transform(spread)
    np.testing.assert_array_equal(hasher.fit(spread, np.arange(120) % 2).transform(spread), without)
    assert (hasher.projections_[8][-1] == 0).all()


def test_identical_embeddings_get_identical_codes():
    records = HashingBaselineHasher(lengths=(8,), random_state=0).fit_transform(np.ones((5, 4)))
    assert len(np.unique(records, axis=0)) == 1
