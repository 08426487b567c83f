"""One image in several tables: how it is written to them and read from them.

In: connections inside a transaction, and records of service.records. Out: rows written, or records read. Which
transaction it is, and what an acknowledgement says, is the catalog's business.
"""

import datetime as dt
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, Executable, delete, func, insert, select

from service.errors import InvalidArgumentError, NotFoundError, PreconditionError
from service.records import CatalogCounts, ChangeKind, ImageRow, NewImage
from service.storage.schema import (
    CodeRecord,
    Embedding,
    Image,
    ImageAttribute,
    ImageLabel,
    ImageScore,
    Op,
)

T = TypeVar("T")

FLOAT16 = np.dtype("<f2")
VARIABLES = 900  # bound values per statement; SQLite's oldest limit is 999


def check_new_image(image: NewImage, *, hasher: str | None) -> None:
    """Raise unless the embedding fits float16, scores are finite, and a code record is there where a hasher is in use."""
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused here
        fits = np.isfinite(image.embedding.astype(np.float16)).all()
    if not fits:
        raise InvalidArgumentError(
            f"The embedding of {image.name} does not fit float16: its largest value is "
            f"{np.abs(image.embedding).max():g}, at most 65,504 can be kept. Use a backbone with normalised outputs.",
            reason="EMBEDDING_OUT_OF_RANGE",
        )
    check_scores(image.scores, of=image.name)
    if hasher is not None and image.record is None:
        raise PreconditionError(
            f"{image.name} comes without a code record, but the store uses hasher {hasher}."
        )


def check_scores(scores: Mapping[str, float], *, of: str) -> None:
    """Raise unless all scores of this image are finite."""
    for name, value in scores.items():
        if not math.isfinite(value):
            raise InvalidArgumentError(
                f'Score "{name}" of {of} is {value}, but scores are finite numbers. Leave out a score that is not known.',
                reason="SCORE_NOT_FINITE",
                field="scores",
            )


def insert_images(
    connection: Connection,
    fresh: Sequence[tuple[int, NewImage]],
    *,
    backbone: str,
    hasher: str | None,
    now: dt.datetime,
) -> None:
    """Write images under their ids to all tables, each with its row in the log of changes."""
    rows: dict[Any, list[dict[str, Any]]] = {
        Op: [_op_values(image_id, ChangeKind.ADD, image_id, now) for image_id, _ in fresh],
        Image: [_image_values(image_id, image, now) for image_id, image in fresh],
        ImageLabel: [row for i, image in fresh for row in _label_values(i, image.labels)],
        ImageAttribute: [row for i, image in fresh for row in _named_values(i, image.attributes)],
        ImageScore: [row for i, image in fresh for row in _named_values(i, image.scores)],
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


def replace_facts(
    connection: Connection,
    image_id: int,
    *,
    labels: Sequence[str] | None,
    attributes: Mapping[str, str] | None,
    scores: Mapping[str, float] | None,
) -> None:
    """Replace those of an image's labels, attributes and scores that are given."""
    rows: dict[Any, list[dict[str, Any]] | None] = {
        ImageLabel: None if labels is None else _label_values(image_id, labels),
        ImageAttribute: None if attributes is None else _named_values(image_id, attributes),
        ImageScore: None if scores is None else _named_values(image_id, scores),
    }
    for table, values in rows.items():
        if values is not None:
            connection.execute(delete(table).where(table.image_id == image_id))
        if values:
            connection.execute(insert(table), values)


def delete_rows(connection: Connection, image_id: int) -> None:
    """Delete an image from all tables but the log of changes."""
    for table in (ImageLabel, ImageAttribute, ImageScore, Embedding, CodeRecord, Image):
        connection.execute(delete(table).where(table.image_id == image_id))


def check_there(connection: Connection, image_id: int) -> None:
    """Raise NotFoundError unless there is such an image."""
    if connection.scalar(select(Image.image_id).where(Image.image_id == image_id)) is None:
        raise NotFoundError(
            f"No image {image_id} in the catalog, so nothing was changed.",
            reason="IMAGE_NOT_FOUND",
            field="image_id",
            image_id=image_id,
        )


def last_sequence(connection: Connection) -> int:
    """Return the number of the last change, 0 before the first."""
    return connection.scalar(select(func.max(Op.seq))) or 0


def log_change(connection: Connection, kind: ChangeKind, image_id: int, now: dt.datetime) -> int:
    """Write the next row of the log of changes; returns its number."""
    sequence = last_sequence(connection) + 1
    connection.execute(insert(Op).values(_op_values(sequence, kind, image_id, now)))
    return sequence


def _op_values(sequence: int, kind: ChangeKind, image_id: int, now: dt.datetime) -> dict[str, Any]:
    return {"seq": sequence, "kind": kind.value, "image_id": image_id, "created_at": now}


def _label_values(image_id: int, labels: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"image_id": image_id, "label": label, "position": position}
        for position, label in enumerate(dict.fromkeys(labels))
    ]


