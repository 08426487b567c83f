"""The calls of SearchService as values, and what they can be asked: queries, options, facets.

In: plain arguments. Out: `Call`s. Light to import, as the client is. What makes sense is the server's to say, but for what no
message can hold.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from google.protobuf.timestamp_pb2 import Timestamp
from polyhash.v1 import facet_pb2, filter_pb2, search_service_pb2

from service.rpc import search_results
from service.rpc.api_error import ApiError
from service.rpc.calls import Call, Picture, content_of
from service.usecases.filters import ImageFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What to search for. Give exactly one.

    Attributes:
        image: An encoded picture or its path.
        image_id: An image of the gallery; it is left out of its own answer.
        code: A code of the compared length, or a whole code record.

    Raises:
        ValueError: None or several were given.
    """

    image: Picture | None = None
    image_id: int | None = None
    code: bytes | None = None

    def __post_init__(self) -> None:
        if len(self._given()) != 1:
            raise ValueError(
                f"Give exactly one of image, image_id, code, got {', '.join(self._given()) or 'none'}."
            )

    def fields(self) -> dict[str, Any]:
        """Return the field of a request. Raises OSError where a picture cannot be read."""
        given = self._given()
        if self.image is not None:
            given["image"] = content_of(self.image)
        return given

    def _given(self) -> dict[str, Any]:
        queries = {"image": self.image, "image_id": self.image_id, "code": self.code}
        return {name: query for name, query in queries.items() if query is not None}


class Options(TypedDict, total=False):
    """How to search, for one query or many.

    Attributes:
        bits: Code length to compare, one of the model's; None for the longest.
        max_distance: Largest distance in bits that still counts (inclusive); None for no limit.
        image_filter: Which images may be found; None for all.
        min_sequence: Sequence number that an earlier answer carried: this one has seen that change.
        full: Whether hits carry their images (True), not only their ids.
    """

    bits: int | None
    max_distance: int | None
    image_filter: ImageFilter | None
    min_sequence: int
    full: bool


class OnePassOptions(Options, total=False):
    """How to search for the nearest, in one answer.

    Attributes:
        k: How many hits at most, 1 to 10,000; 10.
        auto: Find the hits of the longest length by the quickest way. Not with `bits`.
    """

    k: int
    auto: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFacet:
    """Images per label; the `limit` most frequent, 0 for 100."""

    limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeFacet:
    """Images per value of an attribute; the `limit` most frequent, 0 for 100."""

    name: str
    limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFacet:
    """Images per range of a score: between `edges`, ascending, or in `bins` ranges of equal width, 0 for 10."""

    name: str
    edges: Sequence[float] = ()
    bins: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedFacet:
    """Images per range of time, between moments with a time zone, ascending."""

    edges: Sequence[dt.datetime]


Facet = LabelFacet | AttributeFacet | ScoreFacet | CreatedFacet


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """The images around a query: the `k` nearest, those within `max_distance` bits, or both."""

    query: SearchQuery
    bits: int | None = None
    k: int | None = None
    max_distance: int | None = None


def search(query: SearchQuery, **options: Any) -> Call[search_results.SearchResult]:  # noqa: ANN401 - OnePassOptions
    """Return the call of SearchService.Search for one answer."""
    request = search_service_pb2.SearchRequest(**query.fields(), **_options(**options))
    return Call(lambda stubs: stubs.search.Search, request, search_results.read_search_result)


def search_page(
    query: SearchQuery,
    *,
    page_size: int,
    token: str,
    **options: Any,  # noqa: ANN401 - Options
) -> Call[search_results.SearchResult]:
    """Return the call of SearchService.Search for one page."""
    request = search_service_pb2.SearchRequest(
        **query.fields(), **_options(k=None, **options), page_size=page_size, page_token=token
    )
    return Call(lambda stubs: stubs.search.Search, request, search_results.read_search_result)


