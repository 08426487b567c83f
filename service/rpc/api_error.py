"""What a client is told when a call or one of its images is refused.

In: what gRPC raised, or the status inside a response. Out: one exception with plain values. The server's side is
`status`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(kw_only=True, eq=False)  # not frozen: contextlib sets the traceback of exceptions that pass it
class ApiError(Exception):
    """The server refused, could not answer, or was not reached.

    Attributes:
        code: gRPC's code.
        message: What was wrong and what to do, for people.
        reason: UPPER_SNAKE word that programs may rely on; the code's name where the server sent none.
        metadata: Facts behind the message.
        violations: What is wrong, by request field.
        retry_after_s: Seconds to wait before trying again, or None where waiting does not help.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None

    def __str__(self) -> str:
        return f"{self.code.name} ({self.reason}): {self.message}"


def read_status(status: status_pb2.Status) -> ApiError:
    """Return the error that a status with details stands for."""
    code = _CODES[status.code]
    info = error_details_pb2.ErrorInfo(reason=code.name)
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad_request, retry):
            detail.Unpack(message)  # leaves the message alone when the detail is of another type
    return ApiError(
        code=code,
        message=status.message,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations={violation.field: violation.description for violation in bad_request.field_violations},
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds()
        if retry.HasField("retry_delay")
        else None,
    )


def read_rpc_error(error: Any) -> ApiError:  # noqa: ANN401 - grpc.RpcError of either kind; only its subclasses have the methods
    """Return the error that gRPC raised, synchronously or not."""
    status = rpc_status.from_call(error)
    if status is not None:
        return read_status(status)
    return ApiError(code=error.code(), message=error.details() or "", reason=error.code().name)
