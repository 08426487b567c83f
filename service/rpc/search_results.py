"""What the client returns of searches: hits, counts by distance and facets as plain records, and how they are read.

In: responses of SearchService. Out: frozen dataclasses without a trace of protobuf. Images are `results`'.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from polyhash.v1 import facet_pb2, filter_pb2, search_service_pb2

from service.rpc.api_error import ApiError, read_status
from service.rpc.results import Image, read_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found image; `distance` in bits, `rank` from 1, `image` None when only ids were asked for."""

    image_id: int
    distance: int
    rank: int
    image: Image | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterCounts:
    """What a filter did: images that passed, those that did not, and those that lack what it asks for, either way."""

    matched: int
    hidden: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Ranked hits and what produced them.

    Attributes:
        hits: In ascending order of (distance, image_id).
        bits: Code length by which they are ranked.
        lengths: All code lengths that were compared.
        code: The query's code of length `bits`.
        sequence: Last change of the gallery that the answer has seen.
        generation: Number of the generation that was searched; 0 while there is none on disk.
        hasher: Identity of the model whose codes were compared.
        counts: What the filter did.
        candidates: How many images were compared by the length `bits`.
        next_token: What the next page is asked for by; empty on the last page, and where no pages were asked for.
        timings_ms: Milliseconds on the server, per stage.
    """

    hits: tuple[Hit, ...]
    bits: int
    lengths: tuple[int, ...]
    code: bytes
    sequence: int
    generation: int
    hasher: str
    counts: FilterCounts
    candidates: int
    next_token: str
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchCounts:
    """How many images are near a query: `by_distance` at 0, 1, 2, ... bits, `total` of them all."""

    by_distance: tuple[int, ...]
    total: int
    bits: int
    counts: FilterCounts
    sequence: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """How many images have a label or value, or lie in a range of a score or of time: (start, end)."""

    of: str | tuple[float, float] | tuple[dt.datetime, dt.datetime]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetCounts:
    """How images spread over one column.

    Attributes:
        buckets: The most frequent labels or values first; ranges in ascending order.
        missing: Images that have nothing to count.
        distinct: How many labels or values there are, those left out included.
        outside: Images outside all ranges.
    """

    buckets: tuple[Bucket, ...]
    missing: int
    distinct: int
    outside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetResult:
    """How images spread over columns: one of `facets` per column asked for, over this many `images`."""

    facets: tuple[FacetCounts, ...]
    images: int
    counts: FilterCounts
    sequence: int
    generation: int


def read_search_result(response: search_service_pb2.SearchResponse) -> SearchResult:
    """Return the answer to a search."""
    return SearchResult(
        hits=tuple(
            Hit(
                image_id=hit.image_id,
                distance=hit.distance,
                rank=hit.rank,
                image=read_image(hit.image) if hit.HasField("image") else None,
            )
            for hit in response.hits
        ),
        bits=response.bits,
        lengths=tuple(response.lengths_bits),
        code=response.code,
        sequence=response.sequence,
        generation=response.generation,
        hasher=response.hasher,
        counts=_read_counts(response.counts),
        candidates=response.candidates,
        next_token=response.next_page_token,
        timings_ms=dict(response.timings_ms),
    )


def read_batch(response: search_service_pb2.BatchSearchResponse) -> list[SearchResult | ApiError]:
    """Return the answers to many searches, or why there is none."""
    return [
        read_status(result.error) if result.HasField("error") else read_search_result(result.answer)
        for result in response.results
    ]


def read_matches(response: search_service_pb2.CountMatchesResponse) -> MatchCounts:
    """Return how many images are near a query."""
    return MatchCounts(
        by_distance=tuple(response.count_by_distance),
        total=response.total,
        bits=response.bits,
        counts=_read_counts(response.counts),
        sequence=response.sequence,
        generation=response.generation,
    )


def read_facets(response: search_service_pb2.FacetsResponse) -> FacetResult:
    """Return how images spread over columns."""
    return FacetResult(
        facets=tuple(
            FacetCounts(
                buckets=tuple(map(_read_bucket, facet.buckets)),
                missing=facet.missing,
                distinct=facet.distinct,
                outside=facet.outside,
            )
            for facet in response.facets
        ),
        images=response.image_count,
        counts=_read_counts(response.counts),
        sequence=response.sequence,
        generation=response.generation,
    )


def _read_bucket(bucket: facet_pb2.FacetBucket) -> Bucket:
    if bucket.HasField("score"):
        return Bucket(of=(bucket.score.start, bucket.score.end), count=bucket.count)
    if bucket.HasField("created"):
        start, end = (time.ToDatetime(tzinfo=dt.UTC) for time in (bucket.created.start, bucket.created.end))
        return Bucket(of=(start, end), count=bucket.count)
    return Bucket(of=bucket.value, count=bucket.count)


def _read_counts(counts: filter_pb2.FilterCounts) -> FilterCounts:
    return FilterCounts(matched=counts.matched, hidden=counts.hidden, missing=counts.missing)
