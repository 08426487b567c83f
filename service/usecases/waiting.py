"""Waiting for work in another process, telling meanwhile that it is awaited.

In: a future, and what is told. Out: its result. Whoever is told may raise, which cancels what was not begun.
"""

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from service.errors import UnavailableError

T = TypeVar("T")

# Told (stage, done, total); may raise to cancel: what was done so far stays.
Report = Callable[[str, int, int], None]

POLL_S = 0.2


def wait(future: Future[T], still_waiting: Callable[[], None]) -> T:
    """Return the result; meanwhile say that it is awaited, which may raise to cancel.

    Raises:
        UnavailableError: The other process was ended.
    """
    while True:
        try:
            return future.result(timeout=POLL_S)
        except BrokenExecutor as error:
            raise UnavailableError(
                "The process that did the work was ended, perhaps by a system short of memory; nothing was changed. Try again.",
                reason="WORKER_ENDED",
            ) from error
        except FutureTimeoutError:
            if future.done():  # the work itself timed out, or ended just now
                return future.result()
            try:
                still_waiting()
            except BaseException:
                future.cancel()
                raise
