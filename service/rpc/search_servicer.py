# ruff: noqa: N802 - the protocol names the methods
"""SearchService: from pictures, images of the gallery or codes to ranked hits, counts by distance, and facets.

In: checked messages. Out: responses, or PolyhashErrors that the interceptor turns into statuses.
"""

from collections.abc import Iterator, Sequence

import grpc
from polyhash.v1 import search_service_pb2, search_service_pb2_grpc

from service.errors import ImageError, PolyhashError
from service.rpc.checks import blaming, check_fits, inside
from service.rpc.facet_messages import NEIGHBOURHOOD_FIELDS, read_facets, read_neighbourhood, write_facets
from service.rpc.filter_messages import read_filter
from service.rpc.search_messages import (
    QUERY_FIELDS,
    read_batch,
    read_count,
    read_search,
    read_streamed,
    write_answer,
    write_distances,
    write_outcome,
    write_page,
)
from service.rpc.settings import ServerSettings
from service.rpc.streams import OpenStreams
from service.usecases.queries import SearchAnswer, SearchRequest
from service.usecases.search import Searcher

STREAM_BATCH = 32  # searches of a stream that are answered together, where so many have come


class SearchServicer(search_service_pb2_grpc.SearchServiceServicer):
    """Serves searches over one gallery."""

    def __init__(self, searcher: Searcher, settings: ServerSettings, streams: OpenStreams) -> None:
        self._searcher = searcher
        self._max_image_bytes = settings.max_image_bytes
        self._streams = streams

    def Search(
        self, request: search_service_pb2.SearchRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.SearchResponse:
        """Answer one search."""
        del context
        with blaming("image", ImageError):
            asked = read_search(request, max_image_bytes=self._max_image_bytes)
            return _write(self._searcher.search(asked), asked, request)

    def BatchSearch(
        self, request: search_service_pb2.BatchSearchRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.BatchSearchResponse:
        """Answer many searches that share their options."""
        del context
        asked = read_batch(request, max_image_bytes=self._max_image_bytes)
        response = search_service_pb2.BatchSearchResponse(
            results=[
                write_outcome(
                    search_service_pb2.BatchSearchResult(),
                    outcome if isinstance(outcome, PolyhashError) else write_answer(outcome),
                )
                for outcome in self._outcomes(asked)
            ]
        )
        return check_fits(response, field="queries", advice="Send fewer queries, or ask for fewer hits (k).")

    def StreamSearch(
        self,
        request_iterator: Iterator[search_service_pb2.StreamSearchRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[search_service_pb2.StreamSearchResponse]:
        """Answer searches in the order in which they come."""
        del context
        with self._streams.open(request_iterator) as stream:
            for requests in stream.batches(STREAM_BATCH):
                asked = [
                    read_streamed(request, max_image_bytes=self._max_image_bytes) for request in requests
                ]
                outcomes = self._outcomes(asked)
                for request, search, outcome in zip(requests, asked, outcomes, strict=True):
                    yield write_outcome(
                        search_service_pb2.StreamSearchResponse(tag=request.tag),
                        _write_streamed(outcome, search, request.search),
                    )

    def CountMatches(
        self, request: search_service_pb2.CountMatchesRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.CountMatchesResponse:
        """Count the images at every distance from a query."""
        del context
        asked = read_count(request, max_image_bytes=self._max_image_bytes)
        with inside("query", *QUERY_FIELDS), blaming("image", ImageError):
            return write_distances(self._searcher.count(asked))

    def Facets(
        self, request: search_service_pb2.FacetsRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.FacetsResponse:
        """Tell how images spread over columns."""
        del context
        facets, image_filter = read_facets(request), read_filter(request)
        around = read_neighbourhood(request, max_image_bytes=self._max_image_bytes)
        with (
            inside("neighbourhood", *NEIGHBOURHOOD_FIELDS),
            inside("query", *QUERY_FIELDS),
            blaming("image", ImageError),
        ):
            answer = self._searcher.facets(
                facets, image_filter=image_filter, around=around, min_sequence=request.min_sequence
            )
        advice = "Ask for fewer facets, or for fewer values of each (limit)."
        return check_fits(write_facets(answer), field="facets", advice=advice)

    def _outcomes(self, asked: Sequence[SearchRequest | PolyhashError]) -> list[SearchAnswer | PolyhashError]:
        """Answer searches together; those that could not be read keep their places."""
        searches = [search for search in asked if isinstance(search, SearchRequest)]
        answers = iter(self._searcher.search_batch(searches))
        outcomes = [next(answers) if isinstance(each, SearchRequest) else each for each in asked]
        for outcome in outcomes:
            if isinstance(outcome, ImageError):
                outcome.field = outcome.field or "image"
        return outcomes


def _write(
    answer: SearchAnswer, asked: SearchRequest, request: search_service_pb2.SearchRequest
) -> search_service_pb2.SearchResponse:
    if asked.paged:
        return write_page(answer, asked, request)
    advice = "Ask for fewer hits (k), for pages, or for ids alone (SEARCH_VIEW_BASIC)."
    return check_fits(write_answer(answer), field="k", advice=advice)


def _write_streamed(
    outcome: SearchAnswer | PolyhashError,
    asked: SearchRequest | PolyhashError,
    request: search_service_pb2.SearchRequest,
) -> search_service_pb2.SearchResponse | PolyhashError:
    if isinstance(asked, PolyhashError):
        return asked
    try:
        with inside("search"):
            if isinstance(outcome, PolyhashError):
                raise outcome
            return _write(outcome, asked, request)
    except PolyhashError as error:
        return error
