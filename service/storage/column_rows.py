"""What filters look at, read by the million: labels, attributes, creation times and scores, and nothing else of an image.

In: connections inside a transaction. Out: chunks with one ordered pass per table. Whole images are read by
`image_rows`; what a filter does with them is nobody's business here.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64
from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.orm import InstrumentedAttribute

from service.records import ColumnChunk
from service.storage.database import fetch_raw
from service.storage.schema import Image, ImageAttribute, ImageLabel, ImageScore

Which = Callable[[InstrumentedAttribute[int]], ColumnElement[bool]]  # of a column of image ids: those wanted


def read_columns_after(connection: Connection, after_id: int, *, limit: int) -> ColumnChunk | None:
    """Return the columns of up to `limit` images above an id, or None when there are none."""
    query = select(Image.image_id, Image.created_at).where(Image.image_id > after_id)
    images = fetch_raw(connection, query.order_by(Image.image_id).limit(limit))
    return _with_facts(connection, images, lambda column: column.between(images[0][0], images[-1][0]))


def read_columns_of(connection: Connection, image_ids: Sequence[int]) -> ColumnChunk | None:
    """Return the columns of those of these images that exist, or None when none does; few enough for one statement."""
    query = select(Image.image_id, Image.created_at).where(Image.image_id.in_(image_ids))
    images = fetch_raw(connection, query.order_by(Image.image_id))
    return _with_facts(connection, images, lambda column: column.in_(image_ids))


def _with_facts(connection: Connection, images: list[tuple[Any, ...]], which: Which) -> ColumnChunk | None:
    if not images:
        return None
    ids = np.array([image_id for image_id, _ in images], dtype=np.int64)
    return ColumnChunk(
        image_ids=ids,
        created_us=np.array([at for _, at in images], dtype="datetime64[us]").astype(np.int64),
        labels=_read_labels(connection, ids, which),
        attributes=_read_named(connection, ids, which, ImageAttribute),
        scores=_read_named(connection, ids, which, ImageScore),
    )


def _read_labels(connection: Connection, ids: Int64[np.ndarray, " n"], which: Which) -> list[tuple[str, ...]]:
    # Without positions the primary key's index answers alone, in half the time.
    query = select(ImageLabel.image_id, ImageLabel.label)
    found = fetch_raw(connection, query.where(which(ImageLabel.image_id)).order_by(ImageLabel.image_id))
    labels = tuple(label for _, label in found)
    owners = np.array([image_id for image_id, _ in found], dtype=np.int64)
    return [labels[some] for some in _slices(ids, owners)]


def _read_named(
    connection: Connection,
    ids: Int64[np.ndarray, " n"],
    which: Which,
    table: type[ImageAttribute] | type[ImageScore],
) -> list[dict[str, Any]]:
    query = select(table.image_id, table.name, table.value)
    found = fetch_raw(connection, query.where(which(table.image_id)).order_by(table.image_id))
    pairs = [(name, value) for _, name, value in found]
    owners = np.array([image_id for image_id, _, _ in found], dtype=np.int64)
    return [dict(pairs[some]) for some in _slices(ids, owners)]


def _slices(ids: Int64[np.ndarray, " n"], owners: Int64[np.ndarray, " m"]) -> Iterator[slice]:
    """Yield, per image, where its rows stand among the ascending owners of all rows."""
    starts, ends = np.searchsorted(owners, ids, "left"), np.searchsorted(owners, ids, "right")
    return map(slice, starts.tolist(), ends.tolist())
