"""Long-running work: one background thread per operation, how far it is, and what became of it.

In: a kind, the work as a function, facts about the request. Out: frozen `Operation`s by name. What the work does is its own
business: it reports through its handle, which ends it there when it is cancelled. Nothing here outlives the process.
"""

import datetime as dt
import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from service.errors import ConflictError, NotFoundError, PolyhashError, PreconditionError, UnavailableError

_LOG = logging.getLogger(__name__)

KEPT_FINISHED = 100


class OperationCancelledError(PolyhashError):
    """The operation ended early because it was told to."""

    default_reason = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an operation is in its present stage.

    Attributes:
        stage: What it does now; empty before its first report.
        done: How much of the stage is done, in the stage's own unit.
        total: How much the stage has in all; 0 while that is not known.
        rate_per_s: Units per second since the stage's first report; 0 while that is not known.
        eta_s: Seconds left in the stage at that rate, or None while that is not known.
    """

    stage: str = ""
    done: int = 0
    total: int = 0
    rate_per_s: float = 0.0
    eta_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation at one moment.

    Attributes:
        name: `operations/KIND-NUMBER`.
        kind: What sort of work it is; one of a kind runs at a time.
        number: 1, 2, ... in the order of starting, over all kinds.
        metadata: Facts about the request, as they were given to `start`.
        progress: How far it is, or was in the end.
        started_at: UTC.
        finished_at: UTC, or None while it runs.
        cancel_requested: Whether it was told to end early; it may succeed all the same.
        result: What the work returned, or None.
        error: Why it failed, or None.
    """

    name: str
    kind: str
    number: int
    metadata: Mapping[str, Any]
    started_at: dt.datetime
    progress: Progress = field(default_factory=Progress)
    finished_at: dt.datetime | None = None
    cancel_requested: bool = False
    result: Mapping[str, Any] | None = None
    error: PolyhashError | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.finished_at is not None


