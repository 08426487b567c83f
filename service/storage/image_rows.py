"""One image in several tables: how it is written to them and read from them.

In: connections inside a transaction, and records of service.records. Out: rows written, or records read. Which
transaction it is, and what an acknowledgement says, is the catalog's business.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, Executable, insert, select

from service.errors import InvalidArgumentError, PreconditionError
from service.records import ImageRow, NewImage
from service.storage.schema import CodeRecord, Embedding, Image, ImageAttribute, ImageLabel, Op

T = TypeVar("T")

FLOAT16 = np.dtype("<f2")
VARIABLES = 900  # bound values per statement; SQLite's oldest limit is 999


def check_new_image(image: NewImage, *, hasher: str | None) -> None:
    """Raise unless the image's embedding fits float16 and it has a code record where a hasher is in use."""
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused here
        fits = np.isfinite(image.embedding.astype(np.float16)).all()
    if not fits:
        raise InvalidArgumentError(
            f"The embedding of {image.name} does not fit float16: its largest value is "
            f"{np.abs(image.embedding).max():g}, at most 65,504 can be kept. Use a backbone with normalised outputs.",
            reason="EMBEDDING_OUT_OF_RANGE",
        )
    if hasher is not None and image.record is None:
        raise PreconditionError(
            f"{image.name} comes without a code record, but the store uses hasher {hasher}."
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
        Op: [op_values(image_id, "add", image_id, now) for image_id, _ in fresh],
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


def op_values(sequence: int, kind: str, image_id: int, now: dt.datetime) -> dict[str, Any]:
    """Return the values of one row in the log of changes."""
    return {"seq": sequence, "kind": kind, "image_id": image_id, "created_at": now}


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


def in_parts(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in lists short enough for one statement."""
    iterator = iter(items)
    while part := list(islice(iterator, VARIABLES)):
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
    """Return the rows of a query over all columns of `images`, with labels and attributes."""
    found = connection.execute(query).mappings().all()
    image_ids = [row["image_id"] for row in found]
    labels = read_labels(connection, image_ids)
    attributes = _read_attributes(connection, image_ids)
    return [
        ImageRow(
            **row,
            labels=labels.get(row["image_id"], ()),
            attributes=attributes.get(row["image_id"], {}),
            sequence=row["image_id"],
        )
        for row in found
    ]


def _read_attributes(connection: Connection, image_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    attributes: dict[int, dict[str, str]] = {}
    query = select(ImageAttribute.image_id, ImageAttribute.name, ImageAttribute.value)
    for some in in_parts(image_ids):
        for image_id, name, value in connection.execute(query.where(ImageAttribute.image_id.in_(some))):
            attributes.setdefault(image_id, {})[name] = value
    return attributes
