"""A catalog of plain dictionaries: the model that the SQL catalog is compared with, and a fake for use-case tests.

In and out: what the port `Catalog` says. Durability is left to the real one; everything else behaves the same.
"""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float16, UInt8

from service.errors import InvalidArgumentError, ModelMismatchError, NotFoundError, PreconditionError
from service.records import (
    Acknowledgement,
    CatalogCounts,
    EmbeddingChunk,
    ImageRow,
    ModelKind,
    ModelRow,
    NewImage,
    RecordChunk,
)


def noon() -> dt.datetime:
    """Return the one moment at which everything in a test happens."""
    return dt.datetime(2024, 5, 17, 12, tzinfo=dt.UTC)


@dataclass(slots=True)
class _Entry:
    row: ImageRow
    backbone: str
    embedding: Float16[np.ndarray, " d"]
    records: dict[str, UInt8[np.ndarray, " record_bytes"]] = field(default_factory=dict)


class MemoryCatalog:
    """Keeps everything in dictionaries. Ids and sequences are counted apart, so a test notices who mixes them up."""

    def __init__(self, *, clock: Callable[[], dt.datetime] = noon) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: dict[int, _Entry] = {}  # by image id, ascending
        self._models: dict[str, ModelRow] = {}
        self._last_id = 1000
        self._sequence = 0

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
        self._last_id += 1
        self._sequence += 1
        row = ImageRow(
            image_id=self._last_id,
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
            sequence=self._sequence,
        )
        entry = _Entry(row, backbone, image.embedding.astype(np.float16))
        if hasher is not None and image.record is not None:
            entry.records[hasher] = image.record.copy()
        self._entries[row.image_id] = entry
        return Acknowledgement(image_id=row.image_id, sequence=row.sequence, duplicate=False)

    def delete_image(self, image_id: int) -> int:
        with self._lock:
            if self._entries.pop(image_id, None) is None:
                raise NotFoundError(f"No image {image_id} in the catalog.", reason="IMAGE_NOT_FOUND")
            self._sequence += 1
            return self._sequence

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
        entry = self._entries.get(image_id)
        return entry.records.get(hasher) if entry else None

    def embeddings(self, *, backbone: str, chunk: int = 4096) -> Iterator[EmbeddingChunk]:
        found = [entry for entry in list(self._entries.values()) if entry.backbone == backbone]
        for part in (found[start : start + chunk] for start in range(0, len(found), chunk)):
            yield EmbeddingChunk(
                image_ids=np.array([entry.row.image_id for entry in part], dtype=np.int64),
                embeddings=np.stack([entry.embedding for entry in part]),
                labels=[entry.row.labels for entry in part],
            )

    def records(self, *, hasher: str, chunk: int = 65536) -> Iterator[RecordChunk]:
        found = [entry for entry in list(self._entries.values()) if hasher in entry.records]
        for part in (found[start : start + chunk] for start in range(0, len(found), chunk)):
            yield RecordChunk(
                image_ids=np.array([entry.row.image_id for entry in part], dtype=np.int64),
                records=np.stack([entry.records[hasher] for entry in part]),
            )

    def replace_records(self, chunks: Iterator[RecordChunk], *, hasher: str) -> int:
        with self._lock:
            if hasher not in self._models:
                raise NotFoundError(f"Hasher {hasher} is not registered.", reason="MODEL_NOT_FOUND")
            records = {
                image_id: record.copy()
                for chunk in chunks
                for image_id, record in zip(chunk.image_ids.tolist(), chunk.records, strict=True)
            }
            for image_id, entry in self._entries.items():
                entry.records = {hasher: records[image_id]} if image_id in records else {}
            for model in self.models():
                if model.kind is ModelKind.HASHER:
                    self._models[model.identity] = replace(model, active=model.identity == hasher)
            return len(records)

    def register_model(
        self, identity: str, kind: ModelKind, *, path: str, metadata: Mapping[str, Any]
    ) -> None:
        with self._lock:
            if identity in self._models:
                self._models[identity] = replace(self._models[identity], path=path)
                return
            self._models[identity] = ModelRow(
                identity=identity,
                kind=kind,
                path=path,
                metadata=dict(metadata),
                created_at=self._clock(),
                active=kind is ModelKind.BACKBONE and self.active_model(kind) is None,
            )

    def active_model(self, kind: ModelKind) -> ModelRow | None:
        return next((model for model in self.models() if model.kind is kind and model.active), None)

    def models(self) -> list[ModelRow]:
        return list(self._models.values())

    def counts(self) -> CatalogCounts:
        rows = self._rows()
        return CatalogCounts(
            images=len(rows),
            labelled_images=sum(bool(row.labels) for row in rows),
            labels=Counter(label for row in rows for label in row.labels),
            embeddings=len(rows),
            code_records=sum(len(entry.records) for entry in list(self._entries.values())),
            original_bytes=sum(row.byte_size for row in rows),
            last_sequence=self._sequence,
        )

    def close(self) -> None:
        """Nothing is held."""

    def _rows(self) -> list[ImageRow]:
        return [entry.row for entry in list(self._entries.values())]


def _check(image: NewImage, hasher: str | None) -> None:
    with np.errstate(over="ignore"):
        if not np.isfinite(image.embedding.astype(np.float16)).all():
            raise InvalidArgumentError(
                f"The embedding of {image.name} does not fit float16.", reason="EMBEDDING_OUT_OF_RANGE"
            )
    if hasher is not None and image.record is None:
        raise PreconditionError(f"{image.name} comes without a code record.")
