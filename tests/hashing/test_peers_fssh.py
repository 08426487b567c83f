"""FSSH: the whole fit against least squares over all pairs of samples, with S in full."""

import numpy as np
import pytest
from sklearn.base import clone

from hashing.errors import HashingError, LabelError
from hashing.peers.fssh import FSSHHasher


@pytest.fixture(scope="module")
def tagged():
    """Thirty embeddings and their labels, some with several, two with none."""
    rng = np.random.default_rng(2)
    targets = (rng.random((30, 3)) < 0.5).astype(float)
    targets[:2] = 0
    return targets @ rng.normal(size=(3, 5)) + 0.5 * rng.normal(size=(30, 5)), targets


def similarities(targets):
    """S of all pairs: twice the cosine of the label vectors, less one."""
    n = len(targets)
    similar = np.full((n, n), -1.0)
    for i in range(n):
        for j in range(n):
            if shared := targets[i] @ targets[j]:
                similar[i, j] = 2 * shared / np.sqrt(targets[i].sum() * targets[j].sum()) - 1
    return similar


def fssh_codes(features, targets, similar, codes, projection, *, mu, theta, lp, n_iterations):
    """The codes, and the objective after each step; G and W are least squares over explicit residuals.

    Below the features stands sqrt(lp) I, rows with similarities and codes of 0.
    """
    n, bits, m = len(features), codes.shape[1], features.shape[1]
    tall = np.vstack([features, np.sqrt(lp) * np.eye(m)])
    similar = np.hstack([similar, np.zeros((n, m))])
    codes, losses = codes.copy(), []

    def objective(words, projection, codes):
        labelled, scores = targets @ words, tall @ projection
        below = np.vstack([codes, np.zeros((m, bits))])
        return (
            ((similar - labelled @ scores.T) ** 2).sum()
            + mu * ((codes - labelled) ** 2).sum()
            + theta * ((below - scores) ** 2).sum()
        )

    for _ in range(n_iterations):
        scores = tall @ projection
        design = np.vstack([np.kron(targets, scores), np.sqrt(mu) * np.kron(targets, np.eye(bits))])
        wanted = np.concatenate([similar.ravel(), np.sqrt(mu) * codes.ravel()])
        words = np.linalg.lstsq(design, wanted)[0].reshape(-1, bits)
        losses.append(objective(words, projection, codes))
        design = np.vstack([np.kron(tall, targets @ words), np.sqrt(theta) * np.kron(tall, np.eye(bits))])
        below = np.vstack([codes, np.zeros((m, bits))])
        wanted = np.concatenate([similar.T.ravel(), np.sqrt(theta) * below.ravel()])
        projection = np.linalg.lstsq(design, wanted)[0].reshape(-1, bits)
        losses.append(objective(words, projection, codes))
        for i in range(n):
            for k in range(bits):
                pull = mu * targets[i] @ words[:, k] + theta * features[i] @ projection[:, k]
                codes[i, k] = 1 if pull > 0 else -1
        losses.append(objective(words, projection, codes))
    return codes, losses


def assert_fit_is_least_squares(x, y, targets, similar, settings):
    hasher = FSSHHasher(lengths=(8, 16), features="linear", random_state=0, **settings).fit(x, y)
    draws = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    features = hasher.feature_map_(x)
    for bits in (8, 16):
        start = draws.choice((-1.0, 1.0), size=(30, bits)), draws.normal(size=(6, bits))
        codes, losses = fssh_codes(features, targets, similar, *start, **settings)
        expected = np.linalg.inv(features.T @ features + settings["lp"] * np.eye(6)) @ features.T @ codes
        np.testing.assert_allclose(hasher.projections_[bits], expected, atol=1e-9)
        assert all(np.diff(losses) <= 1e-9 * losses[0])


SETTINGS = [
    {"mu": 1e4, "theta": 1e-2, "lp": 1.0, "n_iterations": 5},
    {"mu": 0.5, "theta": 4.0, "lp": 0.3, "n_iterations": 3},
    {"mu": 5.0, "theta": 40.0, "lp": 3.0, "n_iterations": 1},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_fit_is_that_of_least_squares_over_all_pairs(settings, tagged):
    x, targets = tagged
    assert_fit_is_least_squares(x, targets, targets, similarities(targets), settings)


@pytest.mark.parametrize("settings", SETTINGS)
def test_with_one_label_each_similarities_are_1_and_minus_1(settings, tagged):
    x, _ = tagged
    labels = np.arange(30) % 4
    similar = np.array([[1.0 if a == b else -1.0 for b in labels] for a in labels])
    assert_fit_is_least_squares(x, labels, np.eye(4)[labels], similar, settings)


def test_classes_without_samples_or_never_apart_are_no_obstacle(tagged):
    x, targets = tagged
    targets = np.hstack([targets, np.zeros((30, 1)), targets[:, :1]])
    for settings in SETTINGS:
        assert_fit_is_least_squares(x, targets, targets, similarities(targets), settings)


def test_the_defaults_are_the_published_ones():
    expected = {"mu": 1e4, "theta": 1e-2, "lp": 1.0, "n_iterations": 5, "features": "rbf"}
    assert expected.items() <= FSSHHasher().get_params().items()


def test_unlabelled_samples_are_left_out_and_a_missing_entry_counts_as_0(tagged):
    x, targets = tagged
    known = np.where(np.arange(30)[:, None] < 25, targets, np.nan)
    known[targets[:, 0] == 0, 0] = np.nan
    hasher = FSSHHasher(lengths=(8,), random_state=0)
    expected = clone(hasher).fit(x[:25], targets[:25]).transform(x)
    np.testing.assert_array_equal(hasher.fit(x, known).transform(x), expected)


@pytest.mark.parametrize("labels", [None, np.zeros(30, dtype=int)])
def test_labels_are_needed(labels, tagged):
    with pytest.raises(
        LabelError, match="FSSHHasher learns from labels alone: expected at least two samples"
    ):
        FSSHHasher().fit(tagged[0], labels)


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("mu", 0.0, "finite and above 0"),
        ("theta", -1.0, "finite and above 0"),
        ("lp", float("inf"), "finite and above 0"),
        ("n_iterations", 0, "at least 1"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(name, value, range_, tagged):
    with pytest.raises(HashingError, match=rf"^{name} must be {range_}, got {value}\."):
        FSSHHasher(lengths=(8,), **{name: value}).fit(*tagged)
