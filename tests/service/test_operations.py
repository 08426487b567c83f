"""Long-running work: what is run, reported, remembered and forgotten."""

import datetime as dt
import gc
import logging
import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConflictError, DataLossError, NotFoundError, PreconditionError, UnavailableError
from service.usecases.operations import KEPT_FINISHED, OperationCancelledError, OperationHandle, Operations

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LONG_S = 20.0  # for what happens at once unless something is broken


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self.seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def operations(clock):
    operations = Operations(clock=clock)
    yield operations
    operations.close()


class Gate:
    """Work that ends well once it is told to, and sees a cancellation meanwhile."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def __call__(self, handle: OperationHandle) -> dict[str, bool]:
        while not self._opened.wait(0.005):
            handle.check_cancelled()
        return {"passed": True}

    def open(self) -> None:
        self._opened.set()


def do_nothing(handle):
    del handle
    return {}


def run(operations, kind, work):
    return operations.wait(operations.start(kind, work).name, LONG_S)


def test_an_operation_runs_in_the_background_and_keeps_its_result(operations, clock):
    gate = Gate()
    started = operations.start("rebuild", gate, {"note": "why"})
    assert (started.name, started.kind, started.metadata, started.done) == (
        "operations/rebuild-1",
        "rebuild",
        {"note": "why"},
        False,
    )
    assert operations.get(started.name).result is None
    clock.seconds = 5
    gate.open()
    ended = operations.wait(started.name, LONG_S)
    assert (ended.result, ended.error, ended.done) == ({"passed": True}, None, True)
    assert (ended.started_at, ended.finished_at) == (START, START + dt.timedelta(seconds=5))


def test_one_of_a_kind_runs_at_a_time_and_kinds_run_beside_each_other(operations):
    gate = Gate()
    first = operations.start("rebuild", gate)
    with pytest.raises(
        ConflictError, match=r"No rebuild was started: operations/rebuild-1 is running"
    ) as caught:
        operations.start("rebuild", do_nothing)
    assert (caught.value.reason, caught.value.metadata) == ("OPERATION_RUNNING", {"operation": first.name})
    assert run(operations, "verify", do_nothing).name == "operations/verify-2"
    gate.open()
    operations.wait(first.name, LONG_S)
    assert run(operations, "rebuild", do_nothing).name == "operations/rebuild-3"


def progress_after(operations, clock, reports):
    """Return the progress after reports of (seconds, stage, done, total)."""

    def work(handle):
        for seconds, stage, done, total in reports:
            clock.seconds = seconds
            handle.report(stage, done, total)
        return {}

    return run(operations, "rebuild", work).progress


def test_progress_tells_stage_rate_and_time_left(operations, clock):
    progress = progress_after(operations, clock, [(0, "read", 0, 100), (4, "read", 20, 100)])
    assert (progress.stage, progress.done, progress.total) == ("read", 20, 100)
    assert (progress.rate_per_s, progress.eta_s) == (5.0, 16.0)


def test_what_was_done_before_a_resumed_stage_does_not_count_for_its_rate(operations, clock):
    reports = [(0, "read", 100, 100), (10, "write", 500, 1000), (20, "write", 600, 1000)]
    progress = progress_after(operations, clock, reports)
    assert (progress.rate_per_s, progress.eta_s) == (10.0, 40.0)


def test_nothing_is_made_up_while_rate_or_total_are_unknown(operations, clock):
    at_first = progress_after(operations, clock, [(3, "read", 7, 100)])
    assert (at_first.rate_per_s, at_first.eta_s) == (0.0, None)
    endless = progress_after(operations, clock, [(3, "read", 0, 0), (4, "read", 7, 0)])
    assert (endless.rate_per_s, endless.eta_s) == (7.0, None)


@given(
    done=st.lists(st.integers(min_value=0, max_value=10**9), min_size=1),
    seconds=st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1),
    total=st.integers(min_value=0, max_value=10**9),
)
def test_rate_and_time_left_are_never_negative_whatever_counts_and_clocks_do(done, seconds, total):
    clock = Clock()
    operations = Operations(clock=clock)
    reports = [(at, "read", count, total) for at, count in zip(seconds, done, strict=False)]
    progress = progress_after(operations, clock, reports)
    assert progress.rate_per_s >= 0
    assert progress.eta_s is None or progress.eta_s >= 0


def test_a_failure_keeps_its_reason_and_message(operations):
    def fail(handle):
        del handle
        raise DataLossError("codes.npy is cut off.", file="codes.npy")

    ended = run(operations, "verify", fail)
    assert (type(ended.error), ended.error.message, ended.result) == (
        DataLossError,
        "codes.npy is cut off.",
        None,
    )
    assert (ended.error.reason, ended.error.metadata) == ("DATA_LOSS", {"file": "codes.npy"})


def test_an_unexpected_failure_is_logged_and_names_the_operation(operations, caplog):
    def fail(handle):
        del handle
        raise ZeroDivisionError("secret")

    with caplog.at_level(logging.ERROR):
        ended = run(operations, "verify", fail)
    assert ended.error.message == (
        "operations/verify-1 failed unexpectedly. The log tells more under that name."
    )
    assert ended.error.reason == "INTERNAL"
    assert "operations/verify-1 failed" in caplog.text
    assert "secret" in caplog.text


class Large:
    """Stands for an array that work holds."""


def test_a_failed_operation_does_not_keep_what_its_work_held(operations):
    held = []

    def fail(handle):
        del handle
        large = Large()
        held.append(weakref.ref(large))
        try:
            {}[large]
        except KeyError as error:
            raise DataLossError("gone") from error

    assert run(operations, "verify", fail).error is not None
    operations.close()  # the thread has ended, with its last references
    gc.collect()
    assert held[0]() is None


def test_a_cancelled_operation_ends_where_it_asks(operations):
    name = operations.start("rebuild", Gate()).name
    operations.cancel(name)
    ended = operations.wait(name, LONG_S)
    assert (type(ended.error), ended.error.reason) == (OperationCancelledError, "CANCELLED")
    assert ended.error.message == "operations/rebuild-1 was cancelled."
    assert ended.cancel_requested


def test_a_cancelled_operation_ends_where_it_reports(operations):
    cancelled = threading.Event()

    def work(handle):
        cancelled.wait(LONG_S)
        handle.report("read", 1, 2)
        return {}

    name = operations.start("rebuild", work).name
    operations.cancel(name)
    cancelled.set()
    assert isinstance(operations.wait(name, LONG_S).error, OperationCancelledError)


def test_an_operation_that_asks_no_more_succeeds_although_cancelled(operations):
    go = threading.Event()

    def work(handle):
        handle.check_cancelled()
        go.wait(LONG_S)
        return {"kept": 1}

    name = operations.start("rebuild", work).name
    operations.cancel(name)
    assert operations.get(name).cancel_requested
    go.set()
    assert operations.wait(name, LONG_S).done


def test_cancelling_one_that_has_ended_changes_nothing(operations):
    ended = run(operations, "verify", do_nothing)
    operations.cancel(ended.name)
    assert operations.get(ended.name) == ended


def test_waiting_returns_the_present_state_when_the_time_is_over(operations):
    name = operations.start("rebuild", Gate()).name
    assert not operations.wait(name, 0.01).done


def test_an_ended_operation_can_be_deleted_and_a_running_one_not(operations):
    gate = Gate()
    name = operations.start("rebuild", gate).name
    with pytest.raises(PreconditionError, match=r"operations/rebuild-1 is running\. Cancel it, or wait"):
        operations.delete(name)
    gate.open()
    operations.wait(name, LONG_S)
    operations.delete(name)
    with pytest.raises(NotFoundError, match=r"There is no operation 'operations/rebuild-1'\."):
        operations.get(name)
    assert operations.list() == []


@pytest.mark.parametrize("method", ["get", "cancel", "delete", "wait"])
def test_unknown_names_are_not_found(operations, method):
    with pytest.raises(NotFoundError, match="There is no operation 'operations/none-1'"):
        getattr(operations, method)("operations/none-1")


def test_the_last_that_ended_are_remembered_beside_those_that_run(operations):
    gate = Gate()
    running = operations.start("rebuild", gate)
    for _ in range(KEPT_FINISHED + 3):
        run(operations, "verify", do_nothing)
    numbers = [operation.number for operation in operations.list()]
    assert numbers == [1, *range(5, KEPT_FINISHED + 5)]
    gate.open()
    operations.wait(running.name, LONG_S)
    numbers = [operation.number for operation in operations.list()]
    assert numbers == [1, *range(6, KEPT_FINISHED + 5)]  # the one that ended last, whenever it started


def test_closing_cancels_joins_and_refuses_what_comes_later(operations):
    names = [operations.start(kind, Gate()).name for kind in ("rebuild", "verify")]
    operations.close()
    assert all(isinstance(operations.get(name).error, OperationCancelledError) for name in names)
    with pytest.raises(UnavailableError, match="No rebuild was started: the service is stopping"):
        operations.start("rebuild", do_nothing)
    operations.close()
