"""The catalog in SQL: the one place where an image, its embedding and its codes exist.

In: records of service.records. Out: the same, and acknowledgements once a commit is durable. It knows nothing of pixels,
models or indexes.

Every change is one row of the append-only table `ops`; an image's id is the number of the change that added it.
"""

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import numpy as np
from jaxtyping import UInt8
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from service.errors import ModelMismatchError, NotFoundError
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
from service.storage.database import WRITE_OPTION, our_errors
from service.storage.image_rows import (
    FLOAT16,
    check_new_image,
    find_ids,
    in_parts,
    insert_images,
    op_values,
    read_labels,
    read_rows,
)
from service.storage.schema import CodeRecord, Embedding, Image, ImageAttribute, ImageLabel, Model, Op


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
            ModelMismatchError: The store uses another hasher.
        """
        for image in images:
            check_new_image(image, hasher=hasher)
        with self._writing() as connection:
            _check_active(connection, hasher)
            known = find_ids(connection, [image.sha256 for image in images])
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
            insert_images(connection, fresh, backbone=backbone, hasher=hasher, now=self._clock())
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
            connection.execute(insert(Op).values(op_values(sequence, "delete", image_id, self._clock())))
        return sequence

    def find_by_sha256(self, digests: Sequence[bytes]) -> dict[bytes, Acknowledgement]:
        """See `Catalog.find_by_sha256`."""
        with self._reading() as connection:
            return {
                digest: Acknowledgement(image_id=image_id, sequence=image_id, duplicate=True)
                for digest, image_id in find_ids(connection, digests).items()
            }

    def get_images(self, image_ids: Sequence[int]) -> dict[int, ImageRow]:
        """See `Catalog.get_images`."""
        rows: dict[int, ImageRow] = {}
        with self._reading() as connection:
            for some in in_parts(image_ids):
                query = select(Image.__table__).where(Image.image_id.in_(some))
                rows.update({row.image_id: row for row in read_rows(connection, query)})
        return rows

    def list_images(self, *, after_id: int, limit: int, label: str | None = None) -> list[ImageRow]:
        """See `Catalog.list_images`."""
        query = select(Image.__table__)
        if label is None:
            query = query.where(Image.image_id > after_id).order_by(Image.image_id)
        else:  # in terms of the labels, so that their index gives the page without sorting
            query = (
                query.join(ImageLabel, ImageLabel.image_id == Image.image_id)
                .where(ImageLabel.label == label, ImageLabel.image_id > after_id)
                .order_by(ImageLabel.image_id)
            )
        with self._reading() as connection:
            return read_rows(connection, query.limit(limit))

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
                labels = read_labels(connection, [image_id for image_id, _ in found])
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
            if connection.execute(update(Model).where(Model.identity == identity).values(path=path)).rowcount:
                return
            others = connection.scalar(select(func.count()).where(Model.kind == kind.value))
            connection.execute(
                insert(Model).values(
                    identity=identity,
                    kind=kind.value,
                    path=path,
                    provenance=dict(metadata),
                    created_at=self._clock(),
                    active=kind is ModelKind.BACKBONE and not others,
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


def _last_sequence(connection: Connection) -> int:
    return connection.scalar(select(func.max(Op.seq))) or 0


def _count(connection: Connection, expression: Any) -> int:  # noqa: ANN401 - any SQL expression
    return int(connection.scalar(select(expression)) or 0)


def _check_active(connection: Connection, hasher: str | None) -> None:
    query = select(Model.identity).where(Model.kind == ModelKind.HASHER.value, Model.active)
    active = connection.scalar(query)
    if active not in (None, hasher):
        raise ModelMismatchError(
            f"The store uses hasher {active}, the images come with codes of {hasher or 'none'}. Open the store again "
            "to use its hasher.",
            expected=active,
            found=hasher,
        )
