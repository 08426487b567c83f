"""Facets: what is counted over a set of images, and the counts.

In: words by number, scores, creation times. Out: how many images have each word or lie in each bin, and how many have nothing to
count. Leaves choosing the images to `columns`.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from service.errors import InvalidArgumentError
from service.usecases.column_table import to_float32, to_microseconds

Edge = TypeVar("Edge", float, dt.datetime)
MAX_VALUES = 10_000  # words or bins of one facet


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFacet:
    """How many images have each label; the `limit` most frequent."""

    limit: int = 100

    def __post_init__(self) -> None:
        _check_count(self.limit, "limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeFacet:
    """How many images have each value of an attribute; the `limit` most frequent."""

    name: str
    limit: int = 100

    def __post_init__(self) -> None:
        _check_count(self.limit, "limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFacet:
    """How many images have a score in each bin: between given edges, or in equally wide bins from the smallest to the largest.

    Attributes:
        name: Of the score.
        edges: Ascending, at least two; a bin includes its lower edge, the last one its upper edge as well.
        bins: How many, where no edges are given.
    """

    name: str
    edges: tuple[float, ...] | None = None
    bins: int = 10

    def __post_init__(self) -> None:
        _check_count(self.bins, "bins")
        if self.edges is not None:
            _check_edges(to_float32(self.edges).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedFacet:
    """How many images came into the store between each edge (included) and the next (excluded); edges with time zones, ascending."""

    edges: tuple[dt.datetime, ...]

    def __post_init__(self) -> None:
        if any(edge.utcoffset() is None for edge in self.edges):
            raise InvalidArgumentError("edges of times must say their time zone. Use UTC.", field="edges")
        _check_edges(self.edges)


Facet = LabelFacet | AttributeFacet | ScoreFacet | CreatedFacet


@dataclass(frozen=True, slots=True, kw_only=True)
class WordCounts:
    """Images by word.

    Attributes:
        counts: Word and images that have it, most frequent first, ties by word.
        distinct: How many words occur, those left out by the limit included.
        missing: Images that have no word at all.
        images: All images looked at.
    """

    counts: tuple[tuple[str, int], ...]
    distinct: int
    missing: int
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BinCounts:
    """Images by bin.

    Attributes:
        edges: One more than bins, scores or times in UTC; none where no image has a value and no edges were given.
        counts: Images per bin.
        outside: Images whose value lies below the first or above the last edge.
        missing: Images that have no value.
        images: All images looked at.
    """

    edges: tuple[float, ...] | tuple[dt.datetime, ...]
    counts: tuple[int, ...]
    outside: int
    missing: int
    images: int


FacetCounts = WordCounts | BinCounts


def count_words(
    counts: Int64[np.ndarray, " words"], words: Sequence[str], *, limit: int, missing: int, images: int
) -> WordCounts:
    """Return the most frequent words.

    Args:
        counts: Images by number of the word.
        words: The words by number.
        limit: How many at most.
        missing: Images without a word.
        images: All images.
    """
    codes = np.flatnonzero(counts)
    distinct = len(codes)
    if (
        distinct > limit
    ):  # sort only what may be shown: of a million file names, nothing but those as frequent as the last shown
        codes = codes[counts[codes] >= np.partition(counts[codes], distinct - limit)[distinct - limit]]
    found = [(words[code], count) for code, count in zip(codes.tolist(), counts[codes].tolist(), strict=True)]
    found.sort(key=lambda pair: (-pair[1], pair[0]))
    return WordCounts(counts=tuple(found[:limit]), distinct=distinct, missing=missing, images=images)


def count_scores(facet: ScoreFacet, scores: Float32[np.ndarray, " m"]) -> BinCounts:
    """Return scores by bin; NaN is a missing score."""
    present = scores[~np.isnan(scores)]
    missing = len(scores) - len(present)
    if facet.edges is not None:
        edges = to_float32(facet.edges)
        shown = facet.edges
    elif len(present):
        edges = _equal_edges(float(present.min()), float(present.max()), facet.bins)
        shown = tuple(edges.tolist())
    else:
        return BinCounts(edges=(), counts=(), outside=0, missing=missing, images=len(scores))
    counts = _counts(present, edges)
    counts[-1] += int(np.count_nonzero(present == edges[-1]))
    return BinCounts(
        edges=shown,
        counts=tuple(counts.tolist()),
        outside=len(present) - int(counts.sum()),
        missing=missing,
        images=len(scores),
    )


def count_created(facet: CreatedFacet, created: Int64[np.ndarray, " m"]) -> BinCounts:
    """Return creation times, in microseconds, by bin."""
    counts = _counts(created, np.array([to_microseconds(edge) for edge in facet.edges], dtype=np.int64))
    return BinCounts(
        edges=tuple(edge.astimezone(dt.UTC) for edge in facet.edges),
        counts=tuple(counts.tolist()),
        outside=len(created) - int(counts.sum()),
        missing=0,
        images=len(created),
    )


def _counts(values: Shaped[np.ndarray, " m"], edges: Shaped[np.ndarray, " e"]) -> Int64[np.ndarray, " bins"]:
    """Count values in half-open bins."""
    bins = np.searchsorted(edges, values, side="right")
    return np.bincount(bins, minlength=len(edges) + 1)[1:-1]


def _equal_edges(low: float, high: float, bins: int) -> Float32[np.ndarray, " e"]:
    """Return float32 edges from low to high; fewer bins where float32 cannot tell so many apart, one where all is equal."""
    return (
        np.unique(np.linspace(low, high, bins + 1).astype(np.float32))
        if low < high
        else to_float32([low, low])
    )


def _check_count(count: int, name: str) -> None:
    if not 1 <= count <= MAX_VALUES:
        raise InvalidArgumentError(f"{name} must be from 1 to {MAX_VALUES}, got {count}.", field=name)


def _check_edges(edges: Sequence[Edge]) -> None:
    _check_count(len(edges) - 1, "edges")
    if any(not low < high for low, high in pairwise(edges)):
        raise InvalidArgumentError(
            "edges must ascend, each above the one before (scores to the precision of float32).",
            field="edges",
        )
