"""Which images a search may find: a typed filter, and its short form for the command line.

In: labels, attributes, times and scores that are asked for, or texts such as `label=cat`. Out: a checked `ImageFilter`.
Leaves finding the images to `columns`.

Grammar of a condition; an image must meet all that are given:

    label=cat               has the label cat; repeat it for images that have several
    label=cat|dog           has one of these labels
    label!=blurred|dark     has none of these labels
    camera=A7               its attribute camera is A7
    camera=A7|Z6            ... is one of these
    valence>=4.5            its score valence is at least 4.5
    valence<=7              ... at most 7
    created>=2026-01-01     came into the store on that day or later
    created<2026-02-01T12:00:00+01:00     ... before that moment; UTC where no offset is given
"""

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.errors import InvalidArgumentError

MAX_WORDS = 256  # of one list; a filter is something a person or program meant, not a gallery

_CONDITION = re.compile(r"\s*(?P<name>[^=!<>]*[^=!<>\s])\s*(?P<operator>!=|>=|<=|=|<|>)\s*(?P<value>.*\S)\s*")
_FORMS = (
    "Expected one of: label=WORD, label!=WORD, NAME=VALUE, NAME>=NUMBER, NAME<=NUMBER, created>=TIME, created<TIME "
    "(several words are separated by |)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRange:
    """Scores from `minimum` to `maximum`, both included; None for no limit. With neither, any score will do."""

    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilter:
    """Conditions that an image must meet, all of them. Checked when made.

    Attributes:
        labels_any: It has at least one of these.
        labels_all: It has all of these.
        labels_none: It has none of these.
        attributes: By name of an attribute, the values of which it has one.
        created_from: It came into the store at this time or later; with a time zone.
        created_before: It came into the store before this time; with a time zone.
        scores: By name of a score, the range it lies in, to the precision of float32.
        keep_missing: Whether an image that lacks a score asked for passes that condition.

    Raises:
        InvalidArgumentError: A condition is empty, contradicts itself or has too many words; `field` names it.
    """

    labels_any: tuple[str, ...] = ()
    labels_all: tuple[str, ...] = ()
    labels_none: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    created_from: dt.datetime | None = None
    created_before: dt.datetime | None = None
    scores: Mapping[str, ScoreRange] = field(default_factory=dict)
    keep_missing: bool = False

    def __post_init__(self) -> None:
        for name in ("labels_any", "labels_all", "labels_none"):
            _check_words(getattr(self, name), name)
        _check_words(tuple(self.attributes), "attributes")
        for name, values in self.attributes.items():
            if not values:
                raise InvalidArgumentError(
                    f"Attribute {name!r} has no value to be compared with. Give one or leave it out.",
                    field="attributes",
                )
            _check_words(values, "attributes")
        self._check_created()
        _check_words(tuple(self.scores), "scores")
        for name, wanted in self.scores.items():
            _check_range(name, wanted)

    @property
    def is_empty(self) -> bool:
        """Whether every image meets it."""
        words = self.labels_any or self.labels_all or self.labels_none or self.attributes or self.scores
        return not words and self.created_from is None and self.created_before is None

    def _check_created(self) -> None:
        for name in ("created_from", "created_before"):
            moment = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise InvalidArgumentError(
                    f"{name} must say its time zone, got {moment.isoformat()}. Use UTC.", field=name
                )
        if self.created_from and self.created_before and self.created_from >= self.created_before:
            raise InvalidArgumentError(
                f"created_from must be before created_before, got {self.created_from.isoformat()} and "
                f"{self.created_before.isoformat()}: no image can meet that.",
                field="created_before",
            )


def _check_words(words: Sequence[str], name: str) -> None:
    if len(words) > MAX_WORDS:
        raise InvalidArgumentError(
            f"{name} takes at most {MAX_WORDS} words, got {len(words)}. Ask for fewer.", field=name
        )
    if not all(words):
        raise InvalidArgumentError(f"{name} contains an empty word. Leave it out.", field=name)


def _check_range(name: str, wanted: ScoreRange) -> None:
    bounds = [bound for bound in (wanted.minimum, wanted.maximum) if bound is not None]
    if not all(map(math.isfinite, bounds)):
        raise InvalidArgumentError(
            f"The bounds of score {name!r} must be finite numbers, got {wanted.minimum} and {wanted.maximum}. "
            "Leave a bound out for no limit.",
            field="scores",
        )
    if bounds != sorted(bounds):
        raise InvalidArgumentError(
            f"The minimum of score {name!r} must not exceed its maximum, got {wanted.minimum} and {wanted.maximum}.",
            field="scores",
        )


# ---------------------------------------------------------------- the short form


class Condition(NamedTuple):
    """One condition as it was written: what it is about, how that is compared, and with what."""

    name: str
    operator: str
    value: str

    @property
    def text(self) -> str:
        """How it reads."""
        return f"{self.name}{self.operator}{self.value}"


def parse_condition(text: str) -> Condition:
    """Return one condition in its parts.

    Raises:
        InvalidArgumentError: It is no condition; the message says which forms there are.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise InvalidArgumentError(f"{text!r} is no condition. {_FORMS}", field="filter")
    condition = Condition(found["name"], found["operator"], found["value"])
    allowed = {"label": ("=", "!="), "created": (">=", "<")}.get(condition.name, ("=", ">=", "<="))
    if condition.operator not in allowed:
        raise InvalidArgumentError(
            f"{condition.name} is compared by {' or '.join(allowed)}, got {condition.text!r}. {_FORMS}",
            field="filter",
        )
    return condition


def parse_filter(texts: Sequence[str], *, keep_missing: bool = False) -> ImageFilter:
    """Return the filter that demands all these conditions; none gives the empty filter.

    Args:
        texts: Conditions in the grammar above.
        keep_missing: Whether images that lack a score asked for pass that condition.

    Raises:
        InvalidArgumentError: A text is no condition, or two cannot be had together.
    """
    labels_all: list[str] = []
    labels_none: list[str] = []
    single: dict[tuple[str, str], Condition] = {}  # of these, two would contradict or repeat each other
    for condition in map(parse_condition, texts):
        words = _words(condition)
        if condition.name == "label" and condition.operator == "!=":
            labels_none += words
        elif condition.name == "label" and len(words) == 1:
            labels_all += words
        else:
            earlier = single.setdefault(condition[:2], condition)
            if earlier is not condition:
                raise InvalidArgumentError(
                    f"{earlier.text!r} and {condition.text!r} cannot be had together. Give one of them; NAME=A|B means A or B.",
                    field="filter",
                )
    attributes = {name: c for (name, sign), c in single.items() if sign == "=" and name != "label"}
    scores = dict.fromkeys(name for name, sign in single if sign in {">=", "<="} and name != "created")
    any_of = single.get(("label", "="))
    return ImageFilter(
        labels_any=_words(any_of) if any_of else (),
        labels_all=tuple(dict.fromkeys(labels_all)),
        labels_none=tuple(dict.fromkeys(labels_none)),
        attributes={name: _words(condition) for name, condition in attributes.items()},
        created_from=_moment(single.get(("created", ">="))),
        created_before=_moment(single.get(("created", "<"))),
        scores={
            name: ScoreRange(
                minimum=_number(single.get((name, ">="))), maximum=_number(single.get((name, "<=")))
            )
            for name in scores
        },
        keep_missing=keep_missing,
    )


def _words(condition: Condition) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in condition.value.split("|")))


def _number(condition: Condition | None) -> float | None:
    if condition is None:
        return None
    try:
        return float(condition.value)
    except ValueError as error:
        raise InvalidArgumentError(
            f"{condition.text!r} compares a score, so {condition.value!r} must be a number such as 4.5.",
            field="filter",
        ) from error


def _moment(condition: Condition | None) -> dt.datetime | None:
    if condition is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(condition.value)
    except ValueError as error:
        raise InvalidArgumentError(
            f"{condition.text!r} compares a time, so {condition.value!r} must be one such as 2026-01-31 or "
            "2026-01-31T12:00:00+01:00.",
            field="filter",
        ) from error
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=dt.UTC)
