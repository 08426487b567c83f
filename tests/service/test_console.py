"""How the command line speaks: tables and JSON on standard output, progress and complaints on standard error."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from service.cli import console
from tests.service.command import ROOT, polyhash


def test_a_table_keeps_to_one_line_per_row_however_long(capsys):
    console.show_table(
        "Found [red]", {"name": "left", "bits": "right"}, [("x" * 300, 16), ("two\nlines\x1b[31m", 8)]
    )
    title, headings, first, second = capsys.readouterr().out.splitlines()
    assert title == "Found [red]"
    assert headings.split() == ["name", "bits"]
    assert first.split() == ["x" * 300, "16"]
    assert second.split() == ["two␊lines␛[31m", "8"]


def test_complaints_and_remarks_are_one_line_on_standard_error(capsys):
    console.complain("a [bold]name[/bold] :smile: " + "y" * 200 + "\nz")
    console.say("A remark.")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"polyhash: a [bold]name[/bold] :smile: {'y' * 200}␊z\nA remark.\n"


def test_json_is_written_as_people_read_it(capsys, tmp_path):
    document = {"name": "Köln 名前", "values": [1, None]}
    console.show_json(document)
    printed = capsys.readouterr().out
    console.write_json(document, tmp_path / "file.json")
    console.write_json(document, Path("-"))
    assert printed == capsys.readouterr().out == (tmp_path / "file.json").read_text(encoding="utf-8")
    assert json.loads(printed) == document
    assert "Köln 名前" in printed


def test_progress_elsewhere_than_on_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("Indexing", total=1000, unit="images") as meter:
        for second in range(1, 26):
            now[0] = float(second)
            meter(20 * second)
    assert capsys.readouterr().err.splitlines() == [
        "Indexing: 200 of 1,000 images, 20 images/s, 40 s left",
        "Indexing: 400 of 1,000 images, 20 images/s, 30 s left",
    ]


def test_progress_of_unknown_length_tells_no_time_left(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("Learning", total=None, unit="sweeps") as meter:
        now[0] = 11.0
        meter(22)
        now[0] = 22.0
        meter(33, 66)
    assert capsys.readouterr().err.splitlines() == [
        "Learning: 22 sweeps, 2 sweeps/s",
        "Learning: 33 of 66 sweeps, 1.5 sweeps/s, 22 s left",
    ]


def test_slow_work_has_a_rate_too(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("Learning", total=9, unit="fits") as meter:
        for done, seconds in ((1, 40.0), (4, 80.0), (8, 100.0), (9, 101.0)):
            now[0] = seconds
            meter(done)
    assert capsys.readouterr().err.splitlines() == [
        "Learning: 1 of 9 fits, 0.025 fits/s, 320 s left",
        "Learning: 4 of 9 fits, 0.05 fits/s, 100 s left",
        "Learning: 8 of 9 fits, 0.08 fits/s, 12 s left",
    ]


@pytest.mark.parametrize(("done", "rate"), [(15, "1.5"), (99, "9.9"), (100, "10"), (12345, "1,234")])
def test_rates_of_ten_and_more_are_whole_numbers(capsys, monkeypatch, done, rate):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("Indexing", total=None, unit="images") as meter:
        now[0] = 10.0
        meter(done)
    assert capsys.readouterr().err == f"Indexing: {done:,} images, {rate} images/s\n"


def read_to_the_end(descriptor):
    """Return all that was written to a terminal whose other end is closed."""
    parts = []
    with suppress(OSError):  # how Linux tells the end
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode()


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch):
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(console, "err", Console(file=terminal, width=120, force_terminal=True))
        with console.progress("Indexing [set]", total=4, unit="images") as meter:
            for done in range(1, 5):
                meter(done)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", read_to_the_end(master))
    assert re.search(r"Indexing \[set\] ━+ 4/4 [\d,]+ images/s 0:00:00", plain)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["index", "-h"], ["search", "--help"], ["train", "hasher", "-h"], ["eval", "hashing", "-h"]],
)
def test_help_is_no_failure(arguments):
    done = polyhash(*arguments)
    assert (done.status, done.err) == (0, "")
    assert "Usage: polyhash" in done.out


@pytest.mark.parametrize("arguments", [["sing"], ["index"], ["search", "1"], ["stats", "--stroe", "x"]])
def test_wrong_usage_has_a_status_of_its_own(arguments):
    done = polyhash(*arguments)
    assert (done.status, done.out) == (2, "")
    assert "Usage: polyhash" in done.err


def test_a_full_disk_behind_standard_output_is_told():
    command = [sys.executable, "-c", "from service.cli import main; main()", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603 - ours
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (
        1,
        "polyhash: The output cannot be written: No space left on device.\n",
    )


def test_help_answers_without_the_heavy_libraries():
    code = (
        "import sys; sys.argv = ['polyhash', '--help']\n"
        "from service.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'torch', 'faiss', 'grpc', 'sqlalchemy', 'sklearn'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout.splitlines()[-1] == "[]"
