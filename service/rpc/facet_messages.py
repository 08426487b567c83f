"""Facets in messages: which columns to count over, and around what, read and checked; the counts, written.

In: messages of facet.proto and SearchService.Facets, and the domain's counts. Out: the other of the two, or an
InvalidArgumentError that names the field. Counting is the domain's work.
"""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

from polyhash.v1 import facet_pb2, search_service_pb2

from service.errors import InvalidArgumentError
from service.rpc.checks import check_count, check_word, inside
from service.rpc.filter_messages import read_time, write_tally
from service.rpc.search_messages import QUERY_FIELDS, read_query
from service.usecases.facets import (
    AttributeFacet,
    BinCounts,
    CreatedFacet,
    Facet,
    FacetCounts,
    LabelFacet,
    ScoreFacet,
)
from service.usecases.queries import FacetAnswer, Neighbourhood

MAX_FACETS = 16  # of one request
DEFAULT_LIMIT, DEFAULT_BINS = 100, 10
NEIGHBOURHOOD_FIELDS = ("bits", "k", "max_distance", *(f"query.{name}" for name in QUERY_FIELDS))


def read_facets(request: search_service_pb2.FacetsRequest) -> list[Facet]:
    """Return what a request asks to be counted. Raises InvalidArgumentError."""
    check_count(len(request.facets), field="facets", maximum=MAX_FACETS)
    facets = []
    for number, facet in enumerate(request.facets):
        with inside(f"facets[{number}]"):
            facets.append(_read_facet(facet))
    return facets


def read_neighbourhood(
    request: search_service_pb2.FacetsRequest, *, max_image_bytes: int
) -> Neighbourhood | None:
    """Return around what is to be counted; None for wherever images are. Raises InvalidArgumentError."""
    if not request.HasField("neighbourhood"):
        return None
    around = request.neighbourhood
    with inside("neighbourhood"), inside("query", *QUERY_FIELDS):
        query = read_query(around.query, max_image_bytes=max_image_bytes)
    return Neighbourhood(
        query=query,
        bits=around.bits or None,
        k=around.k if around.HasField("k") else None,
        max_distance=around.max_distance if around.HasField("max_distance") else None,
    )


def write_facets(answer: FacetAnswer) -> search_service_pb2.FacetsResponse:
    """Return the counts."""
    return search_service_pb2.FacetsResponse(
        facets=[_write_facet(facet) for facet in answer.facets],
        image_count=answer.images,
        counts=write_tally(answer.tally),
        sequence=answer.sequence,
        generation=answer.generation,
    )


def _read_facet(facet: facet_pb2.FacetRequest) -> Facet:
    column = facet.WhichOneof("column")
    if column is None:
        raise InvalidArgumentError(
            "A facet names no column. Give one of label, attribute, score or created.",
            reason="FACET_COLUMN_MISSING",
            field="column",
        )
    with inside(column):
        match column:
            case "label":
                return LabelFacet(limit=facet.label.limit or DEFAULT_LIMIT)
            case "attribute":
                name = check_word(facet.attribute.name, field="name")
                return AttributeFacet(name=name, limit=facet.attribute.limit or DEFAULT_LIMIT)
            case "score":
                return _read_score(facet.score)
            case "created":
                return CreatedFacet(
                    edges=tuple(read_time(edge, field="edges") for edge in facet.created.edges)
                )


def _read_score(facet: facet_pb2.ScoreFacet) -> ScoreFacet:
    name = check_word(facet.name, field="name")
    if facet.edges and facet.bins:
        raise InvalidArgumentError(
            "A facet of scores takes edges or bins, not both. Leave one of them out.",
            reason="FACET_BINS_AND_EDGES",
            field="bins",
        )
    return ScoreFacet(name=name, edges=tuple(facet.edges) or None, bins=facet.bins or DEFAULT_BINS)


def _write_facet(facet: FacetCounts) -> facet_pb2.Facet:
    if isinstance(facet, BinCounts):
        return facet_pb2.Facet(
            buckets=_write_bins(facet.edges, facet.counts), missing=facet.missing, outside=facet.outside
        )
    return facet_pb2.Facet(
        buckets=[facet_pb2.FacetBucket(value=word, count=count) for word, count in facet.counts],
        missing=facet.missing,
        distinct=facet.distinct,
    )


def _write_bins(
    edges: Sequence[float] | Sequence[dt.datetime], counts: Sequence[int]
) -> list[facet_pb2.FacetBucket]:
    buckets = []
    for (start, end), count in zip(pairwise(edges), counts, strict=True):
        bucket = facet_pb2.FacetBucket(count=count)
        if isinstance(start, dt.datetime) and isinstance(end, dt.datetime):
            bucket.created.start.FromDatetime(start)
            bucket.created.end.FromDatetime(end)
        elif isinstance(start, float) and isinstance(end, float):
            bucket.score.start, bucket.score.end = start, end
        buckets.append(bucket)
    return buckets
