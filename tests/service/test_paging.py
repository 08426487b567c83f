"""Pages together are one big answer, exact at any depth, also while images come and go."""

import numpy as np
import pytest

from hashing.index_records import RecordIndex
from service.errors import (
    ConflictError,
)
from service.records import ModelKind
from service.usecases.filters import ImageFilter
from service.usecases.rebuild import Rebuilder
from tests.contracts.echoes import EchoHasher, by_hand, random_records
from tests.contracts.fakes import FIRST_ID, MemoryGenerations, MemoryWorkers
from tests.service.small_world import CODES, PART, World, labelled_world, pairs

N = 1000


@pytest.fixture(scope="module")
def world():
    """Images with labels by percentage, a fifth with a score, and every seventh deleted."""
    return labelled_world(N)


def turn_pages(world, between=None, **more):
    """Return the hits of all pages together; `between` is called with the number of each page but the last."""
    hits, after, number = [], None, 0
    while number == 0 or after:
        answer = world.ask(paged=True, after=after, **more)
        hits += pairs(answer)
        assert hits == sorted(set(hits))
        assert [hit.rank for hit in answer.hits] == list(range(1, len(answer.hits) + 1))
        after = answer.next_page
        if after:
            assert len(answer.hits) == more["k"]
            if between:
                between(number)
        number += 1
    return hits


@pytest.mark.parametrize("k", [1, 7, 100, 857])
@pytest.mark.parametrize("more", [{}, {"max_distance": 9}, {"image_filter": ImageFilter(labels_any=("10",))}])
def test_pages_together_are_one_big_answer(world, k, more):
    if k == 1:
        more = {**more, "max_distance": 2}
    matching = world.records(lambda image: "image_filter" not in more or "10" in image.labels)
    expected = by_hand(CODES[2][PART[32]], matching, part=PART[32], max_distance=more.get("max_distance"))
    assert turn_pages(world, code=CODES[2], k=k, **more) == expected


def test_pages_neither_lose_nor_repeat_a_hit_while_images_come_and_go():
    world, rng = World(), np.random.default_rng(0)
    world.add(random_records(200, seed=4))
    before, gone_at = world.records(), {}

    def change(page):
        world.add([CODES[0], random_records(1, seed=page)[0]])
        gone = int(rng.choice([image_id for image_id in world.images if image_id in before]))
        gone_at[gone] = page
        world.delete(gone)

    hits = turn_pages(world, change, code=CODES[0], k=9)
    expected = by_hand(CODES[0][PART[32]], before, part=PART[32])
    assert len(set(hits)) == len(hits)
    assert hits == sorted(hits)
    assert [pair for pair in hits if pair[1] not in gone_at] == [
        pair for pair in expected if pair[1] not in gone_at
    ]
    assert set(hits) <= set(expected), "what is added later is on no page"
    for place, (_, image_id) in enumerate(hits):
        assert gone_at.get(image_id, 99) >= place // 9, "a deleted image is on no later page"


def rebuilder_of(world, *hashers):
    catalog, generations = world.gallery.catalog, MemoryGenerations()
    for hasher in hashers:
        catalog.register_model(hasher.identity, ModelKind.HASHER, path="", metadata={})
    workers = MemoryWorkers(catalog, generations, list(hashers))
    return Rebuilder(
        world.gallery,
        generations,
        workers,
        find_hasher=workers.hashers.__getitem__,
        find_backbone=workers.backbones.__getitem__,
        index_factory=RecordIndex,
    )


def test_pages_go_on_over_a_rebuild_but_not_over_another_model():
    world = World()
    one, two = EchoHasher(), EchoHasher("echo@111111111111", backwards=True)
    rebuilder = rebuilder_of(world, one, two)
    world.add(random_records(50, seed=4))
    world.delete(FIRST_ID + 5)
    hits = turn_pages(world, lambda _page: rebuilder.rebuild(report=lambda *_: None), code=CODES[0], k=20)
    assert hits == by_hand(CODES[0][PART[32]], world.records(), part=PART[32])
    assert world.ask(CODES[0]).generation == rebuilder.rebuild(report=lambda *_: None).number - 1
    first = world.ask(CODES[0], k=5, paged=True)
    rebuilder.rebuild(hasher=two.identity, report=lambda *_: None)
    with pytest.raises(
        ConflictError, match=r"token belongs to model echo@0.* now uses echo@1.*Begin again"
    ) as caught:
        world.ask(CODES[0], k=5, paged=True, after=first.next_page)
    assert (caught.value.reason, caught.value.field) == ("PAGE_MODEL_CHANGED", "page_token")


def test_only_a_paged_search_tells_where_it_goes_on(world):
    assert world.ask(CODES[0], k=5).next_page is None
    assert world.ask(CODES[0], k=5, paged=True).next_page is not None
    assert world.ask(CODES[0], k=10_000, paged=True).next_page is None
    assert world.ask(CODES[0], paged=True, image_filter=ImageFilter(labels_any=("0",))).hits == ()
