"""What can be asked of a gallery, and what is answered.

In: values of a caller, checked as far as they can be without a gallery. Out: frozen records that `search` works on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from hashing.layout import CodeLayout
from service.errors import InvalidArgumentError
from service.records import ImageRow
from service.usecases.columns import FilterCounts
from service.usecases.facets import FacetCounts
from service.usecases.filters import ImageFilter

MAX_K = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """Search with a picture: its encoded bytes."""

    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IdQuery:
    """Search with an image of the gallery, which is left out of its own answer."""

    image_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeQuery:
    """Search with a code of the searched length, or with a whole code record."""

    code: bytes


Query = ImageQuery | IdQuery | CodeQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page of hits ended, and what the pages after it must still be about.

    Attributes:
        distance: Of the last hit.
        image_id: Of the last hit.
        sequence: Last change that the first page saw: images added later are on no page.
        hasher: Identity of the model whose codes are compared.
    """

    distance: int
    image_id: int
    sequence: int
    hasher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What to search for.

    Attributes:
        query: The picture, image or code.
        bits: Code length to compare; None means the longest.
        auto: Compare the longest codes; the shortest may say which of them are too far to look at.
        k: How many hits at most, 1..MAX_K.
        max_distance: Largest distance in bits that still counts (inclusive), or None.
        image_filter: Which images may be found, or None for all.
        min_sequence: Change of the gallery that the answer must have seen (read your writes).
        paged: Whether the answer tells where its next page begins.
        after: Where the page before ended; None is the first page.
        full: Whether hits carry their catalog rows.
    """

    query: Query
    bits: int | None = None
    auto: bool = False
    k: int = 10
    max_distance: int | None = None
    image_filter: ImageFilter | None = None
    min_sequence: int = 0
    paged: bool = False
    after: Cursor | None = None
    full: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise InvalidArgumentError(
                f"k must be from 1 to {MAX_K}, got {self.k}.", reason="K_OUT_OF_RANGE", field="k", k=self.k
            )
        check_max_distance(self.max_distance)
        if self.min_sequence < 0:
            raise InvalidArgumentError(
                f"min_sequence must be 0 or more, got {self.min_sequence}.",
                reason="SEQUENCE_OUT_OF_RANGE",
                field="min_sequence",
            )
        if self.auto and (self.bits is not None or self.paged):
            raise InvalidArgumentError(
                "The automatic strategy chooses its code lengths and has one page: give neither bits nor a page size "
                "with it, or take the exact strategy.",
                reason="STRATEGY_CONFLICT",
                field="strategy",
            )


def check_max_distance(max_distance: int | None) -> None:
    """Raise InvalidArgumentError if it is negative."""
    if max_distance is not None and max_distance < 0:
        raise InvalidArgumentError(
            f"max_distance must be 0 or more bits, got {max_distance}.",
            reason="MAX_DISTANCE_OUT_OF_RANGE",
            field="max_distance",
            max_distance=max_distance,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPicture:
    """The code record of a picture, how to read it, and the models that made it."""

    record: UInt8[np.ndarray, " record_bytes"]
    layout: CodeLayout
    hasher_identity: str
    backbone_identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found image; `row` is None unless the request asked for full hits."""

    image_id: int
    distance: int
    rank: int
    row: ImageRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """Ranked hits and what produced them.

    Attributes:
        hits: In the total order (distance, image_id); rank counts from 1 on every page.
        bits: Code length by which hits are ranked.
        lengths: All code lengths that were compared.
        code: The query's code of length `bits`.
        sequence: Last change of the gallery that this answer has seen.
        generation: Number of the generation that was searched; 0 while there is none on disk.
        hasher_identity: Model whose codes were compared.
        tally: What the filter did.
        candidates: How many images were compared by the length `bits`; of them were the hits chosen.
        next_page: Where the next page begins; None if this is the last, or pages were not asked for.
        timings_ms: Milliseconds per stage.
    """

    hits: tuple[Hit, ...]
    bits: int
    lengths: tuple[int, ...]
    code: bytes
    sequence: int
    generation: int
    hasher_identity: str
    tally: FilterCounts
    candidates: int
    next_page: Cursor | None
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """The images around a query.

    Attributes:
        query: Whose neighbours.
        bits: Code length to compare; None means the longest.
        k: How many of the nearest, 1..MAX_K; None for all within `max_distance`.
        max_distance: Largest distance in bits that still counts (inclusive), or None.
    """

    query: Query
    bits: int | None = None
    k: int | None = None
    max_distance: int | None = None

    def __post_init__(self) -> None:
        if self.k is None and self.max_distance is None:
            raise InvalidArgumentError(
                "A neighbourhood needs k, max_distance or both: without, it is the whole gallery.",
                reason="NEIGHBOURHOOD_UNBOUNDED",
                field="neighbourhood",
            )

    def request(self, image_filter: ImageFilter | None) -> SearchRequest:
        """Return the search that finds these images among those that pass a filter."""
        return SearchRequest(
            query=self.query,
            bits=self.bits,
            k=1 if self.k is None else self.k,
            max_distance=self.max_distance,
            image_filter=image_filter,
            full=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetAnswer:
    """How images spread over columns.

    Attributes:
        facets: One per facet that was asked for, in that order.
        images: How many images were counted.
        sequence: Last change of the gallery that this answer has seen.
        generation: Number of the generation that was looked at; 0 while there is none on disk.
        tally: What the filter did.
    """

    facets: tuple[FacetCounts, ...]
    images: int
    sequence: int
    generation: int
    tally: FilterCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceCounts:
    """How many images there are at each distance from a query.

    Attributes:
        counts: By distance, 0 bits first, up to the largest that was asked for.
        bits: Code length that was compared.
        sequence: Last change of the gallery that this answer has seen.
        generation: Number of the generation that was searched; 0 while there is none on disk.
        tally: What the filter did.
    """

    counts: tuple[int, ...]
    bits: int
    sequence: int
    generation: int
    tally: FilterCounts
