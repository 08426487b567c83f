"""From errors of the service to gRPC statuses: the one table of codes, and the details every status carries.

In: a PolyhashError. Out: a google.rpc.Status with ErrorInfo, BadRequest where a field is at fault and RetryInfo where
waiting helps. Catching and logging is `interceptors`' work.
"""

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from service.errors import (
    ConflictError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    PolyhashError,
    PreconditionError,
    ResourceExhaustedError,
    UnavailableError,
)
from service.usecases.operations import OperationCancelledError

DOMAIN = "polyhash"
RETRY_DELAY_S = 1
# A status travels in HTTP/2 trailers, of which gRPC takes 8 KiB: the message is in there three times, once as %XX.
MAX_MESSAGE_TEXT_BYTES = 1000
MAX_METADATA_TEXT_BYTES = 200


class DeadlineExceededError(PolyhashError):
    """The call took longer than its client or this server allows."""

    default_reason = "DEADLINE_EXCEEDED"


_CODES: dict[type[PolyhashError], grpc.StatusCode] = {
    InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    ConflictError: grpc.StatusCode.ABORTED,  # read again, then decide
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    DataLossError: grpc.StatusCode.DATA_LOSS,
    DeadlineExceededError: grpc.StatusCode.DEADLINE_EXCEEDED,
    OperationCancelledError: grpc.StatusCode.CANCELLED,
    PolyhashError: grpc.StatusCode.INTERNAL,
}


def status_code(error: PolyhashError) -> grpc.StatusCode:
    """Return the code of the nearest class in the table."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def to_status(error: PolyhashError) -> status_pb2.Status:
    """Return the status of an error with its details; long texts are cut to what trailers can carry."""
    code = status_code(error)
    message = _cut(error.message, MAX_MESSAGE_TEXT_BYTES)
    status = status_pb2.Status(code=code.value[0], message=message)
    metadata = {key: _cut(value, MAX_METADATA_TEXT_BYTES) for key, value in error.metadata.items()}
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    )
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_DELAY_S)))
    return status


def _cut(text: str, max_bytes: int) -> str:
    encoded = text.encode(errors="backslashreplace")  # names of files may hold lone surrogates
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode(errors="ignore") + "…"
