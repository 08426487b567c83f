"""Generations and the work on them in messages: rebuilds asked for, read; generations, progress, results and the state, written.

In: messages of IndexService, and the domain's records. Out: the other of the two, or an InvalidArgumentError that names the
field. Running the work is `index_servicer`'s.
"""

from collections.abc import Mapping
from typing import Any

from polyhash.v1 import index_service_pb2

from service.application import Application
from service.errors import InvalidArgumentError
from service.records import GenerationRow, GenerationState
from service.rpc.checks import MAX_NAME_CHARACTERS, check_word
from service.rpc.operations_servicer import OperationForm, OperationForms, write_progress
from service.usecases.operations import Operation
from service.usecases.verify import Verification

REBUILD, VERIFY = "rebuild", "verify"  # kinds of operations
MAX_FINDINGS = 1000  # of one answer
_KINDS = frozenset(index_service_pb2.RebuildKind.values())
_STATES = {
    GenerationState.READY: index_service_pb2.GENERATION_STATE_READY,
    GenerationState.ACTIVE: index_service_pb2.GENERATION_STATE_ACTIVE,
    GenerationState.QUARANTINED: index_service_pb2.GENERATION_STATE_QUARANTINED,
}


def read_rebuild(request: index_service_pb2.RebuildIndexRequest) -> tuple[str | None, str | None]:
    """Return the hasher and the backbone to go over to; None for the one in use.

    Raises:
        InvalidArgumentError: An unknown kind, a hasher or backbone that it does not take or lacks, or a text that is too long.
    """
    if request.kind not in _KINDS:
        raise InvalidArgumentError(
            f"kind must be one of RebuildKind's values, got {request.kind}.",
            reason="KIND_UNKNOWN",
            field="kind",
            kind=request.kind,
        )
    for field in ("hasher", "note", "backbone"):
        check_word(getattr(request, field), field=field, min_characters=0, max_characters=MAX_NAME_CHARACTERS)
    encodes = request.kind == index_service_pb2.REBUILD_KIND_ENCODE
    extracts = request.kind == index_service_pb2.REBUILD_KIND_EXTRACT
    if encodes != bool(request.hasher) and not extracts:
        raise InvalidArgumentError(
            "REBUILD_KIND_ENCODE needs the hasher to go over to."
            if encodes
            else "Only REBUILD_KIND_ENCODE and REBUILD_KIND_EXTRACT take a hasher. Leave it out, or choose one of them.",
            reason="HASHER_AND_KIND",
            field="hasher",
        )
    if extracts != bool(request.backbone):
        raise InvalidArgumentError(
            "REBUILD_KIND_EXTRACT needs the backbone to go over to."
            if extracts
            else "Only REBUILD_KIND_EXTRACT takes a backbone. Leave it out, or choose that kind.",
            reason="BACKBONE_AND_KIND",
            field="backbone",
        )
    return request.hasher or None, request.backbone or None


def write_stats(application: Application) -> index_service_pb2.GetIndexStatsResponse:
    """Return the state of a gallery and its indexes."""
    gallery, counts = application.gallery, application.catalog.counts()
    state = gallery.state
    response = index_service_pb2.GetIndexStatsResponse(
        image_count=counts.images,
        labelled_image_count=counts.labelled_images,
        image_count_by_label=counts.labels,
        original_bytes=counts.original_bytes,
        backbone=state.backbone.identity,
        sequence=gallery.sequence,
        durability=index_service_pb2.DURABILITY_POWER
        if application.survives_power_loss
        else index_service_pb2.DURABILITY_PROCESS,
    )
    snapshot = state.snapshot
    if snapshot is not None:
        response.indexed_image_count = len(snapshot)
        response.lengths_bits.extend(snapshot.hasher.lengths)
        response.hasher = snapshot.hasher.identity
        response.generation = snapshot.generation
        response.tombstone_count = max(0, snapshot.n_rows - len(snapshot))
        for row in application.catalog.generations():
            if row.number == snapshot.generation:
                response.delta_count = snapshot.sequence - row.built_to
    return response


def write_generation(row: GenerationRow) -> index_service_pb2.Generation:
    """Return one generation."""
    generation = index_service_pb2.Generation(
        number=row.number,
        hasher=row.hasher,
        sequence=row.built_to,
        image_count=row.images,
        state=_STATES[row.state],
        note=row.note,
    )
    generation.create_time.FromDatetime(row.created_at)
    return generation


def write_rebuild_metadata(operation: Operation) -> index_service_pb2.RebuildMetadata:
    """Return how far a rebuild is."""
    return index_service_pb2.RebuildMetadata(
        kind=operation.metadata["kind"], note=operation.metadata["note"], progress=write_progress(operation)
    )


def write_rebuild_result(result: Mapping[str, Any]) -> index_service_pb2.RebuildResult:
    """Return what a rebuild made, or an activation chose; nothing for a pruning."""
    row: GenerationRow | None = result.get("generation")
    if row is None:
        return index_service_pb2.RebuildResult()
    return index_service_pb2.RebuildResult(
        generation=row.number, image_count=row.images, sequence=row.built_to, hasher=row.hasher
    )


def write_verify_metadata(operation: Operation) -> index_service_pb2.VerifyMetadata:
    """Return how far a check is."""
    return index_service_pb2.VerifyMetadata(progress=write_progress(operation))


def write_verify_result(result: Mapping[str, Any]) -> index_service_pb2.VerifyResult:
    """Return what a check found, damage first."""
    found: Verification = result["verification"]
    findings = sorted(found.findings, key=lambda finding: not finding.damage)
    return index_service_pb2.VerifyResult(
        sound=found.sound,
        findings=[
            index_service_pb2.VerifyFinding(
                subject=finding.subject, problem=finding.problem, damage=finding.damage
            )
            for finding in findings[:MAX_FINDINGS]
        ],
        finding_count=len(findings),
        checked=found.checked,
    )


OPERATION_FORMS: OperationForms = {
    REBUILD: OperationForm(write_rebuild_metadata, write_rebuild_result),
    VERIFY: OperationForm(write_verify_metadata, write_verify_result),
}
