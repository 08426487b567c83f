"""The index over all lengths: each length answers like its own index, and a funnel like the longest one."""

import sys
import threading

import numpy as np
import pytest

from hashing.codes import hamming_distances
from hashing.errors import CodeLengthError, CodeShapeError, HashingError
from hashing.index import Neighbours, Selection
from hashing.index_bucket import BucketIndex
from hashing.index_flat import FlatIndex
from hashing.index_records import RecordIndex
from hashing.layout import CodeLayout

LENGTHS = (16, 32, 64)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.fixture(params=[True, False], ids=["nested", "side by side"])
def layout(request) -> CodeLayout:
    return CodeLayout.of(LENGTHS, nested=request.param)


def random_records(rng: np.random.Generator, layout: CodeLayout, n: int) -> np.ndarray:
    """Return records of which many share a code."""
    pool = rng.integers(0, 256, (40, layout.record_bytes), dtype=np.uint8)
    return pool[rng.integers(0, 40, n)] ^ (rng.random((n, layout.record_bytes)) < 0.1).astype(np.uint8)


def nearest(
    codes: np.ndarray, query: np.ndarray, live: np.ndarray, k: int, limit: int | None = None
) -> list[tuple[int, int]]:
    """Return the k first (distance, row) of the live rows by sorting all of them."""
    distances = hamming_distances(query[None], codes)[0]
    ranked = sorted((int(distances[row]), int(row)) for row in np.flatnonzero(live))
    return [hit for hit in ranked if limit is None or hit[0] <= limit][:k]


def pairs(hits: Neighbours) -> list[tuple[int, int]]:
    return list(zip(hits.distances.tolist(), hits.rows.tolist(), strict=True))


