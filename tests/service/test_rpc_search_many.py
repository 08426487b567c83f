"""Batches and streams of searches over a real connection: the same answers as one by one, in order, errors in their places."""

import queue

import pytest
from polyhash.v1 import filter_pb2, search_service_pb2

from service.rpc import checks, pages
from service.rpc.api_error import read_status
from service.rpc.settings import ServerSettings
from tests.contracts.fakes import png
from tests.service.search_stack import LENGTHS, TIMEOUT_S, end_of, error_of, named, searched, untimed

N = 300
pb = search_service_pb2
BASIC = pb.SEARCH_VIEW_BASIC
AUTO = pb.SEARCH_STRATEGY_AUTO


@pytest.fixture(scope="module")
def gallery():
    with searched(N) as gallery:
        yield gallery


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bits": 16, "k": 30, "max_distance": 9},
        {"filter": filter_pb2.ImageFilter(labels_any=["every 10"]), "view": BASIC},
        {"strategy": AUTO},
    ],
)
def test_a_batch_answers_as_many_single_searches_do(gallery, options):
    queries = [{"image_id": 5}, {"image": png(3)}, {"image_id": 200}, {"image_id": 5}]
    request = pb.BatchSearchRequest(queries=[pb.SearchQuery(**query) for query in queries], **options)
    response = gallery.search.BatchSearch(request, timeout=TIMEOUT_S)
    singles = [gallery.ask(**query, **options) for query in queries]
    assert [untimed(result.answer) for result in response.results] == [untimed(one) for one in singles]


def test_a_bad_query_of_a_batch_gets_its_error_and_spoils_none(gallery):
    queries = [
        {"image_id": 5},
        {},
        {"image_id": 9999},
        {"image": b"words"},
        {"code": b"123"},
        {"image_id": 0},
        {"image_id": 6},
    ]
    request = pb.BatchSearchRequest(queries=[pb.SearchQuery(**query) for query in queries], view=BASIC)
    results = gallery.search.BatchSearch(request, timeout=TIMEOUT_S).results
    assert [result.WhichOneof("outcome") for result in results] == ["answer", *["error"] * 5, "answer"]
    assert [named(read_status(result.error)) for result in results[1:-1]] == [
        ("INVALID_ARGUMENT", "QUERY_MISSING", "query"),
        ("NOT_FOUND", "IMAGE_NOT_FOUND", "image_id"),
        ("INVALID_ARGUMENT", "IMAGE_UNREADABLE", "image"),
        ("INVALID_ARGUMENT", "CODE_SIZE", "code"),
        ("INVALID_ARGUMENT", "IMAGE_ID_OUT_OF_RANGE", "image_id"),
    ]
    assert untimed(results[-1].answer) == untimed(gallery.ask(image_id=6, view=BASIC))


@pytest.mark.parametrize(
    ("count", "options", "reason", "field"),
    [
        (0, {}, "COUNT_OUT_OF_RANGE", "queries"),
        (1001, {}, "COUNT_OUT_OF_RANGE", "queries"),
        (1, {"k": 0}, "K_OUT_OF_RANGE", "k"),
        (1, {"view": 9}, "VIEW_UNKNOWN", "view"),
        (1, {"filter": filter_pb2.ImageFilter(labels_any=[""])}, "INVALID_ARGUMENT", "filter.labels_any"),
    ],
)
def test_a_batch_with_wrong_options_is_refused_as_a_whole(gallery, count, options, reason, field):
    request = pb.BatchSearchRequest(queries=[pb.SearchQuery(image_id=1)] * count, **options)
    assert named(error_of(gallery.search.BatchSearch, request)) == ("INVALID_ARGUMENT", reason, field)


def streamed(gallery, requests, **options):
    return gallery.search.StreamSearch(iter(requests), timeout=TIMEOUT_S, **options)


def test_a_stream_is_answered_in_order_and_goes_on_after_errors(gallery, monkeypatch):
    monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 1000)
    searches = [
        {"image_id": 1 + n % 50, "k": 1 + n % 7, "bits": LENGTHS[n % 2]} if n % 5 else {"image_id": 0}
        for n in range(100)
    ]
    searches += [{"image_id": 7, "page_size": 30}, {"image_id": 7, "bits": 64}, {"image": b"words"}]
    requests = [
        pb.StreamSearchRequest(tag=f"t{n}", search=pb.SearchRequest(**search))
        for n, search in enumerate(searches)
    ]
    requests.append(pb.StreamSearchRequest(tag="x" * 257, search=pb.SearchRequest(image_id=1)))
    responses = list(streamed(gallery, requests))
    assert [response.tag for response in responses] == [request.tag for request in requests]
    for search, response in zip(searches[:101], responses, strict=False):
        if search["image_id"]:
            assert untimed(response.answer) == untimed(gallery.ask(**search))
        else:
            assert named(read_status(response.error)) == (
                "INVALID_ARGUMENT",
                "IMAGE_ID_OUT_OF_RANGE",
                "search.image_id",
            )
    assert responses[100].answer.next_page_token
    assert [named(read_status(response.error))[1:] for response in responses[101:]] == [
        ("BITS_NOT_IN_MODEL", "search.bits"),
        ("IMAGE_UNREADABLE", "search.image"),
        ("TEXT_LENGTH", "tag"),
    ]


def test_a_streamed_answer_that_no_message_holds_is_an_error_of_its_own(gallery, monkeypatch):
    monkeypatch.setattr(checks, "MAX_MESSAGE_BYTES", 700)
    requests = [pb.StreamSearchRequest(search=pb.SearchRequest(image_id=1, k=k)) for k in (50, 1)]
    large, small = streamed(gallery, requests)
    assert named(read_status(large.error)) == ("INVALID_ARGUMENT", "ANSWER_TOO_LARGE", "search.k")
    assert len(small.answer.hits) == 1


def test_a_client_of_a_stream_that_waits_is_answered_at_once_and_sent_away_when_silent():
    with searched(3, settings=ServerSettings(stream_idle_s=0.3)) as gallery:
        to_send: queue.Queue = queue.Queue()
        stream = streamed(gallery, iter(to_send.get, None))
        for n in range(1, 4):
            to_send.put(pb.StreamSearchRequest(search=pb.SearchRequest(image_id=n)))
            assert len(next(stream).answer.hits) == 2
        error = end_of(stream)
        to_send.put(None)
        assert (error.code.name, error.reason) == ("DEADLINE_EXCEEDED", "STREAM_IDLE")


def test_one_stream_of_searches_too_many_is_refused_while_calls_are_answered():
    with searched(3, settings=ServerSettings(max_search_streams=1)) as gallery:
        to_send: queue.Queue = queue.Queue()
        first = streamed(gallery, iter(to_send.get, None))
        to_send.put(pb.StreamSearchRequest(search=pb.SearchRequest(image_id=1)))
        assert next(first).answer.hits
        error = end_of(streamed(gallery, []))
        assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS")
        assert gallery.ask(image_id=1).hits
        to_send.put(None)
        assert list(first) == []
