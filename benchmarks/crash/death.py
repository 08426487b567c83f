"""Where a process is killed: at a random moment, or at the n-th boundary of one kind, of the file layer or of SQL.

In: a place and a number. Out: SIGKILL there, after a line that says where. What the process does until then is the worker's.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import Pool

from service.storage.database import WRITE_OPTION
from tests.service.failing_disk import FailingDisk, everywhere

MOMENT = "a random moment"
# Boundaries by kind, each with how many of them are passed at most before the one that kills.
BOUNDARIES = {
    "write, before": 6,
    "write, half": 6,
    "write, after": 6,
    "rename, before": 4,
    "rename, after": 4,
    "sync_folder, before": 6,
    "sync_folder, after": 6,
    "make_folder, before": 4,
    "make_folder, after": 4,
    "remove, before": 2,
    "remove, half": 1,
    "remove, after": 2,
    "statement, before": 60,
    "commit, before": 8,
    "commit, after": 8,
}


class Death:
    """Kills this process at the n-th boundary of a kind."""

    def __init__(self, place: str, number: int, last_words: Callable[[str], None]) -> None:
        """Choose the kind, the number from 0, and what is told the exact boundary before the end."""
        self._place = place
        self._left = number
        self._last_words = last_words
        self._lock = threading.Lock()

    def meet(self, boundary: str) -> None:
        """Pass a boundary, `STEP WHAT, WHEN`, or die there."""
        head, _, when = boundary.rpartition(", ")
        if f"{head.split()[0]}, {when}" != self._place:
            return
        with self._lock:
            self._left -= 1
            if self._left < 0:
                self._last_words(boundary)
                os.kill(os.getpid(), signal.SIGKILL)

    def lie_in_wait(self) -> None:
        """Watch every file that is written durably and every change of the catalog by this process."""
        everywhere(FailingDisk(self.meet, at=0))
        event.listen(Engine, "before_cursor_execute", self._before_statement)
        event.listen(Engine, "commit", self._before_commit)
        event.listen(Pool, "checkin", self._after_commit)
        self._committed = threading.local()

    def _before_statement(self, connection: Connection, cursor: object, statement: str, *rest: Any) -> None:  # noqa: ANN401
        del cursor, rest
        if connection.get_execution_options().get(WRITE_OPTION):
            self.meet(f"statement {' '.join(statement.split()[:3])}, before")

    def _before_commit(self, connection: Connection) -> None:
        if connection.get_execution_options().get(WRITE_OPTION):
            self.meet("commit, before")
            self._committed.now = True

    def _after_commit(self, connection: object, record: object) -> None:
        """Meet the boundary when the connection is given back, which is before anyone hears of the commit."""
        del connection, record
        if getattr(self._committed, "now", False):
            self._committed.now = False
            self.meet("commit, after")
