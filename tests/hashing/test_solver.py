"""The block updates: none raises the objective, each is a minimiser, and the leave-one-out field is what it claims."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashing.objective import LossWeights, Problem, Topology
from hashing.ridge import FeatureRidge
from hashing.solver import CodeEnergy, Solver, descend_bits_, fit_label_map, minimise


@dataclass(frozen=True)
class Case:
    problem: Problem
    weights: LossWeights
    start: dict[int, np.ndarray]

    def solver(self):
        return Solver(
            self.problem, self.weights, self.start, FeatureRidge(self.problem.features, self.weights.lp)
        )


def scales():
    return st.floats(-2, 2).map(lambda power: 10**power)  # hyper-parameters over four decades


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m, c = draw(st.integers(4, 40)), draw(st.integers(1, 12)), draw(st.integers(0, 5))
    lengths = draw(st.sampled_from([(2, 5), (3,), (2, 3, 8), (1, 4, 6)]))
    features = np.hstack([rng.normal(size=(n, m)), np.ones((n, 1))])
    targets = (rng.random((n, c)) < draw(st.sampled_from([0.2, 0.6]))).astype(float)  # multi-label
    weights = rng.exponential(size=(n, 1)) * (rng.random((n, 1)) < 0.7)  # weighted, some unlabelled
    if c and draw(st.booleans()):
        weights = weights * rng.random((n, c)).round(1)  # entries missing, wholly or in part
    loss_weights = LossWeights(
        nu=draw(scales()),
        beta=draw(scales()),
        lw=draw(scales()),
        lp=draw(scales()),
        lr=draw(scales()),
        topology=draw(st.sampled_from(Topology)),
    )
    start = {bits: rng.choice((-1.0, 1.0), size=(n, bits)) for bits in lengths}
    return Case(Problem(features=features, targets=targets, label_weights=weights), loss_weights, start)


def plain_objective(solver):
    """Return J from its definition, features times projections included."""
    p, s, w = solver.problem, solver.solution, solver.weights
    total = 0.0
    for bits, B in s.codes.items():
        W, P = s.label_maps[bits], s.projections[bits]
        total += bits * ((p.label_weights * (p.targets - B @ W) ** 2).sum() + w.lw * (W**2).sum())
        total += w.nu * (((B - p.features @ P) ** 2).sum() + w.lp * (P**2).sum())
    pairs = w.topology.pairs(tuple(s.codes))
    for source, target in pairs:
        R = s.associations[source, target]
        beta = w.beta / sum(t == target for _, t in pairs)
        error = s.codes[target] - s.codes[source] @ R
        total += beta * ((error**2).sum() + w.lr * (R**2).sum())
    return total


@given(cases())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_block_update_of_the_exact_phase_raises_the_objective(case):
    """120 problems of three sweeps are some 4,000 block updates, each checked by itself."""
    check_three_sweeps(case.solver())


@pytest.mark.slow
@given(cases())
@settings(
    max_examples=3600,  # some 31 updates each
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_none_of_a_hundred_thousand_block_updates_raises_the_objective(case):
    check_three_sweeps(case.solver())


def check_three_sweeps(solver):
    """Make every block update of three exact sweeps, and compare the objective before and after each."""
    value = plain_objective(solver)
    for _ in range(3):
        for bits in sorted(solver.solution.codes, reverse=True):
            pairs = [pair for pair in solver.solution.associations if bits in pair]
            updates = [
                lambda bits=bits: solver.update_codes_(bits, passes=2, leave_one_out=False),
                lambda bits=bits: solver.update_label_map_(bits),
                lambda bits=bits: solver.update_projection_(bits),
                *(lambda pair=pair: solver.update_association_(pair) for pair in pairs),
            ]
            for update in updates:
                update()
                after = plain_objective(solver)
                assert after <= value + 1e-9 * abs(value)
                value = after


@given(cases())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_reported_objective_is_the_plain_one_and_the_exact_trace_falls(case):
    solver = case.solver()
    n_outer = 2
    trace = [terms.total for terms in minimise(solver, n_outer=n_outer, n_exact=50, passes=2)]
    assert trace[-1] == pytest.approx(plain_objective(solver))
    assert trace[-1] <= min(trace) + 1e-9 * abs(trace[0])


@given(cases())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_at_the_end_no_single_bit_can_improve(case):
    solver = case.solver()
    minimise(solver, n_outer=1, n_exact=500, passes=3)
    value = plain_objective(solver)
    for B in solver.solution.codes.values():
        for i, k in np.ndindex(B.shape):
            B[i, k] *= -1
            assert plain_objective(solver) >= value - 1e-7 * abs(value)
            B[i, k] *= -1


@given(cases())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_small_step_improves_a_map(case):
    solver = case.solver()
    value = plain_objective(solver)
    rng = np.random.default_rng(0)
    s = solver.solution
    for maps in (s.label_maps, s.projections, s.associations):
        for matrix in maps.values():
            best = matrix.copy()
            step = 1e-3 * rng.normal(size=matrix.shape)
            for moved in (best + step, best - step, best):
                matrix[...] = moved
                assert plain_objective(solver) >= value - 1e-9 * abs(value)


@given(cases(), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_sweep_leaves_every_map_at_its_minimiser(case, leave_one_out):
    solver = case.solver()
    solver.sweep_(passes=2, leave_one_out=leave_one_out)
    value = plain_objective(solver)
    solver.restart_(solver.solution.codes)  # fits every map anew
    assert plain_objective(solver) == pytest.approx(value, rel=1e-9)


@given(cases())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_leave_one_out_field_is_what_a_flip_costs_with_projections_fitted_anew(case):
    phi, lp = case.problem.features, case.weights.lp
    ridge = FeatureRidge(phi, lp)
    leverages = ridge.leverages()
    codes = case.start[max(case.start)]

    def l_loss_refitted(B):
        P = np.linalg.solve(phi.T @ phi + lp * np.eye(phi.shape[1]), phi.T @ B)
        return ((B - phi @ P) ** 2).sum() + lp * (P**2).sum()

    before = l_loss_refitted(codes)
    scores = phi @ ridge.fit(codes)
    for i in range(len(codes)):
        flipped = codes.copy()
        flipped[i, 0] *= -1
        change = 4 * codes[i, 0] * (scores[i, 0] - leverages[i] * codes[i, 0])
        assert l_loss_refitted(flipped) - before == pytest.approx(change, abs=1e-10 * max(1, before))


def test_with_as_many_features_as_samples_only_leave_one_out_moves_codes():
    """Every code votes for itself otherwise: projections reproduce any start."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 1)) + 0.1 * rng.normal(size=(30, 40))
    problem = Problem(
        features=np.hstack([x, np.ones((30, 1))]), targets=np.zeros((30, 0)), label_weights=np.zeros((30, 1))
    )
    weights = LossWeights(nu=1.0, beta=0.0, lw=1.0, lp=1e-3, lr=1.0, topology=Topology.ALL)
    case = Case(problem, weights, {4: rng.choice((-1.0, 1.0), size=(30, 4))})
    assert case.solver().sweep_(passes=1, leave_one_out=False) == 0
    assert case.solver().sweep_(passes=1, leave_one_out=True) > 0


