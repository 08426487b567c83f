"""FSDH: the whole fit against loops over samples and bits, and the objective it lowers."""

import numpy as np
import pytest
from sklearn.base import clone

from hashing.errors import HashingError, LabelError
from hashing.peers.fsdh import FSDHHasher


@pytest.fixture(scope="module")
def tagged():
    """Thirty embeddings and their labels, some with several, two with none."""
    rng = np.random.default_rng(1)
    targets = (rng.random((30, 3)) < 0.5).astype(float)
    targets[:2] = 0
    return targets @ rng.normal(size=(3, 5)) + 0.5 * rng.normal(size=(30, 5)), targets


def fsdh_codes(features, targets, codes, *, lam, nu, lp, n_iterations):
    """The published updates, bit by bit and sample by sample; also the objective before each update of the codes and after."""
    n, bits = codes.shape
    codes, losses = codes.copy(), []
    for _ in range(n_iterations):
        words = np.linalg.inv(targets.T @ targets + lam * np.eye(3)) @ targets.T @ codes
        projection = np.linalg.inv(features.T @ features + lp * np.eye(6)) @ features.T @ codes

        def objective(signs, words=words, projection=projection):
            fit = ((signs - targets @ words) ** 2).sum() + lam * (words**2).sum()
            return fit + nu * (((signs - features @ projection) ** 2).sum() + lp * (projection**2).sum())

        losses.append(objective(codes))
        for i in range(n):
            for k in range(bits):
                codes[i, k] = 1 if targets[i] @ words[:, k] + nu * features[i] @ projection[:, k] > 0 else -1
        losses.append(objective(codes))
    return codes, losses


@pytest.mark.parametrize(
    "settings",
    [
        {"lam": 1.0, "nu": 1e-5, "lp": 1e-2, "n_iterations": 5},
        {"lam": 8.0, "nu": 0.5, "lp": 0.5, "n_iterations": 3},
        {"lam": 0.2, "nu": 3.0, "lp": 2.0, "n_iterations": 1},
    ],
)
def test_the_fit_is_that_of_plain_loops_and_lowers_the_objective(settings, tagged):
    x, targets = tagged
    hasher = FSDHHasher(lengths=(8, 16), features="linear", random_state=0, **settings).fit(x, targets)
    draws = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    features = hasher.feature_map_(x)
    for bits in (8, 16):
        start = draws.choice((-1.0, 1.0), size=(30, bits))
        codes, losses = fsdh_codes(features, targets, start, **settings)
        expected = np.linalg.inv(features.T @ features + settings["lp"] * np.eye(6)) @ features.T @ codes
        np.testing.assert_allclose(hasher.projections_[bits], expected, atol=1e-9)
        assert all(np.diff(losses) <= 1e-9)
        assert losses[-1] < losses[0]


def test_the_defaults_are_the_published_ones():
    expected = {"lam": 1.0, "nu": 1e-5, "lp": 1e-2, "n_iterations": 5, "features": "rbf"}
    assert expected.items() <= FSDHHasher().get_params().items()


def test_unlabelled_samples_are_left_out_and_a_missing_entry_counts_as_0(tagged):
    x, targets = tagged
    known = np.where(np.arange(30)[:, None] < 25, targets, np.nan)
    known[targets[:, 0] == 0, 0] = np.nan
    hasher = FSDHHasher(lengths=(8,), random_state=0)
    expected = clone(hasher).fit(x[:25], targets[:25]).transform(x)
    np.testing.assert_array_equal(hasher.fit(x, known).transform(x), expected)


@pytest.mark.parametrize("labels", [None, np.zeros(30, dtype=int)])
def test_labels_are_needed(labels, tagged):
    with pytest.raises(
        LabelError, match="FSDHHasher learns from labels alone: expected at least two samples"
    ):
        FSDHHasher().fit(tagged[0], labels)


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("lam", 0.0, "finite and above 0"),
        ("nu", -1.0, "finite and above 0"),
        ("lp", float("nan"), "finite and above 0"),
        ("n_iterations", 0, "at least 1"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(name, value, range_, tagged):
    with pytest.raises(HashingError, match=rf"^{name} must be {range_}, got {value}\."):
        FSDHHasher(lengths=(8,), **{name: value}).fit(*tagged)
