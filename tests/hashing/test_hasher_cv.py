"""Parameters chosen by validation: those whose codes rank held-out samples best."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from hashing.codes import hamming_distances
from hashing.hasher_cv import HasherCV
from hashing.held_out import folds
from hashing.labels import read_labels
from hashing.metrics import average_precision
from hashing.peers.codebook_ridge import CodebookRidgeHasher

RIDGES = (0.01, 0.1, 1.0)
CANDIDATES = [{"lp": ridge} for ridge in RIDGES]


@pytest.fixture(scope="module")
def noisy():
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.random(300) < 0.4
    return x[:300].astype(np.float32), np.where(wrong, (y[:300] + rng.integers(1, 10, 300)) % 10, y[:300])


def test_the_ridge_is_that_of_the_best_held_out_ranking(noisy):
    x, y = noisy
    base = CodebookRidgeHasher(lengths=(8, 16), random_state=0)
    seed = np.random.RandomState(0).randint(2**31)
    scores = {}
    for ridge in RIDGES:
        values = []
        for kept, held in folds(read_labels(y, 300), None, np.random.default_rng(seed)):
            hasher = clone(base).set_params(lp=ridge).fit(x[kept], y[kept])
            for codes in hasher.encode(x[held]).values():
                found = []
                for i in range(len(held)):
                    others = [j for j in range(len(held)) if j != i]
                    relevant = y[held][others] == y[held][i]
                    distances = hamming_distances(codes[[i]], codes[others])
                    found += average_precision(distances, relevant[None]).tolist() if relevant.any() else []
                values.append(np.mean(found))
        scores[ridge] = np.mean(values)
    tuned = HasherCV(base, candidates=CANDIDATES).fit(x, y)
    assert tuned.best_params_["lp"] == max(scores, key=scores.get)
    assert tuned.best_params_["lp"] > 0.01  # wrong labels ask for more ridge
    by_hand = clone(base).set_params(lp=tuned.best_params_["lp"]).fit(x, y)
    np.testing.assert_array_equal(tuned.transform(x), by_hand.transform(x))
    np.testing.assert_array_equal(tuned.project(x)[16], by_hand.project(x)[16])
    assert {bits: codes.shape for bits, codes in tuned.encode(x).items()} == {8: (300, 1), 16: (300, 2)}


def test_where_nothing_can_be_compared_the_ridge_stays(noisy):
    x, _ = noisy
    base = CodebookRidgeHasher(lengths=(8,), lp=0.3, random_state=0)
    labels = np.where(np.arange(40) < 8, np.arange(40) % 2, -1)
    tuned = HasherCV(base, candidates=CANDIDATES).fit(x[:40], labels)
    assert tuned.best_params_ == {}
    assert tuned.best_estimator_.lp == 0.3
