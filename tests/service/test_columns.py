"""Columns: every selection, count and round trip against a plain list of dictionaries."""

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import DataLossError
from service.records import ColumnChunk
from service.usecases import column_kinds
from service.usecases.columns import Columns, FilterCounts
from service.usecases.filters import ImageFilter, ScoreRange

Row = dict[str, Any]

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LABELS = ["ä", "b", "c", "d"]
VALUES = ["x", "y", "b"]
NAMES = ["p", "q", "x"]


@pytest.fixture(scope="module", autouse=True)
def small_segments() -> Iterator[None]:
    """Seal and merge segments of labels after a few, as a large gallery does after many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column_kinds, "_SEAL", 8)
        yield


def chunk_of(rows: list[Row]) -> ColumnChunk:
    """Make a chunk; image ids are of no concern to columns."""
    return ColumnChunk(
        image_ids=np.arange(1, len(rows) + 1, dtype=np.int64),
        created_us=np.array([row["created"] for row in rows], dtype=np.int64),
        labels=[row["labels"] for row in rows],
        attributes=[row["attributes"] for row in rows],
        scores=[row["scores"] for row in rows],
    )


def kept(score: float) -> np.float32:
    """Return a score as it is kept: as float32, the largest one for those beyond."""
    return np.float32(min(score, float(np.finfo(np.float32).max)))


def meets(row: Row, wanted: ImageFilter) -> bool:
    """Decide for one image, the long way."""
    labels, created = set(row["labels"]), EPOCH + dt.timedelta(microseconds=row["created"])
    conditions = [
        not wanted.labels_any or bool(labels & set(wanted.labels_any)),
        labels >= set(wanted.labels_all),
        not labels & set(wanted.labels_none),
        wanted.created_from is None or created >= wanted.created_from,
        wanted.created_before is None or created < wanted.created_before,
        *(row["attributes"].get(name) in values for name, values in wanted.attributes.items()),
    ]
    for name, bounds in wanted.scores.items():
        score = row["scores"].get(name)
        if score is None:
            conditions.append(wanted.keep_missing)
            continue
        conditions.append(bounds.minimum is None or bool(kept(score) >= kept(bounds.minimum)))
        conditions.append(bounds.maximum is None or bool(kept(score) <= kept(bounds.maximum)))
    return all(conditions)


def lacks(row: Row, wanted: ImageFilter) -> bool:
    """Say whether an image has no value for something asked for."""
    return bool(set(wanted.attributes) - set(row["attributes"]) or set(wanted.scores) - set(row["scores"]))


def check(columns: Columns, rows: list[Row | None], wanted: ImageFilter) -> None:
    """Compare a selection with the plain list, in which None is a removed image."""
    selected = columns.select(wanted, n_rows=len(rows))
    live = [row for row in rows if row is not None]
    expected = [place for place, row in enumerate(rows) if row is not None and meets(row, wanted)]
    assert selected.counts == FilterCounts(
        matched=len(expected),
        hidden=len(live) - len(expected),
        missing=sum(lacks(row, wanted) for row in live),
    )
    if wanted.is_empty:
        assert selected.selection is None
        return
    assert selected.selection is not None
    assert selected.selection.n_rows == len(rows)
    assert selected.selection.rows.tolist() == expected
    assert np.flatnonzero(selected.selection.mask).tolist() == expected


score = st.sampled_from([-1.5, 0.0, 0.1, 0.7, 1e300])
image = st.fixed_dictionaries(
    {
        "created": st.integers(-3, 3),
        "labels": st.lists(st.sampled_from(LABELS), unique=True, max_size=3).map(tuple),
        "attributes": st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=3),
        "scores": st.dictionaries(st.sampled_from(NAMES), score, max_size=3),
    }
)
words = st.lists(st.sampled_from([*LABELS, "unknown"]), max_size=2, unique=True).map(tuple)
moment = st.none() | st.integers(-3, 0).map(lambda us: EPOCH + dt.timedelta(microseconds=us))
later = st.none() | st.integers(1, 3).map(lambda us: EPOCH + dt.timedelta(microseconds=us))
low, high = st.none() | st.sampled_from([-1.5, 0.0, 0.1]), st.none() | st.sampled_from([0.1, 0.7, 1e300])
conditions = st.fixed_dictionaries(  # made into a filter by the test: type checks in a strategy would draw random numbers
    {
        "labels_any": words,
        "labels_all": words,
        "labels_none": words,
        "attributes": st.dictionaries(
            st.sampled_from([*NAMES, "unknown"]),
            st.lists(st.sampled_from([*VALUES, "unknown"]), min_size=1, max_size=2).map(tuple),
            max_size=1,
        ),
        "created_from": moment,
        "created_before": later,
        "scores": st.dictionaries(st.sampled_from([*NAMES, "unknown"]), st.tuples(low, high), max_size=2),
        "keep_missing": st.booleans(),
    }
)
step = st.one_of(
    st.tuples(st.just("append"), st.lists(image, max_size=25)),
    st.tuples(st.just("update"), st.integers(0, 100), image),
    st.tuples(st.just("remove"), st.lists(st.integers(-2, 100), max_size=4)),
)


def filter_of(drawn: dict[str, Any]) -> ImageFilter:
    """Make a filter of drawn conditions."""
    ranges = {name: ScoreRange(minimum=a, maximum=b) for name, (a, b) in drawn["scores"].items()}
    return ImageFilter(**{**drawn, "scores": ranges})


def play(steps: list[tuple[Any, ...]]) -> tuple[Columns, list[Row | None]]:
    """Do the same to columns and to a list."""
    columns, rows = Columns(), list[Row | None]()
    for kind, *what in steps:
        if kind == "append":
            columns.append(chunk_of(what[0]))
            rows += what[0]
        elif kind == "update" and rows:
            row = what[0] % len(rows)
            columns.update(row, chunk_of([what[1]]))
            rows[row] = what[1] if rows[row] is not None else None
        elif kind == "remove":
            gone = {row for row in what[0] if 0 <= row < len(rows) and rows[row] is not None}
            assert columns.remove(np.array(what[0], dtype=np.int64)) == len(gone)
            rows = [None if place in gone else row for place, row in enumerate(rows)]
    return columns, rows


@given(steps=st.lists(step, max_size=8), filters=st.lists(conditions, min_size=1, max_size=3))
@settings(max_examples=70, deadline=None)
def test_what_is_selected_is_what_a_loop_over_all_images_finds_before_and_after_a_round_trip(
    steps: list[tuple[Any, ...]], filters: list[dict[str, Any]]
) -> None:
    columns, rows = play(steps)
    arrays = columns.to_arrays()
    for array in arrays.values():
        assert array.dtype.kind in "biuf"
        array.flags.writeable = False  # a mapped file is, too
    loaded = Columns.from_arrays(arrays)
    for held in (columns, loaded):
        assert (held.n_rows, held.n_live) == (len(rows), sum(row is not None for row in rows))
        for drawn in filters:
            check(held, rows, filter_of(drawn))


@given(first=st.lists(step, max_size=5), image=image, drawn=conditions)
@settings(max_examples=40, deadline=None)
def test_loaded_columns_take_changes_as_those_that_were_built_do(
    first: list[tuple[Any, ...]], image: Row, drawn: dict[str, Any]
) -> None:
    columns, rows = play(first)
    loaded, wanted = Columns.from_arrays(columns.to_arrays()), filter_of(drawn)
    loaded.append(chunk_of([image, image]))
    loaded.remove(np.array([len(rows)], dtype=np.int64))
    loaded.update(0, chunk_of([image]))
    rows = [*rows, None, image]
    rows[0] = image if rows[0] is not None else None
    check(loaded, rows, wanted)
    check(Columns.from_arrays(loaded.to_arrays()), rows, wanted)


def varied(n: int) -> list[Row]:
    """Make images whose labels, scores and values have shares of 0.1, 1, 10, 50 and 100 %."""
    shares = {"one_in_1000": 1000, "one_in_100": 100, "one_in_10": 10, "half": 2, "all": 1}
    return [
        {
            "created": place,
            "labels": tuple(label for label, share in shares.items() if place * 7 % share == 0),
            "attributes": {"camera": f"c{place % 7}"} if place % 3 else {},
            "scores": {"v": (place * 37 % n) / n} | ({"rare": 1.0} if place % 50 == 0 else {}),
        }
        for place in range(n)
    ]


@pytest.fixture(scope="module")
def many() -> tuple[Columns, list[Row | None]]:
    """10,000 images in uneven chunks, so that there are several segments and a tail; some changed, some removed."""
    rows: list[Row | None] = [*varied(10_000)]
    columns = Columns()
    for start, end in ((0, 7_000), (7_000, 9_500), (9_500, 9_996), (9_996, 9_997), (9_997, 10_000)):
        columns.append(chunk_of([row for row in rows[start:end] if row is not None]))
    for place in range(0, 10_000, 997):
        changed = {"created": -1, "labels": ("one_in_100",), "attributes": {}, "scores": {"v": 0.005}}
        columns.update(place, chunk_of([changed]))
        rows[place] = changed
    gone = np.arange(5, 10_000, 500)
    columns.remove(gone)
    for place in gone.tolist():
        rows[place] = None
    return columns, rows


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            ImageFilter(labels_any=(x,))
            for x in ("none", "one_in_1000", "one_in_100", "one_in_10", "half", "all")
        ),
        *(ImageFilter(scores={"v": ScoreRange(maximum=x)}) for x in (-1.0, 0.001, 0.01, 0.1, 0.5, 1.0)),
        ImageFilter(labels_all=("one_in_100", "half"), labels_none=("one_in_1000",)),
        ImageFilter(labels_any=("one_in_1000", "one_in_100"), attributes={"camera": ("c1", "c2")}),
        ImageFilter(labels_none=("half",), scores={"rare": ScoreRange()}, keep_missing=True),
        ImageFilter(scores={"rare": ScoreRange()}, created_from=EPOCH),
    ],
    ids=repr,
)
def test_selections_of_every_share_are_exact(
    many: tuple[Columns, list[Row | None]], wanted: ImageFilter
) -> None:
    check(*many, wanted)


def test_a_removed_row_is_in_no_count_and_without_a_filter_nothing_is_selected() -> None:
    columns = Columns()
    columns.append(chunk_of(varied(3)))
    assert columns.remove(np.array([1, 1, 7, -1], dtype=np.int64)) == 1
    assert columns.remove(np.array([1], dtype=np.int64)) == 0
    for nothing in (None, ImageFilter()):
        selected = columns.select(nothing)
        assert selected.selection is None
        assert selected.counts == FilterCounts(matched=2, hidden=0, missing=0)


def test_a_reader_sees_no_row_that_came_after_it_had_looked() -> None:
    columns = Columns()
    columns.append(chunk_of(varied(2)))
    known = columns.n_rows
    columns.append(chunk_of(varied(5)))
    columns.update(4, chunk_of(varied(1)))
    selected = columns.select(ImageFilter(labels_any=("all",)), n_rows=known)
    assert selected.selection is not None
    assert selected.selection.rows.tolist() == [0, 1]
    assert selected.counts == FilterCounts(matched=2, hidden=0, missing=0)


def test_a_reader_sees_all_of_a_change_or_nothing_while_one_writes() -> None:
    before = {"created": 0, "labels": ("old",), "attributes": {"state": "old"}, "scores": {"v": 0.0}}
    after = {"created": 0, "labels": ("new",), "attributes": {"state": "new"}, "scores": {"v": 1.0}}
    columns = Columns()
    columns.append(chunk_of([before] * 50))
    torn = ImageFilter(labels_any=("old",), scores={"v": ScoreRange(minimum=1.0)})
    other = ImageFilter(labels_any=("new",), attributes={"state": ("old",)})
    done = threading.Event()
    found: list[int] = []

    def read() -> None:
        while not done.is_set():
            found.extend(columns.select(wanted).counts.matched for wanted in (torn, other))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(400):
        columns.update(turn % 50, chunk_of([(after, before)[turn // 50 % 2]]))
        columns.append(chunk_of([(before, after)[turn % 2]] * 7))
    done.set()
    reader.join()
    assert found
    assert not any(found)


def test_an_update_of_no_row_or_by_several_is_refused() -> None:
    columns = Columns()
    columns.append(chunk_of(varied(2)))
    with pytest.raises(ValueError, match="takes a row below 2 and a chunk of one, got row 2 and 1"):
        columns.update(2, chunk_of(varied(1)))
    with pytest.raises(ValueError, match="got row 1 and 2"):
        columns.update(1, chunk_of(varied(2)))


def test_arrays_that_are_absent_or_do_not_fit_are_refused_by_name() -> None:
    columns = Columns()
    columns.append(chunk_of(varied(4)))
    arrays = columns.to_arrays()
    with pytest.raises(DataLossError, match="lack the arrays label_rows, scores"):
        Columns.from_arrays({k: v for k, v in arrays.items() if k not in {"label_rows", "scores"}})
    with pytest.raises(DataLossError, match="Columns of 4 rows have arrays of other shapes: live"):
        Columns.from_arrays({**arrays, "live": arrays["live"][:3]})


def test_a_row_takes_21_bytes_with_one_label_and_two_scores_and_a_quarter_more_at_most_while_it_grows() -> (
    None
):
    n = 200_000
    columns = Columns()
    for _ in range(0, n, 20_000):
        part = [{"created": 0, "labels": ("a",), "attributes": {}, "scores": {"v": 0.5, "w": 0.5}}] * 20_000
        columns.append(chunk_of(part))
    spare = 300_000  # the tails, whatever the size
    assert columns.nbytes <= 21 * 1.25 * n + spare
    assert Columns.from_arrays(columns.to_arrays()).nbytes <= 21 * n + spare
