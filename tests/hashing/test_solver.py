"""The block updates: none raises the objective, each is a minimiser, and the leave-one-out field is what it claims."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashing import training_set
from hashing.labels import Labels
from hashing.moments import LabelMoments
from hashing.objective import Topology
from hashing.ridge import GramRidge
from hashing.solver import fit_label_map, label_trust, minimise
from hashing.training_set import TrainingSet
from tests.hashing.problems import Problem, chunks_of, plain_objective, problems

SLOW_TO_DRAW = [HealthCheck.too_slow]


@pytest.fixture(autouse=True, scope="module")
def several_chunks():
    with chunks_of(16):  # up to three
        yield


def objective(problem, solver, robust=None):
    return plain_objective(problem, solver.state.codes, solver.maps, robust=robust)


def exact_updates(solver):
    """Return every kind of block update of the exact phase."""
    return [
        lambda: solver.update_codes_(passes=2, leave_one_out=False),
        solver.update_label_maps_,
        solver.update_projection_,
        solver.update_associations_,
    ]


def assert_no_update_rises(n_problems, n_updates, *, sweeps=3, dtype=np.float64, tolerance=1e-9):
    """Compare the objective before and after every block update of some sweeps of random problems."""
    done = 0

    @given(problems())
    @settings(max_examples=n_problems, suppress_health_check=SLOW_TO_DRAW)
    def check(problem):
        nonlocal done
        solver = problem.solver(dtype=dtype)
        value = objective(problem, solver)
        for _ in range(sweeps):
            for update in exact_updates(solver):
                update()
                after = objective(problem, solver)
                assert after <= value + tolerance * abs(value)
                value = after
                done += 1

    check()
    assert done >= n_updates


def test_no_block_update_of_the_exact_phase_raises_the_objective():
    assert_no_update_rises(n_problems=340, n_updates=4_000)


@pytest.mark.slow
def test_none_of_a_hundred_thousand_block_updates_raises_the_objective():
    assert_no_update_rises(n_problems=8_400, n_updates=100_000)


def test_single_precision_raises_the_objective_by_no_more_than_its_rounding():
    assert_no_update_rises(n_problems=100, n_updates=1_000, dtype=np.float32, tolerance=1e-5)


@given(problems(), st.sampled_from([0.3, 1.0, 3.0]))
@settings(max_examples=80, suppress_health_check=SLOW_TO_DRAW)
def test_with_robust_labels_exact_sweeps_never_raise_the_welsch_objective(problem, delta):
    """Trust in labels is the tangent of the Welsch loss, which a sweep lowers (majorise, minimise)."""
    solver = problem.solver(robust=delta)
    value, surrogate = objective(problem, solver, delta), solver.objective().total
    for _ in range(6):
        solver.sweep_(passes=2, leave_one_out=False)
        after, bound = objective(problem, solver, delta), solver.objective().total
        assert after <= value + 1e-9 * abs(value)
        assert bound <= surrogate + 1e-9 * abs(surrogate)
        assert after <= bound + 1e-9 * abs(bound)  # what is reported bounds the Welsch objective from above
        value, surrogate = after, bound


@given(problems())
@settings(max_examples=20, suppress_health_check=SLOW_TO_DRAW)
def test_robust_labels_with_an_error_beyond_all_are_plain_ones(problem):
    robust, plain = problem.solver(robust=1e6), problem.solver()
    for solver in (robust, plain):
        solver.sweep_(passes=2, leave_one_out=False)
    assert (robust.state.codes == plain.state.codes).all()
    assert robust.objective() == pytest.approx(plain.objective())


def test_robust_labels_trust_contradicted_labels_less():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    wrong = np.arange(80) < 10
    problem = small_problem(
        features=np.hstack([np.eye(2)[y] * 4 + 0.1 * rng.normal(size=(80, 2)), np.ones((80, 1))]),
        targets=np.eye(2)[np.where(wrong, 1 - y, y)],
        start=np.where(np.arange(8)[:, None] % 2, 1, 2 * y - 1),  # not opposite: a map has no constant term
    )
    solver = problem.solver(robust=0.7)
    minimise(solver, n_outer=4, n_exact=20, passes=2)
    assert solver.state.trust[8][wrong].max() < 0.5 < solver.state.trust[8][~wrong].min()


def small_problem(*, features, start, targets=None, **losses):
    n = len(features)
    return Problem(
        features=features,
        targets=np.zeros((n, 0)) if targets is None else targets,
        label_weights=np.ones((n, 1)),
        sample_weight=np.ones(n),
        losses={"nu": 1.0, "beta": 0.0, "lw": 1.0, "lp": 1.0, "lr": 1.0, "topology": Topology.ALL, **losses},
        lengths=(len(start),),
        nested=False,
        start=start.astype(np.int8),
    )


@given(problems())
@settings(max_examples=60, suppress_health_check=SLOW_TO_DRAW)
def test_the_reported_objective_is_the_plain_one_and_the_exact_trace_falls(problem):
    solver = problem.solver()
    trace = [terms.total for terms in minimise(solver, n_outer=2, n_exact=50, passes=2)]
    assert trace[0] == pytest.approx(objective(problem, problem.solver()))
    assert trace[-1] == pytest.approx(objective(problem, solver))
    assert trace[-1] <= min(trace) + 1e-9 * abs(trace[0])


@given(problems())
@settings(max_examples=30, suppress_health_check=SLOW_TO_DRAW)
def test_at_the_end_no_single_bit_can_improve(problem):
    solver = problem.solver()
    minimise(solver, n_outer=1, n_exact=500, passes=3)
    value, codes = objective(problem, solver), solver.state.codes
    for place in np.ndindex(codes.shape):
        codes[place] *= -1
        assert objective(problem, solver) >= value - 1e-7 * abs(value)
        codes[place] *= -1


@given(problems())
@settings(max_examples=40, suppress_health_check=SLOW_TO_DRAW)
def test_no_small_step_improves_a_map(problem):
    solver = problem.solver()
    value, rng = objective(problem, solver), np.random.default_rng(0)
    maps = solver.maps
    for matrix in [*maps.labels.values(), maps.projection, *maps.associations.values()]:
        best = matrix.copy()
        step = 1e-3 * rng.normal(size=matrix.shape)
        for moved in (best + step, best - step, best):
            matrix[...] = moved
            assert objective(problem, solver) >= value - 1e-9 * abs(value)


@given(problems(), st.booleans(), st.sampled_from([None, 1.0]))
@settings(max_examples=40, suppress_health_check=SLOW_TO_DRAW)
def test_a_sweep_leaves_every_map_at_its_minimiser(problem, leave_one_out, robust):
    solver = problem.solver(robust=robust)
    solver.sweep_(passes=2, leave_one_out=leave_one_out)
    value, plain = solver.objective(), objective(problem, solver)
    solver.restart_(solver.state)  # sums up and fits every map anew
    assert solver.objective() == pytest.approx(value, rel=1e-9)
    assert objective(problem, solver) == pytest.approx(plain, rel=1e-9)


@given(problems())
@settings(max_examples=40, suppress_health_check=SLOW_TO_DRAW)
def test_leave_one_out_field_is_what_a_flip_costs_with_projections_fitted_anew(problem):
    """Also where samples count differently (01-hashing 1.5)."""
    phi, e, lp = problem.features, problem.sample_weight, problem.weights.lp
    gram = phi.T @ (e[:, None] * phi)
    ridge = GramRidge(gram, lp)
    leverages = np.concatenate([ridge.leverages(chunk) for chunk in problem.samples().chunks()])
    codes = problem.start[0].astype(float)

    def l_loss_refitted(b):
        p = np.linalg.solve(gram + lp * np.eye(len(gram)), phi.T @ (e * b))
        return (e * (b - phi @ p) ** 2).sum() + lp * (p**2).sum()

    before = l_loss_refitted(codes)
    scores = phi @ ridge.solve((phi.T @ (e * codes))[:, None])[:, 0]
    for i in range(len(codes)):
        flipped = codes.copy()
        flipped[i] *= -1
        change = 4 * e[i] * codes[i] * (scores[i] - leverages[i] * codes[i])
        assert l_loss_refitted(flipped) - before == pytest.approx(change, abs=1e-10 * max(1, before))


def test_with_as_many_features_as_samples_only_leave_one_out_moves_codes():
    """Every code votes for itself otherwise: projections reproduce any start."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 1)) + 0.1 * rng.normal(size=(30, 40))
    problem = small_problem(
        features=np.hstack([x, np.ones((30, 1))]), start=rng.choice((-1, 1), size=(4, 30)), lp=1e-3
    )
    assert problem.solver().sweep_(passes=1, leave_one_out=False) == 0
    assert problem.solver().sweep_(passes=1, leave_one_out=True) > 0


