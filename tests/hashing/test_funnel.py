"""The funnel: exactly the nearest rows that are not removed, or an honest refusal; by few looks where images resemble each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.codes import hamming_distances
from hashing.funnel import COST_OF_ROWS, Funnel
from hashing.index import REMOVED, Neighbours

BITS = 64


def clustered(rng: np.random.Generator, n: int, *, noise: float, words: int, n_bytes: int) -> np.ndarray:
    """Return codewords, each bit of each member flipped with this probability; many members agree with their word."""
    flips = np.packbits(rng.random((n, 8 * n_bytes), dtype=np.float32) < noise, axis=1)
    pool = np.random.default_rng(words).integers(0, 256, (words, n_bytes), dtype=np.uint8)
    return pool[rng.integers(0, words, n)] ^ flips


class Gallery:
    """Codes of 16 and of `BITS` bits, the latter beginning with the former, with a funnel and a plain answer."""

    def __init__(self, rng: np.random.Generator, n: int, *, noise: float = 0.02, words: int = 40) -> None:
        self.rng = rng
        self.codes = clustered(rng, n, noise=noise, words=words, n_bytes=BITS // 8)
        self.live = np.ones(n, dtype=bool)
        self.n_measured = 0
        self.funnel = self.made()

    def made(self) -> Funnel:
        short = np.ascontiguousarray(self.codes[:, :2]).view("<u2")[:, 0]
        made = Funnel.of(short, self.codes.__getitem__, self.live.__getitem__)
        assert made is not None
        return made

    def remove(self, rows: np.ndarray) -> None:
        self.live[rows] = False
        self.funnel.n_removed += len(rows)

    def measure(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.n_measured += len(rows)
        distances = hamming_distances(query[None], self.codes[rows])[0].astype(np.uint16)
        distances[~self.live[rows]] = REMOVED
        return distances

    def found(self, query: np.ndarray, k: int, reach: int = BITS):
        return self.funnel.nearest(query, k=k, reach=reach, measure=self.measure)

    def expected(self, query: np.ndarray, k: int, reach: int = BITS) -> list[tuple[int, int]]:
        distances = hamming_distances(query[None], self.codes)[0]
        ranked = sorted((int(distances[row]), int(row)) for row in np.flatnonzero(self.live))
        return [hit for hit in ranked if hit[0] <= reach][:k]


def pairs(hits: Neighbours) -> list[tuple[int, int]]:
    return list(zip(hits.distances.tolist(), hits.rows.tolist(), strict=True))


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery(np.random.default_rng(1), 30_000)


@pytest.mark.parametrize("k", [1, 10, 200])
def test_the_nearest_are_found_in_total_order_by_a_few_looks(gallery, k):
    fresh = clustered(np.random.default_rng(2), 40, noise=0.04, words=40, n_bytes=BITS // 8)
    n_found = 0
    for query in fresh:
        found = gallery.found(query, k)
        if found is not None:
            n_found += 1
            assert pairs(found.neighbours) == gallery.expected(query, k)
            assert found.n_looked <= 30_000 / COST_OF_ROWS
    assert n_found >= 30


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    noise=st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.5]),
    words=st.integers(1, 30),
    n_removed=st.integers(0, 30),
    asked=st.tuples(st.sampled_from([1, 3, 10, 60]), st.sampled_from([0, 1, 4, 12, BITS])),
)
def test_every_answer_is_that_of_a_plain_sort(seed, noise, words, n_removed, asked):
    rng = np.random.default_rng(seed)
    gallery = Gallery(rng, 2000, noise=noise, words=words)
    gallery.remove(rng.choice(2000, n_removed, replace=False))
    k, reach = asked
    for query in (gallery.codes[rng.integers(2000)], rng.integers(0, 256, BITS // 8, dtype=np.uint8)):
        found = gallery.found(query, k, reach)
        if found is not None:
            assert pairs(found.neighbours) == gallery.expected(query, k, reach)


def test_rows_that_were_removed_before_are_not_put_in():
    gallery = Gallery(np.random.default_rng(3), 20_000)
    gone = np.arange(0, 20_000, 3)
    gallery.live[gone] = False
    gallery.funnel = gallery.made()
    found = gallery.found(gallery.codes[0], 10)
    assert found is not None
    assert pairs(found.neighbours) == gallery.expected(gallery.codes[0], 10)


def test_of_many_copies_only_the_first_are_looked_at():
    gallery = Gallery(np.random.default_rng(4), 20_000, noise=0.0, words=5)  # 4,000 copies of each code
    gallery.remove(np.arange(0, 100))
    found = gallery.found(gallery.codes[7], 10)
    assert found is not None
    assert pairs(found.neighbours) == gallery.expected(gallery.codes[7], 10)
    assert found.n_looked == 10 + 100
    assert gallery.n_measured < 1000


def test_the_looks_are_counted(gallery):
    gallery.n_measured = 0
    found = gallery.found(gallery.codes[5], 10)
    assert found is not None
    assert 0 < found.n_looked <= gallery.n_measured < found.n_looked + 200  # the first estimate is extra


def test_random_codes_are_left_to_a_scan():
    random = Gallery(np.random.default_rng(5), 1_800, noise=0.5)
    assert all(random.found(query, 10) is None for query in random.codes[:10])


def test_codes_that_do_not_gather_in_cells_get_no_funnel():
    codes = np.random.default_rng(5).integers(0, 256, (20_000, BITS // 8), dtype=np.uint8)
    short = np.ascontiguousarray(codes[:, :2]).view("<u2")[:, 0]
    assert Funnel.of(short, codes.__getitem__, lambda rows: rows >= 0) is None


def test_a_limit_makes_strangers_cheap(gallery):
    strangers = np.random.default_rng(6).integers(0, 256, (10, BITS // 8), dtype=np.uint8)
    for query in strangers:
        found = gallery.found(query, 10, reach=1)
        assert found is not None
        assert pairs(found.neighbours) == gallery.expected(query, 10, reach=1)


def test_a_removal_during_a_search_leaves_it_to_a_scan():
    gallery = Gallery(np.random.default_rng(7), 20_000)

    def measure_and_remove(query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        distances = gallery.measure(query, rows)
        gallery.remove(rows[:1])
        return distances

    assert gallery.funnel.nearest(gallery.codes[0], k=10, reach=BITS, measure=measure_and_remove) is None
    assert gallery.found(gallery.codes[0], 10) is not None


@pytest.mark.parametrize(("short", "long"), [(8, 24), (8, 40), (16, 128)])
def test_codes_of_any_length_fit(short, long):
    rng = np.random.default_rng(long)
    codes = clustered(rng, 5000, noise=0.01, words=6, n_bytes=long // 8)
    values = np.ascontiguousarray(codes[:, : short // 8]).view(f"<u{short // 8}")[:, 0]
    funnel = Funnel.of(values, codes.__getitem__, lambda rows: rows >= 0)
    assert funnel is not None

    def measure(query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return hamming_distances(query[None], codes[rows])[0].astype(np.uint16)

    n_found = 0
    for query in codes[:50]:
        found = funnel.nearest(query, k=5, reach=long, measure=measure)
        if found is not None:
            n_found += 1
            distances = hamming_distances(query[None], codes)[0]
            order = np.argsort(distances, kind="stable")[:5]
            assert pairs(found.neighbours) == [(int(distances[row]), int(row)) for row in order]
    assert n_found > 15
