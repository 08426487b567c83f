"""The catalog in SQL: the one place where an image, its embedding and its codes exist.

In: records of service.ports. Out: the same, and acknowledgements once a commit is durable. It knows nothing of pixels,
models or indexes.

Every change is one row of the append-only table `ops`; an image's id is the number of the change that added it.
"""

import datetime as dt
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar, final

import numpy as np
from jaxtyping import UInt8
from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update

from service.errors import InvalidArgumentError, NotFoundError, PreconditionError
from service.ports import (
    Acknowledgement,
    CatalogCounts,
    EmbeddingChunk,
    ImageRow,
    ModelKind,
    ModelRow,
    NewImage,
    RecordChunk,
)
from service.storage.database import WRITE_OPTION, our_errors
from service.storage.schema import CodeRecord, Embedding, Image, ImageAttribute, ImageLabel, Model, Op

T = TypeVar("T")

FLOAT16 = np.dtype("<f2")
VARIABLES = 900  # bound values per statement; SQLite's oldest limit is 999


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@final
class SqlCatalog:
    """A `Catalog` over one database. Thread-safe: one write at a time, reads beside it.

    The schema must be in place (`service.storage.migrations`).
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], dt.datetime] = _utc_now) -> None:
        self._engine = engine
        self._clock = clock
        self._write_lock = threading.Lock()  # queues writers of this process instead of polling the database

    def add_images(
        self, images: Sequence[NewImage], *, backbone: str, hasher: str | None
    ) -> list[Acknowledgement]:
        """See `Catalog.add_images`.

        Raises:
            InvalidArgumentError: An embedding does not fit float16.
            PreconditionError: A hasher is given and an image has no code record.
        """
        for image in images:
            _check(image, hasher)
        with self._writing() as connection:
            known = _find(connection, [image.sha256 for image in images])
            sequence = _last_sequence(connection)
            fresh: list[tuple[int, NewImage]] = []
            acknowledgements = []
            for image in images:
                duplicate = image.sha256 in known
                if not duplicate:
                    sequence += 1
                    fresh.append((sequence, image))
                    known[image.sha256] = sequence
                image_id = known[image.sha256]
                acknowledgements.append(
                    Acknowledgement(image_id=image_id, sequence=image_id, duplicate=duplicate)
                )
            self._insert(connection, fresh, backbone=backbone, hasher=hasher)
        return acknowledgements

    def delete_image(self, image_id: int) -> int:
        """See `Catalog.delete_image`."""
        with self._writing() as connection:
            for table in (ImageLabel, ImageAttribute, Embedding, CodeRecord):
                connection.execute(delete(table).where(table.image_id == image_id))
            if not connection.execute(delete(Image).where(Image.image_id == image_id)).rowcount:
                raise NotFoundError(
                    f"No image {image_id} in the catalog, so nothing was deleted.",
                    reason="IMAGE_NOT_FOUND",
                    field="image_id",
                    image_id=image_id,
                )
            sequence = _last_sequence(connection) + 1
            connection.execute(insert(Op), [self._op(sequence, "delete", image_id)])
        return sequence

    def find_by_sha256(self, digests: Sequence[bytes]) -> dict[bytes, Acknowledgement]:
        """See `Catalog.find_by_sha256`."""
        with self._reading() as connection:
            return {
                digest: Acknowledgement(image_id=image_id, sequence=image_id, duplicate=True)
                for digest, image_id in _find(connection, digests).items()
            }

    def get_images(self, image_ids: Sequence[int]) -> dict[int, ImageRow]:
        """See `Catalog.get_images`."""
        rows: dict[int, ImageRow] = {}
        with self._reading() as connection:
            for some in _in_parts(image_ids):
                found = connection.execute(select(Image.__table__).where(Image.image_id.in_(some)))
                rows.update(_rows(connection, found.mappings().all()))
        return rows

    def list_images(self, *, after_id: int, limit: int, label: str | None = None) -> list[ImageRow]:
        """See `Catalog.list_images`."""
        query = select(Image.__table__).where(Image.image_id > after_id).order_by(Image.image_id).limit(limit)
        if label is not None:
            query = query.join(ImageLabel, ImageLabel.image_id == Image.image_id).where(
                ImageLabel.label == label
            )
        with self._reading() as connection:
            found = connection.execute(query).mappings().all()
            return [row for some in _in_parts(found) for row in _rows(connection, some).values()]

    def get_record(self, image_id: int, *, hasher: str) -> UInt8[np.ndarray, " record_bytes"] | None:
        """See `Catalog.get_record`."""
        query = select(CodeRecord.record).where(CodeRecord.hasher == hasher, CodeRecord.image_id == image_id)
        with self._reading() as connection:
            record = connection.scalar(query)
        return None if record is None else np.frombuffer(record, dtype=np.uint8)

    def embeddings(self, *, backbone: str, chunk: int = 4096) -> Iterator[EmbeddingChunk]:
        """See `Catalog.embeddings`."""
        after_id = 0
        while True:
            query = (
                select(Embedding.image_id, Embedding.vector)
                .where(Embedding.backbone == backbone, Embedding.image_id > after_id)
                .order_by(Embedding.image_id)
                .limit(chunk)
            )
            with self._reading() as connection:
                found = connection.execute(query).all()
                if not found:
                    return
                labels = _labels(connection, [image_id for image_id, _ in found])
            after_id = found[-1][0]
            vectors = np.frombuffer(b"".join(vector for _, vector in found), dtype=FLOAT16)
            yield EmbeddingChunk(
                image_ids=np.array([image_id for image_id, _ in found], dtype=np.int64),
                embeddings=vectors.reshape(len(found), -1).astype(np.float16, copy=False),
                labels=[labels.get(image_id, ()) for image_id, _ in found],
            )

    def records(self, *, hasher: str, chunk: int = 65536) -> Iterator[RecordChunk]:
        """See `Catalog.records`."""
        after_id = 0
        while True:
            query = (
                select(CodeRecord.image_id, CodeRecord.record)
                .where(CodeRecord.hasher == hasher, CodeRecord.image_id > after_id)
                .order_by(CodeRecord.image_id)
                .limit(chunk)
            )
            with self._reading() as connection:
                found = connection.execute(query).all()
            if not found:
                return
            after_id = found[-1][0]
            codes = np.frombuffer(b"".join(record for _, record in found), dtype=np.uint8)
            yield RecordChunk(
                image_ids=np.array([image_id for image_id, _ in found], dtype=np.int64),
                records=codes.reshape(len(found), -1),
            )

    def replace_records(self, chunks: Iterator[RecordChunk], *, hasher: str) -> int:
        """See `Catalog.replace_records`. Records of other hashers go: they would be missing for later images."""
        count = 0
        with self._writing() as connection:
            known = select(Model.number).where(Model.identity == hasher, Model.kind == ModelKind.HASHER.value)
            if connection.scalar(known) is None:
                raise NotFoundError(
                    f"Hasher {hasher} is not registered. Register it before its records.",
                    reason="MODEL_NOT_FOUND",
                )
            connection.execute(delete(CodeRecord))
            for chunk in chunks:
                rows = [
                    {"hasher": hasher, "image_id": image_id, "record": record.tobytes()}
                    for image_id, record in zip(chunk.image_ids.tolist(), chunk.records, strict=True)
                ]
                if rows:
                    connection.execute(insert(CodeRecord), rows)
                count += len(rows)
            connection.execute(
                update(Model)
                .where(Model.kind == ModelKind.HASHER.value)
                .values(active=Model.identity == hasher)
            )
        return count

    def register_model(
        self, identity: str, kind: ModelKind, *, path: str, metadata: Mapping[str, Any]
    ) -> None:
        """See `Catalog.register_model`."""
        with self._writing() as connection:
            if connection.scalar(select(Model.number).where(Model.identity == identity)) is not None:
                return
            first = connection.scalar(select(Model.number).where(Model.kind == kind.value).limit(1)) is None
            connection.execute(
                insert(Model).values(
                    identity=identity,
                    kind=kind.value,
                    path=path,
                    provenance=dict(metadata),
                    created_at=self._clock(),
                    active=first,
                )
            )

    def active_model(self, kind: ModelKind) -> ModelRow | None:
        """See `Catalog.active_model`."""
        return next((model for model in self.models() if model.kind is kind and model.active), None)

    def models(self) -> list[ModelRow]:
        """See `Catalog.models`."""
        with self._reading() as connection:
            found = connection.execute(select(Model.__table__).order_by(Model.number)).mappings().all()
        return [
            ModelRow(
                identity=row["identity"],
                kind=ModelKind(row["kind"]),
                path=row["path"],
                metadata=row["provenance"],
                created_at=row["created_at"],
                active=row["active"],
            )
            for row in found
        ]

    def counts(self) -> CatalogCounts:
        """See `Catalog.counts`."""
        labels = select(ImageLabel.label, func.count()).group_by(ImageLabel.label).order_by(ImageLabel.label)
        with self._reading() as connection:
            images, original_bytes = connection.execute(
                select(func.count(), func.coalesce(func.sum(Image.byte_size), 0)).select_from(Image)
            ).one()
            return CatalogCounts(
                images=images,
                labelled_images=_count(connection, func.count(ImageLabel.image_id.distinct())),
                labels={label: count for label, count in connection.execute(labels)},  # noqa: C416 - typed rows
                embeddings=_count(connection, func.count(Embedding.image_id)),
                code_records=_count(connection, func.count(CodeRecord.image_id)),
                original_bytes=int(original_bytes),
                last_sequence=_last_sequence(connection),
            )

    def close(self) -> None:
        """See `Catalog.close`."""
        self._engine.dispose()

    def _insert(
        self,
        connection: Connection,
        fresh: Sequence[tuple[int, NewImage]],
        *,
        backbone: str,
        hasher: str | None,
    ) -> None:
        now = self._clock()
        rows: dict[Any, list[dict[str, Any]]] = {
            Op: [self._op(image_id, "add", image_id) for image_id, _ in fresh],
            Image: [_image_values(image_id, image, now) for image_id, image in fresh],
            ImageLabel: [
                {"image_id": image_id, "label": label, "position": position}
                for image_id, image in fresh
                for position, label in enumerate(dict.fromkeys(image.labels))
            ],
            ImageAttribute: [
                {"image_id": image_id, "name": name, "value": value}
                for image_id, image in fresh
                for name, value in image.attributes.items()
            ],
            Embedding: [
                {
                    "image_id": image_id,
                    "backbone": backbone,
                    "vector": image.embedding.astype(FLOAT16).tobytes(),
                }
                for image_id, image in fresh
            ],
            CodeRecord: [
                {"image_id": image_id, "hasher": hasher, "record": image.record.tobytes()}
                for image_id, image in fresh
                if hasher is not None and image.record is not None
            ],
        }
        for table, values in rows.items():
            if values:
                connection.execute(insert(table), values)

    def _op(self, sequence: int, kind: str, image_id: int) -> dict[str, Any]:
        return {"seq": sequence, "kind": kind, "image_id": image_id, "created_at": self._clock()}

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._write_lock, our_errors(), self._engine.connect() as plain:
            connection = plain.execution_options(**{WRITE_OPTION: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with our_errors(), self._engine.connect() as connection, connection.begin():
            yield connection


def _check(image: NewImage, hasher: str | None) -> None:
    if not np.isfinite(image.embedding.astype(np.float16)).all():
        raise InvalidArgumentError(
            f"The embedding of {image.name} does not fit float16: its largest value is "
            f"{np.abs(image.embedding).max():g}, at most 65,504 can be kept. Use a backbone with normalised outputs.",
            reason="EMBEDDING_OUT_OF_RANGE",
        )
    if hasher is not None and image.record is None:
        raise PreconditionError(
            f"{image.name} comes without a code record, but the store uses hasher {hasher}."
        )


def _image_values(image_id: int, image: NewImage, now: dt.datetime) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "sha256": image.sha256,
        "name": image.name,
        "source": image.source,
        "stored": image.stored,
        "byte_size": image.byte_size,
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "created_at": now,
    }


def _in_parts(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, VARIABLES)):
        yield part


def _find(connection: Connection, digests: Collection[bytes]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for some in _in_parts(dict.fromkeys(digests)):
        query = select(Image.sha256, Image.image_id).where(Image.sha256.in_(some))
        found.update((bytes(digest), image_id) for digest, image_id in connection.execute(query))
    return found


def _last_sequence(connection: Connection) -> int:
    return connection.scalar(select(func.max(Op.seq))) or 0


def _count(connection: Connection, expression: Any) -> int:  # noqa: ANN401 - any SQL expression
    return int(connection.scalar(select(expression)) or 0)


def _labels(connection: Connection, image_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    labels: dict[int, tuple[str, ...]] = {}
    for some in _in_parts(image_ids):
        query = (
            select(ImageLabel.image_id, ImageLabel.label)
            .where(ImageLabel.image_id.in_(some))
            .order_by(ImageLabel.image_id, ImageLabel.position)
        )
        for image_id, label in connection.execute(query):
            labels[image_id] = (*labels.get(image_id, ()), label)
    return labels


def _rows(connection: Connection, found: Sequence[RowMapping]) -> dict[int, ImageRow]:
    image_ids = [row["image_id"] for row in found]
    labels = _labels(connection, image_ids)
    attributes: dict[int, dict[str, str]] = {image_id: {} for image_id in image_ids}
    query = select(ImageAttribute.image_id, ImageAttribute.name, ImageAttribute.value)
    for image_id, name, value in connection.execute(query.where(ImageAttribute.image_id.in_(image_ids))):
        attributes[image_id][name] = value
    return {
        row["image_id"]: ImageRow(
            **row,
            labels=labels.get(row["image_id"], ()),
            attributes=attributes[row["image_id"]],
            sequence=row["image_id"],
        )
        for row in found
    }
