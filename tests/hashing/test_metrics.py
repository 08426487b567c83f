"""Retrieval metrics against plain loops, all orders of ties, random orders, and what they must not depend on."""

from itertools import groupby, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing import metrics
from hashing.codes import hamming_distances, pack_codes, unpack_codes
from hashing.errors import CodeShapeError, HashingError, LabelError
from hashing.metrics import (
    Scorer,
    average_precision,
    mean_average_precision,
    precision_at_k,
    score_codes,
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


def test_a_random_ranking_scores_the_prior_with_one_hot_labels_too():
    """A published toolkit compared only the first columns of one-hot labels (01-hashing 2.4, trap 1)."""
    rng = np.random.default_rng(7)
    one_hot = np.eye(10, dtype=int)[rng.integers(0, 10, 3000)]
    codes = rng.integers(0, 256, (3000, 4), dtype=np.uint8)
    distances = hamming_distances(codes[:200], codes[200:])
    first_column_alone = one_hot[:200, None, 0] == one_hot[None, 200:, 0]
    assert mean_average_precision(distances, first_column_alone) > 0.75
    scores = score_codes(codes[:200], codes[200:], one_hot[:200], one_hot[200:])
    assert scores.mean_average_precision == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("several", [False, True])
def test_shuffling_the_database_changes_nothing(several):
    rng = np.random.default_rng(3)
    labels = (rng.random((400, 3)) < 0.3).astype(int) if several else rng.integers(0, 3, 400)
    codes = rng.integers(0, 16, (400, 2), dtype=np.uint8)
    query_scores, order = rng.normal(size=(50, 16)), rng.permutation(400)
    before, after = (Scorer(labels[:50], labels[rows]) for rows in (np.arange(400), order))
    assert after.codes(codes[:50], codes[order]) == before.codes(codes[:50], codes)
    np.testing.assert_array_equal(
        after.curve(codes[:50], codes[order]).precision, before.curve(codes[:50], codes).precision
    )
    shuffled = after.asymmetric(query_scores, codes[order])
    kept = before.asymmetric(query_scores, codes)
    assert shuffled.mean_average_precision == kept.mean_average_precision
    assert shuffled.precision_at_k == kept.precision_at_k


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("n_bytes", [2, 3, 16, 64])  # 64: distances above 255
def test_scores_of_codes_are_those_of_their_distances_whatever_the_chunk(monkeypatch, n_bytes, several):
    rng = np.random.default_rng(4)
    labels = (rng.random((330, 5)) < 0.2).astype(int) if several else rng.integers(0, 4, 330)
    codes = rng.integers(0, 256, (330, n_bytes), dtype=np.uint8)
    codes[:4], codes[100:140] = 0, 255
    distances = hamming_distances(codes[:30], codes[30:])
    one_hot = labels if several else np.eye(4, dtype=int)[labels]
    relevant = (one_hot[:30] @ one_hot[30:].T) > 0
    answerable = relevant.any(axis=1)
    for cells in (1, 7 * 300, 10**6):
        monkeypatch.setattr(metrics, "CHUNK_CELLS", cells)
        scores = score_codes(codes[:30], codes[30:], labels[:30], labels[30:], k=5)
        assert scores.mean_average_precision == pytest.approx(mean_average_precision(distances, relevant))
        precision = precision_at_k(distances, relevant, k=5)[answerable]
        assert scores.precision_at_k == pytest.approx(precision.mean())
        assert (scores.n_queries, scores.n_without_relevant) == (answerable.sum(), (~answerable).sum())
        assert scores.k == 5


@settings(derandomize=True, deadline=None, max_examples=50)
@given(items=RANKINGS, k=st.integers(1, 9))
def test_recall_is_the_mean_over_all_orders_of_ties(items, k):
    distances, relevant = (list(column) for column in zip(*items, strict=True))
    codes = pack_codes(np.array([[1] * d + [-1] * (8 - d) for d in distances]))
    labels = ["yes" if hit else "no" for hit in relevant]
    scores = Scorer(["yes"], labels, recall_k=k).codes(np.zeros((1, 1), dtype=np.uint8), codes)
    expected = np.mean([sum(ranking[:k]) / sum(ranking) for ranking in orders(distances, relevant)])
    assert scores.recall_at_k == pytest.approx(expected, abs=1e-12)
    assert scores.recall_k == k


def near_and_far():
    """Return sparse 16-bit codes, many of them within a few bits of each other, and their labels."""
    rng = np.random.default_rng(8)
    codes = pack_codes(rng.choice([-1, 1], p=[0.85, 0.15], size=(260, 16)))
    codes[:2] = 255  # far from all
    return codes[:60], codes[60:], rng.integers(0, 4, 60), rng.integers(0, 4, 200)


def test_precision_within_radius_2_counts_an_empty_ball_as_0():
    xq, xb, yq, yb = near_and_far()
    shares = []
    for code, label in zip(xq, yq, strict=True):
        inside = [yb[j] == label for j in range(200) if hamming_distances(code[None], xb[j][None])[0, 0] <= 2]
        shares.append(sum(inside) / len(inside) if inside else 0.0)
    assert 0.0 in shares
    assert Scorer(yq, yb).codes(xq, xb).precision_radius_2 == pytest.approx(np.mean(shares))


def test_a_curve_has_precision_and_recall_within_every_radius():
    xq, xb, yq, yb = near_and_far()
    curve = Scorer(yq, yb).curve(xq, xb)
    distances, relevant = hamming_distances(xq, xb), yq[:, None] == yb[None, :]
    for radius in range(17):
        inside = distances <= radius
        recall = [(inside[i] & relevant[i]).sum() / relevant[i].sum() for i in range(60)]
        precision = [(inside[i] & relevant[i]).sum() / inside[i].sum() for i in range(60) if inside[i].any()]
        assert curve.recall[radius] == pytest.approx(np.mean(recall))
        assert curve.precision[radius] == pytest.approx(np.mean(precision))
    assert curve.recall[-1] == 1
    far = Scorer([0], [0, 1]).curve(np.array([[255]], dtype=np.uint8), np.array([[0], [1]], dtype=np.uint8))
    np.testing.assert_array_equal(far.precision, [*[np.nan] * 7, 0.0, 0.5])


def test_asymmetric_scores_are_products_with_stored_signs_largest_first():
    rng = np.random.default_rng(9)
    codes, scores = rng.integers(0, 4, (150, 2), dtype=np.uint8), rng.normal(size=(20, 16))
    yq, yb = rng.integers(0, 3, 20), rng.integers(0, 3, 150)
    products = np.array(
        [
            [sum(f * b for f, b in zip(row, signs, strict=True)) for signs in unpack_codes(codes)]
            for row in scores
        ]
    )
    relevant = yq[:, None] == yb[None, :]
    found = Scorer(yq, yb, k=7).asymmetric(scores, codes)
    distances = np.round(-products, 9)
    assert found.mean_average_precision == pytest.approx(
        mean_average_precision(distances, relevant), abs=1e-12
    )
    assert found.precision_at_k == pytest.approx(precision_at_k(distances, relevant, k=7).mean())
    assert np.isnan(found.precision_radius_2)


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
    scores = Scorer(labels[:20], labels[20:]).embeddings(x[:20], x[20:] * scale)
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
            scores = Scorer(["a"], labels, k=1).embeddings(query[None], x)
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


def test_sides_must_be_of_one_length():
    narrow, wide = np.zeros((1, 1), dtype=np.uint8), np.zeros((1, 2), dtype=np.uint8)
    with pytest.raises(CodeShapeError, match="Cannot compare codes of 8 bits with codes of 16 bits"):
        Scorer(["a"], ["a"]).codes(narrow, wide)
    with pytest.raises(CodeShapeError, match="Cannot compare 8 scores with codes of 16 bits"):
        Scorer(["a"], ["a"]).asymmetric(np.zeros((1, 8)), wide)


def test_labels_that_are_all_missing_leave_nothing_to_score():
    codes = np.zeros((2, 1), dtype=np.uint8)
    with pytest.raises(LabelError, match="None of the 2 queries"):
        score_codes(codes, codes, [(), ()], [(), ()])