def _named_values(image_id: int, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"image_id": image_id, "name": name, "value": value} for name, value in values.items()]


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


def in_parts(items: Iterable[T], *, size: int = VARIABLES) -> Iterator[list[T]]:
    """Yield the items in lists short enough for one statement, or shorter."""
    iterator = iter(items)
    while part := list(islice(iterator, min(size, VARIABLES))):
        yield part


def find_ids(connection: Connection, digests: Collection[bytes]) -> dict[bytes, int]:
    """Return the ids of the images with these digests."""
    found: dict[bytes, int] = {}
    for some in in_parts(dict.fromkeys(digests)):
        query = select(Image.sha256, Image.image_id).where(Image.sha256.in_(some))
        found.update((bytes(digest), image_id) for digest, image_id in connection.execute(query))
    return found


def read_labels(connection: Connection, image_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return the labels of the images that have any, in the order they were given in."""
    labels: dict[int, tuple[str, ...]] = {}
    for some in in_parts(image_ids):
        query = (
            select(ImageLabel.image_id, ImageLabel.label)
            .where(ImageLabel.image_id.in_(some))
            .order_by(ImageLabel.image_id, ImageLabel.position)
        )
        for image_id, label in connection.execute(query):
            labels[image_id] = (*labels.get(image_id, ()), label)
    return labels


def read_rows(connection: Connection, query: Executable) -> list[ImageRow]:
    """Return the rows of a query over all columns of `images`, with labels, attributes and scores."""
    found = connection.execute(query).mappings().all()
    image_ids = [row["image_id"] for row in found]
    labels = read_labels(connection, image_ids)
    attributes = _read_named(connection, image_ids, ImageAttribute)
    scores = _read_named(connection, image_ids, ImageScore)
    return [
        ImageRow(
            **row,
            labels=labels.get(row["image_id"], ()),
            attributes=attributes.get(row["image_id"], {}),
            scores=scores.get(row["image_id"], {}),
            sequence=row["image_id"],
        )
        for row in found
    ]


def _read_named(
    connection: Connection, image_ids: Sequence[int], table: type[ImageAttribute] | type[ImageScore]
) -> dict[int, dict[str, Any]]:
    values: dict[int, dict[str, Any]] = {}
    query = select(table.image_id, table.name, table.value)
    for some in in_parts(image_ids):
        for image_id, name, value in connection.execute(query.where(table.image_id.in_(some))):
            values.setdefault(image_id, {})[name] = value
    return values


def read_counts(connection: Connection) -> CatalogCounts:
    """Return how much all tables hold."""
    labels = select(ImageLabel.label, func.count()).group_by(ImageLabel.label).order_by(ImageLabel.label)
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
        last_sequence=last_sequence(connection),
    )


def _count(connection: Connection, expression: Any) -> int:  # noqa: ANN401 - any SQL expression
    return int(connection.scalar(select(expression)) or 0)