@given(problems(), st.integers(1, 15))
@settings(max_examples=40, suppress_health_check=SLOW_TO_DRAW)
def test_a_fit_in_chunks_is_a_fit_at_once(problem, size):
    fits = []
    for samples_at_a_time in (size, 100):
        with chunks_of(samples_at_a_time):
            fits.append(problem.solver(robust=2.0))
            minimise(fits[-1], n_outer=3, n_exact=10, passes=2)
    chunked, whole = fits
    assert (chunked.state.codes == whole.state.codes).all()
    np.testing.assert_allclose(chunked.maps.projection, whole.maps.projection, atol=1e-9)
    for key, W in whole.maps.labels.items():
        np.testing.assert_allclose(chunked.maps.labels[key], W, atol=1e-9)
    for key, R in whole.maps.associations.items():
        np.testing.assert_allclose(chunked.maps.associations[key], R, atol=1e-9)


@given(problems(), st.sampled_from([np.float32, np.float64]), st.booleans())
@settings(max_examples=20, suppress_health_check=SLOW_TO_DRAW)
def test_a_fit_is_the_same_to_the_bit_the_second_time_and_without_kept_features(problem, dtype, keep):
    fits = []
    for room in (2**30, 2**30 if keep else 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training_set, "CACHE_BYTES", room)
            fits.append(problem.solver(dtype=dtype))
        minimise(fits[-1], n_outer=3, n_exact=10, passes=2)
    first, second = fits
    assert first.state.codes.tobytes() == second.state.codes.tobytes()
    assert first.maps.projection.tobytes() == second.maps.projection.tobytes()


