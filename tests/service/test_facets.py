"""Facets: counts over filters and neighbourhoods against collections.Counter and plain loops."""

import datetime as dt
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidArgumentError
from service.records import ColumnChunk
from service.usecases.columns import Columns
from service.usecases.facets import (
    AttributeFacet,
    BinCounts,
    CreatedFacet,
    LabelFacet,
    ScoreFacet,
    WordCounts,
)
from service.usecases.filters import ImageFilter

Row = dict[str, Any]

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

image = st.fixed_dictionaries(
    {
        "created": st.integers(0, 9),
        "labels": st.lists(st.sampled_from("abcde"), unique=True, max_size=3).map(tuple),
        "attributes": st.dictionaries(st.sampled_from(["camera"]), st.sampled_from("xyz")),
        "scores": st.dictionaries(st.sampled_from(["v"]), st.sampled_from([-0.7, 0.0, 0.1, 0.3, 0.7, 2.0])),
    }
)


def chunk_of(rows: list[Row]) -> ColumnChunk:
    """Make a chunk; image ids are of no concern to columns."""
    return ColumnChunk(
        image_ids=np.arange(1, len(rows) + 1, dtype=np.int64),
        created_us=np.array([row["created"] for row in rows], dtype=np.int64),
        labels=[row["labels"] for row in rows],
        attributes=[row["attributes"] for row in rows],
        scores=[row["scores"] for row in rows],
    )


def ranked(counter: Counter[str], limit: int) -> tuple[tuple[str, int], ...]:
    """Order as the facet promises."""
    return tuple(sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:limit])


@given(
    images=st.lists(image, min_size=1, max_size=20),
    changes=st.lists(st.tuples(st.integers(0, 29), image), max_size=5),
    gone=st.lists(st.integers(0, 29), max_size=5),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_facets_count_what_a_loop_counts_over_all_a_filter_or_given_rows(
    images: list[Row], changes: list[tuple[int, Row]], gone: list[int], data: st.DataObject
) -> None:
    columns = Columns()
    columns.append(chunk_of(images))
    columns.append(chunk_of(images[:3]))
    rows = [*images, *images[:3]]
    for place, changed in changes:
        columns.update(place % len(rows), chunk_of([changed]))
        rows[place % len(rows)] = changed
    columns.remove(np.array(gone, dtype=np.int64))
    live = {place for place in range(len(rows)) if place not in gone}
    given_rows = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True))
    selection = columns.select(ImageFilter(labels_any=("a", "b"))).selection
    limit = data.draw(st.integers(1, 4))
    for among, places in (
        (None, live),
        (np.array(given_rows, dtype=np.int64), live & set(given_rows)),
        (selection, {place for place in live if {"a", "b"} & set(rows[place]["labels"])}),
    ):
        chosen = [rows[place] for place in sorted(places)]
        labels = Counter(label for row in chosen for label in row["labels"])
        assert columns.facet(LabelFacet(limit=limit), among=among) == WordCounts(
            counts=ranked(labels, limit),
            distinct=len(labels),
            missing=sum(not row["labels"] for row in chosen),
            images=len(chosen),
        )
        values = Counter(row["attributes"]["camera"] for row in chosen if row["attributes"])
        assert columns.facet(AttributeFacet(name="camera", limit=limit), among=among) == WordCounts(
            counts=ranked(values, limit),
            distinct=len(values),
            missing=len(chosen) - values.total(),
            images=len(chosen),
        )
        scores = [row["scores"]["v"] for row in chosen if row["scores"]]
        edges = (-0.5, 0.1, 0.3, 0.7)
        bins = [
            sum(low <= x < high or x == high == edges[-1] for x in scores) for low, high in pairwise(edges)
        ]
        assert columns.facet(ScoreFacet(name="v", edges=edges), among=among) == BinCounts(
            edges=edges,
            counts=tuple(bins),
            outside=len(scores) - sum(bins),
            missing=len(chosen) - len(scores),
            images=len(chosen),
        )
        times = [2, 5, 7]
        bins = [sum(low <= row["created"] < high for row in chosen) for low, high in pairwise(times)]
        moments = tuple(EPOCH + dt.timedelta(microseconds=us) for us in times)
        assert columns.facet(CreatedFacet(edges=moments), among=among) == BinCounts(
            edges=moments, counts=tuple(bins), outside=len(chosen) - sum(bins), missing=0, images=len(chosen)
        )


def with_scores(*scores: float) -> Columns:
    """Return columns of images that have one score each."""
    columns = Columns()
    columns.append(
        chunk_of([{"created": 0, "labels": (), "attributes": {}, "scores": {"v": score}} for score in scores])
    )
    return columns


def test_bins_without_given_edges_go_from_the_smallest_to_the_largest_score() -> None:
    counted = with_scores(0.0, 1.0, 2.5, 4.0, 4.0).facet(ScoreFacet(name="v", bins=4))
    assert counted == BinCounts(
        edges=(0.0, 1.0, 2.0, 3.0, 4.0), counts=(1, 1, 1, 2), outside=0, missing=0, images=5
    )


def test_equal_scores_make_one_bin_and_no_scores_none() -> None:
    assert with_scores(0.5, 0.5).facet(ScoreFacet(name="v")) == BinCounts(
        edges=(0.5, 0.5), counts=(2,), outside=0, missing=0, images=2
    )
    assert with_scores(0.5, 0.5).facet(ScoreFacet(name="w")) == BinCounts(
        edges=(), counts=(), outside=0, missing=2, images=2
    )


def test_facets_of_empty_columns_and_of_unknown_attributes_are_empty() -> None:
    nothing = WordCounts(counts=(), distinct=0, missing=0, images=0)
    assert Columns().facet(LabelFacet()) == nothing
    assert Columns().facet(AttributeFacet(name="camera")) == nothing
    assert with_scores(1.0).facet(AttributeFacet(name="camera")) == WordCounts(
        counts=(), distinct=0, missing=1, images=1
    )


def test_limits_and_edges_that_make_no_sense_are_refused() -> None:
    for make in (
        lambda: LabelFacet(limit=0),
        lambda: AttributeFacet(name="camera", limit=10_001),
        lambda: ScoreFacet(name="v", bins=0),
    ):
        with pytest.raises(InvalidArgumentError, match="must be from 1 to 10000, got"):
            make()
    with pytest.raises(InvalidArgumentError, match="edges must be from 1 to 10000, got 0"):
        ScoreFacet(name="v", edges=(1.0,))
    with pytest.raises(InvalidArgumentError, match="edges must ascend"):
        ScoreFacet(name="v", edges=(0.0, 1e-60))
    with pytest.raises(InvalidArgumentError, match="edges must ascend"):
        CreatedFacet(edges=(EPOCH, EPOCH))
    with pytest.raises(InvalidArgumentError, match="edges of times must say their time zone"):
        CreatedFacet(edges=(EPOCH, EPOCH.replace(tzinfo=None)))
