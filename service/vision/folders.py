"""A folder of pictures without a table: its files in order, each labelled by the subfolder it lies in.

In: a folder. Out: a `LabelsTable` with the columns `file` and `label`, as if a labels.csv had listed them.
Whether a file is a picture is left to `images`, so what is none gets reported by name and reason.
"""

import os
from pathlib import Path

from service.vision.labels_table import LabelsTable, TableRow

_COLUMNS = ("file", "label")


def list_folder(folder: Path) -> LabelsTable:
    """Return every regular file below the folder, sorted by name level by level; hidden files and folders are left out.

    Links are followed. The label is the first folder of a file's path; files right in the folder have none. A folder
    that cannot be listed, or that leads back to one above it, becomes a row with that problem.
    """
    rows: list[TableRow] = []
    pending: list[tuple[str, bool, frozenset[tuple[int, int]]]] = [("", True, frozenset())]
    while pending:
        key, is_folder, above = pending.pop()
        if not is_folder:
            rows.append(_row(key))
            continue
        try:
            status = (folder / key).stat()
            here = (status.st_dev, status.st_ino)
            if here in above:
                rows.append(_row(key, problem="the folder leads back to one above it"))
                continue
            inside = sorted(_entries(folder / key), reverse=True)  # the last one pushed comes out first
        except OSError as error:
            rows.append(_row(key or ".", problem=f"the folder cannot be listed ({error.strerror})"))
            continue
        pending += [
            (f"{key}/{name}" if key else name, is_folder, above | {here}) for name, is_folder in inside
        ]
    return LabelsTable(name=str(folder), key_column="file", columns=_COLUMNS, rows=rows)


def printable(name: str) -> str:
    """Return a file name with the bytes that are not UTF-8 replaced by a question mark in a diamond."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Return the name of each visible entry, and whether it is a folder or a link to one."""
    with os.scandir(folder) as entries:
        return [
            (
                entry.name,
                entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry).is_dir()),
            )
            for entry in entries
            if not entry.name.startswith(".")
        ]


def _row(key: str, *, problem: str = "") -> TableRow:
    name = printable(key)
    label, slash, _ = name.partition("/")
    return TableRow(name=name, key=key, cells=(name, label if slash else ""), problem=problem)
