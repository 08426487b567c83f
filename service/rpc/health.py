"""grpc.health.v1 for this server: the published servicer, with watchers in threads of their own that end with it.

In: states per service. Out: answers to Check, List and Watch. The published default sends to watchers while it holds a
lock that the end of a watch needs too, on gRPC's own thread: a client that leaves at the wrong moment stops the server
for good. And a client that stays would hold up every stop for its whole grace.
"""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

MAX_WATCHERS = 64  # threads, made when needed; later watchers wait for an earlier one to leave


class HealthServicer:
    """Tells whether services can be used. Has the methods of the protocol, under its names."""

    def __init__(self) -> None:
        self._servicer = health.HealthServicer(experimental_non_blocking=False)
        self.Check = self._servicer.Check
        self.List = self._servicer.List
        self.Watch = _Watch(self._servicer)

    def set(self, services: Iterable[str], state: int) -> None:
        """Set the state of services, and tell their watchers."""
        for service in services:
            self._servicer.set(service, state)

    def stop(self) -> None:
        """Say NOT_SERVING for all services for good, and end all watches."""
        self._servicer.enter_graceful_shutdown()
        self.Watch.stop()

    def close(self) -> None:
        """End the threads; the server takes no calls any more."""
        self.Watch.experimental_thread_pool.shutdown()


class _Watch:
    """The method Watch. gRPC runs it in the pool that it names."""

    def __init__(self, servicer: health.HealthServicer) -> None:
        self._servicer = servicer
        self._watchers: set[Any] = set()  # iterators that can be closed; their class is private
        self._lock = threading.Lock()
        self.experimental_thread_pool = ThreadPoolExecutor(MAX_WATCHERS, thread_name_prefix="rpc-watch")

    def __call__(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> Iterator[health_pb2.HealthCheckResponse]:
        """Send the state of a service now and whenever it changes."""
        watcher = self._servicer.Watch(request, context)
        with self._lock:
            self._watchers.add(watcher)
        try:
            yield from watcher
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def stop(self) -> None:
        """End all watches once they have sent what they have."""
        with self._lock:
            for watcher in self._watchers:
                watcher.close()
