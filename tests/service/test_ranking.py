"""Filtered and counted searches, facets and batches give what comparing every image by hand gives."""

import datetime as dt

import numpy as np
import pytest

from service.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PolyhashError,
    PreconditionError,
)
from service.usecases.facets import AttributeFacet, CreatedFacet, LabelFacet, ScoreFacet
from service.usecases.filters import ImageFilter, ScoreRange
from service.usecases.queries import CodeQuery, Cursor, IdQuery, Neighbourhood, SearchRequest
from tests.contracts.echoes import RECORD_BYTES, by_hand, distance, random_records
from tests.contracts.fakes import FIRST_ID
from tests.contracts.memory_models import noon
from tests.service.small_world import CODES, PART, SELECTIVITIES, World, labelled_world, pairs

N = 3000


@pytest.fixture(scope="module")
def world():
    """Images with labels by percentage, a fifth with a score, and every seventh deleted."""
    return labelled_world(N)


# ------------------------------------------------------------ filters


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("percent", [*SELECTIVITIES, "0"])
def test_a_filtered_search_gives_exactly_the_nearest_that_match(world, percent, bits):
    matching = world.records(lambda image: percent in image.labels)
    image_filter = ImageFilter(labels_any=(percent,))
    for code in CODES:
        expected = by_hand(code[PART[bits]], matching, part=PART[bits])
        for k in (1, 10, 400):
            answer = world.ask(code, bits=bits, k=k, image_filter=image_filter)
            assert pairs(answer) == expected[:k]
            assert (answer.candidates, answer.lengths) == (len(matching), (bits,))
        assert (answer.tally.matched, answer.tally.hidden, answer.tally.missing) == (
            len(matching),
            len(world.images) - len(matching),
            0,
        )
        near = [pair for pair in expected if pair[0] <= 4]
        assert pairs(world.ask(code, bits=bits, k=N, max_distance=4, image_filter=image_filter)) == near
        assert pairs(world.ask(code, bits=bits, k=50, paged=True, image_filter=image_filter)) == expected[:50]


def test_an_image_that_is_the_query_is_no_hit_of_its_own_whatever_the_filter(world):
    own = next(iter(world.images))
    matching = world.records(lambda image: "10" in image.labels)
    code = matching.pop(own)
    for more in ({}, {"paged": True}):
        answer = world.searcher.search(
            SearchRequest(
                query=IdQuery(image_id=own), k=20, image_filter=ImageFilter(labels_any=("10",)), **more
            )
        )
        assert pairs(answer) == by_hand(code[PART[32]], matching, part=PART[32])[:20]


def test_images_without_the_score_that_is_asked_for_are_counted(world):
    wanted = {"joy": ScoreRange(minimum=0.5)}
    scored = {i for i, image in world.images.items() if "joy" in image.scores}
    high = {i for i in scored if np.float32(world.images[i].scores["joy"]) >= 0.5}
    answer = world.ask(CODES[0], k=N, image_filter=ImageFilter(scores=wanted))
    assert {hit.image_id for hit in answer.hits} == high
    assert answer.tally.missing == len(world.images) - len(scored)
    kept = world.ask(CODES[0], k=N, image_filter=ImageFilter(scores=wanted, keep_missing=True))
    assert {hit.image_id for hit in kept.hits} == high | (set(world.images) - scored)
    assert kept.tally.matched == len(kept.hits)


def test_without_a_filter_all_live_images_are_compared(world):
    answer = world.ask(CODES[2], k=25)
    assert pairs(answer) == by_hand(CODES[2][PART[32]], world.records(), part=PART[32])[:25]
    assert (answer.candidates, answer.tally.matched, answer.tally.hidden) == (
        len(world.images),
        len(world.images),
        0,
    )


# ------------------------------------------------------------ counts and facets


@pytest.mark.parametrize("max_distance", [None, 0, 7, 40])
@pytest.mark.parametrize("percent", [None, "10", "0"])
def test_counts_by_distance_are_those_of_comparing_by_hand(world, percent, max_distance):
    request = SearchRequest(
        query=CodeQuery(code=CODES[2]),
        max_distance=max_distance,
        image_filter=ImageFilter(labels_any=(percent,)) if percent else None,
    )
    counted = world.searcher.count(request)
    matching = world.records(lambda image: percent is None or percent in image.labels)
    near = by_hand(CODES[2][PART[32]], matching, part=PART[32], max_distance=max_distance)
    reach = 32 if max_distance is None else min(max_distance, 32)
    distances = [distance for distance, _ in near]
    assert counted.counts == tuple(distances.count(bits) for bits in range(reach + 1))
    assert (counted.bits, counted.tally.matched, counted.sequence) == (
        32,
        len(matching),
        world.gallery.sequence,
    )


def test_facets_count_over_a_filter(world):
    answer = world.searcher.facets(
        [
            LabelFacet(),
            AttributeFacet(name="camera"),
            ScoreFacet(name="joy", edges=(0.0, 0.5, 1.0)),
            CreatedFacet(edges=(noon(), noon() + dt.timedelta(hours=1))),
        ],
        image_filter=ImageFilter(labels_any=("10",)),
    )
    chosen = [image for image in world.images.values() if "10" in image.labels]
    labels, cameras, scores, created = answer.facets
    assert answer.images == answer.tally.matched == len(chosen)
    assert dict(labels.counts) == {
        percent: n for percent in SELECTIVITIES if (n := sum(percent in image.labels for image in chosen))
    }
    with_camera = sum("camera" in image.attributes for image in chosen)
    assert (cameras.counts, cameras.missing) == ((("A7", with_camera),), len(chosen) - with_camera)
    low = sum(image.scores.get("joy", 9) < 0.5 for image in chosen)
    high = sum(0.5 <= image.scores.get("joy", 9) <= 1.0 for image in chosen)
    assert scores.counts == (low, high)
    assert created.counts == (len(chosen),)


