"""How the command line speaks: results on standard output, progress and complaints on standard error.

In: values to show. Out: text for people or, with --json, one JSON document for programs. It decides nothing.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

WIDE = 10_000  # columns of what goes to a file or pipe, where a folded line would be two

out = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)

_CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(32)} | {127: "\u2421"}

PLAIN_PROGRESS_EVERY_S = 10.0  # one line in a log file or pipe; a terminal gets a bar


@runtime_checkable
class Meter(Protocol):
    """Receives how far a long piece of work is."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """Report `done` of `total` items (the total may become known, or change, on the way)."""
        ...


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{_rate(speed)} {self._unit}/s" if speed else f"- {self._unit}/s", style="cyan")


@contextmanager
def progress(description: str, *, total: int | None, unit: str) -> Iterator[Meter]:
    """Show a bar with rate and time left on a terminal, and a line now and then elsewhere.

    Without a unit there is nothing to count: only the time since the beginning is shown.
    """
    if not err.is_terminal:
        yield _PlainMeter(description, total, unit)
        return
    counts = (
        (MofNCompleteColumn(), _RateColumn(unit), TimeRemainingColumn()) if unit else (TimeElapsedColumn(),)
    )
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counts)
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(description, total=total)

        def meter(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield meter


@contextmanager
def stages(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar after the other for work that tells (stage, done, total); a stage of one step shows its time only."""
    with ExitStack() as bars:
        shown = ""
        meter: Meter | None = None
        whole = 1

        def finish() -> None:
            if meter:
                meter(whole, whole)  # what comes after a stage comes after all of it
            bars.close()

        def report(stage: str, done: int, total: int) -> None:
            nonlocal shown, meter, whole
            if stage != shown:
                finish()
                counted = total > 1
                bar = progress(
                    stage.capitalize(), total=total if counted else None, unit=unit if counted else ""
                )
                shown, meter = stage, bars.enter_context(bar)
            whole = max(total, 1)
            if meter and whole > 1:
                meter(done, total)

        yield report
        finish()


class _PlainMeter:
    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._started = self._said = time.monotonic()

    def __call__(self, done: int, total: int | None = None) -> None:
        self._total = total or self._total
        now = time.monotonic()
        if now - self._said < PLAIN_PROGRESS_EVERY_S:
            return
        self._said = now
        if not self._unit:
            say(f"{self._description}: {now - self._started:,.0f} s so far")
            return
        rate = done / (now - self._started)
        left = f", {(self._total - done) / rate:,.0f} s left" if self._total and rate else ""
        of = f" of {self._total:,}" if self._total else ""
        say(f"{self._description}: {done:,}{of} {self._unit}, {_rate(rate)} {self._unit}/s{left}")


def _rate(per_second: float) -> str:
    """Return two digits of a rate below 10, where whole numbers would say little or 0."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"


def say(message: str) -> None:
    """Tell the person something that is not part of the result."""
    err.print(_visible(message), markup=False, soft_wrap=True)


def complain(message: str) -> None:
    """Report an error or a skipped item."""
    err.print(
        f"polyhash: {_visible(message)}",
        markup=False,
        soft_wrap=True,
        style="red" if err.is_terminal else None,
    )


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        complain(record.getMessage())
        if record.exc_info:
            err.print(logging.Formatter().formatException(record.exc_info), markup=False, soft_wrap=True)


def tell_warnings() -> None:
    """Tell what the service logs on its way, such as a damaged file that it goes on without, as other complaints are told."""
    log = logging.getLogger("service")
    if not any(isinstance(handler, _Teller) for handler in log.handlers):
        log.addHandler(_Teller(logging.WARNING))


def show_json(document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def write_json(document: Any, path: Path) -> None:  # noqa: ANN401 - any JSON value
    """Write one JSON document to a file, or print it if the path is `-`."""
    if path == Path("-"):
        show_json(document)
    else:
        path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def show_table(title: str, columns: dict[str, str], rows: list[tuple[object, ...]]) -> None:
    """Print a table under a title; `columns` maps headings to "left" or "right"."""
    out.print(Text(title, style="bold"), soft_wrap=True)
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for heading, justify in columns.items():
        table.add_column(heading, justify="right" if justify == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_visible(str(cell))) for cell in row))
    out.print(table)


def _visible(text: str) -> str:
    """Return the text on one line and without commands to the terminal, as a file name may hold either."""
    return text.translate(_CONTROL_PICTURES)
