"""Image sets: one reader for folders of classes, flat folders, and tables beside files, archives or arrays.

In: `SET` or `SET:SPLIT+SPLIT`, where SET is a folder. Out: an `ImageSet`, which yields `SourceImage`s lazily.
A row or file that cannot be used is yielded too, and its `read` says why: reports have one channel. Decoding is left to
`images`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import final

from service.errors import InvalidArgumentError, NotFoundError
from service.records import SourceImage
from service.vision.containers import (
    ArrayRows,
    CompressedTarMembers,
    Container,
    LooseFiles,
    TarMembers,
    fails_with,
)
from service.vision.folders import list_folder, printable
from service.vision.images import DEFAULT_LIMITS, ImageLimits
from service.vision.labels_table import SET_INVALID, LabelsTable, TableRow, read_labels_table, split_labels

TABLE = "labels.csv"


@final
class ImageSet:
    """Pictures with their labels and attributes, in an order that depends on nothing but the files.

    Iterating may be repeated. From a tar.xz the pictures come in the order of the archive, else in that of the table.

    Attributes:
        name: Name of the folder, with the splits if some were selected (`corel1k:train+query`).
        label_column: Which column became the labels, or None.
    """

    def __init__(
        self,
        *,
        name: str,
        table: LabelsTable,
        container: Container,
        choice: str | None,
        splits: tuple[str, ...],
    ) -> None:
        self.name = name
        self.label_column = table.label_column(choice)
        self._table = table.select(splits) if splits else table
        self._container = container
        self._listed = frozenset(row.key for row in table.rows if not row.problem)

    def __len__(self) -> int:
        """Return how many entries an iteration yields, those that cannot be read included."""
        return len(self._table.rows)

    def __iter__(self) -> Iterator[SourceImage]:
        """Yield every entry once: first the rows that cannot be used, then the pictures."""
        usable: dict[str, TableRow] = {}
        for row in self._table.rows:
            if row.problem:
                error = InvalidArgumentError(f"Cannot be used: {row.problem}.", reason=SET_INVALID)
                yield SourceImage(name=row.name, read=fails_with(error))
            else:
                usable[row.key] = row
        for picture in self._container.find(usable):
            row = usable[picture.key]
            cells = dict(zip(self._table.columns, row.cells, strict=True))
            del cells[self._table.key_column]
            labels = split_labels(cells.pop(self.label_column)) if self.label_column else ()
            yield SourceImage(
                name=row.name, read=picture.read, source=picture.source, labels=labels, attributes=cells
            )

    def notes(self) -> list[str]:
        """Return sentences about the set as a whole, such as pictures left out; complete after an iteration."""
        return self._container.notes(self._listed)


def open_image_set(spec: str, *, label: str | None = None, limits: ImageLimits = DEFAULT_LIMITS) -> ImageSet:
    """Return the image set that `spec` names.

    SET is a folder. With a `labels.csv` (columns `file`, any others) its rows are the set, and the pictures are
    beside it in `images.tar`, `images.tar.xz`, `images.npz` (column `row` in place of `file`) or as files. Without,
    every visible file below the folder is an entry, labelled by the first subfolder of its path if there is one.

    Args:
        spec: `SET`, `SET:SPLIT` or `SET:SPLIT+SPLIT` for the rows whose column `split` has one of the values. A path
            that exists with its colon is taken as SET.
        label: Column with the labels, several joined by `|`; default is the first of label, labels, category.
        limits: Files above `max_bytes` are not read.

    Raises:
        NotFoundError: There is no such folder.
        InvalidArgumentError: It is no folder; the table or archive cannot be read; the label column or split does
            not exist (the message lists those that do).
        OSError: The folder or table is there, but cannot be read.
    """
    folder, splits = parse_set_spec(spec)
    table = read_labels_table(folder / TABLE) if (folder / TABLE).is_file() else list_folder(folder)
    name = printable(folder.resolve().name)
    return ImageSet(
        name=f"{name}:{'+'.join(splits)}" if splits else name,
        table=table,
        container=_container(folder, table, limits),
        choice=label,
        splits=splits,
    )


def parse_set_spec(spec: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder and the splits that `SET`, `SET:SPLIT` or `SET:SPLIT+SPLIT` names; raises as `open_image_set`."""
    path = spec
    splits: tuple[str, ...] = ()
    if not os.path.lexists(spec):
        path, colon, names = spec.rpartition(":")
        if not colon or not os.path.lexists(path):
            raise NotFoundError(
                f"Image set {spec!r} does not exist. Give a folder of images, or FOLDER:SPLIT.", set=spec
            )
        splits = tuple(names.split("+"))
        if "" in splits:
            raise InvalidArgumentError(
                f"{spec!r} names an empty split. Write for example {path}:train+query."
            )
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise InvalidArgumentError(f"{path!r} is no folder. An image set is a folder of images.", set=spec)
    return folder, splits


def _container(folder: Path, table: LabelsTable, limits: ImageLimits) -> Container:
    if table.key_column == "row":
        return ArrayRows(folder / "images.npz")
    listed = (folder / TABLE).is_file()
    if listed and (folder / "images.tar").is_file():
        return TarMembers(folder / "images.tar", limits=limits)
    if listed and (folder / "images.tar.xz").is_file():
        return CompressedTarMembers(folder / "images.tar.xz", limits=limits)
    return LooseFiles(folder, limits=limits)
