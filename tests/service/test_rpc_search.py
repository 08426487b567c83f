"""SearchService.Search over a real connection: filters at every selectivity, strategies, and refusals, against plain loops."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from polyhash.v1 import facet_pb2, filter_pb2, search_service_pb2, search_service_pb2_grpc

from service.rpc import checks
from tests.contracts.fakes import new_application, served
from tests.service.search_stack import (
    FILTERS,
    LATER,
    LENGTHS,
    NOON,
    TIMEOUT_S,
    end_of,
    error_of,
    hits_of,
    named,
    searched,
)

N = 300
pb = search_service_pb2
AUTO = pb.SEARCH_STRATEGY_AUTO


@pytest.fixture(scope="module")
def gallery():
    with searched(N) as gallery:
        yield gallery


@pytest.mark.parametrize("bits", LENGTHS)
@pytest.mark.parametrize(("wanted", "keep"), FILTERS.values(), ids=FILTERS)
def test_filtered_hits_are_those_of_a_plain_loop_at_every_selectivity(gallery, wanted, keep, bits):
    code = gallery.code(17, bits)
    expected = gallery.ranking(code, keep=keep)
    answer = gallery.ask(code=code, bits=bits, k=25, filter=filter_pb2.ImageFilter(**wanted))
    assert hits_of(answer) == expected[:25]
    assert (answer.counts.matched, answer.counts.hidden) == (len(expected), N - len(expected))
    assert (answer.bits, list(answer.lengths_bits), answer.exact) == (bits, [bits], True)
    assert answer.candidates == len(expected)


def test_counts_tell_of_images_that_lack_what_the_filter_asks_for(gallery):
    wanted = filter_pb2.ImageFilter(scores={"valence": filter_pb2.ScoreRange()})
    counts = gallery.ask(image_id=1, filter=wanted).counts
    assert (counts.matched, counts.hidden, counts.missing) == (240, 60, 60)


def test_the_automatic_strategy_ranks_by_the_longest_length_and_says_what_it_did(gallery):
    answer = gallery.ask(image_id=17, strategy=AUTO, k=20)
    expected = [hit for hit in gallery.ranking(gallery.code(17, 32)) if hit[1] != 17]
    assert hits_of(answer) == expected[:20]
    assert (answer.bits, answer.exact) == (32, True)


def test_an_answer_has_seen_the_change_that_is_asked_for(gallery):
    assert gallery.ask(image_id=1, min_sequence=N).sequence == N
    error = error_of(gallery.search.Search, pb.SearchRequest(image_id=1, min_sequence=N + 1))
    assert named(error) == ("FAILED_PRECONDITION", "SEQUENCE_NOT_REACHED", "min_sequence")


@pytest.mark.parametrize(
    ("arguments", "reason", "field"),
    [
        ({"strategy": AUTO, "bits": 16}, "STRATEGY_CONFLICT", "strategy"),
        ({"strategy": AUTO, "page_size": 5}, "STRATEGY_CONFLICT", "strategy"),
        ({"strategy": 9}, "STRATEGY_UNKNOWN", "strategy"),
        ({"min_sequence": -1}, "SEQUENCE_OUT_OF_RANGE", "min_sequence"),
        ({"k": 5, "page_size": 5}, "K_WITH_PAGES", "k"),
        ({"k": 5, "page_token": "x"}, "K_WITH_PAGES", "k"),
        ({"page_size": -1}, "PAGE_SIZE_OUT_OF_RANGE", "page_size"),
        ({"page_token": "x"}, "PAGE_TOKEN_INVALID", "page_token"),
        ({"filter": filter_pb2.ImageFilter(labels_any=[""])}, "INVALID_ARGUMENT", "filter.labels_any"),
        (
            {"filter": filter_pb2.ImageFilter(attributes={"a": filter_pb2.AttributeValues()})},
            "INVALID_ARGUMENT",
            "filter.attributes",
        ),
        (
            {"filter": filter_pb2.ImageFilter(created_from=LATER, created_before=NOON)},
            "INVALID_ARGUMENT",
            "filter.created_before",
        ),
        (
            {"filter": filter_pb2.ImageFilter(created_from=Timestamp(nanos=-1))},
            "TIME_OUT_OF_RANGE",
            "filter.created_from",
        ),
        (
            {"filter": filter_pb2.ImageFilter(created_from=Timestamp(seconds=10**12))},
            "TIME_OUT_OF_RANGE",
            "filter.created_from",
        ),
        (
            {
                "filter": filter_pb2.ImageFilter(
                    scores={"valence": filter_pb2.ScoreRange(minimum=float("nan"))}
                )
            },
            "INVALID_ARGUMENT",
            "filter.scores",
        ),
    ],
)
def test_searches_that_make_no_sense_are_refused_by_reason_and_field(gallery, arguments, reason, field):
    error = error_of(gallery.search.Search, pb.SearchRequest(image_id=1, **arguments))
    assert named(error) == ("INVALID_ARGUMENT", reason, field)


def test_an_answer_that_no_message_holds_is_refused_with_advice(gallery, monkeypatch):
    monkeypatch.setattr(checks, "MAX_MESSAGE_BYTES", 500)
    error = error_of(gallery.search.Search, pb.SearchRequest(image_id=1, k=50))
    assert named(error) == ("INVALID_ARGUMENT", "ANSWER_TOO_LARGE", "k")
    assert "Ask for fewer hits (k), for pages, or for ids alone" in error.message


def test_no_method_answers_while_there_is_no_hasher():
    with served(new_application(hasher=None)) as address, grpc.insecure_channel(address) as channel:
        stub = search_service_pb2_grpc.SearchServiceStub(channel)
        query = pb.SearchQuery(image_id=1)
        facet = facet_pb2.FacetRequest(label=facet_pb2.LabelFacet())
        for method, request in [
            (stub.Search, pb.SearchRequest(image_id=1)),
            (stub.BatchSearch, pb.BatchSearchRequest(queries=[query])),
            (stub.CountMatches, pb.CountMatchesRequest(query=query)),
            (stub.Facets, pb.FacetsRequest(facets=[facet])),
        ]:
            assert named(error_of(method, request)) == ("FAILED_PRECONDITION", "NO_HASHER")
        streamed_request = pb.StreamSearchRequest(search=pb.SearchRequest(image_id=1))
        error = end_of(stub.StreamSearch(iter([streamed_request]), timeout=TIMEOUT_S))
        assert named(error) == ("FAILED_PRECONDITION", "NO_HASHER")
