"""The open streams of a server, seen from their requests: taken in batches as they come, and told to stop together.

In: the requests of clients, whose iterators block. Out: batches of what has arrived, or why there will be no more. What is
answered to them is `upload`'s and `search_servicer`'s.

Theory of operation: a feeder thread moves requests from gRPC to an inbox. Whoever answers takes from it the first request as
soon as it is there, with all others that have come by then: a client that waits for each response gets it at once, one
that sends ahead is served in batches. The feeder ends with the stream, however that ends.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from service.errors import UnavailableError
from service.rpc.inbox import Inbox
from service.rpc.settings import ServerSettings

M = TypeVar("M", bound=Message)

_MIN_SIZE_BYTES = 64 * 2**10  # what a request counts as at least: tiny ones would pile up for minutes of work


class RequestStream(Generic[M]):
    """The requests of one open stream."""

    def __init__(self, requests: Iterator[M], settings: ServerSettings) -> None:
        self._requests = requests
        self._idle_s = settings.stream_idle_s
        self._inbox: Inbox[M] = Inbox(max_bytes=settings.stream_buffer_bytes)

    def batches(self, max_requests: int) -> Iterator[list[M]]:
        """Yield what has arrived, in order, 1 to `max_requests` at a time, until the client has no more.

        Raises:
            PolyhashError: The client was idle for too long, or the server stops.
        """
        threading.Thread(target=self._feed, name="stream-feeder", daemon=True).start()
        while batch := self._inbox.take(max_requests, idle_s=self._idle_s):
            yield batch

    def stop(self) -> None:
        """Take no more requests; those that have arrived are answered, then the stream ends with UNAVAILABLE."""
        self._inbox.end(
            UnavailableError(
                "The server stops. What it has answered stands; send the rest again in a moment.",
                reason="SERVER_STOPPING",
            )
        )

    def end(self) -> None:
        """Take no more requests; nobody will answer them."""
        self._inbox.end()

    def _feed(self) -> None:
        try:
            for request in self._requests:
                if not self._inbox.put(request, max(request.ByteSize(), _MIN_SIZE_BYTES)):
                    return
        except grpc.RpcError:  # the client has gone
            self._inbox.end()
        except Exception as error:  # noqa: BLE001 - raised again where the responses are made
            self._inbox.end(error)
        else:
            self._inbox.end()


class OpenStreams:
    """All streams of a server, so that they can be told of its end."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._open: set[RequestStream[Any]] = set()
        self._stopping = False
        self._lock = threading.Lock()  # over the two above

    @contextmanager
    def open(self, requests: Iterator[M]) -> Iterator[RequestStream[M]]:
        """Give the stream of these requests for as long as it is answered."""
        stream = RequestStream(requests, self._settings)
        with self._lock:
            self._open.add(stream)
            if self._stopping:
                stream.stop()
        try:
            yield stream
        finally:
            stream.end()
            with self._lock:
                self._open.discard(stream)

    def stop(self) -> None:
        """End every open stream after what it has received, and every later one at once."""
        with self._lock:
            self._stopping = True
            for stream in self._open:
                stream.stop()
