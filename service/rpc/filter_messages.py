"""Filters and times in messages: which images count, read; what a filter did, written.

In: messages of filter.proto, and the domain's counts. Out: the other of the two, or an InvalidArgumentError that names the field.
What makes sense in a filter is the domain's to say.
"""

import datetime as dt
from contextlib import suppress

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from polyhash.v1 import filter_pb2

from service.errors import InvalidArgumentError
from service.rpc.checks import inside
from service.usecases.columns import FilterCounts
from service.usecases.filters import ImageFilter, ScoreRange

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NANOS_PER_S = 10**9


def read_filter(request: Message) -> ImageFilter | None:
    """Return the filter of a request; None where it has none.

    Raises:
        InvalidArgumentError: A condition is empty or contradicts itself; its field is within `filter`.
    """
    if not request.HasField("filter"):
        return None
    message: filter_pb2.ImageFilter = getattr(request, "filter")  # noqa: B009 - requests of several types have one
    with inside("filter"):
        return ImageFilter(
            labels_any=tuple(message.labels_any),
            labels_all=tuple(message.labels_all),
            labels_none=tuple(message.labels_none),
            attributes={name: tuple(wanted.values) for name, wanted in message.attributes.items()},
            created_from=read_time(message.created_from, field="created_from")
            if message.HasField("created_from")
            else None,
            created_before=read_time(message.created_before, field="created_before")
            if message.HasField("created_before")
            else None,
            scores={name: _read_range(wanted) for name, wanted in message.scores.items()},
            keep_missing=message.keep_missing,
        )


def read_time(time: Timestamp, *, field: str) -> dt.datetime:
    """Return a moment in UTC, rounded up to microseconds: so an image is before it, or not, as without rounding.

    Raises:
        InvalidArgumentError: It is no valid timestamp.
    """
    moment = None
    if 0 <= time.nanos < _NANOS_PER_S:
        with suppress(OverflowError):
            moment = _EPOCH + dt.timedelta(seconds=time.seconds, microseconds=-(-time.nanos // 1000))
    if moment is None:
        raise InvalidArgumentError(
            f"{field} must be a time from 0001-01-01 to 9999-12-31 with 0 to 999,999,999 nanoseconds, got "
            f"{time.seconds} s and {time.nanos} ns.",
            reason="TIME_OUT_OF_RANGE",
            field=field,
        )
    return moment


def write_tally(counts: FilterCounts) -> filter_pb2.FilterCounts:
    """Return what a filter did."""
    return filter_pb2.FilterCounts(matched=counts.matched, hidden=counts.hidden, missing=counts.missing)


def _read_range(wanted: filter_pb2.ScoreRange) -> ScoreRange:
    return ScoreRange(
        minimum=wanted.minimum if wanted.HasField("minimum") else None,
        maximum=wanted.maximum if wanted.HasField("maximum") else None,
    )
