"""Crash truth: a store whose process is killed again and again keeps what was acknowledged, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = 16  # at which processes are killed


def killed(rounds: int, *, timeout_s: float) -> list[str]:
    """Run the kill harness with two seeds, side by side, in processes that have no threads when they fork."""
    runs = [
        subprocess.Popen(  # noqa: S603 - this interpreter and our own module
            [sys.executable, "-m", "benchmarks.crash", "--rounds", str(rounds // 2), "--seed", str(seed)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for seed in (0, 1)
    ]
    reports = []
    for run in runs:
        report, _ = run.communicate(timeout=timeout_s)
        assert run.returncode == 0, report
        reports.append(report)
    return reports


def rounds_by_place(report: str, rounds: int) -> dict[str, int]:
    """Return how many rounds ended at each place, after asserting that nothing was found in any of them."""
    lines = re.findall(r"^([a-z_, ]+?) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$", report, re.MULTILINE)
    *places, total = [(name, *map(int, counts)) for name, *counts in lines]
    assert total == ("all", rounds, 0, 0, 0, 0, 0)
    assert [counts for _, _, *counts in places] == [[0] * 5] * PLACES
    return {name: count for name, count, *_ in places}


def test_nothing_is_lost_resurrected_or_mixed_in_100_kills():
    for report in killed(100, timeout_s=280):
        rounds_by_place(report, 50)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_resurrected_or_mixed_in_1000_kills():
    for report in killed(1000, timeout_s=3600):
        assert min(rounds_by_place(report, 500).values()) > 0  # no place was left out
