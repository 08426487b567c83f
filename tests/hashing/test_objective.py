"""Every loss recomputed with plain loops, and the pairs of every topology."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.objective import (
    LossWeights,
    Problem,
    Solution,
    Topology,
    evaluate,
    l_loss,
    m_loss,
    q_loss,
)

LENGTHS = (3, 5)  # the objective does not ask for whole bytes


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def signs(seed, *shape):
    return np.where(draw(seed, *shape) > 0, 1.0, -1.0)


def squares(matrix):
    return sum(value**2 for row in matrix.tolist() for value in row)


def plain_m_loss(codes, label_map, targets, weights, ridge):
    total = ridge * squares(label_map)
    for i in range(len(codes)):
        for k in range(targets.shape[1]):
            predicted = sum(codes[i, b] * label_map[b, k] for b in range(codes.shape[1]))
            weight = weights[i, k if weights.shape[1] > 1 else 0]
            total += weight * (targets[i, k] - predicted) ** 2
    return total


def plain_q_loss(source, target, association, ridge):
    total = ridge * squares(association)
    for i in range(len(source)):
        for k in range(target.shape[1]):
            predicted = sum(source[i, b] * association[b, k] for b in range(source.shape[1]))
            total += (target[i, k] - predicted) ** 2
    return total


@given(st.integers(0, 50), st.sampled_from([1, 4]))
def test_m_loss_is_the_weighted_squared_label_error_plus_ridge(seed, columns):
    codes, label_map, targets = signs(seed, 6, 3), draw(seed + 1, 3, 4), signs(seed + 2, 6, 4) > 0
    weights = np.abs(draw(seed + 3, 6, columns))
    value = m_loss(codes, label_map, targets.astype(float), weights, ridge=0.7)
    assert value == pytest.approx(plain_m_loss(codes, label_map, targets, weights, 0.7))


@given(st.integers(0, 50))
def test_l_loss_is_the_squared_error_of_predicted_codes_plus_ridge(seed):
    codes, features, projection = signs(seed, 6, 3), draw(seed + 1, 6, 2), draw(seed + 2, 2, 3)
    value = l_loss(codes, features @ projection, projection, ridge=0.3)
    assert value == pytest.approx(plain_q_loss(features, codes, projection, 0.3))


@given(st.integers(0, 50))
def test_q_loss_is_the_squared_error_between_lengths_plus_ridge(seed):
    source, target, association = signs(seed, 6, 3), signs(seed + 1, 6, 5), draw(seed + 2, 3, 5)
    value = q_loss(source, target, association, ridge=0.3)
    assert value == pytest.approx(plain_q_loss(source, target, association, 0.3))


@pytest.mark.parametrize("topology", Topology)
def test_objective_weighs_label_terms_by_bits_and_shares_beta_among_sources(topology):
    problem = Problem(
        features=draw(0, 6, 2), targets=np.abs(signs(1, 6, 4)), label_weights=np.abs(draw(2, 6, 1))
    )
    weights = LossWeights(nu=0.5, beta=0.2, lw=1.5, lp=0.1, lr=2.0, topology=topology)
    pairs = topology.pairs(LENGTHS)
    projections = {bits: draw(bits, 2, bits) for bits in LENGTHS}
    solution = Solution(
        codes={bits: signs(bits + 10, 6, bits) for bits in LENGTHS},
        label_maps={bits: draw(bits + 20, bits, 4) for bits in LENGTHS},
        projections=projections,
        associations={(s, t): draw(s + t, s, t) for s, t in pairs},
        scores={bits: problem.features @ P for bits, P in projections.items()},
    )
    codes, maps = solution.codes, solution.label_maps
    terms = evaluate(problem, solution, weights)
    expected_m = sum(
        bits * plain_m_loss(codes[bits], maps[bits], problem.targets, problem.label_weights, 1.5)
        for bits in LENGTHS
    )
    expected_l = sum(
        0.5 * plain_q_loss(problem.features, codes[bits], projections[bits], 0.1) for bits in LENGTHS
    )
    expected_q = sum(
        0.2 * plain_q_loss(codes[s], codes[t], solution.associations[s, t], 2.0) for s, t in pairs
    )
    assert terms == pytest.approx((expected_m, expected_l, expected_q))
    assert terms.total == pytest.approx(expected_m + expected_l + expected_q)


def test_topologies_pair_the_lengths_they_are_named_for():
    lengths = (8, 16, 32)
    assert set(Topology.ALL.pairs(lengths)) == {(8, 16), (8, 32), (16, 8), (16, 32), (32, 8), (32, 16)}
    assert set(Topology.DOWN.pairs(lengths)) == {(16, 8), (32, 8), (32, 16)}
    assert set(Topology.CHAIN.pairs(lengths)) == {(16, 8), (32, 16)}


def test_beta_is_shared_by_the_sources_of_a_target():
    weights = LossWeights(nu=1.0, beta=0.6, lw=1.0, lp=1.0, lr=1.0, topology=Topology.DOWN)
    assert weights.associations((8, 16, 32)) == {(16, 8): 0.3, (32, 8): 0.3, (32, 16): 0.6}


@pytest.mark.parametrize("topology", Topology)
def test_one_length_has_no_association(topology):
    assert topology.pairs((8,)) == []
