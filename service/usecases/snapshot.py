"""What searches look at: one generation in memory with all changes since, under one model.

In: arrays of a generation or chunks of the catalog, then single changes. Out: ids, codes and filter columns that share rows
(docs/decisions/0008). One writer changes it; any number of searches read it meanwhile. Where it comes from is `loading`'s.
"""

from collections.abc import Callable
from typing import final

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from hashing.layout import CodeLayout
from service.ports import Hasher, RecordIndex
from service.records import ColumnChunk, GenerationFiles
from service.usecases.columns import Columns

IndexFactory = Callable[[CodeLayout], RecordIndex]

IMAGE_IDS, RECORDS, COLUMN = "image_ids", "records", "column-"  # names of arrays in a generation


@final
class Snapshot:
    """Everything that answers a search, consistent in itself.

    Attributes:
        generation: Number of the generation it was loaded from; 0 if it was read from the catalog alone.
        hasher: The model that made its codes, and makes those of queries.
        index: Codes of all lengths by row.
        columns: What filters look at, by row.
        sequence: Last change of the catalog that it contains.
    """

    def __init__(self, hasher: Hasher, *, index_factory: IndexFactory, generation: int = 0) -> None:
        """Start empty."""
        self.generation = generation
        self.hasher = hasher
        self.index = index_factory(hasher.layout)
        self.columns = Columns()
        self.sequence = 0
        self._ids: Int64[np.ndarray, " room"] = np.empty(0, dtype=np.int64)
        self._n_ids = 0

    @classmethod
    def from_files(
        cls, files: GenerationFiles, hasher: Hasher, *, index_factory: IndexFactory, generation: int
    ) -> "Snapshot":
        """Return the snapshot that `to_files` gave."""
        snapshot = cls(hasher, index_factory=index_factory, generation=generation)
        snapshot._ids = files.arrays[IMAGE_IDS]
        snapshot._n_ids = len(snapshot._ids)
        snapshot.columns = Columns.from_arrays(
            {
                name.removeprefix(COLUMN): array
                for name, array in files.arrays.items()
                if name.startswith(COLUMN)
            }
        )
        snapshot.index.add(files.arrays[RECORDS])
        snapshot.sequence = int(files.facts["built_to"])
        return snapshot

    def __len__(self) -> int:
        """Return how many images searches can find."""
        return len(self.index)

    @property
    def n_rows(self) -> int:
        """How many rows searches may look at, removed ones included."""
        return self.index.n_rows

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a code record hold the code of which length."""
        return self.index.layout

    def image_ids(self, rows: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """Return the ids of rows."""
        image_ids: Int64[np.ndarray, " m"] = self._ids[rows]
        return image_ids

    def row_of(self, image_id: int) -> int | None:
        """Return the row of an image, also of a removed one, or None when it never had one."""
        row = self.n_rows_before(image_id)
        return row if row < self._n_ids and self._ids[row] == image_id else None

    def n_rows_before(self, image_id: int) -> int:
        """Return how many rows have ids below this one."""
        return int(np.searchsorted(self._ids[: self._n_ids], image_id))

    def record_of(self, image_id: int) -> UInt8[np.ndarray, " record_bytes"] | None:
        """Return the code record of a live image, or None."""
        row = self.row_of(image_id)
        if row is None or row >= self.n_rows or not self.columns.is_live(row):
            return None
        record: UInt8[np.ndarray, " record_bytes"] = self.index.records(np.array([row]))[0]
        return record

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records of embeddings, rounded to float16 first as the catalog keeps them.

        So a picture gets the same codes as a query, at ingest, and when its stored embedding is encoded again.
        """
        records: UInt8[np.ndarray, "n record_bytes"] = self.hasher.encode(
            embeddings.astype(np.float16).astype(np.float32)
        )
        return records

    def add(self, chunk: ColumnChunk, records: UInt8[np.ndarray, "n record_bytes"]) -> None:
        """Append images, ids ascending and above all before; searches see all of them or none.

        Raises:
            CodeShapeError: The records are not of this layout; nothing is added.
        """
        self.index.layout.split(records)  # before anything is written
        end = self._n_ids + len(chunk.image_ids)
        if end > len(self._ids):
            grown = np.empty(max(2 * len(self._ids), end, 1024), dtype=np.int64)
            grown[: self._n_ids] = self._ids[: self._n_ids]
            self._ids = grown
        self._ids[self._n_ids : end] = chunk.image_ids
        self._n_ids = end
        self.columns.append(chunk)
        self.index.add(records)  # last: what searches may look at is what the index holds

    def update(self, chunk: ColumnChunk) -> None:
        """Replace what filters look at, of images that are here."""
        for position, image_id in enumerate(chunk.image_ids.tolist()):
            row = self.row_of(image_id)
            if row is not None:
                self.columns.update(row, _one(chunk, position))

    def remove(self, image_ids: Int64[np.ndarray, " m"]) -> None:
        """Hide images from every later search; those that are not here are passed over."""
        found = [row for image_id in image_ids.tolist() if (row := self.row_of(image_id)) is not None]
        rows = np.array(found, dtype=np.int64)
        self.columns.remove(rows)
        self.index.remove(rows)

    def to_files(self) -> GenerationFiles:
        """Return what a generation keeps of it; only for a snapshot without removed rows, as one just built is."""
        n_rows = self.n_rows
        return GenerationFiles(
            arrays={
                IMAGE_IDS: self._ids[:n_rows],
                RECORDS: self.index.records(np.arange(n_rows)),
                **{COLUMN + name: array for name, array in self.columns.to_arrays().items()},
            },
            facts={
                "built_to": self.sequence,
                "hasher": self.hasher.identity,
                "images": len(self),
            },
        )


def _one(chunk: ColumnChunk, position: int) -> ColumnChunk:
    part = slice(position, position + 1)
    return ColumnChunk(
        image_ids=chunk.image_ids[part],
        created_us=chunk.created_us[part],
        labels=chunk.labels[part],
        attributes=chunk.attributes[part],
        scores=chunk.scores[part],
    )
