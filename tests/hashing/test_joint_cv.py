"""Choosing loss weights by validation: what is compared, what is kept, and that it finds what helps."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from hashing.codes import hamming_distances
from hashing.joint import JointHasher
from hashing.joint_cv import CANDIDATES, JointHasherCV
from hashing.metrics import average_precision, score_codes

LENGTHS = (8, 16)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order].astype(np.float32), y[order]


@pytest.fixture(scope="module")
def noisy(digits):
    rng = np.random.default_rng(1)
    y = digits[1][:500]
    return np.where(rng.random(500) < 0.4, (y + rng.integers(1, 10, 500)) % 10, y)


def mean_map(hasher, digits):
    x, y = digits
    codes, queries = hasher.encode(x[600:1200]), hasher.encode(x[1200:1400])
    return np.mean(
        [
            score_codes(
                queries[bits], codes[bits], y[1200:1400].tolist(), y[600:1200].tolist()
            ).mean_average_precision
            for bits in LENGTHS
        ]
    )


@pytest.fixture(scope="module")
def tuned(digits, noisy):
    return JointHasherCV(JointHasher(lengths=LENGTHS, random_state=0)).fit(digits[0][:500], noisy)


def test_with_wrong_labels_it_trusts_features_more_than_the_defaults_do(tuned, digits, noisy):
    plain = JointHasher(lengths=LENGTHS, random_state=0).fit(digits[0][:500], noisy)
    assert np.min(tuned.best_estimator_.nu) > plain.nu
    assert mean_map(tuned, digits) > mean_map(plain, digits) + 0.01


def test_what_was_tried_and_chosen_can_be_read(tuned):
    tried = [result["params"] for result in tuned.cv_results_]
    assert [{"nu": p["nu"], "beta": p["beta"]} for p in tried[: len(CANDIDATES)]] == list(CANDIDATES)
    assert tuned.best_params_ in tried
    assert {bits for result in tuned.cv_results_ for bits in result["map"]} == set(LENGTHS)
    chosen = next(result for result in tuned.cv_results_ if result["params"] == tuned.best_params_)
    assert tuned.best_score_ == pytest.approx(np.mean(list(chosen["map"].values())))
    assert tuned.best_estimator_.nu == tuned.best_params_["nu"]


def test_the_winner_is_what_the_same_parameters_give_by_hand(tuned, digits, noisy):
    x = digits[0]
    by_hand = JointHasher(lengths=LENGTHS, random_state=0, **tuned.best_params_).fit(x[:500], noisy)
    np.testing.assert_array_equal(by_hand.transform(x), tuned.transform(x))
    np.testing.assert_array_equal(by_hand.project(x)[16], tuned.project(x)[16])


def test_the_same_seed_chooses_the_same(tuned, digits, noisy):
    again = clone(tuned).fit(digits[0][:500], noisy)
    assert again.best_params_ == tuned.best_params_


def test_scores_are_average_precision_of_held_out_samples_against_each_other(digits):
    """One fold by hand: a fifth of the labelled samples, each ranked against the others."""
    x, y = digits[0][:200], digits[1][:200]
    hasher = JointHasher(lengths=(16,), random_state=3)
    only = ({"nu": 0.1, "beta": 0.0, "joint_encoding": False},)
    tuned = JointHasherCV(hasher, candidates=only, n_folds=1, ridge_factors=()).fit(x, y)
    seed = np.random.RandomState(3).randint(2**31)
    order = np.random.default_rng(seed).permutation(200)
    held, kept = np.sort(order[:40]), np.sort(order[40:])
    fitted = clone(hasher).set_params(**only[0], n_outer=4, n_exact=1).fit(x[kept], y[kept])
    codes = fitted.encode(x[held])[16]
    values = []
    for i in range(40):
        others = [j for j in range(40) if j != i]
        relevant = y[held][others] == y[held][i]
        if relevant.any():
            values.append(average_precision(hamming_distances(codes[[i]], codes[others]), relevant[None])[0])
    assert tuned.best_score_ == pytest.approx(np.mean(values))


def test_a_difference_within_chance_keeps_the_first_candidate(digits):
    """Two names for one set of weights: nothing can be better."""
    candidates = ({"nu": 0.1, "beta": 0.03}, {"nu": 0.1, "beta": 0.03, "passes": 3})
    tuned = JointHasherCV(
        JointHasher(lengths=LENGTHS, random_state=0), candidates=candidates, ridge_factors=()
    )
    assert "passes" not in tuned.fit(digits[0][:200], digits[1][:200]).best_params_


@pytest.mark.parametrize("y", [None, np.full(40, -1), np.arange(40), np.where(np.arange(40) < 8, 1, -1)])
def test_where_nothing_can_be_compared_the_first_candidate_is_taken(digits, y):
    tuned = JointHasherCV(JointHasher(lengths=(8,), random_state=0)).fit(digits[0][:40], y)
    assert tuned.best_params_ == CANDIDATES[0]
    assert tuned.cv_results_ == []
    assert np.isnan(tuned.best_score_)


def test_lengths_may_choose_for_themselves_and_nested_ones_choose_together(digits, noisy):
    x = digits[0][:500]
    nested = JointHasherCV(JointHasher(lengths=LENGTHS, nested=True, random_state=0)).fit(x, noisy)
    assert isinstance(nested.best_params_["joint_encoding"], bool)
    assert nested.transform(x).shape == (500, 2)
    candidates = ({"nu": 0.001, "beta": 0.0}, {"nu": (0.001, 30.0), "beta": (0.0, 10.0)})
    mixed = JointHasherCV(
        JointHasher(lengths=LENGTHS, random_state=0), candidates=candidates, ridge_factors=()
    ).fit(x, noisy)
    assert np.ndim(mixed.best_params_["nu"]) == 1


def test_progress_counts_fits_to_the_end(digits):
    steps = []
    hasher = JointHasher(lengths=(8,), random_state=0)
    JointHasherCV(hasher, candidates=CANDIDATES[:2], n_folds=2).fit(
        digits[0][:100], digits[1][:100], on_step=lambda done, total: steps.append((done, total))
    )
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1]


def test_classes_that_only_held_out_samples_have_keep_their_weight(digits):
    names = ["rare" if i == 7 else "abc"[k % 3] for i, k in enumerate(digits[1][:60])]
    for seed in range(5):
        hasher = JointHasher(lengths=(8,), class_weight={"rare": 5.0}, random_state=seed)
        JointHasherCV(hasher, candidates=CANDIDATES[:2]).fit(digits[0][:60], names)


class Column(Sequence):
    """A column of a table, whose brackets take names of rows and not positions, as those of pandas do."""

    def __init__(self, values) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)

    def __getitem__(self, name) -> int:
        raise KeyError(name)


def test_labels_may_be_a_column_of_a_table(digits):
    x, y = digits[0][:100], digits[1][:100]
    hasher = JointHasherCV(JointHasher(lengths=(8,), random_state=0), candidates=CANDIDATES[:2])
    expected = clone(hasher).fit(x, y)
    with_column = hasher.fit(x, Column(y.tolist()))
    assert with_column.best_score_ == expected.best_score_
    np.testing.assert_array_equal(with_column.transform(x), expected.transform(x))


def test_weights_of_samples_reach_every_fit(digits, noisy):
    x = digits[0][:500]
    trusted = (noisy == digits[1][:500]).astype(float) + 1e-6
    hasher = JointHasherCV(JointHasher(lengths=LENGTHS, random_state=0), candidates=CANDIDATES[:2])
    weighted = clone(hasher).fit(x, noisy, sample_weight=trusted)
    assert mean_map(weighted, digits) > mean_map(hasher.fit(x, noisy), digits) + 0.02


def test_only_trials_alike_in_all_else_are_mixed(digits, noisy):
    candidates = (
        {"nu": 0.001, "beta": 0.0},
        {"nu": 30.0, "beta": 3.0, "robust": 0.7},
        {"nu": 1.0, "beta": 0.3},
    )
    tuned = JointHasherCV(
        JointHasher(lengths=LENGTHS, random_state=0), candidates=candidates, ridge_factors=()
    ).fit(digits[0][:500], noisy)
    for result in tuned.cv_results_:
        robust = "robust" in result["params"]
        assert np.all((np.asarray(result["params"]["nu"]) == 30.0) == robust)


def test_without_candidates_nothing_can_be_chosen(digits):
    with pytest.raises(ValueError, match=r"'candidates' parameter of JointHasherCV must name at least one"):
        JointHasherCV(JointHasher(lengths=(8,)), candidates=()).fit(digits[0][:40], digits[1][:40])
