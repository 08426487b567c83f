"""Kill a store again and again and look what it still holds: `python -m benchmarks.crash --rounds 1000 --seed 0`.

In: how many rounds, a seed, a folder to work in. Out: a table of rounds by the place where the process was killed, with what was lost,
resurrected, mixed or found by `verify`; exit status 1 if there was anything. Some rounds in a row are on one store, so recovery is killed too.
"""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.crash.check import Findings, check_store
from benchmarks.crash.death import BOUNDARIES, MOMENT
from benchmarks.crash.journal import Journal
from benchmarks.crash.stack import fit_hashers, open_stack
from benchmarks.crash.worker import run_worker
from service.circumstances import read_circumstances

KILLS_PER_STORE = 10
MOMENTS_SHARE = 0.25  # of the rounds are killed at a random moment
LONGEST_S = 0.4
KINDS = ("lost", "resurrected", "mixed", "verify", "failed")
SHOWN = 20


class Run:
    """Rounds, and what came of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._hashers = fit_hashers(folder)
        self._seed = seed
        self.rounds: Counter[str] = Counter()
        self.found: dict[str, Counter[str]] = defaultdict(Counter)
        self.places: set[str] = set()
        self.messages: list[str] = []
        self.done: Counter[str] = Counter()
        self._start_store(0)

    def round(self, number: int) -> None:
        """Kill the worker once and look."""
        if number % KILLS_PER_STORE == 0:
            self._start_store(number)
        rng = np.random.default_rng([self._seed, number])
        place = MOMENT if rng.random() < MOMENTS_SHARE else str(rng.choice(list(BOUNDARIES)))
        expected = self._journal.expected
        before = expected.done.copy()
        status = self._kill_one(number, place, rng)
        self._journal.catch_up()
        died, expected.died = expected.died, ""
        self.places |= {_general(died)} - {""}
        place = place if died else MOMENT  # the boundary may not have come before the end
        self.rounds[place] += 1
        complaints, expected.complaints = expected.complaints, []
        findings = self._check(rng)
        self._note(number, place, "failed", complaints)
        if status != -signal.SIGKILL and not complaints:
            self._note(number, place, "failed", [f"the process ended with status {status}"])
        for kind, sentences in findings.all().items():
            self._note(number, place, kind, sentences)
        self.done += expected.done - before

    def _start_store(self, number: int) -> None:
        shutil.rmtree(self._folder / "store", ignore_errors=True)
        self._journal = Journal(self._folder / f"journal-{number}")

    def _kill_one(self, number: int, place: str, rng: np.random.Generator) -> int:
        """Start a worker, see to it that it is killed, and return its status, negative for a signal."""
        boundary = int(rng.integers(BOUNDARIES.get(place, 1)))
        process = os.fork()
        if process == 0:
            run_worker(
                self._folder / "store",
                self._hashers,
                self._journal,
                seed=[self._seed, number, 1],
                place=place,
                number=boundary,
            )
        if place == MOMENT:
            time.sleep(rng.uniform(0, LONGEST_S))
            os.kill(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def _check(self, rng: np.random.Generator) -> Findings:
        with open_stack(self._folder / "store", self._hashers) as stack:
            return check_store(stack, self._journal.expected, rng=rng)

    def _note(self, number: int, place: str, kind: str, sentences: list[str]) -> None:
        self.found[place][kind] += len(sentences)
        self.messages += [f"round {number}, {place}, {kind}: {sentence}" for sentence in sentences]


def main() -> int:
    """Run the rounds and print the table; returns the exit status."""
    options = _options()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        run = Run(Path(name), options.seed)
        with suppress(KeyboardInterrupt):  # the table of the rounds so far is worth having
            for number in range(options.rounds):
                run.round(number)
                if len(run.messages) > SHOWN:
                    break
    _print_table(run, options.seed, time.perf_counter() - started)
    return 1 if run.messages else 0


def _general(boundary: str) -> str:
    """Return a boundary without what differs from file to file of a kind: numbers and digests."""
    return re.sub(r"[0-9a-f]{64}|[0-9a-f]{2}(?=[,])|[0-9]+", "#", boundary)


def _print_table(run: Run, seed: int, seconds: float) -> None:
    print(read_circumstances())
    print(f"seed {seed}, {KILLS_PER_STORE} kills per store\n")
    print(f"{'killed at':<20} {'rounds':>6} " + " ".join(f"{kind:>11}" for kind in KINDS))
    for place in (MOMENT, *BOUNDARIES):
        counts = " ".join(f"{run.found[place][kind]:>11}" for kind in KINDS)
        print(f"{place:<20} {run.rounds[place]:>6} {counts}")
    totals = " ".join(f"{sum(found[kind] for found in run.found.values()):>11}" for kind in KINDS)
    print(f"{'all':<20} {run.rounds.total():>6} {totals}")
    print(
        f"\n{seconds:.0f} s; different boundaries died at: {len(run.places)}; acknowledged meanwhile: ",
        end="",
    )
    print(", ".join(f"{count} {op}" for op, count in sorted(run.done.items())))
    for message in run.messages[:SHOWN]:
        print(message)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill a store again and again and look what it still holds.")
    parser.add_argument("--rounds", type=int, default=1000, help="how often a process is killed")
    parser.add_argument("--seed", type=int, default=0, help="of what is done and where it is killed")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where to work; default: a temporary folder"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
