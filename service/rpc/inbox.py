"""The waiting room between a stream of requests, which blocks, and the worker that takes them in batches.

In: requests from one thread, as they arrive. Out: whatever has arrived, to another thread. Held bytes are bounded, which
slows the client down through gRPC's flow control. It knows nothing of what the requests say.
"""

import threading
from collections import deque
from typing import Generic, TypeVar

from service.rpc.status import DeadlineExceededError

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue of sized items, bounded by their bytes, that can be ended from either side."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()

    def put(self, item: T, size_bytes: int) -> bool:
        """Add an item, waiting for room; returns False once the inbox has ended and takes nothing more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or not self._items or self._bytes + size_bytes <= self._max_bytes
            )
            if self._ended:
                return False
            self._items.append((item, size_bytes))
            self._bytes += size_bytes
            self._changed.notify_all()
            return True

    def end(self, error: Exception | None = None) -> None:
        """Take nothing more. What is in there stays; after it comes the error, if one is given."""
        with self._changed:
            if not self._ended:
                self._ended = True
                self._error = error
            self._changed.notify_all()

    def take(self, max_items: int, *, idle_s: float) -> list[T]:
        """Return the 1 to `max_items` oldest items, waiting for the first; empty once the inbox has ended.

        Raises:
            DeadlineExceededError: Nothing arrived for `idle_s` seconds.
            Exception: The error that `end` was given.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._ended, idle_s):
                raise DeadlineExceededError(
                    f"No request arrived for {idle_s:g} s, so the stream is closed. Open another one to go on.",
                    reason="STREAM_IDLE",
                    idle_s=f"{idle_s:g}",
                )
            if not self._items and self._error:
                raise self._error
            taken = [self._items.popleft() for _ in range(min(max_items, len(self._items)))]
            self._bytes -= sum(size_bytes for _, size_bytes in taken)
            self._changed.notify_all()
            return [item for item, _ in taken]
