"""The funnel's plan: it keeps the recall it promises on images it never saw, and says so where no funnel pays."""

import json

import numpy as np
import pytest

from hashing.funnel import FunnelDepth, FunnelPlan, plan_funnel
from hashing.index import Selection
from hashing.index_records import RecordIndex
from hashing.layout import CodeLayout

N = 60_000
LAYOUT = CodeLayout.of([16, 32, 128], nested=True)


def clustered_records(
    rng: np.random.Generator, n: int, *, noise: float = 0.03, distinct: int = 150
) -> np.ndarray:
    """Return class codewords, each bit of each member flipped with this probability."""
    words = np.random.default_rng(0).integers(0, 256, (distinct, 16), dtype=np.uint8)
    flips = np.packbits(rng.random((n, 128), dtype=np.float32) < noise, axis=1)
    return words[rng.integers(0, distinct, n)] ^ flips


@pytest.fixture(scope="module")
def index() -> RecordIndex:
    index = RecordIndex(LAYOUT)
    rng = np.random.default_rng(1)
    index.add(clustered_records(rng, N))
    index.remove(rng.choice(N, 3000, replace=False))
    return index


@pytest.fixture(scope="module")
def plan(index) -> FunnelPlan:
    return plan_funnel(index, rng=np.random.default_rng(2))


def recall(index: RecordIndex, plan: FunnelPlan, queries: np.ndarray, k: int, among: Selection | None = None):
    """Return the mean share of the exact k nearest that the funnel finds, and its answers."""
    exact = index.search(LAYOUT.split(queries)[128], bits=128, k=k, among=among)
    answers = index.search_funnel(queries, k=k, plan=plan, among=among)
    found = [
        np.isin(hits.rows, answer.neighbours.rows).mean() for hits, answer in zip(exact, answers, strict=True)
    ]
    return float(np.mean(found)), answers


@pytest.mark.parametrize("k", [1, 7, 10])
def test_a_plan_keeps_its_recall_on_fresh_queries(index, plan, k):
    assert (plan.short_bits, plan.long_bits, plan.n_rows) == (16, 128, N - 3000)
    fresh = clustered_records(np.random.default_rng(3), 300)
    measured, answers = recall(index, plan, fresh, k)
    assert measured >= 0.99
    assert np.mean([answer.exact for answer in answers]) < 0.1  # by the funnel, not by looking at all
    assert all(answer.n_candidates < N / 20 for answer in answers)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.01])
def test_a_plan_keeps_its_recall_under_a_filter(index, plan, share):
    among = Selection(mask=np.random.default_rng(4).random(N) < share, n_rows=N)
    measured, answers = recall(index, plan, clustered_records(np.random.default_rng(5), 100), 10, among)
    assert measured >= 0.99
    assert all(len(answer.neighbours.rows) == 10 for answer in answers)


def test_strangers_keep_the_recall_as_all_is_looked_at_for_them(index, plan):
    strangers = np.random.default_rng(6).integers(0, 256, (20, 16), dtype=np.uint8)
    measured, answers = recall(index, plan, strangers, 10)
    assert measured == 1.0
    assert all(answer.exact for answer in answers)


def test_what_was_measured_is_kept_with_the_plan(plan):
    assert 10 in plan.depths
    for depth in plan.depths.values():
        assert 0.99 <= depth.recall <= 1
        assert 0 < depth.candidates < N / 20
        assert 0 < depth.reach < 64


def test_uniform_random_codes_have_no_funnel():
    index = RecordIndex(LAYOUT)
    index.add(np.random.default_rng(7).integers(0, 256, (50_000, 16), dtype=np.uint8))
    plan = plan_funnel(index, rng=np.random.default_rng(8), n_queries=8)
    assert (plan.short_bits, plan.depths, plan.candidates(10, 50_000)) == (None, {}, None)


@pytest.mark.parametrize("n", [0, 1, 40])
def test_a_small_gallery_needs_no_funnel(n):
    layout = CodeLayout.of([16, 1024])
    index = RecordIndex(layout)
    index.add(np.zeros((n, layout.record_bytes), dtype=np.uint8))
    assert plan_funnel(index, rng=np.random.default_rng(9)).short_bits is None


def test_candidates_scale_with_the_gallery_and_grow_with_k():
    depths = {k: FunnelDepth(candidates=100 * k, reach=9, recall=1.0) for k in (1, 10)}
    plan = FunnelPlan(short_bits=16, long_bits=128, n_rows=1_000_000, depths=depths)
    assert [plan.candidates(k, 1_000_000) for k in (1, 2, 10)] == [100, 1000, 1000]
    assert [plan.candidates(k, 3_000_001) for k in (1, 10)] == [301, 3001]
    assert plan.candidates(9, 30_000 * 10) == 301 - 1
    assert plan.candidates(11, 1_000_000) is None
    assert plan.candidates(1, 10_000) is None  # walking the table costs more than looking at all of them


def test_more_than_a_few_percent_are_not_worth_a_funnel():
    plans = [
        FunnelPlan(
            short_bits=16,
            long_bits=128,
            n_rows=1_000_000,
            depths={10: FunnelDepth(candidates=candidates, reach=9, recall=1.0)},
        )
        for candidates in (40_000, 80_000)
    ]
    assert [plan.candidates(10, 1_000_000) for plan in plans] == [40_000, None]


def test_a_plan_survives_json(plan):
    assert FunnelPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_lower_recall_needs_fewer_candidates(index, plan):
    loose = plan_funnel(index, rng=np.random.default_rng(2), recall=0.6)
    assert loose.depths[10].candidates < plan.depths[10].candidates
    assert 0.6 <= loose.depths[10].recall < 1


def test_an_image_is_not_counted_as_its_own_neighbour():
    words = np.random.default_rng(10).integers(0, 256, (150, 16), dtype=np.uint8)
    flips = np.packbits(np.eye(128, dtype=np.uint8)[16:56], axis=1)
    groups = (words[:, None] ^ flips).reshape(-1, 16)  # 40 to a word, 2 bits apart, with one short code
    index = RecordIndex(LAYOUT)
    index.add(np.repeat(groups, 10, axis=0))  # each image nine times more
    assert plan_funnel(index, rng=np.random.default_rng(11)).depths[10].reach == 2
