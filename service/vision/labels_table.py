"""The table of an image set: one row per picture, with its file (or array row), labels and attributes as text.

In: a `labels.csv` (UTF-8, comma, header line). Out: rows in file order, each fit to use or with the reason why not.
Where the pictures are is left to `folders` and `archives`.
"""

import csv
import io
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.errors import InvalidArgumentError

LABEL_COLUMNS = ("label", "labels", "category")  # the first one present is the default
KEY_COLUMNS = ("file", "row")
SET_INVALID = "IMAGESET_INVALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row of the table.

    Attributes:
        name: What reports call the row: its key, or its line where it has none.
        key: Names the picture: a relative path with forward slashes, or the number of an array row.
        cells: Its text, one per column of the table.
        problem: Why the row cannot be used, empty if it can.
    """

    name: str
    key: str
    cells: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsTable:
    """Rows with their column names; `key_column` is the one of `KEY_COLUMNS` that names the pictures."""

    name: str
    key_column: str
    columns: tuple[str, ...]
    rows: Sequence[TableRow]

    def label_column(self, choice: str | None) -> str | None:
        """Return the column that holds the labels: the choice, else the first of `LABEL_COLUMNS` there is, or None.

        Raises:
            InvalidArgumentError: The chosen column does not exist.
        """
        if choice is None:
            return next((column for column in LABEL_COLUMNS if column in self.columns), None)
        if choice not in self.columns or choice == self.key_column:
            there = ", ".join(column for column in self.columns if column != self.key_column) or "none"
            raise InvalidArgumentError(
                f"{self.name} has no label column {choice!r}. Columns there are: {there}.",
                field="label",
                columns=there,
            )
        return choice

    def select(self, splits: Sequence[str]) -> "LabelsTable":
        """Return the table of only those rows whose column `split` has one of these values.

        Raises:
            InvalidArgumentError: There is no such column, or no row with one of the values.
        """
        if "split" not in self.columns:
            raise InvalidArgumentError(
                f"{self.name} has no column 'split', so {'+'.join(splits)!r} cannot be selected. "
                "Name the set without a split.",
                field="split",
            )
        at = self.columns.index("split")
        there = sorted({row.cells[at] for row in self.rows if not row.problem})
        for split in splits:
            if split not in there:
                raise InvalidArgumentError(
                    f"{self.name} has no split {split!r}. Splits there are: {', '.join(there) or 'none'}.",
                    field="split",
                    splits=", ".join(there),
                )
        # A row that cannot be used has no split to trust; it is reported with the whole set only.
        return replace(self, rows=[row for row in self.rows if not row.problem and row.cells[at] in splits])


def read_labels_table(path: Path) -> LabelsTable:
    """Return the table in a `labels.csv`. Faults of single rows are kept with the row, so that the others can be used.

    Raises:
        InvalidArgumentError: Not UTF-8, not CSV, no or repeated column names, or neither a column `file` nor `row`.
        OSError: The file cannot be read.
    """
    lines = _csv_lines(path)
    _, header = next(lines, (1, []))
    columns = tuple(cell.strip() for cell in header)
    key_column = next((column for column in KEY_COLUMNS if column in columns), None)
    if key_column is None:
        raise InvalidArgumentError(
            f"{path} has no column 'file'. Its header line must name the columns, 'file' (or 'row' for images.npz) "
            f"among them; got: {', '.join(columns) or 'an empty file'}.",
            reason=SET_INVALID,
        )
    if len(set(columns)) < len(columns):
        raise InvalidArgumentError(
            f"{path} names a column twice: {', '.join(columns)}. Rename one of them.", reason=SET_INVALID
        )
    first_line: dict[str, int] = {}
    at = columns.index(key_column)
    rows = [
        _row(
            path.name,
            line,
            cells,
            columns,
            key=cells[at].strip() if at < len(cells) else "",
            first_line=first_line,
        )
        for line, cells in lines
        if cells  # a blank line
    ]
    return LabelsTable(name=str(path), key_column=key_column, columns=columns, rows=rows)


def split_labels(cell: str) -> tuple[str, ...]:
    """Return the distinct labels of a cell, which joins several with `|`."""
    return tuple(dict.fromkeys(label for part in cell.split("|") if (label := part.strip())))


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidArgumentError(
            f"{path} is not UTF-8 text (line {line}). Save it as UTF-8.", reason=SET_INVALID, line=line
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise InvalidArgumentError(
            f"{path} is not a comma-separated table at line {reader.line_num}: {error}.",
            reason=SET_INVALID,
            line=reader.line_num,
        ) from None


def _row(
    table: str, line: int, cells: list[str], columns: Sequence[str], *, key: str, first_line: dict[str, int]
) -> TableRow:
    problem = ""
    if len(cells) != len(columns):
        problem = f"line {line} of {table} has {len(cells)} cells, its header has {len(columns)}"
    elif not key:
        problem = f"line {line} of {table} names no file"
    elif posixpath.isabs(key) or ".." in key.split("/") or "\0" in key:
        problem = f"line {line} of {table} names a file outside of the set folder"
    else:
        key = posixpath.normpath(key)
        if (before := first_line.setdefault(key, line)) != line:
            problem = f"line {line} of {table} names the same picture as line {before}, which is the one that counts"
    name = f"{table} line {line}" if problem else key if "file" in columns else f"row {key}"
    return TableRow(name=name, key=key, cells=tuple(cells), problem=problem)
