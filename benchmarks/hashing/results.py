"""The file of results: what was measured already, so that a run that was stopped goes on where it was.

In: rows of a cell, or why there are none. Out: all rows of a set and backbone, and what is left to measure.

Convention: JSON lines, one object per row, appended cell by cell. A line that is cut off, as by a kill, counts for nothing;
of two lines for the same row the later counts; a cell without all of its rows is measured again.
"""

import json
import math
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

from benchmarks.hashing.measure import Cell
from benchmarks.hashing.methods import REFERENCES
from service.usecases.evaluate import NO_CODES, EvalRow

Place = tuple[str, str]  # set and backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a cell has no rows."""

    cell: Cell
    reason: str


@final
class Results:
    """The rows and failures of a results file; what is added is in the file on return."""

    def __init__(self, file: Path) -> None:
        """Read a file, which may be missing."""
        self._file = file
        self._rows: dict[tuple[Cell, tuple[str, str, int]], tuple[EvalRow, str]] = {}
        self._failures: dict[Cell, str] = {}
        for line in _objects(file):
            self._take(line)

    def missing(
        self, cells: Collection[Cell], lengths: tuple[int, ...], *, asymmetric: Collection[str]
    ) -> list[Cell]:
        """Return the cells that lack a row, in their order; those that failed are among them."""
        return [
            cell
            for cell in cells
            if any(
                (cell, key) not in self._rows
                for key in cell.row_keys(lengths, asymmetric=cell.method in asymmetric)
            )
        ]

    def add(self, cell: Cell, rows: Sequence[EvalRow], *, measured: str) -> None:
        """Keep the rows of a cell; `measured` says when and on what."""
        self._append([{**_place(cell), **asdict(row), "measured": measured} for row in rows])

    def add_failure(self, cell: Cell, reason: str, *, measured: str) -> None:
        """Keep why a cell has no rows."""
        self._append([{**asdict(cell), "error": reason, "measured": measured}])

    def places(self) -> list[Place]:
        """Return every set and backbone that has rows, in the order of their first ones."""
        return list(dict.fromkeys((cell.set_name, cell.backbone) for cell, _ in self._rows))

    def rows(self, place: Place) -> list[EvalRow]:
        """Return the rows of a set and backbone, in the order in which they were first measured."""
        return [row for (cell, _), (row, _) in self._rows.items() if (cell.set_name, cell.backbone) == place]

    def circumstances(self, place: Place) -> list[str]:
        """Return when and on what the rows of a set and backbone were measured, each once."""
        return sorted(
            {at for (cell, _), (_, at) in self._rows.items() if (cell.set_name, cell.backbone) == place}
        )

    def failures(self, place: Place) -> list[Failure]:
        """Return the failures of a set and backbone that no later rows have mended."""
        there = {cell for cell, _ in self._rows}
        return [
            Failure(cell=cell, reason=reason)
            for cell, reason in self._failures.items()
            if (cell.set_name, cell.backbone) == place and cell not in there
        ]

    def _append(self, lines: list[dict[str, Any]]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(_without_nan(line)) + "\n" for line in lines)
        with self._file.open("ab") as stream:
            if stream.tell() and not _ends_with_newline(self._file):
                text = "\n" + text  # after a line that was cut off
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        for line in lines:
            self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "error" in line:
            self._failures[Cell(**{field.name: line[field.name] for field in fields(Cell)})] = line["error"]
            return
        values: dict[str, Any] = {
            field.name: math.nan if line[field.name] is None else line[field.name]
            for field in fields(EvalRow)
        }
        row = EvalRow(**values)
        cell = Cell(
            set_name=line["set_name"],
            backbone=line["backbone"],
            setting=row.setting,
            seed=row.seed,
            method=REFERENCES if row.scoring == NO_CODES else row.method,
        )
        self._rows[cell, (row.method, row.scoring, row.bits)] = (row, line["measured"])


def _place(cell: Cell) -> dict[str, str]:
    return {"set_name": cell.set_name, "backbone": cell.backbone}


def _without_nan(line: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in line.items()
    }


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:  # cut off
            continue
        yield found


def _ends_with_newline(file: Path) -> bool:
    return file.read_bytes()[-1:] == b"\n"
