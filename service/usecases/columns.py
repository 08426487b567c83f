"""What filters look at, by row: labels, attributes, creation times and scores of live images, with the changes since.

In: chunks of consecutive rows, changed rows, removed rows. Out: which rows meet a filter, with counts; facets; arrays for a
generation's files. Leaves storing values to `column_table`, counting them to `facets`, and image ids to whoever keeps them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Int64, Shaped

from hashing.index import Selection
from service.records import ColumnChunk
from service.usecases.column_files import pack_table, unpack_table
from service.usecases.column_kinds import Growing, Vocabulary, add_counts
from service.usecases.column_table import ColumnTable, Match, Words
from service.usecases.facets import (
    AttributeFacet,
    Facet,
    FacetCounts,
    LabelFacet,
    ScoreFacet,
    count_created,
    count_scores,
    count_words,
)
from service.usecases.filters import ImageFilter

_Rows = Int64[np.ndarray, " m"]
_Read = tuple[ColumnTable, int, Int64[np.ndarray, " _"]]  # a table, how many of its places, and which to read


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterCounts:
    """How many live images a filter lets through.

    Attributes:
        matched: They meet it.
        hidden: They do not.
        missing: They lack a score or an attribute that it asks for; matched or hidden as the filter says.
    """

    matched: int
    hidden: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What a filter lets through: rows, or None where there is no filter; and the counts."""

    selection: Selection | None
    counts: FilterCounts


class _Changed(NamedTuple):
    """Rows that were changed and the places of the overlay that hold them now, each row once."""

    rows: Int64[np.ndarray, " c"]
    places: Int64[np.ndarray, " c"]


