"""What happens around every call: malformed messages, limits, deadlines, and errors turned into statuses.

In: the handlers of polyhash.v1 and of operations. Out: the same handlers, guarded. Health and reflection pass untouched. What a call does
is the servicers' business.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from service.errors import InvalidArgumentError, PolyhashError, ResourceExhaustedError
from service.rpc.settings import ServerSettings
from service.rpc.status import DeadlineExceededError, to_status

_LOG = logging.getLogger(__name__)
_PREFIXES = ("/polyhash.v1.", "/google.longrunning.Operations/")
_WAIT = "/google.longrunning.Operations/WaitOperation"
_INGEST = "/polyhash.v1.GalleryService/IngestImages"


class GuardInterceptor(grpc.ServerInterceptor):
    """Guards the unary and the bidirectional calls of this server, each kind with its own limit."""

    def __init__(self, settings: ServerSettings) -> None:
        self._max_call_s = settings.max_call_s
        self._guarded: dict[str, Any] = {}
        self._call_place = _places(settings.max_calls, "calls", "TOO_MANY_CALLS")
        self._wait_place = _places(settings.max_waits, "waiting calls", "TOO_MANY_WAITS")
        self._upload_place = _places(settings.max_ingest_streams, "uploads", "TOO_MANY_UPLOADS")
        self._search_place = _places(settings.max_search_streams, "streams of searches", "TOO_MANY_STREAMS")

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:  # noqa: ANN401 - gRPC's own types are private
        """Return the guarded handler of a call, or the handler itself where it is not ours."""
        method = handler_call_details.method
        if method not in self._guarded:
            handler = continuation(handler_call_details)
            if handler is None or not method.startswith(_PREFIXES):
                return handler
            self._guarded[method] = self._guard(method, handler)  # the same for every call
        return self._guarded[method]

    def _guard(self, method: str, handler: Any) -> Any:  # noqa: ANN401 - as above
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._guard_unary(method, handler), response_serializer=handler.response_serializer
            )
        return grpc.stream_stream_rpc_method_handler(
            self._guard_stream(method, handler), response_serializer=handler.response_serializer
        )

    def _guard_unary(self, method: str, handler: Any) -> Callable[..., Any]:  # noqa: ANN401 - as above
        place = self._wait_place if method == _WAIT else self._call_place

        def behaviour(message: bytes, context: grpc.ServicerContext) -> object:
            with (
                _errors_as_status(method, context),
                place(),
                _deadline(context, self._max_call_s),
            ):
                response: object = handler.unary_unary(_parse(handler.request_deserializer, message), context)
            return response

        return behaviour

    def _guard_stream(self, method: str, handler: Any) -> Callable[..., Any]:  # noqa: ANN401 - as above
        place = self._upload_place if method == _INGEST else self._search_place

        def behaviour(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[object]:
            with _errors_as_status(method, context), place():
                requests = (_parse(handler.request_deserializer, message) for message in messages)
                yield from handler.stream_stream(requests, context)

        return behaviour


def _places(limit: int, what: str, reason: str) -> Callable[[], AbstractContextManager[None]]:
    free = threading.BoundedSemaphore(limit)

    @contextmanager
    def place() -> Iterator[None]:
        if not free.acquire(blocking=False):
            raise ResourceExhaustedError(
                f"The server works on {limit} {what} already. Try again in a moment.",
                reason=reason,
                limit=limit,
            )
        try:
            yield
        finally:
            free.release()

    return place


@contextmanager
def _deadline(context: grpc.ServicerContext, max_call_s: float) -> Iterator[None]:
    """Refuse a call that waited past its deadline, and an answer that comes later than the server allows."""
    remaining_s = context.time_remaining()
    allowed_s = max_call_s if remaining_s is None else min(remaining_s, max_call_s)
    started = time.monotonic()
    if allowed_s > 0:
        yield
    if time.monotonic() - started >= allowed_s:
        raise DeadlineExceededError(
            f"The call was not answered within {allowed_s:g} s. Ask for less, or give it more time "
            f"(the server allows {max_call_s:g} s).",
            allowed_s=f"{allowed_s:g}",
            max_call_s=f"{max_call_s:g}",
        )


def _parse(deserializer: Callable[[bytes], object], message: bytes) -> object:
    try:
        return deserializer(message)
    except DecodeError as error:
        raise InvalidArgumentError(
            f"The request is no valid message of this method: {error}. Build it from the published .proto files.",
            reason="MALFORMED_MESSAGE",
        ) from error


@contextmanager
def _errors_as_status(method: str, context: grpc.ServicerContext) -> Iterator[None]:
    """End the call with the status of what was raised; what nobody expected is logged and gets an incident number."""
    try:
        yield
    except PolyhashError as error:
        context.abort_with_status(rpc_status.to_status(to_status(error)))
    except grpc.RpcError:  # the client has gone; gRPC knows
        raise
    except Exception:  # noqa: BLE001 - the last place where an error can be named
        incident = uuid.uuid4().hex[:12]
        _LOG.exception("%s failed, incident %s", method, incident)
        unexpected = PolyhashError(
            f"The server failed unexpectedly. Its log tells more under incident {incident}.",
            incident=incident,
        )
        context.abort_with_status(rpc_status.to_status(to_status(unexpected)))
