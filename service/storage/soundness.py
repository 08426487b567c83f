"""What can be wrong inside the catalog's database, and how it is told.

In: a connection inside a transaction. Out: sentences, none for a sound catalog. What lies outside the database is `verify`'s.
"""

from typing import Any

from sqlalchemy import Connection, Select, exists, func, select

from service.records import ChangeKind
from service.storage.schema import Embedding, Image, Op

NAMED = 10  # pages or rows that are named one by one


def problems(connection: Connection) -> list[str]:
    """Return what is wrong: damaged pages, rows without the row they belong to, gaps in the log, images that no change explains."""
    found = []
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql(f"PRAGMA integrity_check({NAMED})").scalars().all()
        found += [
            f"The database is damaged: {page}. Restore it from a backup." for page in pages if page != "ok"
        ]
        orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        found += [f"Row {row[1]} of table {row[0]} belongs to no row of {row[2]}." for row in orphans[:NAMED]]
    changes, last = connection.execute(select(func.count(Op.seq), func.coalesce(func.max(Op.seq), 0))).one()
    if changes != last:
        found.append(
            f"The log of changes has {changes} rows up to number {last}: {last - changes} are missing."
        )
    if unexplained := connection.scalar(_images_without_add()):
        found.append(f"{unexplained} images were added by no change that the log knows.")
    if lost := connection.scalar(_lost_images()):
        found.append(f"{lost} images were added and not deleted, but are gone.")
    if bare := connection.scalar(_images_without_embedding()):
        found.append(f"{bare} images have no embedding. Index them again.")
    return found


def _images_without_add() -> Select[Any]:
    added = exists().where(Op.seq == Image.image_id, Op.kind == ChangeKind.ADD.value)
    return select(func.count(Image.image_id)).where(~added)


def _lost_images() -> Select[Any]:
    deleted = select(Op.image_id).where(Op.kind == ChangeKind.DELETE.value)
    there = exists().where(Image.image_id == Op.image_id)
    added = Op.kind == ChangeKind.ADD.value
    return select(func.count(Op.seq)).where(added, ~there, Op.image_id.not_in(deleted))


def _images_without_embedding() -> Select[Any]:
    return select(func.count(Image.image_id)).where(~exists().where(Embedding.image_id == Image.image_id))