@final
class Columns:
    """Columns of one generation. One thread writes; any number read without a lock.

    A row is never moved or reused. A changed row is written anew in an overlay, so that its cost does not grow with the
    gallery and readers see all of a change or nothing; a later change of the same row wins.
    """

    def __init__(self) -> None:
        words = Words(Vocabulary(), Vocabulary())
        self._base = ColumnTable(words)
        self._live = Growing(np.bool_, 0)
        self._overlay = ColumnTable(words)
        self._overlay_rows = Growing(np.int32, 0)

    @property
    def n_rows(self) -> int:
        """How many rows were published, removed ones included."""
        return self._base.n_rows

    @property
    def n_live(self) -> int:
        """How many rows are live."""
        return int(np.count_nonzero(self._live.first(self.n_rows)))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays; words not counted."""
        return self._base.nbytes + self._overlay.nbytes + self._live.nbytes + self._overlay_rows.nbytes

    # ------------------------------------------------------------ writing

    def append(self, chunk: ColumnChunk) -> None:
        """Add live rows `n_rows`, `n_rows + 1`, ... and publish them together. Cost does not grow with the gallery, on average."""
        start, end = self.n_rows, self.n_rows + len(chunk.created_us)
        if end > start:
            self._live.reserve(end)
            self._live.write(slice(start, end), np.True_)
            self._base.append(chunk)

    def update(self, row: int, chunk: ColumnChunk) -> None:
        """Replace all that is known of one row by a chunk of one. Cost does not grow with the gallery, on average.

        Raises:
            ValueError: There is no such row, or the chunk is not of one.
        """
        if not 0 <= row < self.n_rows or len(chunk.created_us) != 1:
            raise ValueError(
                f"An update takes a row below {self.n_rows} and a chunk of one, got row {row} and {len(chunk.created_us)}."
            )
        n = self._overlay.n_rows
        self._overlay_rows.reserve(n + 1)
        self._overlay_rows.write(slice(n, n + 1), np.array([row], dtype=np.int32))
        self._overlay.append(chunk)

    def remove(self, rows: _Rows) -> int:
        """Take rows out of every later answer; returns how many were live. Rows that are not there are passed over."""
        rows = np.unique(rows[(rows >= 0) & (rows < self.n_rows)])
        rows = rows[self._live.first(self.n_rows)[rows]]
        if len(rows):
            self._live.write(rows, np.False_)
        return len(rows)

    # ------------------------------------------------------------ reading

    def removed_rows(self) -> _Rows:
        """Return the rows that were removed, ascending."""
        return np.flatnonzero(~self._live.first(self.n_rows))

    def is_live(self, row: int) -> bool:
        """Return whether there is such a row and it was not removed."""
        return row < self.n_rows and bool(self._live.first(self.n_rows)[row])

    def select(self, image_filter: ImageFilter | None, *, n_rows: int | None = None) -> Selected:
        """Return the live rows that meet a filter.

        Args:
            image_filter: None, or an empty one, for no filter.
            n_rows: Rows the caller knows of; None for all that were published.
        """
        n = self.n_rows if n_rows is None else min(n_rows, self.n_rows)
        live = self._live.first(n).copy()  # so that counts agree with each other while rows are removed
        n_live = int(np.count_nonzero(live))
        if image_filter is None or image_filter.is_empty:
            return Selected(selection=None, counts=FilterCounts(matched=n_live, hidden=0, missing=0))
        match = self._with_changes(self._base.match(image_filter, n), image_filter, n)
        if match.rows is not None:
            selection = Selection(rows=match.rows[live[match.rows]], n_rows=n)
        else:
            selection = Selection(mask=match.as_mask(n) & live, n_rows=n)
        matched = len(selection)
        n_missing = 0 if match.missing is None else int(np.count_nonzero(match.missing & live))
        return Selected(
            selection=selection,
            counts=FilterCounts(matched=matched, hidden=n_live - matched, missing=n_missing),
        )

    def _with_changes(self, match: Match, image_filter: ImageFilter, n: int) -> Match:
        rows, places = self._changed(n)
        if not len(rows):
            return match
        m = int(places.max()) + 1
        later = self._overlay.match(image_filter, m)
        mask = match.as_mask(n)
        mask[rows] = later.as_mask(m)[places]
        missing = np.zeros(n, dtype=np.bool_) if match.missing is None else match.missing
        missing[rows] = False if later.missing is None else later.missing[places]
        return Match(None, mask, missing)

    def facet(self, facet: Facet, *, among: Selection | _Rows | None = None) -> FacetCounts:
        """Count the values of one column.

        Args:
            facet: Which, and how.
            among: The rows to look at, each once: what a filter selected, or the neighbourhood of a query; None for all. Removed
                rows are passed over.
        """
        n = self.n_rows
        live = self._live.first(n)
        if among is None:
            rows = np.flatnonzero(live)
        else:
            rows = among.rows if isinstance(among, Selection) else among
            rows = rows[live[rows]]
        tables = list(self._tables(rows, n))
        if isinstance(facet, LabelFacet):
            return self._label_counts(facet, tables, images=len(rows))
        if isinstance(facet, AttributeFacet):
            codes = np.concatenate([table.values_of(facet.name, m, places) for table, m, places in tables])
            counts = np.bincount(codes + 1, minlength=1)  # the first are those without a value
            words = self._base.words.values.words
            return count_words(counts[1:], words, limit=facet.limit, missing=int(counts[0]), images=len(rows))
        if isinstance(facet, ScoreFacet):
            scores = [table.scores_of(facet.name, m, places) for table, m, places in tables]
            return count_scores(facet, np.concatenate(scores))
        return count_created(
            facet, np.concatenate([table.created_at(m, places) for table, m, places in tables])
        )

    def _label_counts(self, facet: LabelFacet, tables: list[_Read], *, images: int) -> FacetCounts:
        counts, labelled = np.zeros(0, dtype=np.int64), 0
        for table, n, places in tables:
            chosen = np.zeros(n, dtype=np.bool_)
            chosen[places] = True
            more, with_label = table.labels.histogram(chosen)
            counts, labelled = add_counts(counts, more), labelled + with_label
        words = self._base.words.labels.words
        return count_words(counts, words, limit=facet.limit, missing=images - labelled, images=images)

    def _tables(self, rows: _Rows, n: int) -> Iterator[_Read]:
        """Yield where these rows are to be read: a table, how many of its places, and which."""
        changed = self._changed(n)
        if not len(changed.rows):
            yield self._base, n, rows
            return
        place = np.full(n, -1, dtype=np.int64)
        place[changed.rows] = changed.places
        places = place[rows]
        yield self._base, n, rows[places < 0]
        yield self._overlay, int(changed.places.max()) + 1, places[places >= 0]

    def _changed(self, n: int) -> _Changed:
        """Return which of the first n rows were changed, and where the overlay holds their last change."""
        rows = self._overlay_rows.first(self._overlay.n_rows).astype(np.int64)
        places = np.flatnonzero(rows < n)
        rows = rows[places]
        last = np.empty(n if len(rows) else 0, dtype=np.int64)  # only what is written here is read
        last[rows] = places  # the last of several writes stays
        newest = last[rows] == places
        return _Changed(rows[newest], places[newest])

    # ------------------------------------------------------------ files

    def to_arrays(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Return all rows, changes applied, as plain arrays; removed rows stay removed. `from_arrays` reads them."""
        n = self.n_rows
        rows, places = self._changed(n)
        arrays = pack_table(self._base, self._overlay, n=n, rows=rows, places=places)
        return {"live": self._live.first(n).copy(), **arrays}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> "Columns":
        """Return columns that hold what `to_arrays` was given; large arrays are kept, not copied, and may be read-only.

        Raises:
            DataLossError: An array is absent, or they do not fit each other.
        """
        columns = cls()
        columns._base = unpack_table(arrays)
        columns._overlay = ColumnTable(columns._base.words)
        columns._live = Growing(np.bool_, 0, arrays["live"].copy())
        return columns
