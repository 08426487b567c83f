"""The catalog in SQL: the one place where an image, its embedding and its codes exist.

In: records of service.records. Out: the same, and acknowledgements once a commit is durable. It knows nothing of pixels,
models or indexes.

Every change is one row of the append-only table `ops`; an image's id is the number of the change that added it.
"""

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, final

import numpy as np
from jaxtyping import UInt8
from sqlalchemy import Connection, Engine, select

from service.records import (
    Acknowledgement,
    CatalogCounts,
    Change,
    ChangeKind,
    ColumnChunk,
    EmbeddingChunk,
    GenerationRow,
    ImageRow,
    ModelKind,
    ModelRow,
    NewImage,
    RecordChunk,
)
from service.storage import (
    column_rows,
    generation_rows,
    image_rows,
    model_rows,
    soundness,
    vector_rows,
)
from service.storage.database import WRITE_OPTION, damaged, fetch_raw, our_errors
from service.storage.image_rows import in_parts, last_sequence
from service.storage.schema import Image, ImageLabel, Op

Chunk = TypeVar("Chunk", ColumnChunk, EmbeddingChunk, RecordChunk)


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
            InvalidArgumentError: An embedding does not fit float16, or a score is not finite.
            PreconditionError: A hasher is given and an image has no code record.
            ModelMismatchError: The store uses another hasher.
        """
        for image in images:
            image_rows.check_new_image(image, hasher=hasher)
        with self._writing() as connection:
            model_rows.check_hasher(connection, hasher)
            known = image_rows.find_ids(connection, [image.sha256 for image in images])
            sequence = last_sequence(connection)
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
            image_rows.insert_images(connection, fresh, backbone=backbone, hasher=hasher, now=self._clock())
        return acknowledgements

    def update_image(
        self,
        image_id: int,
        *,
        labels: Sequence[str] | None = None,
        attributes: Mapping[str, str] | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> int:
        """See `Catalog.update_image`."""
        image_rows.check_scores(scores or {}, of=f"image {image_id}")
        with self._writing() as connection:
            image_rows.check_there(connection, image_id)
            image_rows.replace_facts(
                connection, image_id, labels=labels, attributes=attributes, scores=scores
            )
            return image_rows.log_change(connection, ChangeKind.UPDATE, image_id, self._clock())

    def delete_image(self, image_id: int) -> int:
        """See `Catalog.delete_image`."""
        with self._writing() as connection:
            image_rows.check_there(connection, image_id)
            image_rows.delete_rows(connection, image_id)
            return image_rows.log_change(connection, ChangeKind.DELETE, image_id, self._clock())

    def find_by_sha256(self, digests: Sequence[bytes]) -> dict[bytes, Acknowledgement]:
        """See `Catalog.find_by_sha256`."""
        with self._reading() as connection:
            return {
                digest: Acknowledgement(image_id=image_id, sequence=image_id, duplicate=True)
                for digest, image_id in image_rows.find_ids(connection, digests).items()
            }

    def get_images(self, image_ids: Sequence[int]) -> dict[int, ImageRow]:
        """See `Catalog.get_images`."""
        rows: dict[int, ImageRow] = {}
        with self._reading() as connection:
            for some in in_parts(image_ids):
                query = select(Image.__table__).where(Image.image_id.in_(some))
                rows.update({row.image_id: row for row in image_rows.read_rows(connection, query)})
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
            return image_rows.read_rows(connection, query.limit(limit))

    def columns(self, *, image_ids: Sequence[int] | None = None, chunk: int = 65536) -> Iterator[ColumnChunk]:
        """See `Catalog.columns`. Labels come in no particular order; chunks of given images are short: one statement each."""
        if image_ids is None:
            yield from self._chunks(
                lambda connection, after_id: column_rows.read_columns_after(connection, after_id, limit=chunk)
            )
            return
        for some in in_parts(sorted(set(image_ids)), size=chunk):
            with self._reading() as connection:
                found = column_rows.read_columns_of(connection, some)
            if found is not None:
                yield found

    def changes(self, *, after: int, limit: int = 65536) -> list[Change]:
        """See `Catalog.changes`."""
        query = select(Op.seq, Op.kind, Op.image_id).where(Op.seq > after).order_by(Op.seq).limit(limit)
        with self._reading() as connection:
            return [
                Change(sequence=seq, kind=ChangeKind(kind), image_id=i)
                for seq, kind, i in fetch_raw(connection, query)
            ]

    def get_record(self, image_id: int, *, hasher: str) -> UInt8[np.ndarray, " record_bytes"] | None:
        """See `Catalog.get_record`."""
        return self.get_records([image_id], hasher=hasher).get(image_id)

    def get_records(
        self, image_ids: Sequence[int], *, hasher: str
    ) -> dict[int, UInt8[np.ndarray, " record_bytes"]]:
        """See `Catalog.get_records`."""
        with self._reading() as connection:
            return vector_rows.find_records(connection, image_ids, hasher=hasher)

    def records(self, *, hasher: str, chunk: int = 65536) -> Iterator[RecordChunk]:
        """See `Catalog.records`."""
        return self._chunks(
            lambda connection, after_id: vector_rows.read_records(
                connection, after_id, hasher=hasher, limit=chunk
            )
        )

    def embeddings(
        self, *, backbone: str, chunk: int = 4096, lacking: str | None = None
    ) -> Iterator[EmbeddingChunk]:
        """See `Catalog.embeddings`."""
        return self._chunks(
            lambda connection, after_id: vector_rows.read_embeddings(
                connection, after_id, backbone=backbone, limit=chunk, lacking=lacking
            )
        )

    def write_records(self, chunk: RecordChunk, *, hasher: str) -> int:
        """See `Catalog.write_records`."""
        with self._writing() as connection:
            return vector_rows.write_records(connection, chunk, hasher=hasher)

    def write_embeddings(self, chunk: EmbeddingChunk, *, backbone: str) -> int:
        """See `Catalog.write_embeddings`."""
        with self._writing() as connection:
            return vector_rows.write_embeddings(connection, chunk, backbone=backbone)

    def images_lacking_embedding(self, *, backbone: str, after_id: int, limit: int) -> list[int]:
        """See `Catalog.images_lacking_embedding`."""
        with self._reading() as connection:
            return vector_rows.find_lacking_embedding(
                connection, backbone=backbone, after_id=after_id, limit=limit
            )

    def count_lacking_embedding(self, *, backbone: str) -> int:
        """See `Catalog.count_lacking_embedding`."""
        with self._reading() as connection:
            return vector_rows.count_lacking_embedding(connection, backbone=backbone)

    def delete_embeddings(self, *, backbone: str) -> int:
        """See `Catalog.delete_embeddings`."""
        with self._writing() as connection:
            return vector_rows.delete_embeddings(connection, backbone=backbone)

    def count_lacking(self, *, hasher: str) -> int:
        """See `Catalog.count_lacking`."""
        with self._reading() as connection:
            return vector_rows.count_lacking(connection, hasher=hasher)

    def delete_records(self, *, hasher: str) -> int:
        """See `Catalog.delete_records`."""
        with self._writing() as connection:
            return vector_rows.delete_records(connection, hasher=hasher)

    def register_model(
        self, identity: str, kind: ModelKind, *, path: str, metadata: Mapping[str, Any]
    ) -> None:
        """See `Catalog.register_model`."""
        with self._writing() as connection:
            model_rows.register(connection, identity, kind, path=path, metadata=metadata, now=self._clock())

    def activate_model(self, identity: str) -> None:
        """See `Catalog.activate_model`."""
        with self._writing() as connection:
            model_rows.activate(connection, identity)

    def active_model(self, kind: ModelKind) -> ModelRow | None:
        """See `Catalog.active_model`."""
        return next((model for model in self.models() if model.kind is kind and model.active), None)

    def models(self) -> list[ModelRow]:
        """See `Catalog.models`."""
        with self._reading() as connection:
            return model_rows.read_models(connection)

    def register_generation(
        self, number: int, *, hasher: str, built_to: int, images: int, manifest_sha256: str, note: str
    ) -> None:
        """See `Catalog.register_generation`."""
        with self._writing() as connection:
            generation_rows.register(
                connection,
                number,
                hasher=hasher,
                built_to=built_to,
                images=images,
                manifest_sha256=manifest_sha256,
                note=note,
                now=self._clock(),
            )

    def activate_generation(self, number: int) -> None:
        """See `Catalog.activate_generation`."""
        with self._writing() as connection:
            generation_rows.activate(connection, number)

    def quarantine_generation(self, number: int, *, note: str) -> None:
        """See `Catalog.quarantine_generation`. Raises NotFoundError."""
        with self._writing() as connection:
            generation_rows.quarantine(connection, number, note=note)

    def forget_generation(self, number: int) -> None:
        """See `Catalog.forget_generation`."""
        with self._writing() as connection:
            generation_rows.forget(connection, number)

    def generations(self) -> list[GenerationRow]:
        """See `Catalog.generations`."""
        with self._reading() as connection:
            return generation_rows.read_generations(connection)

    def check(self) -> list[str]:
        """See `Catalog.check`."""
        with self._reading() as connection:
            return soundness.problems(connection)

    def last_sequence(self) -> int:
        """See `Catalog.last_sequence`."""
        with self._reading() as connection:
            return last_sequence(connection)

    def counts(self) -> CatalogCounts:
        """See `Catalog.counts`."""
        with self._reading() as connection:
            return image_rows.read_counts(connection)

    def close(self) -> None:
        """See `Catalog.close`."""
        self._engine.dispose()

    def _chunks(self, read: Callable[[Connection, int], Chunk | None]) -> Iterator[Chunk]:
        """Yield what `read` finds above the last id, each chunk in a transaction of its own, so that writers do not wait."""
        after_id = 0
        while True:
            with self._reading() as connection:
                chunk = read(connection, after_id)
            if chunk is None:
                return
            after_id = int(chunk.image_ids[-1])
            yield chunk

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._write_lock, our_errors(), self._engine.connect() as plain:
            connection = plain.execution_options(**{WRITE_OPTION: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with our_errors(), self._engine.connect() as connection, connection.begin():
                yield connection
        except ValueError as error:  # a row that is of no kind, time or size that was ever written
            raise damaged(error) from error