def search_batch(
    queries: Sequence[SearchQuery],
    **options: Any,  # noqa: ANN401 - OnePassOptions
) -> Call[list[search_results.SearchResult | ApiError]]:
    """Return the call of SearchService.BatchSearch."""
    request = search_service_pb2.BatchSearchRequest(
        queries=[search_service_pb2.SearchQuery(**query.fields()) for query in queries], **_options(**options)
    )
    return Call(lambda stubs: stubs.search.BatchSearch, request, search_results.read_batch)


def count_matches(
    query: SearchQuery,
    *,
    bits: int | None = None,
    max_distance: int | None = None,
    image_filter: ImageFilter | None = None,
    min_sequence: int = 0,
) -> Call[search_results.MatchCounts]:
    """Return the call of SearchService.CountMatches."""
    request = search_service_pb2.CountMatchesRequest(
        query=search_service_pb2.SearchQuery(**query.fields()),
        bits=bits or 0,
        max_distance=max_distance,
        filter=write_filter(image_filter),
        min_sequence=min_sequence,
    )
    return Call(lambda stubs: stubs.search.CountMatches, request, search_results.read_matches)


def facets(
    wanted: Sequence[Facet],
    *,
    image_filter: ImageFilter | None = None,
    around: Neighbourhood | None = None,
    min_sequence: int = 0,
) -> Call[search_results.FacetResult]:
    """Return the call of SearchService.Facets."""
    request = search_service_pb2.FacetsRequest(
        facets=[_write_facet(facet) for facet in wanted],
        filter=write_filter(image_filter),
        min_sequence=min_sequence,
    )
    if around is not None:
        request.neighbourhood.CopyFrom(
            search_service_pb2.Neighbourhood(
                query=search_service_pb2.SearchQuery(**around.query.fields()),
                bits=around.bits or 0,
                k=around.k,
                max_distance=around.max_distance,
            )
        )
    return Call(lambda stubs: stubs.search.Facets, request, search_results.read_facets)


def write_filter(wanted: ImageFilter | None) -> filter_pb2.ImageFilter | None:
    """Return a filter as a message."""
    if wanted is None:
        return None
    return filter_pb2.ImageFilter(
        labels_any=wanted.labels_any,
        labels_all=wanted.labels_all,
        labels_none=wanted.labels_none,
        attributes={
            name: filter_pb2.AttributeValues(values=values) for name, values in wanted.attributes.items()
        },
        created_from=_timestamp(wanted.created_from),
        created_before=_timestamp(wanted.created_before),
        scores={
            name: filter_pb2.ScoreRange(minimum=scores.minimum, maximum=scores.maximum)
            for name, scores in wanted.scores.items()
        },
        keep_missing=wanted.keep_missing,
    )


def _options(
    *,
    bits: int | None = None,
    k: int | None = 10,
    max_distance: int | None = None,
    image_filter: ImageFilter | None = None,
    auto: bool = False,
    min_sequence: int = 0,
    full: bool = True,
) -> dict[str, Any]:
    return {
        "bits": bits or 0,
        "k": k,
        "max_distance": max_distance,
        "view": search_service_pb2.SEARCH_VIEW_FULL if full else search_service_pb2.SEARCH_VIEW_BASIC,
        "filter": write_filter(image_filter),
        "strategy": search_service_pb2.SEARCH_STRATEGY_AUTO
        if auto
        else search_service_pb2.SEARCH_STRATEGY_EXACT,
        "min_sequence": min_sequence,
    }


def _timestamp(moment: dt.datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _write_facet(facet: Facet) -> facet_pb2.FacetRequest:
    match facet:
        case LabelFacet():
            return facet_pb2.FacetRequest(label=facet_pb2.LabelFacet(limit=facet.limit))
        case AttributeFacet():
            attribute = facet_pb2.AttributeFacet(name=facet.name, limit=facet.limit)
            return facet_pb2.FacetRequest(attribute=attribute)
        case ScoreFacet():
            score = facet_pb2.ScoreFacet(name=facet.name, edges=facet.edges, bins=facet.bins)
            return facet_pb2.FacetRequest(score=score)
        case CreatedFacet():
            edges = [edge for moment in facet.edges if (edge := _timestamp(moment))]
            return facet_pb2.FacetRequest(created=facet_pb2.CreatedFacet(edges=edges))
