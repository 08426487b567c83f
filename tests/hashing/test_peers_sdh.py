"""SDH: the whole fit against loops over samples and bits, and the descent of its discrete step."""

import numpy as np
import pytest
from sklearn.base import clone

from hashing.errors import HashingError, LabelError
from hashing.peers.sdh import SDHHasher, descend_bits


@pytest.fixture(scope="module")
def tagged():
    """Thirty embeddings and their labels, some with several, two with none."""
    rng = np.random.default_rng(0)
    targets = (rng.random((30, 3)) < 0.5).astype(float)
    targets[:2] = 0
    return targets @ rng.normal(size=(3, 5)) + 0.5 * rng.normal(size=(30, 5)), targets


def sdh_projection(features, targets, codes, *, lam, nu, lp, n_iterations, n_sweeps):
    """The published updates, bit by bit and sample by sample."""
    n, bits = codes.shape
    codes = codes.copy()
    for _ in range(n_iterations):
        classifier = np.linalg.inv(codes.T @ codes + lam * np.eye(bits)) @ codes.T @ targets
        projection = (
            np.linalg.inv(features.T @ features + lp * np.eye(features.shape[1])) @ features.T @ codes
        )
        q = nu * features @ projection + targets @ classifier.T
        for _ in range(n_sweeps):
            for k in range(bits):
                others = [j for j in range(bits) if j != k]
                for i in range(n):
                    cross = sum(codes[i, j] * (classifier[j] @ classifier[k]) for j in others)
                    codes[i, k] = 1 if q[i, k] - cross > 0 else -1
    return np.linalg.inv(features.T @ features + lp * np.eye(features.shape[1])) @ features.T @ codes


@pytest.mark.parametrize(
    "settings",
    [
        {"lam": 1.0, "nu": 1e-5, "lp": 1e-2, "n_iterations": 5, "n_sweeps": 10},
        {"lam": 3.0, "nu": 0.05, "lp": 0.5, "n_iterations": 3, "n_sweeps": 2},
        {"lam": 0.2, "nu": 1.0, "lp": 2.0, "n_iterations": 1, "n_sweeps": 1},
    ],
)
def test_the_fit_is_that_of_plain_loops(settings, tagged):
    x, targets = tagged
    hasher = SDHHasher(lengths=(8, 16), features="linear", random_state=0, **settings).fit(x, targets)
    draws = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    for bits in (8, 16):
        codes = draws.choice((-1.0, 1.0), size=(30, bits))
        expected = sdh_projection(hasher.feature_map_(x), targets, codes, **settings)
        np.testing.assert_allclose(hasher.projections_[bits], expected, atol=1e-9)


def test_the_defaults_are_the_published_ones():
    expected = {"lam": 1.0, "nu": 1e-5, "lp": 1e-2, "n_iterations": 5, "n_sweeps": 10, "features": "rbf"}
    assert expected.items() <= SDHHasher().get_params().items()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("strength", [0.0, 1e-2, 10.0])
def test_no_sweep_over_the_bits_raises_the_objective(seed, strength):
    rng = np.random.default_rng(seed)
    codes = rng.choice((-1.0, 1.0), size=(30, 8))
    targets = (rng.random((30, 3)) < 0.4).astype(float)
    classifier = rng.normal(size=(8, 3))
    wanted = rng.normal(size=(30, 8))  # X P

    def objective(signs):
        return ((targets - signs @ classifier) ** 2).sum() + strength * ((signs - wanted) ** 2).sum()

    losses = [objective(codes)]
    for n_sweeps in range(1, 40):
        settled = descend_bits(codes, targets, classifier, strength * wanted, n_sweeps=n_sweeps)
        losses.append(objective(settled))
    assert set(np.unique(settled)) == {-1, 1}
    assert all(np.diff(losses) <= 1e-9)
    assert losses[-1] < losses[0]
    for i in range(30):
        for k in range(8):  # and no single flip is left that would lower it
            flipped = settled.copy()
            flipped[i, k] *= -1
            assert objective(flipped) >= losses[-1] - 1e-9


def test_the_codes_given_to_a_sweep_stay_as_they_are():
    rng = np.random.default_rng(0)
    codes = rng.choice((-1.0, 1.0), size=(9, 8))
    before = codes.copy()
    after = descend_bits(codes, rng.normal(size=(9, 2)), rng.normal(size=(8, 2)), 0 * codes, n_sweeps=3)
    np.testing.assert_array_equal(codes, before)
    assert (after != before).any()


def test_unlabelled_samples_are_left_out_and_a_missing_entry_counts_as_0(tagged):
    x, targets = tagged
    known = np.where(np.arange(30)[:, None] < 25, targets, np.nan)
    known[targets[:, 0] == 0, 0] = np.nan
    hasher = SDHHasher(lengths=(8,), random_state=0)
    expected = clone(hasher).fit(x[:25], targets[:25]).transform(x)
    np.testing.assert_array_equal(hasher.fit(x, known).transform(x), expected)


@pytest.mark.parametrize("labels", [None, np.zeros(30, dtype=int)])
def test_labels_are_needed(labels, tagged):
    with pytest.raises(LabelError, match="SDHHasher learns from labels alone: expected at least two samples"):
        SDHHasher().fit(tagged[0], labels)


@pytest.mark.parametrize("name", ["lam", "nu", "lp"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_out_of_range_are_refused_by_name(name, value, tagged):
    with pytest.raises(HashingError, match=rf"^{name} must be finite and above 0, got {value}\."):
        SDHHasher(lengths=(8,), **{name: value}).fit(*tagged)


@pytest.mark.parametrize("name", ["n_iterations", "n_sweeps"])
def test_fewer_than_one_round_is_refused_by_name(name, tagged):
    with pytest.raises(HashingError, match=rf"^{name} must be at least 1, got 0\."):
        SDHHasher(lengths=(8,), **{name: 0}).fit(*tagged)


def test_unknown_features_are_refused(tagged):
    with pytest.raises(HashingError, match=r"features must be one of \['linear', 'rbf'\], got 'cubic'"):
        SDHHasher(features="cubic").fit(*tagged)
