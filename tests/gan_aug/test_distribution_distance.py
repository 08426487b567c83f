"""Frechet's and the kernel distance against closed forms, scipy, plain loops; their laws; refusals."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from gan_aug.distribution_distance import (
    frechet_distance,
    kernel_distance,
    squared_discrepancy,
    symmetric_root,
)
from gan_aug.errors import BatchError

seeds = st.integers(0, 1000)


def sample(seed, n=40, d=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def exact_sample(n, mean, covariance):
    """Return n points whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(0).normal(size=(n, len(mean)))
    x -= x.mean(0)
    whitened = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def fid(real, fake):
    return frechet_distance(real, fake, space="test").value


def kid(real, fake, seed=0, **options):
    return kernel_distance(real, fake, space="test", rng=np.random.default_rng(seed), **options)


def rotation(seed, d):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def test_gaussians_of_one_basis_are_apart_by_their_means_and_deviations():
    # |m1 - m2|^2 + sum (s1 - s2)^2 where covariances commute.
    basis = rotation(3, 4)
    first = exact_sample(50, np.zeros(4), basis @ np.diag([1.0, 4.0, 9.0, 0.25]) @ basis.T)
    second = exact_sample(
        70, np.array([1.0, 2.0, 0.0, 0.0]), basis @ np.diag([4.0, 4.0, 1.0, 2.25]) @ basis.T
    )
    result = frechet_distance(first, second, space="encoder, layer 3")
    assert result.of_means == pytest.approx(5.0)
    assert result.value == pytest.approx(5.0 + 1 + 0 + 4 + 1)
    assert (result.space, result.n_real, result.n_fake) == ("encoder, layer 3", 50, 70)


def test_it_agrees_with_the_matrix_root_of_scipy():
    real, fake = sample(1), sample(2)
    c1, c2 = np.cov(real.T), np.cov(fake.T)
    means = real.mean(0) - fake.mean(0)
    expected = means @ means + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert fid(real, fake) == pytest.approx(expected, rel=1e-9)


def test_it_is_exact_with_fewer_samples_than_features():
    real, fake = sample(1, n=20, d=60), sample(2, n=15, d=60)
    x, y = ((each - each.mean(0)) / math.sqrt(len(each) - 1) for each in (real, fake))
    # tr (C1 C2)^1/2 is the nuclear norm of X Y^T.
    common = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    means = real.mean(0) - fake.mean(0)
    expected = means @ means + (x**2).sum() + (y**2).sum() - 2 * common
    assert fid(real, fake) == pytest.approx(expected, rel=1e-9)


@given(seeds, seeds, seeds)
@settings(max_examples=25)
def test_frechet_is_symmetric_heeds_no_order_or_rotation_and_grows_with_the_square_of_scale(a, b, turn):
    real, fake = sample(a), sample(b, n=30)
    expected = pytest.approx(fid(real, fake), rel=1e-6, abs=1e-6)
    assert fid(fake, real) == expected
    assert fid(real[::-1], fake) == expected
    turned = rotation(turn, 6)
    assert fid(real @ turned + 1, fake @ turned + 1) == expected
    assert fid(3 * real, 3 * fake) / 9 == expected


@given(seeds, st.sampled_from([3, 20, 200]))
@settings(max_examples=15)
def test_a_sample_is_at_distance_zero_of_itself_whatever_its_size(seed, n):
    x = sample(seed, n=n, d=20)
    assert 0 <= fid(x, x) < 1e-6 * np.square(x).sum(1).mean()


def test_single_precision_features_are_judged_in_double_precision():
    far = (sample(1, n=200) + 1000).astype(np.float32)
    near = far.astype(np.float64) - 1000
    moved = (sample(2, n=200) + 1000).astype(np.float32)
    assert fid(far, moved) == pytest.approx(fid(near, moved.astype(np.float64) - 1000), rel=1e-6)


def test_the_root_of_a_symmetric_matrix_gives_the_matrix_back_even_without_full_rank():
    x = sample(5, n=4, d=7)
    matrix = x.T @ x
    root = symmetric_root(matrix)
    np.testing.assert_allclose(root @ root, matrix, atol=1e-10)
    np.testing.assert_allclose(root, root.T)
    assert np.linalg.matrix_rank(root) == 4


def test_a_block_is_the_unbiased_estimate_written_out_over_pairs():
    x, y = sample(1, n=7, d=3), sample(2, n=5, d=3)

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3

    expected = (
        np.mean([kernel(a, b) for a, b in itertools.permutations(x, 2)])
        + np.mean([kernel(a, b) for a, b in itertools.permutations(y, 2)])
        - 2 * np.mean([kernel(a, b) for a, b in itertools.product(x, y)])
    )
    assert squared_discrepancy(x, y) == pytest.approx(expected)


def test_the_kernel_distance_is_the_mean_over_disjoint_blocks_with_its_standard_error():
    real, fake = sample(1, n=23), sample(2, n=12)
    result = kid(real, fake, seed=4, blocks=3)
    rng = np.random.default_rng(4)
    parts = [rng.permutation(23)[:21].reshape(3, 7), rng.permutation(12).reshape(3, 4)]
    values = [squared_discrepancy(real[a], fake[b]) for a, b in zip(*parts, strict=True)]
    assert result.value == pytest.approx(np.mean(values))
    assert result.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(3))
    assert (result.space, result.n_real, result.n_fake, result.blocks) == ("test", 23, 12, 3)


def test_halves_of_one_set_are_at_kernel_distance_zero_in_the_mean_and_errors_tell_how_far_off():
    scores = []
    for seed in range(60):
        halves = np.random.default_rng(seed).normal(size=(400, 8))
        result = kid(halves[:200], halves[200:], seed)
        scores.append(result.value / result.standard_error)
    # Student's t with 9 degrees of freedom: mean 0, deviation 1.13.
    assert abs(np.mean(scores)) < 3 * 1.13 / math.sqrt(60)
    assert 0.8 < np.std(scores) < 1.5
    assert min(scores) < 0


def test_samples_of_two_distributions_are_apart_by_many_standard_errors_and_more_the_farther():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(500, 8))
    near, far = (kid(real, rng.normal(size=(400, 8)) + shift) for shift in (0.5, 1.0))
    assert 5 * near.standard_error < near.value < far.value


def test_the_seed_decides_the_blocks():
    real, fake = sample(1), sample(2)
    assert kid(real, fake, 1) == kid(real, fake, 1) != kid(real, fake, 2)


def test_too_little_is_refused():
    with pytest.raises(BatchError, match="at least 2 blocks, got 1"):
        kid(sample(1), sample(2), blocks=1)
    with pytest.raises(BatchError, match="needs at least 20 generated samples, got 19"):
        kid(sample(1), sample(2, n=19))
    with pytest.raises(BatchError, match="needs at least 2 real samples, got 1"):
        fid(sample(1, n=1), sample(2))
