"""What filters look at, by place, append-only: creation times, labels, attributes and scores.

In: chunks of consecutive places. Out: which places meet a filter, which lack what it asks for, and the values themselves. One
writer, readers without a lock. Leaves places that are replaced or removed to `columns`.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Shaped

from service.records import ColumnChunk
from service.usecases.column_kinds import Growing, Postings, Vocabulary
from service.usecases.filters import ImageFilter, ScoreRange

_FEW = 16  # labels of fewer than one place in this many are looked up; else all places are gone through
_LARGEST = float(np.finfo(np.float32).max)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_Rows = Int64[np.ndarray, " m"]
_Given = tuple[
    Int64[np.ndarray, " _"], Shaped[np.ndarray, " _"]
]  # the places that have a name, and their values


class Words(NamedTuple):
    """The words that several tables number alike."""

    labels: Vocabulary
    values: Vocabulary  # of all attributes


@final
class Sparse:
    """A named column, of which places may lack a value."""

    def __init__(self, values: Growing, *, complete: bool) -> None:
        self.values, self.complete = values, complete


class Match(NamedTuple):
    """Which of the first n places meet a filter: one of both; and which lack a value asked for, None for none."""

    rows: Int64[np.ndarray, " m"] | None
    mask: Bool[np.ndarray, " n"] | None
    missing: Bool[np.ndarray, " n"] | None

    def as_mask(self, n: int) -> Bool[np.ndarray, " n"]:
        """Return the mask, which the caller may change."""
        if self.mask is not None:
            return self.mask
        mask = np.zeros(n, dtype=np.bool_)
        mask[self.rows] = True
        return mask


def to_float32(scores: float | Sequence[float]) -> Float32[np.ndarray, "..."]:
    """Return scores as they are kept: the nearest float32, the largest one for those beyond."""
    return np.asarray(np.clip(np.asarray(scores, dtype=np.float64), -_LARGEST, _LARGEST), dtype=np.float32)


def to_microseconds(moment: dt.datetime) -> int:
    """Return the microseconds from 1970-01-01 UTC to a moment with a time zone."""
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


@final
class ColumnTable:
    """Append-only columns. Readers see the first `n_rows` places that were published."""

    def __init__(
        self, words: Words, *, n_rows: int = 0, created: Growing | None = None, labels: Postings | None = None
    ) -> None:
        self.words = words
        self.n_rows = n_rows
        self.created = created or Growing(np.int64, 0)
        self.labels = labels or Postings()
        self.attributes: dict[str, Sparse] = {}
        self.scores: dict[str, Sparse] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays; words not counted."""
        named = chain(self.attributes.values(), self.scores.values())
        return self.created.nbytes + self.labels.nbytes + sum(column.values.nbytes for column in named)

    def append(self, chunk: ColumnChunk) -> None:
        """Add the places `n_rows`, `n_rows + 1`, ... and publish them together."""
        start, n = self.n_rows, len(chunk.created_us)
        self.created.reserve(start + n)
        self.created.write(slice(start, start + n), chunk.created_us)
        places = np.arange(start, start + n, dtype=np.int32)
        counts = np.fromiter(map(len, chunk.labels), np.int64, n)
        codes = self.words.labels.encode(list(chain.from_iterable(chunk.labels)))
        self.labels.append(np.repeat(places, counts), codes)
        self._append_named(
            self.attributes,
            lambda: Growing(np.int32, -1),
            n,
            _by_name(chunk.attributes, self.words.values.encode),
        )
        self._append_named(
            self.scores, lambda: Growing(np.float32, np.nan), n, _by_name(chunk.scores, to_float32)
        )
        self.n_rows = start + n

    def _append_named(
        self,
        columns: dict[str, Sparse],
        make: Callable[[], Growing],
        n: int,
        given: dict[str, _Given],
    ) -> None:
        start = self.n_rows
        for name, column in list(columns.items()):
            column.complete &= name in given and len(given[name][0]) == n
            column.values.reserve(start + n)
        for name, (places, values) in given.items():
            column = columns.get(name) or Sparse(make(), complete=start == 0 and len(places) == n)
            column.values.reserve(start + n)
            column.values.write(places + start, values)
            columns[name] = column

    # ------------------------------------------------------------ filters

    def match(self, wanted: ImageFilter, n: int) -> Match:
        """Return which of the first n places meet a filter."""
        known = self.words.labels.known
        groups = [known(group) for group in (wanted.labels_any, *((w,) for w in wanted.labels_all)) if group]
        groups.sort(key=self.labels.count)
        missing = self._missing(wanted, n)
        if groups and self.labels.count(groups[0]) * _FEW < n:
            rows = self.labels.rows(groups[0], n)
            for group in groups[1:]:
                rows = rows[self.labels.holds(group, rows)]
            rows = rows[~self.labels.holds(known(wanted.labels_none), rows)]
            return Match(rows[self._dense(wanted, n, rows)], None, missing)
        mask = self._dense(wanted, n, None)
        for group in groups:
            mask &= self.labels.mask(group, n)
        if wanted.labels_none:
            mask &= ~self.labels.mask(known(wanted.labels_none), n)
        return Match(None, mask, missing)

    def _dense(self, wanted: ImageFilter, n: int, rows: _Rows | None) -> Bool[np.ndarray, " m"]:
        """Return whether each of these places, or of the first n, meets all conditions that are not about labels."""
        keep = np.ones(n if rows is None else len(rows), dtype=np.bool_)
        if wanted.created_from is not None:
            keep &= self.created_at(n, rows) >= to_microseconds(wanted.created_from)
        if wanted.created_before is not None:
            keep &= self.created_at(n, rows) < to_microseconds(wanted.created_before)
        for name, words in wanted.attributes.items():
            codes = self.words.values.known(words)
            values = self.values_of(name, n, rows)
            keep &= values == codes[0] if len(codes) == 1 else np.isin(values, codes)
        for name, bounds in wanted.scores.items():
            keep &= _within(self.scores_of(name, n, rows), bounds, keep_missing=wanted.keep_missing)
        return keep

    def _missing(self, wanted: ImageFilter, n: int) -> Bool[np.ndarray, " n"] | None:
        missing = None
        asked = [(self.attributes, name) for name in wanted.attributes] + [
            (self.scores, name) for name in wanted.scores
        ]
        for columns, name in asked:
            column = columns.get(name)
            if column is None:
                return np.ones(n, dtype=np.bool_)
            if not column.complete:
                values = column.values.first(n)
                lacking = np.isnan(values) if columns is self.scores else values < 0
                missing = lacking if missing is None else missing | lacking
        return missing

    # ------------------------------------------------------------ values

    def created_at(self, n: int, rows: _Rows | None) -> Int64[np.ndarray, " m"]:
        """Return the creation times in microseconds at these places, or of the first n."""
        return _pick(self.created.first(n), rows)

    def values_of(self, name: str, n: int, rows: _Rows | None) -> Int32[np.ndarray, " m"]:
        """Return the numbers of an attribute's values at these places, or of the first n; -1 where there is none."""
        column = self.attributes.get(name)
        if column is None:
            return np.full(n if rows is None else len(rows), -1, dtype=np.int32)
        return _pick(column.values.first(n), rows)

    def scores_of(self, name: str, n: int, rows: _Rows | None) -> Float32[np.ndarray, " m"]:
        """Return the scores of one name at these places, or of the first n; NaN where there is none."""
        column = self.scores.get(name)
        if column is None:
            return np.full(n if rows is None else len(rows), np.nan, dtype=np.float32)
        return _pick(column.values.first(n), rows)


