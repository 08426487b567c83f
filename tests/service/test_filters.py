"""Filters: what is refused when one is made, and the short form for the command line."""

import datetime as dt

import pytest

from service.errors import InvalidArgumentError
from service.usecases.filters import Condition, ImageFilter, ScoreRange, parse_condition, parse_filter

NOON = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
NAIVE = dt.datetime(2026, 1, 31)  # noqa: DTZ001  what a filter must refuse


def test_a_filter_without_conditions_is_empty_and_any_condition_makes_it_not() -> None:
    assert ImageFilter().is_empty
    assert ImageFilter(keep_missing=True).is_empty
    for wanted in (
        ImageFilter(labels_any=("cat",)),
        ImageFilter(labels_all=("cat",)),
        ImageFilter(labels_none=("cat",)),
        ImageFilter(attributes={"camera": ("A7",)}),
        ImageFilter(created_from=NOON),
        ImageFilter(created_before=NOON),
        ImageFilter(scores={"valence": ScoreRange()}),
    ):
        assert not wanted.is_empty


@pytest.mark.parametrize(
    ("conditions", "field", "message"),
    [
        ({"labels_any": ("cat", "")}, "labels_any", "labels_any contains an empty word"),
        ({"labels_none": ("",)}, "labels_none", "labels_none contains an empty word"),
        (
            {"labels_all": tuple(map(str, range(257)))},
            "labels_all",
            "labels_all takes at most 256 words, got 257",
        ),
        ({"attributes": {"camera": ()}}, "attributes", "'camera' has no value to be compared with"),
        ({"attributes": {"": ("A7",)}}, "attributes", "attributes contains an empty word"),
        ({"attributes": {"camera": ("",)}}, "attributes", "attributes contains an empty word"),
        ({"created_from": NAIVE}, "created_from", "created_from must say its time zone, got 2026-01-31T00"),
        ({"created_before": NAIVE}, "created_before", "created_before must say its time zone"),
        (
            {"created_from": NOON, "created_before": NOON},
            "created_before",
            "must be before created_before, got 2026",
        ),
        ({"scores": {"": ScoreRange()}}, "scores", "scores contains an empty word"),
        (
            {"scores": {"v": ScoreRange(minimum=float("nan"))}},
            "scores",
            "'v' must be finite numbers, got nan",
        ),
        ({"scores": {"v": ScoreRange(maximum=float("inf"))}}, "scores", "Leave a bound out for no limit"),
        (
            {"scores": {"v": ScoreRange(minimum=2.0, maximum=1.0)}},
            "scores",
            "minimum of score 'v' must not exc",
        ),
    ],
)
def test_a_filter_that_nothing_can_meet_or_nobody_can_mean_is_refused(
    conditions: dict[str, object], field: str, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message) as refused:
        ImageFilter(**conditions)  # type: ignore[arg-type]  # conditions of all kinds
    assert refused.value.field == field


def test_256_words_are_not_too_many_and_a_range_may_be_one_point() -> None:
    assert len(ImageFilter(labels_any=tuple(map(str, range(256)))).labels_any) == 256
    assert ImageFilter(scores={"v": ScoreRange(minimum=1.0, maximum=1.0)}).scores["v"].maximum == 1.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("label=cat", ("label", "=", "cat")),
        (" label != a b ", ("label", "!=", "a b")),
        ("valence>=4.5", ("valence", ">=", "4.5")),
        ("created<2026-01-01", ("created", "<", "2026-01-01")),
        ("place name=a=b<c", ("place name", "=", "a=b<c")),
    ],
)
def test_a_condition_is_read_into_its_parts(text: str, parts: tuple[str, str, str]) -> None:
    assert parse_condition(text) == Condition(*parts)


def test_conditions_are_merged_into_one_filter() -> None:
    texts = [
        "label=cat|dog",
        "label=outdoor",
        "label=sharp",
        "label!=dark|blurred",
        "label!=old",
        "camera=A7|Z6",
        "valence>=4.5",
        "valence<=7",
        "arousal<=-1e-3",
        "created>=2026-01-31",
        "created<2026-02-01T12:00:00+01:00",
    ]
    assert parse_filter(texts, keep_missing=True) == ImageFilter(
        labels_any=("cat", "dog"),
        labels_all=("outdoor", "sharp"),
        labels_none=("dark", "blurred", "old"),
        attributes={"camera": ("A7", "Z6")},
        scores={
            "valence": ScoreRange(minimum=4.5, maximum=7.0),
            "arousal": ScoreRange(maximum=-0.001),
        },
        created_from=dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
        created_before=dt.datetime(2026, 2, 1, 11, tzinfo=dt.UTC),
        keep_missing=True,
    )
    assert parse_filter([]).is_empty


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["cat"], r"'cat' is no condition. Expected one of: label=WORD"),
        (["=cat"], "'=cat' is no condition"),
        (["label="], "'label=' is no condition"),
        ([""], "'' is no condition"),
        (["arousal<3"], "arousal is compared by = or >= or <=, got 'arousal<3'"),
        (["camera!=A7"], "camera is compared by = or >= or <="),
        (["label>=cat"], "label is compared by = or !=, got 'label>=cat'"),
        (["created=2026-01-01"], "created is compared by >= or <, got"),
        (["valence>=high"], "'valence>=high' compares a score, so 'high' must be a number"),
        (["created>=soon"], "'created>=soon' compares a time, so 'soon' must be one such as"),
        (["camera=A7", "camera=Z6"], "'camera=A7' and 'camera=Z6' cannot be had together"),
        (
            ["label=a|b", "label=c|d"],
            "'label=a|b' and 'label=c|d' cannot be had together".replace("|", r"\|"),
        ),
        (["v>=1", "v>=2"], "'v>=1' and 'v>=2' cannot be had together"),
        (["v>=nan"], "must be finite numbers"),
        (["label=a|"], "labels_any contains an empty word"),
        (["v>=2", "v<=1"], "must not exceed its maximum"),
    ],
)
def test_a_bad_text_is_refused_and_the_message_says_what_was_expected(texts: list[str], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        parse_filter(texts)