@pytest.mark.parametrize("percent", [None, "50"])
@pytest.mark.parametrize(("k", "max_distance"), [(20, None), (None, 5), (20, 5), (20, 0), (N, None)])
def test_facets_count_over_a_neighbourhood(world, percent, k, max_distance):
    matching = world.records(lambda image: percent is None or percent in image.labels)
    near = by_hand(CODES[0][PART[16]], matching, part=PART[16], max_distance=max_distance)[:k]
    answer = world.searcher.facets(
        [LabelFacet()],
        image_filter=ImageFilter(labels_any=(percent,)) if percent else None,
        around=Neighbourhood(query=CodeQuery(code=CODES[0]), bits=16, k=k, max_distance=max_distance),
    )
    labels = [label for _, image_id in near for label in world.images[image_id].labels]
    assert dict(answer.facets[0].counts) == {label: labels.count(label) for label in set(labels)}
    assert (answer.images, answer.tally.matched) == (len(near), len(matching))


def test_facets_of_everything_count_every_live_image(world):
    answer = world.searcher.facets([LabelFacet()])
    assert dict(answer.facets[0].counts)["100"] == answer.images == len(world.images)
    assert (answer.generation, answer.sequence) == (0, world.gallery.sequence)


def test_a_neighbourhood_without_bounds_is_refused():
    with pytest.raises(InvalidArgumentError, match="needs k, max_distance or both") as caught:
        Neighbourhood(query=IdQuery(image_id=1))
    assert (caught.value.reason, caught.value.field) == ("NEIGHBOURHOOD_UNBOUNDED", "neighbourhood")


# ------------------------------------------------------------ reading one's own writes


def test_an_answer_has_seen_the_sequence_that_is_asked_for_or_says_how_far_it_is():
    world = World()
    world.add(random_records(3))
    assert world.ask(CODES[0], min_sequence=3).sequence == 3
    neighbourhood = Neighbourhood(query=CodeQuery(code=CODES[0]), k=1)
    request = SearchRequest(query=CodeQuery(code=CODES[0]), min_sequence=4)
    for ask in (
        lambda: world.searcher.search(request),
        lambda: world.searcher.count(request),
        lambda: world.searcher.facets([LabelFacet()], min_sequence=4),
        lambda: world.searcher.facets([LabelFacet()], min_sequence=4, around=neighbourhood),
    ):
        with pytest.raises(PreconditionError, match="has come to change 3, the search asks for 4") as caught:
            ask()
        assert (caught.value.reason, caught.value.field) == ("SEQUENCE_NOT_REACHED", "min_sequence")
    with pytest.raises(InvalidArgumentError, match="min_sequence must be 0 or more, got -1"):
        SearchRequest(query=IdQuery(image_id=1), min_sequence=-1)


# ------------------------------------------------------------ batches


def test_a_batch_gives_what_its_requests_give_alone_and_keeps_errors_apart(world):
    cursor = Cursor(distance=0, image_id=0, sequence=world.gallery.sequence, hasher="other@000000000000")
    requests = [
        SearchRequest(query=query, full=False, **more)
        for more in (
            {},
            {"bits": 16, "k": 3},
            {"auto": True},
            {"paged": True, "k": 4},
            {"max_distance": 3},
            {"image_filter": ImageFilter(labels_any=("1",))},
            {"paged": True, "after": cursor},
            {"min_sequence": 10**9},
        )
        for query in (
            CodeQuery(code=CODES[0]),
            CodeQuery(code=CODES[1]),
            IdQuery(image_id=FIRST_ID),
            IdQuery(image_id=FIRST_ID + 1),
            IdQuery(image_id=FIRST_ID + 3),  # deleted
            CodeQuery(code=b"x"),
        )
    ]
    answers = world.searcher.search_batch(requests)
    assert len(answers) == len(requests)
    for request, answer in zip(requests, answers, strict=True):
        (alone,) = world.searcher.search_batch([request])
        if isinstance(alone, PolyhashError):
            assert (type(answer), answer.message) == (type(alone), alone.message)
        else:
            assert pairs(answer) == pairs(alone)
            assert (answer.next_page, answer.code, answer.tally) == (alone.next_page, alone.code, alone.tally)
    kinds = {type(answer) for answer in answers if isinstance(answer, PolyhashError)}
    assert kinds == {NotFoundError, InvalidArgumentError, ConflictError, PreconditionError}
    assert world.searcher.search_batch([]) == []


def test_full_hits_carry_rows_and_a_distance_that_can_be_checked(world):
    answer = world.searcher.search(SearchRequest(query=CodeQuery(code=CODES[0]), k=20))
    for hit in answer.hits:
        image = world.images[hit.image_id]
        assert hit.row.name == image.name
        record = image.embedding[:RECORD_BYTES].astype(np.uint8).tobytes()
        assert hit.distance == distance(CODES[0][2:], record[2:])
