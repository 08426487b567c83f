"""Every loss recomputed with plain loops, and the pairs of every topology."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.layout import CodeLayout
from hashing.moments import LabelMoments, Moments
from hashing.objective import (
    LossWeights,
    Maps,
    Topology,
    association_curvature,
    evaluate,
    l_loss,
    m_loss,
    q_loss,
)
from tests.hashing.problems import chunks_of, plain_objective, problems


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def signs(seed, *shape):
    return np.where(draw(seed, *shape) > 0, 1.0, -1.0)


def loop_loss(sources, targets, matrix, weights, ridge):
    """Return ||(T - S M) V^1/2||^2 + ridge ||M||^2, one entry after the other; weights are (n, 1) or (n, targets)."""
    total = ridge * sum(value**2 for row in matrix.tolist() for value in row)
    for i in range(len(sources)):
        for k in range(targets.shape[1]):
            predicted = sum(sources[i, b] * matrix[b, k] for b in range(sources.shape[1]))
            weight = weights[i, k if weights.shape[1] > 1 else 0]
            total += weight * (targets[i, k] - predicted) ** 2
    return total


def ones(n):
    return np.ones((n, 1))


@given(st.integers(0, 50), st.sampled_from([1, 4]))
def test_m_loss_is_the_weighted_squared_label_error_plus_ridge(seed, columns):
    codes, label_map = signs(seed, 6, 3), draw(seed + 1, 3, 4)
    targets, weights = (signs(seed + 2, 6, 4) > 0).astype(float), np.abs(draw(seed + 3, 6, columns))
    moments = LabelMoments(
        codes=np.stack([codes.T @ (d[:, None] * codes) for d in weights.T]),
        labels=codes.T @ (weights * targets),
        power=float((weights * targets**2).sum()),
    )
    value = m_loss(label_map, moments, ridge=0.7)
    assert value == pytest.approx(loop_loss(codes, targets, label_map, weights, 0.7))


@given(st.integers(0, 50))
def test_l_loss_is_the_weighted_squared_error_of_every_column_plus_ridge(seed):
    codes, features, projection = signs(seed, 6, 3), draw(seed + 1, 6, 2), draw(seed + 2, 2, 3)
    e = np.abs(draw(seed + 3, 6, 1))
    moments = Moments.empty(CodeLayout((3,)), n_features=2, n_classes=0, per_class=False)
    moments.features, moments.feature_weight = features.T @ (e * codes), float(e.sum())
    values = l_loss(projection, features.T @ (e * features), moments, ridge=0.3)
    for k, value in enumerate(values):
        column = slice(k, k + 1)
        expected = loop_loss(features, codes[:, column], projection[:, column], e, 0.3)
        assert value == pytest.approx(expected)


@given(st.integers(0, 50))
def test_q_loss_is_the_squared_error_between_lengths_plus_ridge(seed):
    codes, association = signs(seed, 6, 8), draw(seed + 2, 3, 5)
    source, target = slice(0, 3), slice(3, 8)
    value = q_loss(association, source, target, codes.T @ codes, ridge=0.3)
    assert value == pytest.approx(loop_loss(codes[:, source], codes[:, target], association, ones(6), 0.3))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("topology", Topology)
def test_objective_weighs_label_terms_by_bits_and_shares_beta_among_sources(topology, nested):
    """By plain loops, with nu and beta of their own for each length; Q-losses lie between what lengths add."""
    n, m, c = 6, 2, 4
    layout = CodeLayout((2, 3, 5), nested)
    nu, beta = (0.5, 0.7, 0.9), {2: 0.2, 3: 0.4, 5: 0.6}
    weights = LossWeights(nu=nu, beta=tuple(beta.values()), lw=1.5, lp=0.1, lr=2.0, topology=topology)
    codes, features, targets = signs(1, n, layout.n_columns), draw(2, n, m), np.abs(signs(3, n, c))
    d, e = np.abs(draw(4, n, c)).round(), np.abs(draw(5, n, 1))  # rounding makes some entries missing
    blocks = {2: codes[:, :2], 3: codes[:, 2:3], 5: codes[:, 3:]}
    if not nested:
        blocks = {2: codes[:, :2], 3: codes[:, 2:5], 5: codes[:, 5:]}
    whole = {bits: codes[:, :bits] for bits in (2, 3, 5)} if nested else blocks
    starts = {2: 0, 3: 0, 5: 0} if nested else {2: 0, 3: 2, 5: 5}
    pairs = topology.pairs(layout.lengths)
    maps = Maps(
        labels={bits: draw(bits + 20, bits, c) for bits in (2, 3, 5)},
        projection=draw(6, m, layout.n_columns),
        associations={(s, t): draw(s + t, blocks[s].shape[1], blocks[t].shape[1]) for s, t in pairs},
    )
    moments = Moments(
        codes=codes.T @ codes,
        features=features.T @ (e * codes),
        feature_weight=float(e.sum()),
        labels={
            bits: LabelMoments(
                codes=np.stack([B.T @ (entry[:, None] * B) for entry in d.T]),
                labels=B.T @ (d * targets),
                power=float((d * targets**2).sum()),
            )
            for bits, B in whole.items()
        },
    )
    terms = evaluate(moments, maps, features.T @ (e * features), weights, layout)
    expected_m = sum(bits * loop_loss(B, targets, maps.labels[bits], d, 1.5) for bits, B in whole.items())
    expected_l = sum(
        weight * loop_loss(features, B, maps.projection[:, starts[bits] : starts[bits] + bits], e, 0.1)
        for weight, (bits, B) in zip(nu, whole.items(), strict=True)
    )
    expected_q = sum(
        beta[t]
        / sum(t == other for _, other in pairs)
        * loop_loss(blocks[s], blocks[t], maps.associations[s, t], ones(n), 2.0)
        for s, t in pairs
    )
    assert terms == pytest.approx((expected_m, expected_l, expected_q))
    assert terms.total == pytest.approx(expected_m + expected_l + expected_q)


@given(problems(), st.integers(1, 40))
@settings(max_examples=80)
def test_objective_from_sums_over_chunks_is_that_from_residuals_of_all_samples(problem, size):
    with chunks_of(size):
        solver = problem.solver()
        rng = np.random.default_rng(size)
        maps = solver.maps  # moved away from their best, where errors of first order would not show
        for matrix in [*maps.labels.values(), maps.projection, *maps.associations.values()]:
            matrix[...] += 0.1 * rng.normal(size=matrix.shape)
        assert solver.objective().total == pytest.approx(plain_objective(problem, problem.start, maps))


@given(problems())
@settings(max_examples=40)
def test_association_curvature_is_the_q_losses_as_a_quadratic_form_in_the_codes(problem):
    maps, codes = problem.solver().maps, problem.start.T.astype(float)
    layout, weights = problem.layout, problem.weights
    form = codes @ association_curvature(maps.associations, weights, layout) @ codes.T
    expected = sum(
        beta
        * loop_loss(
            codes[:, layout.blocks[s]],
            codes[:, layout.blocks[t]],
            maps.associations[s, t],
            ones(len(codes)),
            0,
        )
        for (s, t), beta in weights.associations(layout.lengths).items()
    )
    assert np.trace(form) == pytest.approx(expected)


def test_topologies_pair_the_lengths_they_are_named_for():
    lengths = (8, 16, 32)
    assert set(Topology.ALL.pairs(lengths)) == {(8, 16), (8, 32), (16, 8), (16, 32), (32, 8), (32, 16)}
    assert set(Topology.DOWN.pairs(lengths)) == {(16, 8), (32, 8), (32, 16)}
    assert set(Topology.CHAIN.pairs(lengths)) == {(16, 8), (32, 16)}


def loss_weights(**changes):
    return LossWeights(
        **{"nu": 1.0, "beta": 0.6, "lw": 1.0, "lp": 1.0, "lr": 1.0, "topology": Topology.DOWN, **changes}
    )


def test_beta_is_shared_by_the_sources_of_a_target():
    assert loss_weights().associations((8, 16, 32)) == {(16, 8): 0.3, (32, 8): 0.3, (32, 16): 0.6}


def test_beta_of_a_length_is_that_of_the_pairs_that_predict_it():
    pairs = loss_weights(beta=(0.6, 0.2, 9.0)).associations((8, 16, 32))
    assert pairs == {(16, 8): 0.3, (32, 8): 0.3, (32, 16): 0.2}


def test_a_column_counts_for_every_length_whose_code_holds_it():
    weights = loss_weights(nu=(1.0, 2.0))
    assert weights.of_features(CodeLayout((8, 16))).tolist() == [1.0] * 8 + [2.0] * 16
    assert weights.of_features(CodeLayout((8, 16), nested=True)).tolist() == [3.0] * 8 + [2.0] * 8


@pytest.mark.parametrize("topology", Topology)
def test_one_length_has_no_association(topology):
    assert topology.pairs((8,)) == []
