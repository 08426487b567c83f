"""Retrieval metrics against plain loops, all orders of ties, random orders, and what they must not depend on."""

from itertools import groupby, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing import metrics
from hashing.codes import hamming_distances
from hashing.errors import HashingError, LabelError
from hashing.metrics import (
    average_precision,
    mean_average_precision,
    precision_at_k,
    score_codes,
    score_embeddings,
)


def average_precision_of(ranking: list[bool]) -> float:
    """Average precision of one order, by the textbook."""
    found, total = 0, 0.0
    for place, relevant in enumerate(ranking, start=1):
        if relevant:
            found += 1
            total += found / place
    return total / found


def orders(distances: list[int], relevant: list[bool]) -> list[list[bool]]:
    """Return the relevance in every order in which the distances ascend."""
    ranked = sorted(zip(distances, relevant, strict=True), key=lambda item: item[0])
    rankings: list[list[bool]] = [[]]
    for _, tied in groupby(ranked, key=lambda item: item[0]):
        flags = [flag for _, flag in tied]
        rankings = [head + list(tail) for head in rankings for tail in permutations(flags)]
    return rankings


def expected_average_precision(distances: np.ndarray, relevant: np.ndarray) -> float:
    """The double sum of 01-hashing 1.9, item by item."""
    total, n_before, r_before = 0.0, 0, 0
    for distance in sorted(set(distances.tolist())):
        flags = relevant[distances == distance]
        n, r = len(flags), int(flags.sum())
        for j in range(1, n + 1):
            among_tied = (j - 1) * (r - 1) / (n - 1) if n > 1 else 0.0
            total += r / n * (r_before + 1 + among_tied) / (n_before + j)
        n_before, r_before = n_before + n, r_before + r
    return total / r_before


RANKINGS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6).filter(
    lambda items: any(relevant for _, relevant in items)
)


@settings(derandomize=True, deadline=None)
@given(items=RANKINGS, k=st.integers(1, 9))
def test_scores_are_means_over_all_orders_of_ties(items, k):
    distances, relevant = (list(column) for column in zip(*items, strict=True))
    rankings = orders(distances, relevant)
    d, r = np.array([distances]), np.array([relevant])
    expected = np.mean([average_precision_of(ranking) for ranking in rankings])
    assert average_precision(d, r)[0] == pytest.approx(expected, abs=1e-12)
    seen = min(k, len(distances))
    expected = np.mean([sum(ranking[:seen]) / seen for ranking in rankings])
    assert precision_at_k(d, r, k=k)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_distances", [2, 17, 300])
def test_average_precision_is_the_sum_over_groups(n_distances):
    rng = np.random.default_rng(n_distances)
    distances = rng.integers(0, n_distances, (20, 500))
    relevant = rng.random((20, 500)) < 0.1
    expected = [expected_average_precision(d, r) for d, r in zip(distances, relevant, strict=True)]
    np.testing.assert_allclose(average_precision(distances, relevant), expected, rtol=1e-12)
    assert mean_average_precision(distances, relevant) == pytest.approx(np.mean(expected), abs=1e-12)


def test_average_precision_is_what_shuffling_gives_on_average():
    rng = np.random.default_rng(0)
    distances = rng.integers(0, 4, 60)
    relevant = rng.random(60) < 0.3
    shuffled = []
    for _ in range(4000):
        order = rng.permutation(60)
        shuffled.append(average_precision_of(relevant[order][np.argsort(distances[order], kind="stable")]))
    error = np.std(shuffled) / np.sqrt(len(shuffled))
    assert average_precision(distances[None], relevant[None])[0] == pytest.approx(
        np.mean(shuffled), abs=4 * error
    )


def test_real_distances_are_ranked_with_their_ties():
    rng = np.random.default_rng(1)
    distances = rng.integers(0, 30, (8, 200))
    relevant = rng.random((8, 200)) < 0.2
    real = np.sqrt(distances) - 2.5
    np.testing.assert_allclose(
        average_precision(real, relevant), average_precision(distances, relevant), rtol=1e-12
    )
    np.testing.assert_allclose(
        precision_at_k(real, relevant, k=7), precision_at_k(distances, relevant, k=7), rtol=1e-12
    )


def test_perfect_and_worst_rankings_have_their_known_scores():
    relevant = np.array([[True, True, False, False]])
    assert average_precision(np.array([[0, 1, 2, 3]]), relevant)[0] == pytest.approx(1)
    assert average_precision(np.array([[3, 2, 1, 0]]), relevant)[0] == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert precision_at_k(np.array([[3, 2, 1, 0]]), relevant, k=3)[0] == pytest.approx(1 / 3)


def test_a_random_ranking_scores_the_prior():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 10, 5000)
    codes = rng.integers(0, 256, (5000, 4), dtype=np.uint8)
    scores = score_codes(codes[:300], codes[300:], labels[:300], labels[300:])
    assert scores.mean_average_precision == pytest.approx(0.1, abs=0.005)
    assert scores.precision_at_k == pytest.approx(0.1, abs=0.02)


