"""The table of models: which there are, and which is in use.

In: connections inside a transaction. Out: rows written, or records read. Which transaction it is, is the catalog's
business; what a model computes is nobody's here.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from service.errors import ModelMismatchError, NotFoundError
from service.records import ModelKind, ModelRow
from service.storage.schema import Model


def register(
    connection: Connection,
    identity: str,
    kind: ModelKind,
    *,
    path: str,
    metadata: Mapping[str, Any],
    now: dt.datetime,
) -> None:
    """Write a model, or the new path of one that is known; the first backbone is active at once."""
    if connection.execute(update(Model).where(Model.identity == identity).values(path=path)).rowcount:
        return
    others = connection.scalar(select(func.count()).where(Model.kind == kind.value))
    connection.execute(
        insert(Model).values(
            identity=identity,
            kind=kind.value,
            path=path,
            provenance=dict(metadata),
            created_at=now,
            active=kind is ModelKind.BACKBONE and not others,
        )
    )


def activate(connection: Connection, identity: str) -> None:
    """Make this model the one of its kind in use, or raise NotFoundError."""
    kind = connection.scalar(select(Model.kind).where(Model.identity == identity))
    if kind is None:
        raise NotFoundError(
            f"Model {identity} is not registered, so it cannot be used. Train or register it first.",
            reason="MODEL_NOT_FOUND",
        )
    connection.execute(update(Model).where(Model.kind == kind).values(active=Model.identity == identity))


def activate_with_backbone(connection: Connection, hasher: str) -> None:
    """Make this hasher the one in use, and the backbone that its metadata names; or raise NotFoundError."""
    activate(connection, hasher)
    provenance = connection.scalar(select(Model.provenance).where(Model.identity == hasher)) or {}
    if backbone := provenance.get("backbone"):
        activate(connection, backbone)


def check_registered(connection: Connection, identity: str, kind: ModelKind) -> None:
    """Raise NotFoundError unless there is a model of this kind with this identity."""
    known = select(Model.number).where(Model.identity == identity, Model.kind == kind.value)
    if connection.scalar(known) is None:
        raise NotFoundError(
            f"{kind.value.capitalize()} {identity} is not registered. Register it before what it computes.",
            reason="MODEL_NOT_FOUND",
        )


def active(connection: Connection, kind: ModelKind) -> str | None:
    """Return the identity of the model of this kind in use, or None."""
    return connection.scalar(select(Model.identity).where(Model.kind == kind.value, Model.active))


def check_hasher(connection: Connection, hasher: str | None) -> None:
    """Raise ModelMismatchError if another hasher than this one is in use."""
    in_use = active(connection, ModelKind.HASHER)
    if in_use not in (None, hasher):
        raise ModelMismatchError(
            f"The store uses hasher {in_use}, the images come with codes of {hasher or 'none'}. Open the store again "
            "to use its hasher.",
            expected=in_use,
            found=hasher,
        )


def read_models(connection: Connection) -> list[ModelRow]:
    """Return all models, oldest first."""
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