def test_every_length_answers_like_a_plain_sort(rng, layout):
    records = random_records(rng, layout, 700)
    index = RecordIndex(layout)
    for part in np.split(records, [300, 301]):
        index.add(part)
    assert index.remove(np.array([3, 650, 3, 9000])) == 2
    assert (index.layout, index.n_rows, len(index)) == (layout, 700, 698)
    live = ~np.isin(np.arange(700), [3, 650])
    among = Selection(mask=np.arange(600) % 3 == 0, n_rows=600)
    queries = layout.split(records[:2])
    for bits, codes in layout.split(records).items():
        for selected, found in (
            (None, live),
            (among, live & (np.arange(700) % 3 == 0) & (np.arange(700) < 600)),
        ):
            answers = index.search(queries[bits], bits=bits, k=9, max_distance=bits // 4, among=selected)
            expected = [nearest(codes, query, found, 9, bits // 4) for query in queries[bits]]
            assert [pairs(hits) for hits in answers] == expected
            rows, distances = index.scan(queries[bits][0], bits=bits, among=selected)
            assert sorted(zip(distances.tolist(), rows.tolist(), strict=True)) == nearest(
                codes, queries[bits][0], found, 700
            )


def test_records_come_back_as_they_were_added(rng, layout):
    records = random_records(rng, layout, 50)
    index = RecordIndex(layout)
    index.add(records[:20])
    index.add(records[20:])
    index.remove(np.array([7]))
    rows = np.array([49, 7, 20, 0])
    np.testing.assert_array_equal(index.records(rows), records[rows])


def test_an_index_of_another_kind_can_be_asked_for():
    made = []
    RecordIndex(CodeLayout.of([16, 8]), lambda bits: made.append(bits) or FlatIndex(bits))
    assert made == [8, 16]


def test_a_length_that_is_not_there_is_refused(layout):
    index = RecordIndex(layout)
    with pytest.raises(CodeLengthError, match=r"has codes of \[16, 32, 64\] bits, got 24. Take one of these"):
        index.search(np.zeros((1, 3), dtype=np.uint8), bits=24, k=1)
    with pytest.raises(CodeLengthError, match="got 24"):
        index.scan(np.zeros(3, dtype=np.uint8), bits=24)


def test_records_of_another_width_are_refused_and_nothing_is_added(layout):
    index = RecordIndex(layout)
    with pytest.raises(CodeShapeError, match="Code records of"):
        index.add(np.zeros((1, 3), dtype=np.uint8))
    assert index.n_rows == 0


# ---------------------------------------------------------------- funnel


class Gallery:
    """60,000 records of 64 bits, live ones marked, and what the longest length must answer."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(11)
        self.layout = CodeLayout.of(LENGTHS, nested=True)
        self.records = random_records(self.rng, self.layout, 60_000)
        self.index = RecordIndex(self.layout, min_funnel=10_000)
        self.index.add(self.records)
        gone = self.rng.choice(60_000, 9_000, replace=False)
        self.index.remove(gone)
        self.index.settle()
        self.live = np.ones(60_000, dtype=bool)
        self.live[gone] = False
        self.queries = self.records[:3]

    def exact(self, query: np.ndarray, k: int, found: np.ndarray, limit: int | None = None):
        return nearest(self.records, query, found, k, limit)


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery()


@pytest.mark.parametrize("k", [1, 10, 300])
@pytest.mark.parametrize("limit", [None, 0, 9])
def test_a_funnel_answers_like_the_longest_length_and_says_how(gallery, k, limit):
    answers = gallery.index.search_funnel(gallery.queries, k=k, max_distance=limit)
    for answer, query in zip(answers, gallery.queries, strict=True):
        assert pairs(answer.neighbours) == gallery.exact(query, k, gallery.live, limit)
        if limit == 0 or k < 300:
            assert answer.lengths == (16, 64)
            assert answer.n_compared < 6000


@pytest.mark.parametrize("share", [1.0, 0.5, 0.01, 0.0])
def test_a_selection_is_ranked_by_the_longest_length_alone(gallery, share):
    among = Selection(mask=np.random.default_rng(1).random(60_000) < share, n_rows=60_000)
    answers = gallery.index.search_funnel(gallery.queries, k=10, among=among)
    for answer, query in zip(answers, gallery.queries, strict=True):
        assert (answer.lengths, answer.n_compared) == ((64,), len(among))
        assert pairs(answer.neighbours) == gallery.exact(query, 10, among.mask & gallery.live)


def test_where_many_codes_would_be_looked_at_all_are(gallery):
    strangers = np.random.default_rng(3).integers(0, 256, (2, 8), dtype=np.uint8)
    for answer, query in zip(gallery.index.search_funnel(strangers, k=9000), strangers, strict=True):
        assert (answer.lengths, answer.n_compared) == ((64,), 51_000)
        assert pairs(answer.neighbours) == gallery.exact(query, 9000, gallery.live)


def test_rows_that_came_and_went_since_the_funnel_was_made_count(gallery, rng):
    index = RecordIndex(gallery.layout, min_funnel=10_000)
    index.add(gallery.records[:50_000])
    index.settle()
    index.add(gallery.records[50_000:50_900])
    live = np.arange(60_000) < 50_900
    gone = rng.choice(50_900, 300, replace=False)
    index.remove(gone)
    live[gone] = False
    for query, answer in zip(gallery.queries, index.search_funnel(gallery.queries, k=30), strict=True):
        assert pairs(answer.neighbours) == gallery.exact(query, 30, live)
        assert answer.lengths == (16, 64)
        assert answer.n_compared > 900  # all that came later


def test_a_funnel_is_made_again_once_many_rows_came_or_went(gallery):
    index = RecordIndex(gallery.layout, min_funnel=10_000)
    later = []
    for rows in np.split(gallery.records[:40_000], [9_000, 20_000, 20_500, 22_000]):
        index.add(rows)
        index.settle()
        later.append([answer.n_compared for answer in index.search_funnel(gallery.queries, k=10)])
    assert later[0] == [9_000] * 3  # too few for a funnel
    assert all(2 <= new - old < 520 for new, old in zip(later[2], later[1], strict=True)), "scanned behind it"
    assert all(new < old for new, old in zip(later[3], later[2], strict=True)), "in another funnel"
    index.remove(np.arange(32_000))
    index.settle()
    assert [answer.lengths for answer in index.search_funnel(gallery.queries, k=10)] == [(64,)] * 3, "too few"


def test_random_codes_get_no_funnel_until_there_are_twice_as_many():
    layout = CodeLayout.of([16, 128], nested=True)
    index = RecordIndex(layout, min_funnel=2_000)
    codes = np.random.default_rng(5).integers(0, 256, (3_000, 16), dtype=np.uint8)
    index.add(codes)
    index.settle()
    assert {answer.lengths for answer in index.search_funnel(codes[:20], k=10)} == {(128,)}
    index.add(np.repeat(codes[:9], 5_000, axis=0))
    index.settle()
    assert {answer.lengths for answer in index.search_funnel(codes[:9], k=10)} == {(16, 128)}


def test_a_single_length_has_no_funnel():
    index = RecordIndex(CodeLayout.of([16]), min_funnel=10)
    index.add(np.zeros((50, 2), dtype=np.uint8))
    index.settle()
    (answer,) = index.search_funnel(np.zeros((1, 2), dtype=np.uint8), k=3)
    assert (answer.lengths, answer.n_compared, pairs(answer.neighbours)) == (
        (16,),
        50,
        [(0, row) for row in range(3)],
    )


def test_a_k_below_one_is_refused_by_the_funnel(gallery):
    with pytest.raises(HashingError, match="k must be at least 1, got 0"):
        gallery.index.search_funnel(gallery.queries, k=0)


# ---------------------------------------------------------------- concurrency


class _SlowToPublish:
    """An index of which a batch can be seen before the other lengths have it."""

    def __init__(self, index, meanwhile) -> None:
        self.index, self.meanwhile = index, meanwhile

    def add(self, codes):
        self.index.add(codes)
        self.meanwhile()

    def __getattr__(self, name: str) -> object:
        return getattr(self.index, name)

    def __len__(self) -> int:
        return len(self.index)


def test_a_batch_appears_in_all_lengths_at_once():
    layout, seen = CodeLayout.of([16, 64], nested=True), []
    records = np.zeros((5, 8), dtype=np.uint8)

    def look() -> None:
        for bits, codes in layout.split(records[:1]).items():
            (hits,) = index.search(codes, bits=bits, k=9)
            (chosen,) = index.search(codes, bits=bits, k=9, among=Selection(rows=np.arange(9), n_rows=9))
            rows, _ = index.scan(codes[0], bits=bits)
            seen.append((len(hits.rows), len(chosen.rows), len(rows)))

    index = RecordIndex(
        layout, lambda bits: _SlowToPublish(BucketIndex(bits) if bits == 16 else FlatIndex(bits), look)
    )
    index.add(records[:3])
    index.add(records[3:])
    assert seen == [(0, 0, 0)] * 4 + [(3, 3, 3)] * 4
    look()
    assert seen[-2:] == [(5, 5, 5)] * 2


def test_a_search_during_a_removal_finds_all_hits_there_are():
    layout, found = CodeLayout.of([16, 64], nested=True), []
    codes = np.repeat(np.random.default_rng(0).integers(0, 256, (20, 8), dtype=np.uint8), 1000, axis=0)

    class Watched:
        """An index of which rows can be seen to go before the caller knows."""

        def __init__(self, index) -> None:
            self.index = index

        def remove(self, rows):
            removed = self.index.remove(rows)
            if self.index.bits == 64:
                (answer,) = index.search_funnel(codes[:1], k=10)
                found.append((answer.neighbours.rows.tolist(), answer.neighbours.distances.tolist()))
            return removed

        def __getattr__(self, name: str) -> object:
            return getattr(self.index, name)

        def __len__(self) -> int:
            return len(self.index)

    index = RecordIndex(
        layout, lambda bits: Watched(BucketIndex(bits) if bits == 16 else FlatIndex(bits)), min_funnel=1000
    )
    index.add(codes)
    index.settle()
    assert index.search_funnel(codes[:1], k=10)[0].lengths == (16, 64)
    index.remove(np.arange(8))
    index.remove(np.arange(12))
    assert found == [(list(range(8, 18)), [0] * 10), (list(range(12, 22)), [0] * 10)]


def test_a_funnel_that_is_replaced_during_a_search_misses_no_removal():
    layout, meanwhile = CodeLayout.of([16, 64], nested=True), []
    codes = np.repeat(np.random.default_rng(0).integers(0, 256, (20, 8), dtype=np.uint8), 1000, axis=0)

    class Watched:
        """An index that lets something happen when distances are asked for, once."""

        def __init__(self, index) -> None:
            self.index = index

        def distances(self, code, rows):
            if meanwhile:
                meanwhile.pop()()
            return self.index.distances(code, rows)

        def __getattr__(self, name: str) -> object:
            return getattr(self.index, name)

        def __len__(self) -> int:
            return len(self.index)

    index = RecordIndex(
        layout, lambda bits: Watched(BucketIndex(bits) if bits == 16 else FlatIndex(bits)), min_funnel=1000
    )
    index.add(codes)
    index.settle()

    def replace_and_remove() -> None:
        index.add(codes[-2000:])
        index.settle()
        index.remove(np.arange(12))

    meanwhile.append(replace_and_remove)
    (answer,) = index.search_funnel(codes[:1], k=10)
    assert pairs(answer.neighbours) == [(0, row) for row in range(12, 22)]


@pytest.fixture
def hasty_threads():
    """Let threads alternate a hundred times more often than usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 100)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_funnels_beside_a_writer_return_all_hits_there_are(gallery):
    index = RecordIndex(gallery.layout, min_funnel=10_000)
    index.add(gallery.records)
    index.settle()
    n_short: list[bool] = []

    def write() -> None:
        for start in range(0, 6_000, 60):
            index.add(gallery.records[start : start + 60])
            index.remove(np.arange(start, start + 60))
            index.settle()

    writer = threading.Thread(target=write)

    def watch() -> None:
        while writer.is_alive():
            known = index.n_rows
            for answer in index.search_funnel(gallery.queries, k=10):
                hits = pairs(answer.neighbours)
                n_short.append(len(hits) != 10 or hits != sorted(hits))
                n_short.append(bool((answer.neighbours.rows > known + 6_000).any()))

    watchers = [threading.Thread(target=watch) for _ in range(2)]
    for thread in (writer, *watchers):
        thread.start()
    for thread in (writer, *watchers):
        thread.join()
    assert n_short
    assert not any(n_short)
