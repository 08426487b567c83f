# ruff: noqa: N802 - the protocol names the methods
"""google.longrunning.Operations: long-running work seen, waited for, cancelled and forgotten by its name.

In: messages of google.longrunning, and a table that says how the metadata and the result of each kind are written. Out: responses,
or PolyhashErrors that the interceptor turns into statuses. Starting is the business of the service that knows the work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from polyhash.v1 import operation_pb2

from service.errors import InvalidArgumentError
from service.rpc.pages import check_page_size, read_page_token, write_page_token
from service.rpc.settings import ServerSettings
from service.rpc.status import to_status
from service.usecases.operations import Operation, Operations

COLLECTION = "operations"
_WAIT_SHARE = 0.9  # of the time that a call has; the rest is for sending what the wait ended with


@dataclass(frozen=True, slots=True)
class OperationForm:
    """How the operations of one kind are written.

    Attributes:
        to_metadata: From an operation to its message of metadata.
        to_response: From the result of one that succeeded to its message.
    """

    to_metadata: Callable[[Operation], Message]
    to_response: Callable[[Mapping[str, Any]], Message]


OperationForms = Mapping[str, OperationForm]  # by kind


def write_operation(operation: Operation, forms: OperationForms) -> operations_pb2.Operation:
    """Return an operation as its clients see it."""
    form = forms[operation.kind]
    message = operations_pb2.Operation(name=operation.name, done=operation.done)
    message.metadata.Pack(form.to_metadata(operation))
    if operation.error is not None:
        message.error.CopyFrom(to_status(operation.error))
    elif operation.result is not None:
        message.response.Pack(form.to_response(operation.result))
    return message


def write_progress(operation: Operation) -> operation_pb2.OperationProgress:
    """Return how far an operation is; what the metadata of every kind carries."""
    progress = operation.progress
    message = operation_pb2.OperationProgress(
        stage=progress.stage,
        done=progress.done,
        total=progress.total,
        rate_per_s=progress.rate_per_s,
        eta_s=progress.eta_s,
        cancel_requested=operation.cancel_requested,
    )
    message.start_time.FromDatetime(operation.started_at)
    if operation.finished_at is not None:
        message.end_time.FromDatetime(operation.finished_at)
    return message


class OperationsServicer(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]  # published without types
    """Serves the operations of one process."""

    def __init__(self, operations: Operations, forms: OperationForms, settings: ServerSettings) -> None:
        self._operations = operations
        self._forms = forms
        self._max_call_s = settings.max_call_s

    def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: grpc.ServicerContext
    ) -> operations_pb2.ListOperationsResponse:
        """Return the operations that are remembered, oldest first, page by page."""
        del context
        _check_list(request)
        size = check_page_size(request.page_size)
        after = read_page_token(request.page_token, arguments=COLLECTION)
        found = [operation for operation in self._operations.list() if operation.number > after]
        page = found[:size]
        return operations_pb2.ListOperationsResponse(
            operations=[write_operation(operation, self._forms) for operation in page],
            next_page_token=write_page_token(page[-1].number, arguments=COLLECTION)
            if len(found) > size
            else "",
        )

    def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Return one operation as it is now."""
        del context
        return write_operation(self._operations.get(request.name), self._forms)

    def DeleteOperation(
        self, request: operations_pb2.DeleteOperationRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Forget an operation that has ended."""
        del context
        self._operations.delete(request.name)
        return empty_pb2.Empty()

    def CancelOperation(
        self, request: operations_pb2.CancelOperationRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Tell an operation to end early."""
        del context
        self._operations.cancel(request.name)
        return empty_pb2.Empty()

    def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Return an operation once it has ended, or as it is when the time to wait is over."""
        remaining_s = context.time_remaining()
        allowed_s = self._max_call_s if remaining_s is None else min(remaining_s, self._max_call_s)
        timeout_s = _WAIT_SHARE * allowed_s
        if request.HasField("timeout"):
            timeout_s = min(timeout_s, _seconds(request.timeout))
        return write_operation(self._operations.wait(request.name, timeout_s), self._forms)


def _check_list(request: operations_pb2.ListOperationsRequest) -> None:
    if request.name not in {"", COLLECTION}:
        raise InvalidArgumentError(
            f"name must be {COLLECTION!r} or empty, got {request.name!r}: all operations are in one collection.",
            reason="COLLECTION_UNKNOWN",
            field="name",
        )
    if request.filter:
        raise InvalidArgumentError(
            "filter is not supported. Leave it out, and choose among the operations that are listed.",
            reason="FILTER_UNSUPPORTED",
            field="filter",
        )


def _seconds(timeout: Duration) -> float:
    seconds = timeout.seconds + timeout.nanos / 1e9
    if seconds < 0:
        raise InvalidArgumentError(
            f"timeout must be 0 s or more, got {seconds:g} s.", reason="TIMEOUT_OUT_OF_RANGE", field="timeout"
        )
    return seconds
