"""Adding samples to a fitted hasher in closed form: exact maps, no rise of J, new classes, and better codes."""

import dataclasses
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from hashing import learned as learned_module
from hashing.codes import hamming_distances
from hashing.errors import HashingError, LabelError
from hashing.fitted_hasher import Provenance
from hashing.hasher_file import load_hasher, save_hasher
from hashing.joint import JointHasher
from hashing.learned import Learned
from hashing.ridge import GramRidge
from hashing.solver import minimise
from tests.hashing.problems import chunks_of, plain_objective, problems


def rows_of(problem, rows, **changes):
    return dataclasses.replace(
        problem,
        features=problem.features[rows],
        targets=problem.targets[rows],
        label_weights=problem.label_weights[rows],
        sample_weight=problem.sample_weight[rows],
        start=changes.pop("start", problem.start[:, rows]),
    )


def learn_then_add(problem):
    """Learn from the first half of a problem and add the second.

    Returns what was learned in the end, the maps, and the codes of all samples before and after the new ones moved.
    """
    n, c = problem.targets.shape
    first, second = rows_of(problem, slice(0, n // 2)), rows_of(problem, slice(n // 2, n))
    solver = first.solver()
    minimise(solver, n_outer=2, n_exact=5, passes=2)
    layout, rng = problem.layout, np.random.default_rng(0)
    books = {bits: rng.choice((-1.0, 1.0), size=(c, bits)) for bits in layout.lengths} if c else {}
    ridge = GramRidge(first.samples().gram(), problem.weights.lp)
    learned = Learned(
        ridge=ridge, moments=solver.moments, books=books, classes=np.arange(c), class_weights={}
    )
    before, after = [solver.state.codes], [solver.state.codes]

    def watched(codes, *arguments, **options):
        before.append(codes.astype(np.int8))
        flips = descend(codes, *arguments, **options)
        after.append(codes.astype(np.int8))
        return flips

    descend = learned_module.descend_bits_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned_module, "descend_bits_", watched)
        added, maps = learned.added(second.samples(), problem.weights, layout, passes=2)
    return added, maps, np.hstack(before), np.hstack(after)


@given(problems(), st.integers(2, 40))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_maps_are_those_of_a_solver_with_the_codes_of_all_samples(problem, size):
    with chunks_of(size):
        added, maps, _, codes = learn_then_add(problem)
        solver = dataclasses.replace(problem, start=codes).solver()
    np.testing.assert_allclose(maps.projection, solver.maps.projection, atol=1e-8)
    for bits, W in solver.maps.labels.items():
        np.testing.assert_allclose(maps.labels[bits], W, atol=1e-8)
    for pair, R in solver.maps.associations.items():
        np.testing.assert_allclose(maps.associations[pair], R, atol=1e-8)
    np.testing.assert_allclose(added.ridge.gram, problem.samples().gram(), atol=1e-9)
    again = added.maps(problem.weights, problem.layout)
    np.testing.assert_allclose(again.projection, maps.projection, atol=1e-12)


@given(problems())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_the_objective_of_all_samples_does_not_rise_from_the_start_of_the_new_codes(problem):
    with chunks_of(7):
        _, maps, before, after = learn_then_add(problem)
        start = dataclasses.replace(problem, start=before).solver().maps
    value = plain_objective(problem, before, start)
    assert plain_objective(problem, after, maps) <= value + 1e-9 * abs(value)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order].astype(np.float32), y[order]


def hasher(**parameters):
    return JointHasher(**{"lengths": (8, 16, 32), "n_anchors": 200, "random_state": 0, **parameters})


def precision(fitted, digits, bits, classes=range(10), k=20):
    """Return the share of same-class images among the k nearest of the last 897, without themselves."""
    x, y = digits[0][900:], digits[1][900:]
    codes = fitted.encode(x)[bits]
    distances = hamming_distances(codes, codes) + np.where(np.eye(len(x)), bits + 1, 0)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    hits = (y[nearest] == y[:, None]).mean(axis=1)
    return float(hits[np.isin(y, list(classes))].mean())


