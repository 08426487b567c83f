"""Embeddings and code records: one blob per image and model, read in chunks and written in bulk.

In: connections inside a transaction, and chunks of arrays. Out: the same. Which model is in use, and who computes the
blobs, is left to others.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from sqlalchemy import Connection, Exists, delete, exists, func, insert, select

from service.errors import InvalidArgumentError, PreconditionError
from service.records import EmbeddingChunk, ModelKind, RecordChunk
from service.storage import model_rows
from service.storage.database import fetch_raw
from service.storage.image_rows import FLOAT16, in_parts, read_labels
from service.storage.schema import CodeRecord, Embedding, Image


def read_embeddings(
    connection: Connection, after_id: int, *, backbone: str, limit: int, lacking: str | None
) -> EmbeddingChunk | None:
    """Return up to `limit` embeddings above an id, only of images without a record of `lacking`, or None."""
    query = select(Embedding.image_id, Embedding.vector).where(
        Embedding.backbone == backbone, Embedding.image_id > after_id
    )
    if lacking is not None:
        coded = select(CodeRecord.image_id).where(
            CodeRecord.hasher == lacking, CodeRecord.image_id == Embedding.image_id
        )
        query = query.where(~coded.exists())
    found = fetch_raw(connection, query.order_by(Embedding.image_id).limit(limit))
    if not found:
        return None
    ids, vectors = _arrays(found, FLOAT16)
    labels = read_labels(connection, ids.tolist())
    return EmbeddingChunk(
        image_ids=ids,
        embeddings=vectors.astype(np.float16, copy=False),
        labels=[labels.get(image_id, ()) for image_id in ids.tolist()],
    )


def read_records(connection: Connection, after_id: int, *, hasher: str, limit: int) -> RecordChunk | None:
    """Return up to `limit` code records above an id, or None when there are none."""
    query = (
        select(CodeRecord.image_id, CodeRecord.record)
        .where(CodeRecord.hasher == hasher, CodeRecord.image_id > after_id)
        .order_by(CodeRecord.image_id)
        .limit(limit)
    )
    found = fetch_raw(connection, query)
    if not found:
        return None
    ids, records = _arrays(found, np.dtype(np.uint8))
    return RecordChunk(image_ids=ids, records=records)


def find_records(
    connection: Connection, image_ids: Sequence[int], *, hasher: str
) -> dict[int, UInt8[np.ndarray, " record_bytes"]]:
    """Return the code records that these images have; ValueError if they differ in size, which nobody writes."""
    query = select(CodeRecord.image_id, CodeRecord.record).where(CodeRecord.hasher == hasher)
    found = {
        image_id: np.frombuffer(record, dtype=np.uint8)
        for some in in_parts(image_ids)
        for image_id, record in fetch_raw(connection, query.where(CodeRecord.image_id.in_(some)))
    }
    if len({len(record) for record in found.values()}) > 1:
        raise ValueError(f"code records of {hasher} differ in size")
    return found


def write_records(connection: Connection, chunk: RecordChunk, *, hasher: str) -> int:
    """Write or replace code records of the images that exist; returns how many."""
    model_rows.check_registered(connection, hasher, ModelKind.HASHER)
    blobs = {i: record.tobytes() for i, record in zip(chunk.image_ids.tolist(), chunk.records, strict=True)}
    live = _only_live(connection, blobs)
    old = delete(CodeRecord).where(CodeRecord.hasher == hasher)
    for some in in_parts(live):
        connection.execute(old.where(CodeRecord.image_id.in_(some)))
    return _insert(
        connection, CodeRecord, [{"hasher": hasher, "image_id": i, "record": live[i]} for i in live]
    )


def write_embeddings(connection: Connection, chunk: EmbeddingChunk, *, backbone: str) -> int:
    """Write or replace embeddings of the images that exist; returns how many."""
    model_rows.check_registered(connection, backbone, ModelKind.BACKBONE)
    infinite = ~np.isfinite(chunk.embeddings).all(axis=1)
    if infinite.any():
        raise InvalidArgumentError(
            f"The embedding of image {chunk.image_ids[infinite][0]} is not finite in float16, which holds at most "
            "65,504. Use a backbone with normalised outputs.",
            reason="EMBEDDING_OUT_OF_RANGE",
        )
    vectors = chunk.embeddings.astype(FLOAT16, copy=False)
    blobs = {i: vector.tobytes() for i, vector in zip(chunk.image_ids.tolist(), vectors, strict=True)}
    live = _only_live(connection, blobs)
    old = delete(Embedding).where(Embedding.backbone == backbone)
    for some in in_parts(live):
        connection.execute(old.where(Embedding.image_id.in_(some)))
    return _insert(
        connection, Embedding, [{"backbone": backbone, "image_id": i, "vector": live[i]} for i in live]
    )


def find_lacking_embedding(connection: Connection, *, backbone: str, after_id: int, limit: int) -> list[int]:
    """Return up to `limit` ids above an id, ascending, of images that have no embedding of this backbone."""
    query = select(Image.image_id).where(Image.image_id > after_id, ~_embedded(backbone))
    return [image_id for (image_id,) in fetch_raw(connection, query.order_by(Image.image_id).limit(limit))]


def count_lacking_embedding(connection: Connection, *, backbone: str) -> int:
    """Return how many images have no embedding of this backbone."""
    return connection.scalar(select(func.count()).select_from(Image).where(~_embedded(backbone))) or 0


def delete_embeddings(connection: Connection, *, backbone: str) -> int:
    """Delete all embeddings of a backbone that is not in use; returns how many."""
    if model_rows.active(connection, ModelKind.BACKBONE) == backbone:
        raise PreconditionError(
            f"Backbone {backbone} is in use, so its embeddings stay. Activate a generation of another one before.",
            reason="MODEL_ACTIVE",
        )
    count = connection.scalar(select(func.count()).where(Embedding.backbone == backbone)) or 0
    connection.execute(delete(Embedding).where(Embedding.backbone == backbone))
    return count


def count_lacking(connection: Connection, *, hasher: str) -> int:
    """Return how many images have no code record of this hasher."""
    coded = select(CodeRecord.image_id).where(
        CodeRecord.hasher == hasher, CodeRecord.image_id == Image.image_id
    )
    return connection.scalar(select(func.count()).select_from(Image).where(~coded.exists())) or 0


def delete_records(connection: Connection, *, hasher: str) -> int:
    """Delete all code records of a hasher that is not in use; returns how many."""
    if model_rows.active(connection, ModelKind.HASHER) == hasher:
        raise PreconditionError(
            f"Hasher {hasher} is in use, so its code records stay. Activate another one before.",
            reason="MODEL_ACTIVE",
        )
    count = connection.scalar(select(func.count()).where(CodeRecord.hasher == hasher)) or 0
    connection.execute(delete(CodeRecord).where(CodeRecord.hasher == hasher))
    return count


def _embedded(backbone: str) -> Exists:
    return exists().where(Embedding.backbone == backbone, Embedding.image_id == Image.image_id)


def _arrays(found: list[tuple[Any, ...]], dtype: np.dtype[Any]) -> tuple[Int64[np.ndarray, " n"], np.ndarray]:
    values = np.frombuffer(b"".join([blob for _, blob in found]), dtype=dtype)
    return np.array([image_id for image_id, _ in found], dtype=np.int64), values.reshape(len(found), -1)


def _only_live(connection: Connection, blobs: dict[int, bytes]) -> dict[int, bytes]:
    """Return those of images that were not deleted meanwhile."""
    query = select(Image.image_id)
    return {
        image_id: blobs[image_id]
        for some in in_parts(blobs)
        for (image_id,) in fetch_raw(connection, query.where(Image.image_id.in_(some)))
    }


def _insert(connection: Connection, table: type[CodeRecord | Embedding], rows: list[dict[str, Any]]) -> int:
    if rows:
        connection.execute(insert(table), rows)
    return len(rows)