@given(problems())
@settings(max_examples=40, suppress_health_check=SLOW_TO_DRAW)
def test_a_sample_that_counts_twice_is_two_samples(problem):
    """But for the Q-loss, which knows no weights."""
    problem = dataclasses.replace(
        problem,
        losses=problem.losses | {"beta": 0.0},
        sample_weight=1.0 + (np.arange(len(problem.features)) % 3 == 0),
    )
    twice = np.repeat(np.arange(len(problem.features)), problem.sample_weight.astype(int))
    repeated = dataclasses.replace(
        problem,
        features=problem.features[twice],
        targets=problem.targets[twice],
        label_weights=problem.label_weights[twice],
        sample_weight=np.ones(len(twice)),
        start=problem.start[:, twice],
    )
    weighted, plain = problem.solver(), repeated.solver()
    for _ in range(3):
        weighted.sweep_(passes=2, leave_one_out=False)
        plain.sweep_(passes=2, leave_one_out=False)
        assert (weighted.state.codes[:, twice] == plain.state.codes).all()
    np.testing.assert_allclose(weighted.maps.projection, plain.maps.projection, atol=1e-9)
    assert weighted.objective() == pytest.approx(plain.objective())


def test_single_precision_data_are_swept_in_single_precision():
    """Half the memory traffic; a stray double precision number would turn every sum into one."""
    rng = np.random.default_rng(0)
    problem = small_problem(
        features=rng.normal(size=(30, 4)),
        start=rng.choice((-1, 1), size=(8, 30)),
        targets=np.eye(3)[np.arange(30) % 3],
    )
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "hashing.solver.descend_bits_",
            lambda codes, energy, **_: seen.extend([codes.dtype, energy.linear.dtype]) or np.zeros(8, int),
        )
        problem.solver(dtype=np.float32).sweep_(passes=1, leave_one_out=True)
    assert set(seen) == {np.dtype(np.float32)}


def test_label_map_with_entry_weights_equals_that_of_one_column_when_all_are_alike():
    rng = np.random.default_rng(0)
    codes, targets = rng.choice((-1.0, 1.0), size=(20, 4)), rng.random((20, 3))
    gram, products = codes.T @ codes, codes.T @ targets
    shared = fit_label_map(LabelMoments(gram[None], products, 0.0), ridge=0.5)
    each = fit_label_map(LabelMoments(np.repeat(gram[None], 3, axis=0), products, 0.0), ridge=0.5)
    np.testing.assert_allclose(shared, each, atol=1e-12)


def test_progress_is_told_after_every_sweep():
    rng = np.random.default_rng(0)
    problem = small_problem(
        features=rng.normal(size=(30, 4)),
        start=rng.choice((-1, 1), size=(4, 30)),
        targets=np.eye(3)[rng.integers(0, 3, 30)],
    )
    steps = []
    trace = minimise(
        problem.solver(),
        n_outer=3,
        n_exact=4,
        passes=1,
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(k + 1, 7) for k in range(len(trace) - 1)]


def test_trust_judges_the_known_label_entries_and_not_what_samples_count():
    rng = np.random.default_rng(0)
    n, bits, c = 12, 4, 3
    targets, known = (rng.random((n, c)) < 0.4).astype(float), rng.random((n, c)) < 0.7
    codes, label_map = rng.choice((-1.0, 1.0), size=(bits, n)), rng.normal(size=(bits, c))
    trusts = []
    for count in (np.ones(n), rng.exponential(size=n) + 0.1):
        labels = Labels(targets=targets, weights=known.astype(float), classes=np.arange(c))
        samples = TrainingSet(
            np.ones((n, 1)), lambda rows: rows, labels, sample_weight=count, dtype=np.float64
        )
        (chunk,) = samples.chunks()
        trusts.append(label_trust(chunk, codes, label_map, delta=0.8))
    for i in range(n):
        error = sum(
            (targets[i, k] - sum(codes[b, i] * label_map[b, k] for b in range(bits))) ** 2
            for k in range(c)
            if known[i, k]
        )
        assert trusts[0][i] == pytest.approx(np.exp(-error / 0.64))
    np.testing.assert_allclose(trusts[0], trusts[1])