@pytest.mark.parametrize("nested", [False, True])
def test_added_samples_make_better_codes_of_unseen_ones(digits, nested):
    x, y = digits
    few = hasher(nested=nested).fit(x[:300], y[:300])
    more = deepcopy(few).partial_fit(x[300:600], y[300:600]).partial_fit(x[600:900], y[600:900])
    gains = [precision(more, digits, bits) - precision(few, digits, bits) for bits in (8, 16, 32)]
    assert min(gains) > 0
    assert np.mean(gains) > 0.01


@pytest.mark.parametrize("nested", [False, True])
def test_new_classes_get_codewords_far_from_the_old_ones_and_are_found(digits, nested):
    x, y = digits[0][:900], digits[1][:900]
    old = y < 6
    fitted = hasher(nested=nested).fit(x[old], y[old])
    before = precision(fitted, digits, 32, classes=range(6, 10))
    books = {bits: book.copy() for bits, book in fitted._learned.books.items()}
    fitted.partial_fit(x[~old], y[~old])
    assert fitted.classes_.tolist() == list(range(10))
    for bits, book in fitted._learned.books.items():
        assert (book[:6] == books[bits]).all()
    longest = fitted._learned.books[32]
    distances = (32 - longest[6:] @ longest[:6].T) / 2
    assert distances.min() >= 12
    assert precision(fitted, digits, 32, classes=range(6, 10)) > max(0.85, before + 0.05)
    assert precision(fitted, digits, 32, classes=range(6)) > 0.85


def test_an_estimator_that_is_not_fitted_is_fitted(digits):
    x, y = digits[0][:200], digits[1][:200]
    first, second = hasher().partial_fit(x, y), hasher().fit(x, y)
    assert (first.transform(x) == second.transform(x)).all()


def test_added_samples_without_labels_move_projections_and_no_label_map(digits):
    x, y = digits
    fitted = hasher().fit(x[:300], y[:300])
    before, maps = fitted._learned, fitted._learned.maps(fitted.encoder_.weights, fitted.encoder_.layout)
    fitted.partial_fit(x[300:600])
    after = fitted._learned.maps(fitted.encoder_.weights, fitted.encoder_.layout)
    assert fitted.classes_.tolist() == before.classes.tolist()
    assert not np.allclose(after.projection, maps.projection)
    for bits, W in maps.labels.items():
        assert (after.labels[bits] == W).all()


def test_labels_may_come_only_with_the_added_samples(digits):
    x, y = digits
    fitted = hasher().fit(x[:300]).partial_fit(x[300:900], y[300:900])
    assert fitted.classes_.tolist() == list(range(10))
    assert precision(fitted, digits, 32) > 0.7


def test_samples_of_several_classes_bring_new_names_in_any_order():
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    fitted = hasher().fit(x[:20], [("sea", "sky"), ("sky",), (), ("sand",)] * 5)
    fitted.partial_fit(x[20:], [("sky", "grass"), ("grass",), ("cow", "sea"), ()] * 5)
    assert fitted.classes_.tolist() == ["sand", "sea", "sky", "cow", "grass"]
    moments = fitted._learned.moments.labels[8]
    assert moments.labels.shape == (8, 5)
    assert moments.power == 5 * 4 + 5 * 5  # names given
    assert np.diag(moments.codes[0]).tolist() == [5 * 3 + 5 * 3] * 8  # samples with any


@pytest.mark.parametrize("first_has_gaps", [True, False])
@pytest.mark.parametrize("second_has_gaps", [True, False])
def test_label_matrices_with_and_without_gaps_add_up(first_has_gaps, second_has_gaps):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)).astype(np.float32)
    y = (rng.random((40, 3)) < 0.5).astype(float)
    y[:20][(rng.random((20, 3)) < 0.2) & first_has_gaps] = np.nan
    y[20:][(rng.random((20, 3)) < 0.2) & second_has_gaps] = np.nan
    fitted = hasher().fit(x[:20], y[:20]).partial_fit(x[20:], y[20:])
    moments = fitted._learned.moments
    assert moments.per_class == (first_has_gaps or second_has_gaps)
    for k in range(3):
        known = (~np.isnan(y[:, k])).sum()
        gram = moments.labels[16].codes[k if moments.per_class else 0]
        assert np.diag(gram).tolist() == [known] * 16  # one per known entry, whatever the codes


