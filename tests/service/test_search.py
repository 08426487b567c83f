"""Search answers against comparing every code by hand, and what a wrong request is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidArgumentError, NotFoundError, PreconditionError, UnreadableImageError
from service.records import SourceImage
from service.usecases.queries import MAX_K, CodeQuery, IdQuery, ImageQuery, SearchRequest
from service.usecases.query_encoder import QueryEncoder
from service.usecases.search import Searcher
from service.vision.images import decode_image
from tests.contracts.echoes import EchoHasher, named_images
from tests.contracts.fakes import (
    FIRST_ID,
    FakeBackbone,
    FakeHasher,
    new_application,
    new_gallery,
    png,
)

PART = {16: slice(0, 2), 32: slice(2, 6)}  # of a record of 16 and 32 bits
NESTED_PART = {16: slice(0, 2), 32: slice(0, 4)}  # the same if the short code begins the long one


def searcher_over(records, *, deleted=(), nested=False):
    """Return a searcher over images with these code records; ids ascend from FIRST_ID."""
    gallery = new_gallery(hasher=EchoHasher(nested=nested))
    gallery.add(named_images(records))
    for image_id in deleted:
        gallery.delete(image_id)
    return Searcher(gallery, QueryEncoder(decode=decode_image))


def by_hand(code, records, *, bits, k, max_distance=None, without=(), part=PART):
    """Return (distance, id) of the nearest, from the definition."""
    pairs = []
    for position, record in enumerate(records):
        there = record[part[bits]]
        distance = sum((a ^ b).bit_count() for a, b in zip(code, there, strict=True))
        if FIRST_ID + position not in without and (max_distance is None or distance <= max_distance):
            pairs.append((distance, FIRST_ID + position))
    return sorted(pairs)[:k]


def pairs(answer):
    return [(hit.distance, hit.image_id) for hit in answer.hits]


record = st.lists(st.sampled_from([0, 1, 3, 255]), min_size=6, max_size=6).map(bytes)  # few values: many ties
galleries = st.lists(record, min_size=1, max_size=25)
request = {
    "bits": st.sampled_from([16, 32]),
    "k": st.integers(1, 30),
    "max_distance": st.none() | st.integers(0, 33),
}


@settings(max_examples=60, deadline=None)
@given(records=galleries, code=record, **request)
def test_a_code_or_a_whole_record_finds_what_comparing_by_hand_finds(records, code, bits, k, max_distance):
    searcher = searcher_over(records)
    expected = by_hand(code[PART[bits]], records, bits=bits, k=k, max_distance=max_distance)
    for query in (code, code[PART[bits]]):
        answer = searcher.search(
            SearchRequest(query=CodeQuery(code=query), bits=bits, k=k, max_distance=max_distance)
        )
        assert pairs(answer) == expected
        assert [hit.rank for hit in answer.hits] == list(range(1, len(expected) + 1))
        assert (answer.code, answer.bits) == (code[PART[bits]], bits)


nested_record = record.map(lambda content: content[:4])


@settings(max_examples=60, deadline=None)
@given(records=st.lists(nested_record, min_size=1, max_size=25), code=nested_record, **request)
def test_nested_codes_are_searched_at_every_length(records, code, bits, k, max_distance):
    searcher = searcher_over(records, nested=True)
    short = code[NESTED_PART[bits]]
    for query in (CodeQuery(code=code), CodeQuery(code=short)):
        answer = searcher.search(SearchRequest(query=query, bits=bits, k=k, max_distance=max_distance))
        assert pairs(answer) == by_hand(
            short, records, bits=bits, k=k, max_distance=max_distance, part=NESTED_PART
        )
        assert answer.code == short
    by_id = searcher.search(SearchRequest(query=IdQuery(image_id=FIRST_ID), bits=bits, k=1))
    assert by_id.code == records[0][NESTED_PART[bits]]


@settings(max_examples=60, deadline=None)
@given(records=galleries, which=st.integers(0, 24), **request)
def test_an_image_of_the_gallery_finds_all_but_itself(records, which, bits, k, max_distance):
    own = which % len(records)
    answer = searcher_over(records).search(
        SearchRequest(query=IdQuery(image_id=FIRST_ID + own), bits=bits, k=k, max_distance=max_distance)
    )
    assert pairs(answer) == by_hand(
        records[own][PART[bits]],
        records,
        bits=bits,
        k=k,
        max_distance=max_distance,
        without={FIRST_ID + own},
    )


def test_of_equal_distances_the_smaller_id_comes_first_and_the_own_one_takes_no_place():
    searcher = searcher_over([bytes(6)] * 5)
    answer = searcher.search(SearchRequest(query=IdQuery(image_id=FIRST_ID + 3), k=3))
    assert pairs(answer) == [(0, FIRST_ID), (0, FIRST_ID + 1), (0, FIRST_ID + 2)]


def test_a_deleted_image_is_found_no_more_and_cannot_be_searched_with():
    searcher = searcher_over([bytes(6)] * 3, deleted=[FIRST_ID + 1])
    assert pairs(searcher.search(SearchRequest(query=CodeQuery(code=bytes(4))))) == [
        (0, FIRST_ID),
        (0, FIRST_ID + 2),
    ]
    with pytest.raises(NotFoundError, match=f"No image {FIRST_ID + 1} with a code") as caught:
        searcher.search(SearchRequest(query=IdQuery(image_id=FIRST_ID + 1)))
    assert (caught.value.reason, caught.value.field) == ("IMAGE_NOT_FOUND", "image_id")


@pytest.fixture(scope="module")
def application():
    """Twelve pictures behind an application."""
    application = new_application(hasher=FakeHasher())
    images = [
        SourceImage(name=f"{seed}.png", read=lambda seed=seed: png(seed), labels=("odd",) * (seed % 2))
        for seed in range(12)
    ]
    list(application.ingestor.run([images[:5], images[5:]]))
    return application


@pytest.mark.parametrize("bits", [16, 32, None])
def test_a_picture_finds_itself_at_distance_zero(application, bits):
    for seed in range(12):
        answer = application.searcher.search(
            SearchRequest(query=ImageQuery(content=png(seed)), bits=bits, k=100)
        )
        assert FIRST_ID + seed in [hit.image_id for hit in answer.hits if hit.distance == 0]
        assert len(answer.hits) == 12


def test_a_picture_from_outside_is_compared_by_its_code(application):
    content = png(99)
    square = FakeBackbone().prepare(decode_image(content).pixels)
    embedding = (square.astype(np.float32).transpose(2, 0, 1).reshape(1, -1) / 255).astype(np.float16)
    code = FakeHasher().encode(embedding.astype(np.float32))[0].tobytes()
    stored = [
        application.catalog.get_record(FIRST_ID + seed, hasher=FakeHasher.identity).tobytes()
        for seed in range(12)
    ]
    for bits in (16, 32):
        answer = application.searcher.search(
            SearchRequest(query=ImageQuery(content=content), bits=bits, k=100)
        )
        assert pairs(answer) == by_hand(code[PART[bits]], stored, bits=bits, k=100)
    encoded = application.searcher.encode(content)
    assert (encoded.record.tobytes(), encoded.hasher_identity) == (code, FakeHasher.identity)
    assert encoded.layout == FakeHasher().layout


def test_an_answer_says_what_was_found_and_by_what(application):
    answer = application.searcher.search(SearchRequest(query=IdQuery(image_id=FIRST_ID), k=3))
    assert [hit.row.name for hit in answer.hits] == [f"{hit.image_id - FIRST_ID}.png" for hit in answer.hits]
    assert [hit.row.labels for hit in answer.hits] == [
        ("odd",) * ((hit.image_id - FIRST_ID) % 2) for hit in answer.hits
    ]
    assert (answer.sequence, answer.hasher_identity, answer.bits) == (12, FakeHasher.identity, 32)
    assert set(answer.timings_ms) == {"encode", "index", "rows"}
    assert all(value >= 0 for value in answer.timings_ms.values())


def test_rows_are_left_out_on_demand(application):
    request = SearchRequest(query=IdQuery(image_id=FIRST_ID), k=3, full=False)
    assert [hit.row for hit in application.searcher.search(request).hits] == [None] * 3


@pytest.mark.parametrize("k", [0, -1, MAX_K + 1])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(InvalidArgumentError, match=f"k must be from 1 to 10000, got {k}") as caught:
        SearchRequest(query=IdQuery(image_id=1), k=k)
    assert (caught.value.reason, caught.value.field) == ("K_OUT_OF_RANGE", "k")


def test_a_negative_distance_is_refused():
    with pytest.raises(InvalidArgumentError, match="max_distance must be 0 or more bits, got -1") as caught:
        SearchRequest(query=IdQuery(image_id=1), max_distance=-1)
    assert (caught.value.reason, caught.value.field) == ("MAX_DISTANCE_OUT_OF_RANGE", "max_distance")


@pytest.mark.parametrize("size", [0, 1, 3, 5, 7])
def test_a_code_of_another_size_is_refused(application, size):
    message = f"A code of 32 bits has 4 bytes and a whole record has 6 bytes, got {size} bytes"
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        application.searcher.search(SearchRequest(query=CodeQuery(code=bytes(size))))
    assert (caught.value.reason, caught.value.field) == ("CODE_SIZE", "code")


@pytest.mark.parametrize(
    "size", [1, 3, 6]
)  # six bytes are both codes side by side, which a nested record is not
def test_a_code_of_another_size_is_refused_if_nested(size):
    message = f"A code of 16 bits has 2 bytes and a whole record has 4 bytes, got {size} bytes"
    with pytest.raises(InvalidArgumentError, match=message):
        searcher_over([bytes(4)], nested=True).search(
            SearchRequest(query=CodeQuery(code=bytes(size)), bits=16)
        )


def test_a_length_that_the_model_lacks_is_refused(application):
    with pytest.raises(InvalidArgumentError, match="codes of 16, 32 bits, got bits = 128"):
        application.searcher.search(SearchRequest(query=IdQuery(image_id=FIRST_ID), bits=128))


def test_bytes_that_are_no_picture_are_refused(application):
    with pytest.raises(UnreadableImageError, match="look like text"):
        application.searcher.search(SearchRequest(query=ImageQuery(content=b"hello")))


def test_without_a_hasher_nothing_can_be_searched():
    searcher = new_application(hasher=None).searcher
    for query in (ImageQuery(content=png(1)), IdQuery(image_id=1), CodeQuery(code=b"")):
        with pytest.raises(PreconditionError, match="no hasher yet"):
            searcher.search(SearchRequest(query=query))
    with pytest.raises(PreconditionError, match="no hasher yet"):
        searcher.encode(png(1))