def _pick(values: Shaped[np.ndarray, " n"], rows: _Rows | None) -> Shaped[np.ndarray, " m"]:
    if rows is None:
        return values
    picked: Shaped[np.ndarray, " m"] = values[rows]
    return picked


def _within(
    scores: Float32[np.ndarray, " m"], bounds: ScoreRange, *, keep_missing: bool
) -> Bool[np.ndarray, " m"]:
    if bounds.minimum is None and bounds.maximum is None:
        keep: Bool[np.ndarray, " m"] = ~np.isnan(scores)
    else:
        keep = np.ones(len(scores), dtype=np.bool_)
    if bounds.minimum is not None:
        keep &= scores >= to_float32(bounds.minimum)
    if bounds.maximum is not None:
        keep &= scores <= to_float32(bounds.maximum)
    if keep_missing:
        keep |= np.isnan(scores)
    return keep


def _by_name(
    mappings: Sequence[Mapping[str, Any]], encode: Callable[[list[Any]], Shaped[np.ndarray, " _"]]
) -> dict[str, _Given]:
    """Turn one mapping per place into, per name, the places that have it, ascending, and their encoded values."""
    names = list(chain.from_iterable(mappings))
    if not names:
        return {}
    values = encode(list(chain.from_iterable(mapping.values() for mapping in mappings)))
    places = np.repeat(
        np.arange(len(mappings), dtype=np.int64), np.fromiter(map(len, mappings), np.int64, len(mappings))
    )
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    codes = np.fromiter(map(numbers.__getitem__, names), np.int32, len(names))
    return {name: (places[codes == code], values[codes == code]) for name, code in numbers.items()}
