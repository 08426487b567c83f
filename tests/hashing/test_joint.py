"""The joint hasher as a scikit-learn estimator, and that its codes find what they should."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from hashing.codes import hamming_distances
from hashing.errors import CodeLengthError, LabelError
from hashing.joint import JointHasher

LENGTHS = (8, 16, 32)


# Run under a type checker of arguments, arguments of a wrong type never reach the estimator's own refusal.
TYPE_CHECKED = {
    "check_do_not_raise_errors_in_init_or_set_params": "passes an int as lengths",
    "check_sample_weights_not_an_array": "passes labels that are no sequence",
    "check_estimator_sparse_array": "passes a sparse array",
    "check_estimator_sparse_matrix": "passes a sparse matrix",
    "check_transformer_data_not_an_array": "passes labels that are no sequence",
}
# Anchors are drawn from the rows and features centred on them, whatever each row counts; tested for the solver instead.
DRAWN_ROWS = {
    "check_sample_weight_equivalence_on_dense_data": "a repeated row is drawn as an anchor more often than a heavy one",
}


def known_failures():
    return DRAWN_ROWS | (TYPE_CHECKED if hasattr(JointHasher.fit, "__wrapped__") else {})


@parametrize_with_checks(
    [JointHasher(lengths=(8, 16), random_state=0)],
    expected_failed_checks=lambda _: known_failures(),
)
def test_it_keeps_the_conventions_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order][:960].astype(np.float32), y[order][:960]  # 60 queries, 500 database, 400 training


def mean_average_precision(distances, relevant):
    """Return mAP with ties resolved in expectation, by a plain loop over groups of equal distance."""
    values = []
    for row, hits in zip(distances, relevant, strict=True):
        before = found = value = 0.0
        for distance in np.unique(row):
            group = row == distance
            n, r = group.sum(), hits[group].sum()
            for j in range(1, n + 1):
                others = (j - 1) * (r - 1) / (n - 1) if n > 1 else 0
                value += r / n * (found + 1 + others) / (before + j)
            before, found = before + n, found + r
        values.append(value / hits.sum())
    return float(np.mean(values))


def scores(hasher, digits, bits):
    x, y = digits
    queries, gallery = slice(0, 60), slice(60, 560)
    xq, xb = hasher.encode(x[queries])[bits], hasher.encode(x[gallery])[bits]
    return mean_average_precision(hamming_distances(xq, xb), y[queries, None] == y[None, gallery])


def random_hyperplanes(digits, bits):
    x, y = digits
    planes = np.random.default_rng(0).normal(size=(x.shape[1], bits))
    codes = np.packbits((x - x[560:].mean(axis=0)) @ planes > 0, axis=1)
    return mean_average_precision(
        hamming_distances(codes[:60], codes[60:560]), y[:60, None] == y[None, 60:560]
    )


def test_labels_give_codes_that_find_the_class_at_every_length(digits):
    x, y = digits
    hasher = JointHasher(lengths=LENGTHS, random_state=0).fit(x[560:], y[560:])
    for bits, least in zip(LENGTHS, (0.85, 0.9, 0.9), strict=True):
        assert scores(hasher, digits, bits) > least


def test_a_few_labels_do_much_better_than_none(digits):
    x, y = digits
    few = np.where(np.arange(400) < 60, y[560:], -1)
    hasher = JointHasher(lengths=LENGTHS, random_state=0).fit(x[560:], few)
    assert min(scores(hasher, digits, bits) for bits in LENGTHS) > 0.8


def test_codes_without_labels_beat_random_hyperplanes_by_far(digits):
    hasher = JointHasher(lengths=LENGTHS, random_state=0).fit(digits[0][560:])
    for bits in LENGTHS:
        assert scores(hasher, digits, bits) > random_hyperplanes(digits, bits) + 0.15


def test_wrong_labels_hurt_less_when_features_count_more(digits):
    x, y = digits
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(400) < 0.4, rng.integers(0, 10, 400), y[560:])
    trusting, wary = (
        JointHasher(lengths=LENGTHS, nu=nu, beta=nu / 3, random_state=0).fit(x[560:], noisy)
        for nu in (1e-3, 1.0)
    )
    for bits in LENGTHS:
        assert scores(wary, digits, bits) > scores(trusting, digits, bits)


def test_real_scores_rank_finer_than_signs_where_codes_leave_room(digits):
    """Without labels; with them 8 bits nearly separate the ten digits and both ways tie."""
    x, y = digits
    hasher = JointHasher(lengths=(8,), random_state=0).fit(x[560:])
    signs = np.where(hasher.project(x[60:560])[8] > 0, 1.0, -1.0)
    relevant = y[:60, None] == y[None, 60:560]
    asymmetric = mean_average_precision(-hasher.project(x[:60])[8] @ signs.T, relevant)
    assert asymmetric > scores(hasher, digits, 8)


@pytest.mark.parametrize("features", ["linear", "rbf"])
def test_the_same_seed_gives_the_same_bits(digits, features):
    x, y = digits[0][:300], digits[1][:300]
    first, second = (
        JointHasher(lengths=LENGTHS, features=features, random_state=5).fit(x, y) for _ in range(2)
    )
    for bits in LENGTHS:
        assert first.encoder_.projections[bits].tobytes() == second.encoder_.projections[bits].tobytes()
    assert (first.transform(x) == second.transform(x)).all()


@pytest.mark.parametrize("topology", ["all", "down", "chain"])
@pytest.mark.parametrize(
    "y",
    [
        None,
        ["a", "a", "b", None] * 10,
        [("a", "b"), ("b",), (), ("a",)] * 10,
        np.array([[1, np.nan], [0, 1], [np.nan, np.nan], [1, 1]] * 10),
        [3] * 40,
    ],
    ids=["none", "names", "collections", "matrix with gaps", "one class"],
)
def test_every_form_of_labels_gives_codes_in_every_topology(y, topology):
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    hasher = JointHasher(lengths=(8, 16), topology=topology, random_state=0, class_weight="balanced").fit(
        x, y
    )
    records = hasher.transform(x)
    assert records.shape == (40, 3)
    assert len(np.unique(records, axis=0)) > 1


def test_the_trace_holds_the_losses_of_every_sweep_and_falls_in_the_end(digits):
    x, y = digits
    hasher = JointHasher(lengths=LENGTHS, random_state=0).fit(x[:400], y[:400])
    totals = hasher.objective_trace_.sum(axis=1)
    assert hasher.objective_trace_.shape[1] == 3
    assert totals[-1] == pytest.approx(totals.min())


def test_lengths_come_out_ascending_and_up_to_1024_bits(digits):
    x, y = digits
    hasher = JointHasher(lengths=(1024, 8), n_outer=1, n_exact=1, random_state=0).fit(x[:60], y[:60])
    assert hasher.lengths_ == (8, 1024)
    assert hasher.transform(x[:2]).shape == (2, 129)


@pytest.mark.parametrize("joint_encoding", [True, False])
@pytest.mark.parametrize("labelled", [True, False])
def test_nested_codes_are_exactly_the_beginnings_of_the_longest(digits, labelled, joint_encoding):
    x, y = digits
    hasher = JointHasher(lengths=LENGTHS, nested=True, joint_encoding=joint_encoding, random_state=0)
    hasher.fit(x[:300], y[:300] if labelled else None)
    records, codes, projected = (f(x[300:500]) for f in (hasher.transform, hasher.encode, hasher.project))
    assert records.shape == (200, max(LENGTHS) // 8)
    assert len(hasher.get_feature_names_out()) == max(LENGTHS) // 8
    for bits in LENGTHS:
        assert (codes[bits] == records[:, : bits // 8]).all()
        assert (projected[bits] == projected[max(LENGTHS)][:, :bits]).all()


def test_nested_codes_find_the_class_at_every_length(digits):
    x, y = digits
    hasher = JointHasher(lengths=LENGTHS, nested=True, random_state=0).fit(x[560:], y[560:])
    for bits, least in zip(LENGTHS, (0.8, 0.88, 0.88), strict=True):
        assert scores(hasher, digits, bits) > least


def test_each_length_may_have_weights_and_an_encoding_of_its_own(digits):
    x, y = digits
    each = JointHasher(
        lengths=(32, 8, 16),
        nu=(0.1, 0.2, 0.3),
        beta=[0.01, 0.02, 0.03],
        joint_encoding=(False, True, True),
        random_state=0,
    ).fit(x[560:], y[560:])
    assert each.encoder_.weights.nu == (0.1, 0.2, 0.3)  # of the ascending lengths
    for bits in LENGTHS:
        assert scores(each, digits, bits) > 0.8
    codes, projected = each.encode(x[:200]), each.project(x[:200])
    assert (codes[8] == np.packbits(projected[8] > 0, axis=1, bitorder="little")).all()
    alike = [JointHasher(nu=nu, beta=0.03, lengths=LENGTHS, random_state=0) for nu in (0.1, (0.1,) * 3)]
    first, second = (hasher.fit(x[560:], y[560:]).transform(x) for hasher in alike)
    assert (first == second).all()


def test_robust_labels_do_better_where_many_are_wrong(digits):
    """With features that count: codes start at the labels, so only features can tell that one is wrong."""
    x, y = digits
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(400) < 0.4, rng.integers(0, 10, 400), y[560:])
    plain, robust = (
        JointHasher(lengths=LENGTHS, nu=1.0, beta=0.3, robust=delta, random_state=0).fit(x[560:], noisy)
        for delta in (None, 0.3)
    )
    gains = [scores(robust, digits, bits) - scores(plain, digits, bits) for bits in LENGTHS]
    assert np.mean(gains) > 0.003


def test_samples_that_count_nothing_leave_no_trace_in_the_maps_of_labels_and_features(digits):
    x, y = digits[0][:200], digits[1][:200]
    weight = np.where(np.arange(200) < 150, 1.0, 0.0)
    wrong = np.where(weight > 0, y, (y + 1) % 10)
    first, second = (
        JointHasher(lengths=(8, 16), beta=0.0, random_state=0).fit(x, labels, sample_weight=weight)
        for labels in (y, wrong)
    )
    for bits in (8, 16):
        same = first.encoder_.projections[bits] == second.encoder_.projections[bits]
        assert same.all()


def test_it_works_as_a_step_of_a_pipeline_and_clones(digits):
    x, y = digits
    pipeline = make_pipeline(StandardScaler(), clone(JointHasher(lengths=LENGTHS, random_state=0)))
    assert pipeline.fit(x[:200], y[:200]).transform(x[:5]).shape == (5, 7)


def test_progress_reaches_the_caller(digits):
    steps = []
    hasher = JointHasher(lengths=(8,), n_outer=2, n_exact=3, random_state=0)
    hasher.fit(digits[0][:100], digits[1][:100], on_step=lambda done, total: steps.append((done, total)))
    assert steps
    assert all(done <= total == 5 for done, total in steps)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"features": "cubic"}, r"'features' .* must be one of \['linear', 'rbf'\]\. Got 'cubic'"),
        ({"topology": "ring"}, r"'topology' .* must be one of \['all', 'down', 'chain'\]\. Got 'ring'"),
        ({"nu": 0.0}, r"'nu' parameter of JointHasher must be above 0\. Got 0\.0"),
        ({"beta": -1.0}, r"'beta' parameter of JointHasher must be 0 or more\. Got -1\.0"),
        ({"n_anchors": 0}, "'n_anchors' parameter of JointHasher must be None or above 0. Got 0"),
        ({"robust": 0.0}, r"'robust' parameter of JointHasher must be None or above 0\. Got 0\.0"),
        ({"nu": (0.1, 0.0)}, r"'nu' parameter of JointHasher must be above 0\. Got \(0\.1, 0\.0\)"),
        ({"beta": (0.1, -1.0)}, r"'beta' parameter of JointHasher must be 0 or more\. Got \(0\.1, -1\.0\)"),
        ({"nu": (0.1,)}, r"'nu' .* must be one value or one per length, 2\. Got 1 values"),
        ({"beta": (0.1, 0.1, 0.1)}, r"'beta' .* must be one value or one per length, 2\. Got 3 values"),
        ({"joint_encoding": (True,)}, r"'joint_encoding' .* must be one value or one per length, 2\. Got 1"),
        (
            {"joint_encoding": (True, False), "nested": True},
            r"'joint_encoding' .* must be one answer if nested, as the codes share bits\. Got ",
        ),
    ],
)
def test_parameters_out_of_range_are_refused_at_fit(parameters, message):
    with pytest.raises(ValueError, match=message):
        JointHasher(**{"lengths": (8, 16), **parameters}).fit(np.eye(4), [0, 1, 0, 1])


def test_class_weights_of_classes_that_no_sample_has_are_refused():
    with pytest.raises(LabelError, match="class_weight names 7, which no sample has"):
        JointHasher(class_weight={7: 2.0}).fit(np.eye(4), [0, 1, 0, 1])


def test_lengths_that_are_no_whole_bytes_are_refused():
    with pytest.raises(CodeLengthError, match="multiples of 8"):
        JointHasher(lengths=(12,)).fit(np.eye(4), [0, 1, 0, 1])


def test_labels_of_another_number_are_refused():
    with pytest.raises(LabelError, match="Expected labels for 4 samples, got 2"):
        JointHasher().fit(np.eye(4), [0, 1])
