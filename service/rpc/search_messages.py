"""Searches in messages: what to search for and how, read and checked; answers and counts, written.

In: messages of SearchService, and the domain's answers. Out: the other of the two, or an InvalidArgumentError that names the
field. Filters are `filter_messages`', facets `facet_messages`'.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from polyhash.v1 import search_service_pb2

from service.errors import InvalidArgumentError, PolyhashError
from service.rpc.checks import check_content, check_count, check_image_id, check_word, inside
from service.rpc.filter_messages import read_filter, write_tally
from service.rpc.image_messages import write_image
from service.rpc.pages import check_page_size, fit_page, read_cursor, write_cursor
from service.rpc.status import to_status
from service.usecases.queries import (
    CodeQuery,
    Cursor,
    DistanceCounts,
    Hit,
    IdQuery,
    ImageQuery,
    Query,
    SearchAnswer,
    SearchRequest,
)

DEFAULT_K = 10
MAX_QUERIES = 1000  # of one BatchSearch
QUERY_FIELDS = ("image", "image_id", "code")
_VIEWS = frozenset(search_service_pb2.SearchView.values())
_STRATEGIES = frozenset(search_service_pb2.SearchStrategy.values())

_Searching = search_service_pb2.SearchRequest | search_service_pb2.BatchSearchRequest
_Asking = search_service_pb2.SearchRequest | search_service_pb2.SearchQuery
Answer = TypeVar("Answer", search_service_pb2.BatchSearchResult, search_service_pb2.StreamSearchResponse)


def read_search(request: search_service_pb2.SearchRequest, *, max_image_bytes: int) -> SearchRequest:
    """Return the search that a request asks for.

    Raises:
        InvalidArgumentError: No query, an unknown choice, a value out of its range, or a token of another request.
    """
    search = _read_options(request, read_query(request, max_image_bytes=max_image_bytes))
    if not (request.page_size or request.page_token):
        return search
    if request.HasField("k"):
        raise InvalidArgumentError(
            "k cannot be given with page_size or page_token: pages go through all hits. Leave it out.",
            reason="K_WITH_PAGES",
            field="k",
        )
    return dataclasses.replace(
        search,
        k=check_page_size(request.page_size),
        paged=True,
        after=read_cursor(request.page_token, arguments=_page_arguments(request)),
    )


def read_batch(
    request: search_service_pb2.BatchSearchRequest, *, max_image_bytes: int
) -> list[SearchRequest | PolyhashError]:
    """Return the searches that a request asks for, or what is wrong with those that cannot be read.

    Raises:
        InvalidArgumentError: There are none or too many, or their options are wrong.
    """
    check_count(len(request.queries), field="queries", maximum=MAX_QUERIES)
    options = _read_options(
        request, CodeQuery(code=b"")
    )  # checked once; every query takes the place of that one
    searches: list[SearchRequest | PolyhashError] = []
    for asked in request.queries:
        try:
            query = read_query(asked, max_image_bytes=max_image_bytes)
        except InvalidArgumentError as error:
            searches.append(error)
        else:
            searches.append(dataclasses.replace(options, query=query))
    return searches


def read_streamed(
    request: search_service_pb2.StreamSearchRequest, *, max_image_bytes: int
) -> SearchRequest | PolyhashError:
    """Return one search of a stream, or what is wrong with it."""
    try:
        check_word(request.tag, field="tag", min_characters=0)
        with inside("search"):
            return read_search(request.search, max_image_bytes=max_image_bytes)
    except InvalidArgumentError as error:
        return error


def read_count(request: search_service_pb2.CountMatchesRequest, *, max_image_bytes: int) -> SearchRequest:
    """Return the search whose matches are to be counted. Raises InvalidArgumentError."""
    with inside("query", *QUERY_FIELDS):
        query = read_query(request.query, max_image_bytes=max_image_bytes)
    return SearchRequest(
        query=query,
        bits=request.bits or None,
        max_distance=request.max_distance if request.HasField("max_distance") else None,
        image_filter=read_filter(request),
        min_sequence=request.min_sequence,
        full=False,
    )


def read_query(request: _Asking, *, max_image_bytes: int) -> Query:
    """Return the picture, image or code to search for. Raises InvalidArgumentError."""
    match request.WhichOneof("query"):
        case "image":
            return ImageQuery(content=check_content(request.image, field="image", max_bytes=max_image_bytes))
        case "image_id":
            return IdQuery(image_id=check_image_id(request.image_id))
        case "code":
            return CodeQuery(code=request.code)
        case _:
            raise InvalidArgumentError(
                "The search has no query. Give one of image, image_id or code.",
                reason="QUERY_MISSING",
                field="query",
            )


def write_answer(answer: SearchAnswer) -> search_service_pb2.SearchResponse:
    """Return the response to a search; without the token of a next page."""
    return search_service_pb2.SearchResponse(
        hits=[_write_hit(hit) for hit in answer.hits],
        bits=answer.bits,
        code=answer.code,
        sequence=answer.sequence,
        hasher=answer.hasher_identity,
        timings_ms=answer.timings_ms,
        counts=write_tally(answer.tally),
        generation=answer.generation,
        lengths_bits=answer.lengths,
        candidates=answer.candidates,
        exact=True,
    )


def write_page(
    answer: SearchAnswer, asked: SearchRequest, request: search_service_pb2.SearchRequest
) -> search_service_pb2.SearchResponse:
    """Return one page of hits, as many as a message has room for, and the token of the next.

    Args:
        answer: The hits.
        asked: What they answer.
        request: What that was read from.
    """
    response = write_answer(answer)
    n_hits, end = len(fit_page(response.hits)), answer.next_page
    if n_hits < len(answer.hits):
        del response.hits[n_hits:]
        end = _end_after(answer.hits[:n_hits], answer, asked)
    if end is not None:
        response.next_page_token = write_cursor(end, arguments=_page_arguments(request))
    return response


def write_outcome(into: Answer, outcome: search_service_pb2.SearchResponse | PolyhashError) -> Answer:
    """Return a message that carries what became of one of several searches."""
    if isinstance(outcome, PolyhashError):
        into.error.CopyFrom(to_status(outcome))
    else:
        into.answer.CopyFrom(outcome)
    return into


def write_distances(counts: DistanceCounts) -> search_service_pb2.CountMatchesResponse:
    """Return how many images are near a query."""
    return search_service_pb2.CountMatchesResponse(
        count_by_distance=counts.counts,
        total=sum(counts.counts),
        bits=counts.bits,
        counts=write_tally(counts.tally),
        sequence=counts.sequence,
        generation=counts.generation,
    )


def _read_options(request: _Searching, query: Query) -> SearchRequest:
    if request.view not in _VIEWS:
        raise InvalidArgumentError(
            f"view must be one of SearchView's values, got {request.view}.",
            reason="VIEW_UNKNOWN",
            field="view",
            view=request.view,
        )
    if request.strategy not in _STRATEGIES:
        raise InvalidArgumentError(
            f"strategy must be one of SearchStrategy's values, got {request.strategy}.",
            reason="STRATEGY_UNKNOWN",
            field="strategy",
            strategy=request.strategy,
        )
    return SearchRequest(
        query=query,
        bits=request.bits or None,
        auto=request.strategy == search_service_pb2.SEARCH_STRATEGY_AUTO,
        k=request.k if request.HasField("k") else DEFAULT_K,
        max_distance=request.max_distance if request.HasField("max_distance") else None,
        image_filter=read_filter(request),
        min_sequence=request.min_sequence,
        full=request.view != search_service_pb2.SEARCH_VIEW_BASIC,
    )


def _page_arguments(request: search_service_pb2.SearchRequest) -> bytes:
    """Return all that must be the same on every page."""
    same = search_service_pb2.SearchRequest()
    same.CopyFrom(request)
    for name in ("page_size", "page_token", "min_sequence", "view"):
        same.ClearField(name)
    return same.SerializeToString(deterministic=True)


def _end_after(hits: Sequence[Hit], answer: SearchAnswer, asked: SearchRequest) -> Cursor:
    return Cursor(
        distance=hits[-1].distance,
        image_id=hits[-1].image_id,
        sequence=asked.after.sequence if asked.after else answer.sequence,
        hasher=answer.hasher_identity,
    )


def _write_hit(hit: Hit) -> search_service_pb2.SearchHit:
    return search_service_pb2.SearchHit(
        image_id=hit.image_id,
        distance=hit.distance,
        rank=hit.rank,
        image=write_image(hit.row) if hit.row else None,
    )
