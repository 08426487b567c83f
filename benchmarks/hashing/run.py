"""Measuring many cells: worker processes of one thread each, results kept as they come.

In: cells that have no results yet. Out: results in their file. A run may be killed at any time and started again.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

from benchmarks.hashing.measure import Cell, measure
from benchmarks.hashing.results import Place, Results
from service.circumstances import read_circumstances
from service.cli import console
from service.usecases.evaluate import EvalRow
from service.workers import end_with_parent

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(
    cells: Sequence[Cell],
    files: Mapping[Place, Path],
    results: Results,
    *,
    lengths: tuple[int, ...],
    asymmetric: Sequence[str],
    jobs: int,
) -> None:
    """Measure the cells and add what they give to the results; a cell that fails is kept as a failure.

    Args:
        cells: What to measure; methods of one trial side by side share what was read for it.
        files: Embeddings by set and backbone.
        results: Where rows go.
        lengths: Code lengths in bits, ascending.
        asymmetric: Names of the methods that are scored asymmetrically also.
        jobs: Worker processes.
    """
    measured = str(read_circumstances())
    with _one_thread_each(), _interrupts_noted() as interrupted, _workers(jobs) as pool:
        futures: dict[Future[list[EvalRow]], Cell] = {
            pool.submit(
                measure,
                cell,
                files[cell.set_name, cell.backbone],
                lengths=lengths,
                asymmetric=cell.method in asymmetric,
            ): cell
            for cell in cells
        }
        with console.progress("Learning and measuring", total=len(cells), unit="fits") as meter:
            for done, future in enumerate(as_completed(futures), start=1):
                cell, error = futures[future], future.exception()
                if isinstance(error, BrokenProcessPool):
                    # says nothing about this cell; workers that Ctrl-C ended may be noticed before Ctrl-C itself
                    raise KeyboardInterrupt if interrupted.is_set() else error
                if error:
                    reason = f"{type(error).__name__}: {error}"
                    console.complain(
                        f"{cell.method} on {cell.set_name} ({cell.setting}, seed {cell.seed}): {reason}"
                    )
                    results.add_failure(cell, reason, measured=measured)
                else:
                    results.add(cell, future.result(), measured=measured)
                meter(done)


@contextmanager
def _interrupts_noted() -> Iterator[threading.Event]:
    """Remember that Ctrl-C was pressed, also where the exception it raises is lost, as in a callback of the collector."""
    interrupted = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # at Ctrl-C, end at once
    end_with_parent()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started meanwhile compute in one thread: two that use all cores hinder each other."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
