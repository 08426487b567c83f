"""The automatic search: the hits of the longest length, by few looks where that pays; the answer says what was done."""

from functools import partial

import numpy as np
import pytest

from hashing.index_records import RecordIndex
from service.errors import (
    InvalidArgumentError,
)
from service.records import ColumnChunk
from service.usecases.queries import IdQuery, SearchRequest
from service.usecases.snapshot import Snapshot
from tests.contracts.echoes import EchoHasher
from tests.contracts.fakes import FIRST_ID
from tests.service.small_world import World, pairs

LONG = {"lengths": (16, 512)}


def funnel_world(records):
    """Return a world whose snapshot holds records of 16 and 512 bits, without a catalog behind it."""
    hasher, n = EchoHasher(**LONG), len(records)
    world = World(hasher=hasher)
    world.gallery.swap(
        Snapshot(hasher, index_factory=partial(RecordIndex, min_funnel=10_000)), activate=lambda: None
    )
    world.gallery.snapshot.add(
        ColumnChunk(
            image_ids=np.arange(FIRST_ID, FIRST_ID + n),
            created_us=np.zeros(n, dtype=np.int64),
            labels=[()] * n,
            attributes=[{}] * n,
            scores=[{}] * n,
        ),
        records,
    )
    world.gallery.snapshot.index.settle()
    return world


@pytest.fixture(scope="module")
def clustered():
    """Records around a hundred centres."""
    rng = np.random.default_rng(2)
    centres = rng.integers(0, 256, size=(100, 66), dtype=np.uint8)
    noise = np.packbits(rng.random((20_000, 66 * 8), dtype=np.float32) < 0.02, axis=1)
    records = centres[rng.integers(0, len(centres), len(noise))] ^ noise
    return funnel_world(records), records


def nearest_of(records, code, k):
    """Return the k nearest (distance, id) by the last 512 bits."""
    bits = np.bitwise_count(records[:, 2:] ^ code[2:]).sum(axis=1, dtype=np.int64)
    order = np.argsort(bits, kind="stable")[:k]
    return [(int(bits[row]), FIRST_ID + int(row)) for row in order]


def test_the_automatic_search_finds_the_nearest_by_the_longest_length_and_says_how(clustered):
    world, records = clustered
    funnelled = 0
    for row in range(0, 4000, 100):
        answer = world.ask(bytes(records[row]), auto=True, k=10)
        assert pairs(answer) == nearest_of(records, records[row], 10)
        assert (answer.bits, answer.lengths[-1]) == (512, 512)
        if answer.lengths == (16, 512):
            funnelled += 1
            assert 10 <= answer.candidates < len(records) / 10
    assert funnelled > 20


def test_in_a_small_gallery_the_automatic_search_compares_all_longest_codes(clustered):
    records = clustered[1][:500]
    other = funnel_world(records)
    answer = other.ask(bytes(records[3]), auto=True, k=10)
    assert pairs(answer) == nearest_of(records, records[3], 10)
    assert (answer.lengths, answer.candidates) == ((512,), 500)
    own = other.searcher.search(SearchRequest(query=IdQuery(image_id=FIRST_ID), auto=True, k=5))
    assert pairs(own) == [pair for pair in nearest_of(records, records[0], 6) if pair[1] != FIRST_ID][:5]


def test_the_automatic_search_takes_a_whole_record_and_no_length_or_page(clustered):
    world, records = clustered
    with pytest.raises(InvalidArgumentError, match="A whole record has 66 bytes, got 64 bytes") as caught:
        world.ask(bytes(records[0][2:]), auto=True)
    assert (caught.value.reason, caught.value.field) == ("CODE_SIZE", "code")
    for more in ({"bits": 512}, {"paged": True}):
        with pytest.raises(
            InvalidArgumentError, match="chooses its code lengths and has one page"
        ) as refused:
            SearchRequest(query=IdQuery(image_id=1), auto=True, **more)
        assert (refused.value.reason, refused.value.field) == ("STRATEGY_CONFLICT", "strategy")
