# ruff: noqa: N802 - the protocol names the methods
"""IndexService: the state of the gallery's indexes, their generations, and the long-running work on them.

In: checked messages. Out: responses and operations, or PolyhashErrors that the interceptor turns into statuses.

Rebuilds, activations and prunings are operations of one kind, of which one runs at a time: so they exclude each other, are seen
while they run, and end with the server.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.longrunning import operations_pb2
from polyhash.v1 import index_service_pb2, index_service_pb2_grpc

from service.application import Application
from service.errors import InvalidArgumentError, NotFoundError
from service.records import ModelKind
from service.rpc.generation_messages import (
    OPERATION_FORMS,
    REBUILD,
    VERIFY,
    read_rebuild,
    write_generation,
    write_stats,
)
from service.rpc.operations_servicer import write_operation
from service.rpc.settings import ServerSettings
from service.rpc.status import DeadlineExceededError
from service.usecases.operations import Operation, OperationHandle

_Work = Callable[[OperationHandle], Mapping[str, Any]]


class IndexServicer(index_service_pb2_grpc.IndexServiceServicer):
    """Serves the indexes of one application."""

    def __init__(self, application: Application, settings: ServerSettings) -> None:
        self._application = application
        self._max_call_s = settings.max_call_s

    def GetIndexStats(
        self, request: index_service_pb2.GetIndexStatsRequest, context: grpc.ServicerContext
    ) -> index_service_pb2.GetIndexStatsResponse:
        """Return how much the gallery holds and which models it uses."""
        del request, context
        return write_stats(self._application)

    def RebuildIndex(
        self, request: index_service_pb2.RebuildIndexRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start to build a new generation."""
        del context
        hasher, backbone = read_rebuild(request)
        if hasher:
            self._check_hasher(hasher)
        else:
            _ = self._application.gallery.snapshot  # says so where there is no hasher yet
        rebuilder = self._application.rebuilder

        def work(handle: OperationHandle) -> Mapping[str, Any]:
            row = rebuilder.rebuild(report=handle.report, hasher=hasher, backbone=backbone, note=request.note)
            return {"generation": row}

        kind = request.kind or index_service_pb2.REBUILD_KIND_INDEX
        return write_operation(self._start(work, kind=kind, note=request.note), OPERATION_FORMS)

    def VerifyIndex(
        self, request: index_service_pb2.VerifyIndexRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start to check the indexes."""
        del request, context
        verify = self._application.verify
        operation = self._application.operations.start(
            VERIFY, lambda handle: {"verification": verify(handle.report)}
        )
        return write_operation(operation, OPERATION_FORMS)

    def ListGenerations(
        self, request: index_service_pb2.ListGenerationsRequest, context: grpc.ServicerContext
    ) -> index_service_pb2.ListGenerationsResponse:
        """Return all generations."""
        del request, context
        rows = self._application.catalog.generations()
        return index_service_pb2.ListGenerationsResponse(generations=[write_generation(row) for row in rows])

    def ActivateGeneration(
        self, request: index_service_pb2.ActivateGenerationRequest, context: grpc.ServicerContext
    ) -> index_service_pb2.ActivateGenerationResponse:
        """Use another generation."""
        rebuilder, number = self._application.rebuilder, _check_positive(request.number, field="number")
        result = self._finish(
            lambda handle: {"generation": rebuilder.activate(number, report=handle.report)},
            context,
            note=f"activates generation {number}",
        )
        return index_service_pb2.ActivateGenerationResponse(generation=write_generation(result["generation"]))

    def PruneGenerations(
        self, request: index_service_pb2.PruneGenerationsRequest, context: grpc.ServicerContext
    ) -> index_service_pb2.PruneGenerationsResponse:
        """Delete old generations."""
        rebuilder, keep = self._application.rebuilder, _check_positive(request.keep, field="keep")
        result = self._finish(
            lambda _: {"deleted": rebuilder.prune(keep)},
            context,
            note=f"deletes all but {keep} generations",
        )
        return index_service_pb2.PruneGenerationsResponse(deleted_numbers=result["deleted"])

    def _start(self, work: _Work, *, kind: int, note: str) -> Operation:
        return self._application.operations.start(REBUILD, work, {"kind": kind, "note": note})

    def _finish(self, work: _Work, context: grpc.ServicerContext, *, note: str) -> Mapping[str, Any]:
        """Do work that no rebuild may run beside, and wait for its end as long as the call may last."""
        name = self._start(work, kind=index_service_pb2.REBUILD_KIND_UNSPECIFIED, note=note).name
        remaining_s = context.time_remaining()
        allowed_s = self._max_call_s if remaining_s is None else min(remaining_s, self._max_call_s)
        operation = self._application.operations.wait(name, allowed_s)
        if operation.error is not None:
            raise operation.error
        if operation.result is None:
            raise DeadlineExceededError(
                f"{name} goes on; it took longer than the {allowed_s:g} s of this call. Wait for it by its name.",
                operation=name,
            )
        return operation.result

    def _check_hasher(self, identity: str) -> None:
        models = self._application.catalog.models()
        if not any(model.identity == identity and model.kind is ModelKind.HASHER for model in models):
            raise NotFoundError(
                f"No hasher {identity} in the store. `polyhash train hasher` makes one.",
                reason="MODEL_NOT_FOUND",
                field="hasher",
            )


def _check_positive(number: int, *, field: str) -> int:
    if number < 1:
        raise InvalidArgumentError(
            f"{field} must be 1 or more, got {number}.", reason="NUMBER_OUT_OF_RANGE", field=field
        )
    return number