@dataclass(slots=True, eq=False)
class _Record:
    """What changes about an operation; guarded by the condition of `Operations`."""

    now: Operation
    stage_began_at: dt.datetime  # with this much done already:
    stage_began_with: int = 0
    thread: threading.Thread | None = None


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@final
class Operations:
    """Runs operations, and remembers the running ones and the last `KEPT_FINISHED` that ended. Thread-safe."""

    def __init__(self, *, clock: Callable[[], dt.datetime] = _utc_now) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._records: dict[str, _Record] = {}  # those that ended stand in the order in which they did
        self._changed = threading.Condition()
        self._closed = False

    def start(
        self,
        kind: str,
        work: Callable[["OperationHandle"], Mapping[str, Any]],
        metadata: Mapping[str, Any] | None = None,
    ) -> Operation:
        """Begin an operation in a thread of its own and return it as it is at its start.

        Args:
            kind: A word in lower case, such as `rebuild`.
            work: What to do. Returns the result; must report, or ask `check_cancelled`, often enough for `close` to end soon.
            metadata: Facts about the request.

        Raises:
            ConflictError: One of this kind is running.
            UnavailableError: `close` was called.
        """
        with self._changed:
            self._check_may_start(kind)
            number, now = next(self._numbers), self._clock()
            operation = Operation(
                name=f"operations/{kind}-{number}",
                kind=kind,
                number=number,
                metadata=dict(metadata or {}),
                started_at=now,
            )
            record = self._records[operation.name] = _Record(operation, stage_began_at=now)
            record.thread = threading.Thread(
                target=self._run, args=(record, work), name=operation.name, daemon=True
            )
            record.thread.start()
        return operation

    def get(self, name: str) -> Operation:
        """Return an operation as it is now. Raises NotFoundError."""
        with self._changed:
            return self._find(name).now

    def list(self) -> list[Operation]:
        """Return all operations that are remembered, in the order in which they started."""
        with self._changed:
            return sorted((record.now for record in self._records.values()), key=lambda one: one.number)

    def cancel(self, name: str) -> None:
        """Tell an operation to end early; one that has ended stays as it is. Raises NotFoundError."""
        with self._changed:
            _cancel(self._find(name))

    def delete(self, name: str) -> None:
        """Forget an operation that has ended.

        Raises:
            NotFoundError: There is none of this name.
            PreconditionError: It is running.
        """
        with self._changed:
            if not self._find(name).now.done:
                raise PreconditionError(
                    f"{name} is running. Cancel it, or wait for its end, before deleting it.",
                    reason="OPERATION_RUNNING",
                    operation=name,
                )
            del self._records[name]

    def wait(self, name: str, timeout_s: float | None = None) -> Operation:
        """Return an operation once it has ended, or as it is after `timeout_s` seconds. Raises NotFoundError."""
        with self._changed:
            record = self._find(name)  # kept, so that forgetting it meanwhile does no harm
            self._changed.wait_for(lambda: record.now.done, timeout_s)
            return record.now

    def close(self) -> None:
        """Start no more, cancel what runs and return when all of it has ended."""
        with self._changed:
            self._closed = True
            threads = [record.thread for record in self._records.values() if record.thread]
            for record in self._records.values():
                _cancel(record)
        for thread in threads:
            thread.join()

    def _check_may_start(self, kind: str) -> None:
        if self._closed:
            raise UnavailableError(
                f"No {kind} was started: the service is stopping. Try again once it runs.", reason="STOPPING"
            )
        for record in self._records.values():
            if record.now.kind == kind and not record.now.done:
                raise ConflictError(
                    f"No {kind} was started: {record.now.name} is running, and one of a kind runs at a time. "
                    "Wait for its end, or cancel it.",
                    reason="OPERATION_RUNNING",
                    operation=record.now.name,
                )

    def _find(self, name: str) -> _Record:
        if name not in self._records:
            raise NotFoundError(
                f"There is no operation {name!r}. Remembered are those that run and the last {KEPT_FINISHED} that ended "
                "since the service started; list them.",
                reason="OPERATION_NOT_FOUND",
                field="name",
                operation=name,
            )
        return self._records[name]

    def _run(self, record: _Record, work: Callable[["OperationHandle"], Mapping[str, Any]]) -> None:
        name = record.now.name
        try:
            result = dict(work(OperationHandle(record, self._changed, self._clock)))
        except PolyhashError as error:
            _LOG.warning("%s ended: %s", name, error)
            self._finish(record, error=_bare(error))
        except Exception:  # noqa: BLE001 - the last place where it can be kept
            _LOG.exception("%s failed", name)
            unexpected = PolyhashError(
                f"{name} failed unexpectedly. The log tells more under that name.", operation=name
            )
            self._finish(record, error=unexpected)
        else:
            self._finish(record, result=result)

    def _finish(self, record: _Record, **outcome: Any) -> None:  # noqa: ANN401 - fields of Operation
        with self._changed:
            record.now = replace(record.now, finished_at=self._clock(), **outcome)
            record.thread = None
            self._records[record.now.name] = self._records.pop(record.now.name)
            finished = [name for name, each in self._records.items() if each.now.done]
            for name in finished[:-KEPT_FINISHED]:
                del self._records[name]
            self._changed.notify_all()


@final
class OperationHandle:
    """What the work of one operation holds: it says how far it is, and asks whether to go on."""

    def __init__(
        self, record: _Record, changed: threading.Condition, clock: Callable[[], dt.datetime]
    ) -> None:
        self._record, self._changed, self._clock = record, changed, clock

    def report(self, stage: str, done: int, total: int = 0) -> None:
        """Say how far the work is, and end here if told to; rate and time left are of this stage, since its first report.

        Args:
            stage: What it does now.
            done: How much of the stage is done. What its first report says was done before, as by a run that is resumed.
            total: How much the stage has in all, or 0 while that is not known.

        Raises:
            OperationCancelledError: The operation was told to end; let it pass.
        """
        self.check_cancelled()
        record = self._record
        with self._changed:
            now = self._clock()
            if stage != record.now.progress.stage:
                record.stage_began_at, record.stage_began_with = now, done
            elapsed_s = (now - record.stage_began_at).total_seconds()
            rate = max(0.0, (done - record.stage_began_with) / elapsed_s) if elapsed_s > 0 else 0.0
            eta_s = max(0, total - done) / rate if total and rate else None
            progress = Progress(stage=stage, done=done, total=total, rate_per_s=rate, eta_s=eta_s)
            record.now = replace(record.now, progress=progress)

    def check_cancelled(self) -> None:
        """Raise OperationCancelledError if the operation was told to end; let it pass."""
        operation = self._record.now
        if operation.cancel_requested:
            raise OperationCancelledError(f"{operation.name} was cancelled.", operation=operation.name)


def _cancel(record: _Record) -> None:
    if not record.now.done:
        record.now = replace(record.now, cancel_requested=True)


def _bare(error: PolyhashError) -> PolyhashError:
    """Return the error without the frames it passed, which hold what the work held: whole arrays."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
