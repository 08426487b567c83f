"""What the client returns of indexes: their state, generations, operations and what these end with, as plain records.

In: responses of IndexService and of google.longrunning.Operations. Out: frozen dataclasses without a trace of protobuf.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.longrunning import operations_pb2
from polyhash.v1 import index_service_pb2, operation_pb2

from service.rpc.api_error import ApiError, read_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How much the gallery holds and which models it uses.

    Attributes:
        images: In the gallery.
        indexed_images: That searches can find.
        labelled_images: With a label.
        labels: Images per label.
        original_bytes: Of all encoded files.
        lengths: Code lengths in bits that can be searched; none while there is no hasher.
        hasher: Identity; empty while there is none.
        backbone: Identity.
        sequence: Last change of the gallery.
        generation: Number of the generation in use; 0 while there is none on disk.
        tombstones: Deleted images that take room until a rebuild.
        changes_since_generation: That a start applies again.
    """

    images: int
    indexed_images: int
    labelled_images: int
    labels: Mapping[str, int]
    original_bytes: int
    lengths: tuple[int, ...]
    hasher: str
    backbone: str
    sequence: int
    generation: int
    tombstones: int
    changes_since_generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation of the indexes; `state` is ready, active or quarantined, `sequence` the last change it contains."""

    number: int
    hasher: str
    sequence: int
    images: int
    state: str
    note: str
    created_at: dt.datetime  # UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild made: the generation that is now in use."""

    generation: int
    images: int
    sequence: int
    hasher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be; without `damage` it is untidy only."""

    subject: str
    problem: str
    damage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a check found: the first findings, damage first, how many there are, and how many things were looked at by kind."""

    sound: bool
    findings: tuple[Finding, ...]
    finding_count: int
    checked: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an operation is in its present stage; `total` 0 and `eta_s` None while they are not known."""

    stage: str
    done: int
    total: int
    rate_per_s: float
    eta_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Long-running work on the server.

    Attributes:
        name: What to wait for and to cancel it by.
        done: Whether it has ended, well or not.
        progress: How far it is, or was in the end.
        result: What it made or found; None while it runs, and where it failed.
        error: Why it failed, or None.
    """

    name: str
    done: bool
    progress: Progress
    result: Rebuilt | Verified | None
    error: ApiError | None


_METADATA: Mapping[str, type[Any]] = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (index_service_pb2.RebuildMetadata, index_service_pb2.VerifyMetadata)
}


def read_stats(response: index_service_pb2.GetIndexStatsResponse) -> Stats:
    """Return the state of the gallery and its indexes."""
    return Stats(
        images=response.image_count,
        indexed_images=response.indexed_image_count,
        labelled_images=response.labelled_image_count,
        labels=dict(response.image_count_by_label),
        original_bytes=response.original_bytes,
        lengths=tuple(response.lengths_bits),
        hasher=response.hasher,
        backbone=response.backbone,
        sequence=response.sequence,
        generation=response.generation,
        tombstones=response.tombstone_count,
        changes_since_generation=response.delta_count,
    )


def read_generation(generation: index_service_pb2.Generation) -> Generation:
    """Return one generation."""
    state = index_service_pb2.GenerationState.Name(generation.state)
    return Generation(
        number=generation.number,
        hasher=generation.hasher,
        sequence=generation.sequence,
        images=generation.image_count,
        state=state.removeprefix("GENERATION_STATE_").lower(),
        note=generation.note,
        created_at=generation.create_time.ToDatetime(tzinfo=dt.UTC),
    )


def read_operation(operation: operations_pb2.Operation) -> Operation:
    """Return an operation as it is now."""
    return Operation(
        name=operation.name,
        done=operation.done,
        progress=_read_progress(operation),
        result=_read_result(operation) if operation.HasField("response") else None,
        error=read_status(operation.error) if operation.HasField("error") else None,
    )


def _read_progress(operation: operations_pb2.Operation) -> Progress:
    metadata = _METADATA[operation.metadata.TypeName()]()
    operation.metadata.Unpack(metadata)
    progress: operation_pb2.OperationProgress = metadata.progress
    return Progress(
        stage=progress.stage,
        done=progress.done,
        total=progress.total,
        rate_per_s=progress.rate_per_s,
        eta_s=progress.eta_s if progress.HasField("eta_s") else None,
    )


def _read_result(operation: operations_pb2.Operation) -> Rebuilt | Verified:
    found, rebuilt = index_service_pb2.VerifyResult(), index_service_pb2.RebuildResult()
    if operation.response.Unpack(found):
        return Verified(
            sound=found.sound,
            findings=tuple(
                Finding(subject=finding.subject, problem=finding.problem, damage=finding.damage)
                for finding in found.findings
            ),
            finding_count=found.finding_count,
            checked=dict(found.checked),
        )
    operation.response.Unpack(rebuilt)
    return Rebuilt(
        generation=rebuilt.generation,
        images=rebuilt.image_count,
        sequence=rebuilt.sequence,
        hasher=rebuilt.hasher,
    )