def test_codes_that_are_all_equal_score_the_prior():
    labels = np.arange(1000) % 10
    codes = np.zeros((1000, 2), dtype=np.uint8)
    scores = score_codes(codes[:10], codes, labels[:10], labels, k=10)
    assert scores.precision_at_k == pytest.approx(0.1)
    assert scores.mean_average_precision == pytest.approx(0.1, abs=0.01)


def test_shuffling_the_database_changes_nothing():
    rng = np.random.default_rng(3)
    labels, codes = rng.integers(0, 3, 400), rng.integers(0, 256, (400, 1), dtype=np.uint8)
    order = rng.permutation(400)
    before = score_codes(codes[:50], codes, labels[:50], labels)
    after = score_codes(codes[:50], codes[order], labels[:50], labels[order])
    assert after == before


def test_scores_of_codes_are_those_of_their_distances_whatever_the_chunk(monkeypatch):
    rng = np.random.default_rng(4)
    labels, codes = rng.integers(0, 4, 330), rng.integers(0, 256, (330, 2), dtype=np.uint8)
    distances = hamming_distances(codes[:30], codes[30:])
    relevant = labels[:30, None] == labels[None, 30:]
    for cells in (1, 7 * 300, 10**6):
        monkeypatch.setattr(metrics, "CHUNK_CELLS", cells)
        scores = score_codes(codes[:30], codes[30:], labels[:30], labels[30:], k=5)
        assert scores.mean_average_precision == pytest.approx(mean_average_precision(distances, relevant))
        assert scores.precision_at_k == pytest.approx(precision_at_k(distances, relevant, k=5).mean())
        assert (scores.n_queries, scores.n_without_relevant, scores.k) == (30, 0, 5)


def test_queries_without_a_relevant_item_are_counted_and_left_out():
    distances = np.array([[0, 1], [0, 1]])
    relevant = np.array([[False, True], [False, False]])
    np.testing.assert_array_equal(average_precision(distances, relevant), [0.5, np.nan])
    assert mean_average_precision(distances, relevant) == 0.5
    codes = np.array([[0], [1], [3]], dtype=np.uint8)
    scores = score_codes(codes[:2], codes, ["sea", "moon"], ["hill", "sea", "hill"], k=2)
    assert (scores.mean_average_precision, scores.precision_at_k) == (0.5, 0.5)
    assert (scores.n_queries, scores.n_without_relevant) == (1, 1)


def test_images_that_share_one_of_their_labels_are_relevant():
    codes = np.array([[0], [1], [3]], dtype=np.uint8)
    by_name = score_codes(codes[:1], codes, [("sea", "sky")], [("hill",), (), ("sky", "hill")])
    by_column = score_codes(
        codes[:1], codes, np.array([[0, 1, 1]]), np.array([[1, 0, 0], [0, 0, 0], [1, 0, 1]])
    )
    assert by_name == by_column
    assert by_name.mean_average_precision == pytest.approx(1 / 3)


def test_unlabelled_images_are_relevant_to_nothing():
    codes = np.zeros((3, 1), dtype=np.uint8)
    scores = score_codes(codes, codes, np.array([-1, 0, 1]), np.array([-1, 0, 0]))
    assert (scores.n_queries, scores.n_without_relevant) == (1, 2)


def test_embeddings_are_ranked_by_cosine_similarity():
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=(120, 6)).astype(np.float32), rng.integers(0, 3, 120)
    scale = rng.uniform(0.1, 10, (100, 1)).astype(np.float32)
    scores = score_embeddings(x[:20], x[20:] * scale, labels[:20], labels[20:])
    cosine = np.array([[q @ b / np.linalg.norm(q) / np.linalg.norm(b) for b in x[20:]] for q in x[:20]])
    relevant = labels[:20, None] == labels[None, 20:]
    assert scores.mean_average_precision == pytest.approx(mean_average_precision(-cosine, relevant), abs=1e-6)


@pytest.mark.parametrize(("dim", "n"), [(33, 7), (333, 101), (1280, 1003)])
def test_equal_embeddings_tie(dim, n):
    rng = np.random.default_rng(6)
    queries, x = rng.normal(size=(3, dim)), np.tile(rng.normal(size=(1, dim)), (n, 1))
    for position in (0, n // 2, n - 1):  # a product's last bits depend on the row's position
        labels = ["b"] * n
        labels[position] = "a"
        for query in queries:
            scores = score_embeddings(query[None], x, ["a"], labels, k=1)
            assert scores.precision_at_k == pytest.approx(1 / n)


def test_a_k_below_one_is_refused():
    with pytest.raises(HashingError, match="k must be at least 1, got 0"):
        precision_at_k(np.zeros((1, 2)), np.ones((1, 2), dtype=bool), k=0)


def test_a_set_without_a_relevant_pair_is_refused():
    codes = np.zeros((2, 1), dtype=np.uint8)
    with pytest.raises(LabelError, match="None of the 2 queries shares a label with the database"):
        score_codes(codes, codes, ["a", "b"], ["c", "d"])


def test_labels_must_be_as_many_as_codes():
    codes = np.zeros((2, 1), dtype=np.uint8)
    with pytest.raises(LabelError, match="Expected 2 database labels, one per database code, got 1"):
        score_codes(codes, codes, [0, 1], [0])
