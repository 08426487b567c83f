"""COSDISH: the columns it draws, the binary program it solves, the codes that come of both."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.base import clone

from hashing.errors import HashingError, LabelError
from hashing.peers.cosdish import COSDISHHasher, balanced_minimum, column_sampled_codes


@pytest.fixture(scope="module")
def clusters():
    """Sixty embeddings of four noisy classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    return rng.normal(size=(4, 6))[labels] + 0.2 * rng.normal(size=(60, 6)), labels


def nearest_half(quadratic, linear):
    """The binary program as its clustering, with loops: every point takes its nearest, the best cluster wins."""
    r = len(linear)
    pairs = [[4 * quadratic[i][j] for j in range(r)] for i in range(r)]
    ends = [linear[i] - 2 * sum(quadratic[i]) for i in range(r)]
    best, least = None, np.inf
    for centre in range(r + 1):
        row = pairs[centre] if centre < r else ends
        order = sorted(range(r), key=lambda j: (j != centre, row[j], j))
        signs = [1 if j in order[: r // 2] else -1 for j in range(r)]
        cost = sum(quadratic[i][j] * signs[i] * signs[j] for i in range(r) for j in range(r))
        cost += sum(linear[i] * signs[i] for i in range(r))
        if cost < least:
            best, least = signs, cost
    return best


def dot(u, v):
    return sum(a * b for a, b in zip(u, v, strict=True))


def looped_codes(targets, bits, rng, *, n_columns, n_samplings, n_sweeps):
    """COSDISH with the whole of S and a loop for every sample and bit."""
    similar = [[1 if dot(u, v) else -1 for v in targets] for u in targets]
    codes = rng.choice((-1.0, 1.0), size=(len(targets), bits)).tolist()
    for _ in range(n_samplings):
        sample = rng.choice(len(targets), size=min(n_columns, len(targets)), replace=False).tolist()
        rest = [i for i in range(len(targets)) if i not in sample]
        for _ in range(n_sweeps):
            new = [[] for _ in sample]  # grows by a bit at a time
            for k in range(bits):
                quadratic = [
                    [
                        -2 * (bits * similar[i][j] - dot(u, v)) * (i != j)
                        for j, v in zip(sample, new, strict=True)
                    ]
                    for i, u in zip(sample, new, strict=True)
                ]
                linear = [
                    sum(-2 * codes[i][k] * (bits * similar[i][j] - dot(codes[i][:k], v)) for i in rest)
                    for j, v in zip(sample, new, strict=True)
                ]
                for code, sign in zip(new, nearest_half(quadratic, linear), strict=True):
                    code.append(sign)
            for i, code in zip(sample, new, strict=True):
                codes[i] = code
            for i in rest:
                scores = [sum(similar[i][j] * codes[j][k] for j in sample) for k in range(bits)]
                codes[i] = [np.sign(s) if s else old for s, old in zip(scores, codes[i], strict=True)]
    return codes


@pytest.mark.parametrize("n_columns", [None, 5, 100])
def test_projections_regress_features_onto_the_codes_of_a_loop_over_samples_and_bits(n_columns):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(24, 5)), (rng.random((24, 3)) < 0.4).astype(float)
    hasher = COSDISHHasher(
        lengths=(8, 16),
        n_columns=n_columns,
        n_samplings=3,
        n_sweeps=2,
        lp=0.7,
        features="linear",
        normalize=False,
        random_state=0,
    ).fit(x, y)
    draws = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    features = np.hstack([x - x.mean(axis=0).astype(np.float32), np.ones((24, 1))])
    padded = np.vstack([features, np.sqrt(0.7) * np.eye(6)])  # ridge as least squares
    for bits in (8, 16):
        codes = looped_codes(y.tolist(), bits, draws, n_columns=n_columns or bits, n_samplings=3, n_sweeps=2)
        expected = np.linalg.lstsq(padded, np.vstack([codes, np.zeros((6, bits))]), rcond=None)[0]
        np.testing.assert_allclose(hasher.projections_[bits], expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_the_binary_program_is_solved_within_twice_the_least_scatter(seed):
    rng = np.random.default_rng(seed)
    quadratic = rng.normal(size=(8, 8))
    quadratic += quadratic.T
    np.fill_diagonal(quadratic, 0)
    linear = 5 * rng.normal(size=8)
    found = balanced_minimum(quadratic, linear)
    assert sorted(found) == [-1] * 4 + [1] * 4

    ends = (linear - 2 * quadratic.sum(axis=1))[:, None]
    gram = -np.block([[4 * quadratic, ends], [ends.T, np.zeros((1, 1))]])
    gram += (1e-9 - np.linalg.eigvalsh(gram)[0]) * np.eye(9)  # the smallest lambda, the tightest bound
    points = np.linalg.cholesky(gram)

    def scatter(chosen):
        cluster = points[[*chosen, 8]]
        return ((cluster - cluster.mean(axis=0)) ** 2).sum()

    least = min(scatter(chosen) for chosen in combinations(range(8), 4))
    assert least - 1e-9 <= scatter(np.flatnonzero(found > 0)) <= 2 * least + 1e-9


def test_the_binary_program_prefers_the_smaller_form():
    """Scatter and form order the halves alike: where one centre sees all, the result is the best half."""
    linear = np.array([3.0, -4.0, 0.0, -1.0, 2.0, -5.0])
    found = balanced_minimum(np.zeros((6, 6)), linear)
    np.testing.assert_array_equal(found, [-1, 1, -1, 1, -1, 1])


def test_more_samplings_bring_the_inner_products_closer_to_the_similarities(clusters):
    _, labels = clusters
    targets = np.eye(4)[labels]
    similar = 2.0 * (targets @ targets.T) - 1

    def loss(n_samplings):
        codes = column_sampled_codes(
            targets, 16, n_columns=16, n_samplings=n_samplings, n_sweeps=3, rng=np.random.default_rng(0)
        )
        return ((16 * similar - codes @ codes.T) ** 2).sum()

    assert loss(10) < loss(1) < loss(0)


def test_samples_that_share_no_label_get_codes_further_apart_than_others(clusters):
    x, _ = clusters
    y = [("a",), ("a", "b"), ("b",)] * 20
    x = x[:60] * 0.1 + np.tile([[3, 0], [3, 3], [0, 3]], (20, 3))
    codes = np.sign(COSDISHHasher(lengths=(32,), random_state=0).fit(x, y).project(x)[32])
    a, both, b = (codes[k::3] for k in range(3))
    apart = (a @ b.T).mean()
    assert apart < min((a @ both.T).mean(), (b @ both.T).mean())


def test_unlabelled_samples_are_left_out(clusters):
    x, labels = clusters
    hasher = COSDISHHasher(lengths=(8, 16), random_state=0)
    expected = clone(hasher).fit(x[:40], labels[:40]).transform(x)
    np.testing.assert_array_equal(
        hasher.fit(x, np.where(np.arange(60) < 40, labels, -1)).transform(x), expected
    )


@pytest.mark.parametrize("labels", [None, np.zeros(60, dtype=int)])
def test_labels_are_needed(labels, clusters):
    with pytest.raises(LabelError, match="COSDISHHasher learns from labels"):
        COSDISHHasher().fit(clusters[0], labels)


@pytest.mark.parametrize(
    ("name", "value"), [("n_columns", 1), ("n_samplings", 0), ("n_sweeps", 0), ("lp", 0.0)]
)
def test_arguments_out_of_range_are_refused_by_name(name, value, clusters):
    with pytest.raises(HashingError, match=rf"^{name} must be .*, got {value}"):
        COSDISHHasher(**{name: value}).fit(*clusters)
