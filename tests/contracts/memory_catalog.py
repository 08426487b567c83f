"""A catalog of plain dictionaries: the model that the SQL catalog is compared with, and a fake for use-case tests.

In and out: what the port `Catalog` says. Durability is left to the real one; everything else behaves the same.
"""

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float16, Int64, UInt8

from service.errors import (
    InvalidArgumentError,
    ModelMismatchError,
    NotFoundError,
    PreconditionError,
)
from service.records import (
    Acknowledgement,
    CatalogCounts,
    Change,
    ChangeKind,
    ColumnChunk,
    EmbeddingChunk,
    ImageRow,
    ModelKind,
    NewImage,
    RecordChunk,
)
from tests.contracts.memory_models import MemoryModels, noon


@dataclass(slots=True)
class _Entry:
    row: ImageRow
    embeddings: dict[str, Float16[np.ndarray, " d"]]
    records: dict[str, UInt8[np.ndarray, " record_bytes"]] = field(default_factory=dict)


class MemoryCatalog(MemoryModels):
    """Keeps everything in dictionaries."""

    def __init__(self, *, clock: Callable[[], dt.datetime] = noon) -> None:
        super().__init__(clock)
        self._entries: dict[int, _Entry] = {}  # by image id, ascending
        self._changes: list[Change] = []

    def add_images(
        self, images: Sequence[NewImage], *, backbone: str, hasher: str | None
    ) -> list[Acknowledgement]:
        with self._lock:
            for image in images:
                _check(image, hasher)
            active = self.active_model(ModelKind.HASHER)
            if active and active.identity != hasher:
                raise ModelMismatchError(
                    f"The store uses hasher {active.identity}, the images come with others."
                )
            return [self._add(image, backbone, hasher) for image in images]

    def _add(self, image: NewImage, backbone: str, hasher: str | None) -> Acknowledgement:
        if known := self.find_by_sha256([image.sha256]):
            return known[image.sha256]
        image_id = len(self._changes) + 1
        row = ImageRow(
            image_id=image_id,
            sha256=image.sha256,
            name=image.name,
            source=image.source,
            stored=image.stored,
            byte_size=image.byte_size,
            width=image.width,
            height=image.height,
            format=image.format,
            labels=tuple(dict.fromkeys(image.labels)),
            attributes=dict(image.attributes),
            created_at=self._clock(),
            sequence=self._log(ChangeKind.ADD, image_id),
            scores=dict(image.scores),
        )
        entry = _Entry(row, {backbone: image.embedding.astype(np.float16)})
        if hasher is not None and image.record is not None:
            entry.records[hasher] = image.record.copy()
        self._entries[row.image_id] = entry
        return Acknowledgement(image_id=row.image_id, sequence=row.sequence, duplicate=False)

    def _log(self, kind: ChangeKind, image_id: int) -> int:
        self._changes.append(Change(sequence=len(self._changes) + 1, kind=kind, image_id=image_id))
        return len(self._changes)

    def update_image(
        self,
        image_id: int,
        *,
        labels: Sequence[str] | None = None,
        attributes: Mapping[str, str] | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> int:
        with self._lock:
            _check_scores(scores or {}, f"image {image_id}")
            entry = self._entry(image_id)
            entry.row = replace(
                entry.row,
                labels=entry.row.labels if labels is None else tuple(dict.fromkeys(labels)),
                attributes=entry.row.attributes if attributes is None else dict(attributes),
                scores=entry.row.scores if scores is None else dict(scores),
            )
            return self._log(ChangeKind.UPDATE, image_id)

    def delete_image(self, image_id: int) -> int:
        with self._lock:
            self._entry(image_id)
            del self._entries[image_id]
            return self._log(ChangeKind.DELETE, image_id)

    def _entry(self, image_id: int) -> _Entry:
        if image_id not in self._entries:
            raise NotFoundError(f"No image {image_id} in the catalog.", reason="IMAGE_NOT_FOUND")
        return self._entries[image_id]

    def find_by_sha256(self, digests: Sequence[bytes]) -> dict[bytes, Acknowledgement]:
        wanted = set(digests)
        return {
            row.sha256: Acknowledgement(image_id=row.image_id, sequence=row.sequence, duplicate=True)
            for row in self._rows()
            if row.sha256 in wanted
        }

    def get_images(self, image_ids: Sequence[int]) -> dict[int, ImageRow]:
        wanted = set(image_ids)
        return {row.image_id: row for row in self._rows() if row.image_id in wanted}

    def list_images(self, *, after_id: int, limit: int, label: str | None = None) -> list[ImageRow]:
        fitting = [
            row for row in self._rows() if row.image_id > after_id and (label is None or label in row.labels)
        ]
        return fitting[:limit]

    def get_record(self, image_id: int, *, hasher: str) -> UInt8[np.ndarray, " record_bytes"] | None:
        return self.get_records([image_id], hasher=hasher).get(image_id)

    def get_records(
        self, image_ids: Sequence[int], *, hasher: str
    ) -> dict[int, UInt8[np.ndarray, " record_bytes"]]:
        return {
            image_id: self._entries[image_id].records[hasher]
            for image_id in image_ids
            if image_id in self._entries and hasher in self._entries[image_id].records
        }

    def embeddings(
        self, *, backbone: str, chunk: int = 4096, lacking: str | None = None
    ) -> Iterator[EmbeddingChunk]:
        found = [
            entry
            for entry in list(self._entries.values())
            if backbone in entry.embeddings and (lacking is None or lacking not in entry.records)
        ]
        for part in _parts(found, chunk):
            yield EmbeddingChunk(
                image_ids=_ids(part),
                embeddings=np.stack([entry.embeddings[backbone] for entry in part]),
                labels=[entry.row.labels for entry in part],
            )

    def records(self, *, hasher: str, chunk: int = 65536) -> Iterator[RecordChunk]:
        found = [entry for entry in list(self._entries.values()) if hasher in entry.records]
        for part in _parts(found, chunk):
            yield RecordChunk(
                image_ids=_ids(part), records=np.stack([entry.records[hasher] for entry in part])
            )

    def columns(self, *, image_ids: Sequence[int] | None = None, chunk: int = 65536) -> Iterator[ColumnChunk]:
        wanted = None if image_ids is None else set(image_ids)
        found = [
            entry for image_id, entry in list(self._entries.items()) if wanted is None or image_id in wanted
        ]
        for part in _parts(found, chunk):
            since = [entry.row.created_at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC) for entry in part]
            yield ColumnChunk(
                image_ids=_ids(part),
                created_us=np.array([span // dt.timedelta(microseconds=1) for span in since], dtype=np.int64),
                labels=[entry.row.labels for entry in part],
                attributes=[entry.row.attributes for entry in part],
                scores=[entry.row.scores for entry in part],
            )

    def changes(self, *, after: int, limit: int = 65536) -> list[Change]:
        return self._changes[after : after + limit]

    def write_records(self, chunk: RecordChunk, *, hasher: str) -> int:
        with self._lock:
            self._model(hasher, ModelKind.HASHER)
            live = [
                (i, row)
                for i, row in zip(chunk.image_ids.tolist(), chunk.records, strict=True)
                if i in self._entries
            ]
            for image_id, record in live:
                self._entries[image_id].records[hasher] = record.copy()
            return len(live)

    def write_embeddings(self, chunk: EmbeddingChunk, *, backbone: str) -> int:
        with self._lock:
            self._model(backbone, ModelKind.BACKBONE)
            if (broken := ~np.isfinite(chunk.embeddings).all(axis=1)).any():
                raise InvalidArgumentError(
                    f"The embedding of image {chunk.image_ids[broken][0]} is not finite in float16.",
                    reason="EMBEDDING_OUT_OF_RANGE",
                )
            live = [
                (i, row)
                for i, row in zip(chunk.image_ids.tolist(), chunk.embeddings, strict=True)
                if i in self._entries
            ]
            for image_id, embedding in live:
                self._entries[image_id].embeddings[backbone] = embedding.copy()
            return len(live)

    def images_lacking_embedding(self, *, backbone: str, after_id: int, limit: int) -> list[int]:
        lacking = [i for i, entry in list(self._entries.items()) if backbone not in entry.embeddings]
        return [image_id for image_id in lacking if image_id > after_id][:limit]

    def count_lacking_embedding(self, *, backbone: str) -> int:
        return len(self.images_lacking_embedding(backbone=backbone, after_id=0, limit=len(self._entries)))

    def delete_embeddings(self, *, backbone: str) -> int:
        with self._lock:
            active = self.active_model(ModelKind.BACKBONE)
            if active and active.identity == backbone:
                raise PreconditionError(f"Backbone {backbone} is in use.", reason="MODEL_ACTIVE")
            return sum(entry.embeddings.pop(backbone, None) is not None for entry in self._entries.values())

    def count_lacking(self, *, hasher: str) -> int:
        return sum(hasher not in entry.records for entry in list(self._entries.values()))

    def delete_records(self, *, hasher: str) -> int:
        with self._lock:
            active = self.active_model(ModelKind.HASHER)
            if active and active.identity == hasher:
                raise PreconditionError(f"Hasher {hasher} is in use.", reason="MODEL_ACTIVE")
            return sum(entry.records.pop(hasher, None) is not None for entry in self._entries.values())

    def last_sequence(self) -> int:
        return len(self._changes)

    def counts(self) -> CatalogCounts:
        rows = self._rows()
        return CatalogCounts(
            images=len(rows),
            labelled_images=sum(bool(row.labels) for row in rows),
            labels=Counter(label for row in rows for label in row.labels),
            embeddings=sum(len(entry.embeddings) for entry in list(self._entries.values())),
            code_records=sum(len(entry.records) for entry in list(self._entries.values())),
            original_bytes=sum(row.byte_size for row in rows),
            last_sequence=len(self._changes),
        )

    def check(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing is held."""

    def _rows(self) -> list[ImageRow]:
        return [entry.row for entry in list(self._entries.values())]


def _ids(entries: Sequence[_Entry]) -> Int64[np.ndarray, " n"]:
    return np.array([entry.row.image_id for entry in entries], dtype=np.int64)


def _parts(entries: list[_Entry], chunk: int) -> list[list[_Entry]]:
    return [entries[start : start + chunk] for start in range(0, len(entries), chunk)]


def _check_scores(scores: Mapping[str, float], of: str) -> None:
    for name, value in scores.items():
        if not math.isfinite(value):
            raise InvalidArgumentError(
                f'Score "{name}" of {of} is {value}, but scores are finite numbers.',
                reason="SCORE_NOT_FINITE",
            )


def _check(image: NewImage, hasher: str | None) -> None:
    with np.errstate(over="ignore"):
        if not np.isfinite(image.embedding.astype(np.float16)).all():
            raise InvalidArgumentError(
                f"The embedding of {image.name} does not fit float16.", reason="EMBEDDING_OUT_OF_RANGE"
            )
    _check_scores(image.scores, image.name)
    if hasher is not None and image.record is None:
        raise PreconditionError(f"{image.name} comes without a code record.")