def test_added_samples_that_count_twice_are_two_samples(digits):
    x, y = digits
    fitted = hasher(beta=0.0).fit(x[:200], y[:200])
    weight = 1.0 + np.arange(100) % 2
    twice = 200 + np.repeat(np.arange(100), weight.astype(int))
    weighted = deepcopy(fitted).partial_fit(x[200:300], y[200:300], sample_weight=weight)
    repeated = deepcopy(fitted).partial_fit(x[twice], y[twice])
    for bits, P in weighted.encoder_.projections.items():
        np.testing.assert_allclose(P, repeated.encoder_.projections[bits], atol=1e-4)


def test_adding_changes_nothing_that_was_handed_out_before(digits):
    x, y = digits
    fitted = hasher().fit(x[:200], y[:200])
    encoder, learned = fitted.encoder_, fitted._learned
    records, kept = encoder.records(x[:50]), deepcopy(learned)
    fitted.partial_fit(x[200:300], y[200:300])
    assert (encoder.records(x[:50]) == records).all()
    assert (learned.moments.features == kept.moments.features).all()
    assert (learned.ridge.gram == kept.ridge.gram).all()
    assert (encoder.feature_map.anchors == fitted.encoder_.feature_map.anchors).all()


def test_a_hasher_read_from_a_file_refuses_more_samples(digits, tmp_path):
    x, y = digits
    origin = Provenance(
        name="joint",
        backbone_identity="pixels@0",
        training_hash="0" * 64,
        created_at="2026-01-01T00:00:00+00:00",
        polyhash_version="0",
    )
    save_hasher(tmp_path / "joint.hasher", hasher().fit(x[:100], y[:100]), origin)
    fitted, _ = load_hasher(tmp_path / "joint.hasher")
    with pytest.raises(HashingError, match=r"read from a file, which does not hold the sums .* Fit it anew"):
        fitted.partial_fit(x[100:200], y[100:200])


@pytest.mark.parametrize(
    ("first", "second"), [([0, 1] * 10, ["a", "b"] * 10), (["a", "b"] * 10, [0, 1] * 10)]
)
def test_labels_of_another_kind_than_before_are_refused(first, second):
    x = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    fitted = hasher().fit(x, first)
    with pytest.raises(LabelError, match=r"Learned labels such as .*, got .*\. Give the same kind\."):
        fitted.partial_fit(x, second)


def test_embeddings_of_another_width_are_refused(digits):
    x, y = digits
    fitted = hasher().fit(x[:100], y[:100])
    with pytest.raises(ValueError, match="X has 63 features, but JointHasher is expecting 64"):
        fitted.partial_fit(x[100:200, 1:], y[100:200])


def test_what_classes_count_is_settled_by_the_first_samples(digits):
    x, y = digits
    hasher = JointHasher(lengths=(8,), class_weight={0: 3.0}, random_state=0).fit(x[:200], y[:200])
    others = np.flatnonzero(y[200:400] != 0) + 200
    hasher.partial_fit(x[others], y[others])  # none of class 0, which is no unknown class
    balanced = JointHasher(lengths=(8,), class_weight="balanced", random_state=0).fit(x[:200], y[:200])
    together, apart = deepcopy(balanced), deepcopy(balanced)
    together.partial_fit(x[200:300], y[200:300])
    apart.partial_fit(x[200:250], y[200:250]).partial_fit(x[250:300], y[250:300])
    counts = [hasher._learned.moments.labels[8].power for hasher in (together, apart)]
    assert counts[0] == pytest.approx(counts[1])


def test_labels_of_added_samples_that_their_features_contradict_count_less(digits):
    x, y = digits
    rng = np.random.default_rng(0)
    hasher = JointHasher(lengths=(16,), nu=1.0, robust=0.7, random_state=0).fit(x[:400], y[:400])

    def weight_of(labels):
        added = deepcopy(hasher).partial_fit(x[400:500], labels)
        power = (part._learned.moments.labels[16].power for part in (added, hasher))
        return next(power) - next(power)

    right, wrong = weight_of(y[400:500]), weight_of((y[400:500] + rng.integers(1, 10, 100)) % 10)
    assert right > 60
    assert wrong < right / 3