def test_label_map_with_entry_weights_equals_that_of_one_column_when_all_are_alike():
    rng = np.random.default_rng(0)
    codes, targets = rng.choice((-1.0, 1.0), size=(20, 4)), rng.random((20, 3))
    weights = rng.random((20, 1))
    shared = fit_label_map(codes, targets, weights, ridge=0.5)
    each = fit_label_map(codes, targets, np.repeat(weights, 3, axis=1), ridge=0.5)
    np.testing.assert_allclose(shared, each, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]))
@settings(deadline=None)
def test_bit_rule_follows_the_plain_loop_over_samples_and_bits(seed, columns):
    rng = np.random.default_rng(seed)
    n, bits = 12, 6
    W, root = rng.normal(size=(bits, 3)), rng.normal(size=(bits, bits))
    energy = CodeEnergy(
        linear=rng.normal(size=(n, bits)),
        curvature=root @ root.T,
        label_map=W,
        label_weights=rng.random((n, columns)),
    )
    codes = rng.choice((-1.0, 1.0), size=(n, bits))
    expected = codes.copy()
    for i in range(n):
        A = energy.curvature + W @ np.diag(np.broadcast_to(energy.label_weights[i], 3)) @ W.T
        for _ in range(2):
            for k in range(bits):
                g = energy.linear[i, k] - sum(A[k, j] * expected[i, j] for j in range(bits) if j != k)
                expected[i, k] = np.sign(g)
    flips = descend_bits_(codes, energy, passes=2)
    assert (codes == expected).all()
    assert flips.shape == (bits,)


def test_a_bit_without_a_field_stays():
    energy = CodeEnergy(
        linear=np.zeros((2, 1)),
        curvature=np.ones((1, 1)),
        label_map=np.zeros((1, 0)),
        label_weights=np.zeros((2, 1)),
    )
    codes = np.array([[1.0], [-1.0]])
    assert descend_bits_(codes, energy, passes=3).sum() == 0
    assert codes.ravel().tolist() == [1, -1]


def test_progress_is_told_after_every_sweep():
    rng = np.random.default_rng(0)
    problem = Problem(
        features=rng.normal(size=(30, 4)),
        targets=np.eye(3)[rng.integers(0, 3, 30)],
        label_weights=np.ones((30, 1)),
    )
    weights = LossWeights(nu=1.0, beta=0.1, lw=1.0, lp=1.0, lr=1.0, topology=Topology.ALL)
    steps = []
    case = Case(problem, weights, {4: rng.choice((-1.0, 1.0), size=(30, 4))})
    trace = minimise(
        case.solver(), n_outer=3, n_exact=4, passes=1, on_step=lambda done, total: steps.append((done, total))
    )
    assert steps == [(k + 1, 7) for k in range(len(trace) - 1)]
