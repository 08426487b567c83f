"""The table of generations: which are complete, and which one a start loads.

In: connections inside a transaction. Out: rows written, or records read. Their files are the business of
service.storage.generations.
"""

import datetime as dt

from sqlalchemy import Connection, delete, insert, select, update

from service.errors import ConflictError, NotFoundError, PreconditionError
from service.records import GenerationRow, GenerationState, ModelKind
from service.storage import model_rows
from service.storage.schema import Generation


def register(
    connection: Connection,
    number: int,
    *,
    hasher: str,
    built_to: int,
    images: int,
    manifest_sha256: str,
    note: str,
    now: dt.datetime,
) -> None:
    """Write a generation that is ready, or raise NotFoundError for its hasher or ConflictError for its number."""
    model_rows.check_registered(connection, hasher, ModelKind.HASHER)
    if connection.scalar(select(Generation.number).where(Generation.number == number)) is not None:
        raise ConflictError(
            f"There is a generation {number} already. Take a number that was never used.",
            reason="GENERATION_EXISTS",
        )
    connection.execute(
        insert(Generation).values(
            number=number,
            hasher=hasher,
            built_to=built_to,
            images=images,
            manifest_sha256=manifest_sha256,
            state=GenerationState.READY.value,
            note=note,
            created_at=now,
        )
    )


def activate(connection: Connection, number: int) -> None:
    """Make a generation, its hasher and the backbone of that the ones in use, or raise NotFoundError or PreconditionError."""
    found = _read(connection, number)
    if found.state is GenerationState.QUARANTINED:
        raise PreconditionError(
            f"Generation {number} is quarantined ({found.note}), so it is not served. Activate another one, or build "
            "a new one with `polyhash rebuild`.",
            reason="GENERATION_QUARANTINED",
        )
    before = update(Generation).where(Generation.state == GenerationState.ACTIVE.value)
    connection.execute(before.values(state=GenerationState.READY.value))
    _update(connection, number, state=GenerationState.ACTIVE)
    model_rows.activate_with_backbone(connection, found.hasher)


def quarantine(connection: Connection, number: int, *, note: str) -> None:
    """Note what was found damaged, or raise NotFoundError."""
    _read(connection, number)
    _update(connection, number, state=GenerationState.QUARANTINED, note=note)


def forget(connection: Connection, number: int) -> None:
    """Delete the row of a generation that is not active, or raise NotFoundError or PreconditionError."""
    if _read(connection, number).state is GenerationState.ACTIVE:
        raise PreconditionError(
            f"Generation {number} is in use and cannot be deleted. Activate another one before.",
            reason="GENERATION_ACTIVE",
        )
    connection.execute(delete(Generation).where(Generation.number == number))


def read_generations(connection: Connection) -> list[GenerationRow]:
    """Return all generations, oldest first."""
    found = connection.execute(select(Generation.__table__).order_by(Generation.number)).mappings()
    return [GenerationRow(**{**row, "state": GenerationState(row["state"])}) for row in found]


def _read(connection: Connection, number: int) -> GenerationRow:
    found = next((row for row in read_generations(connection) if row.number == number), None)
    if found is None:
        raise NotFoundError(
            f"No generation {number} in the catalog. `polyhash generations` lists those there are.",
            reason="GENERATION_NOT_FOUND",
        )
    return found


def _update(connection: Connection, number: int, *, state: GenerationState, **values: str) -> None:
    which = update(Generation).where(Generation.number == number)
    connection.execute(which.values(state=state.value, **values))
