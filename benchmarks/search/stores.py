"""Ours beside Milvus Lite and LanceDB: the same codes, the same queries, with and without a filter on a number.

In: codes, and the interpreter that has the others. Out: a part of the result, or None if it has neither. How to make one:

    python -m venv ENV && ENV/bin/pip install milvus-lite==2.5.1 pymilvus lancedb
    python -m benchmarks.search --parts stores --milvus-python ENV/bin/python
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.search import galleries, other_engines
from benchmarks.search.codes import CodeSet
from benchmarks.search.results import Part, circumstances, make_row, raw_of
from benchmarks.search.searches import ALL, BY_SCORE, GRPC, SEARCHER, Distances, K, Wire, filtered_sides
from benchmarks.search.timing import Name, Turns, timed
from hashing.index_nearest import count_differing_bits
from service.usecases.snapshot import Snapshot

MODULES = {"milvus": "pymilvus", "lancedb": "lancedb"}
INSTALL = "pip install milvus-lite==2.5.1 pymilvus lancedb"
LIMITS: Mapping[str, float | None] = {ALL: None, BY_SCORE: galleries.SHARES["1 %"]}
VERSIONS = "from importlib.metadata import version as v; print(', '.join(f'{n} {v(n)}' for n in {names}))"


class Round(NamedTuple):
    """What a round of calls took and found."""

    seconds: list[float]
    distances: list[list[float]]


Ask = Callable[[str, int, int], Round]  # a case, its first call, how many calls


def installed(python: str) -> dict[str, str]:
    """Return the engines that an interpreter has, with their versions."""
    packages = {"milvus": ["milvus-lite", "pymilvus"], "lancedb": ["lancedb"]}
    found = {}
    for engine, names in packages.items():
        command = [python, "-c", f"import {MODULES[engine]}; {VERSIONS.replace('{names}', repr(names))}"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the caller's interpreter
        if ran.returncode == 0:
            found[engine] = ran.stdout.strip()
    return found


def measure_stores(
    codes: CodeSet, bits: int, snapshot: Snapshot, wire: Wire | None, *, python: str, rounds: int, calls: int
) -> Part | None:
    """Measure single searches; ratios refer to our searcher in process, per case."""
    versions = installed(python)
    if not versions:
        return None
    with ExitStack() as stack:
        sides: dict[str, Ask] = {
            SEARCHER: partial(_ours, _sides(codes, bits, snapshot, wire, SEARCHER)),
        }
        if wire:
            sides[GRPC] = partial(_ours, _sides(codes, bits, snapshot, wire, GRPC))
        for engine, version in versions.items():
            sides[version] = stack.enter_context(_running(engine, python, codes, bits))
        rounds_of = _rounds(sides, rounds=rounds, calls=calls)
    turns = {name: Turns(seconds=np.array([one.seconds for one in some])) for name, some in rounds_of.items()}
    rows = []
    for name, some in rounds_of.items():
        taken = turns[name]
        rows.append(
            make_row(
                name,
                turns,
                (name[0], SEARCHER),
                recall=_recall(
                    codes, bits, LIMITS[name[0]], [each for one in some for each in one.distances]
                ),
                note=f"{1 / taken.seconds.mean():,.0f} queries/s",
            )
        )
    return Part(
        name="stores",
        kind=codes.kind,
        n=len(codes.records),
        bits=bits,
        base=f"{SEARCHER}, of the same case",
        how=codes.how,
        rows=rows,
        circumstances=circumstances(),
        raw_us=raw_of(turns),
    )


def _rounds(sides: Mapping[str, Ask], *, rounds: int, calls: int) -> dict[Name, list[Round]]:
    """Ask all sides in turns for both cases."""
    asked: dict[Name, list[Round]] = {(case, side): [] for case in LIMITS for side in sides}
    for case, side in asked:
        sides[side](case, 0, 1)
    for number in range(rounds):
        for (case, side), some in asked.items():
            some.append(sides[side](case, number * calls, calls))
    return asked


def _sides(
    codes: CodeSet, bits: int, snapshot: Snapshot, wire: Wire | None, side: str
) -> dict[str, Distances]:
    return {
        case: call
        for (case, name), call in filtered_sides(codes, bits, snapshot, wire).items()
        if name == side and case in LIMITS
    }


def _ours(sides: Mapping[str, Distances], case: str, start: int, calls: int) -> Round:
    seconds, distances = [], []
    for call in range(start, start + calls):
        ((found,), taken) = timed(sides[case], call)
        seconds.append(taken)
        distances.append([float(distance) for distance in found])
    return Round(seconds, distances)


@contextmanager
def _running(engine: str, python: str, codes: CodeSet, bits: int) -> Iterator[Ask]:
    """Load the codes into an engine in a process of its own."""
    database, queries = codes.of(bits)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "codes.npy", database)
        np.save(folder / "queries.npy", queries)
        np.save(folder / "scores.npy", galleries.draw_scores(len(database)).astype(np.float32))
        command = [python, str(Path(other_engines.__file__)), engine, str(folder)]
        with subprocess.Popen(  # noqa: S603 - the caller's interpreter
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ""},
        ) as process:
            _answer(process, engine)
            try:
                yield partial(_ask, process, engine)
            finally:
                process.communicate()  # ends its input, for which it waits


def _ask(process: "subprocess.Popen[str]", engine: str, case: str, start: int, calls: int) -> Round:
    if process.stdin:
        print(
            json.dumps({"limit": LIMITS[case], "start": start, "calls": calls}),
            file=process.stdin,
            flush=True,
        )
    return Round(**_answer(process, engine))


def _answer(process: "subprocess.Popen[str]", engine: str) -> Any:  # noqa: ANN401 - JSON
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise SystemExit(f"{engine} ended; its error is above.")
    return json.loads(line)


def _recall(codes: CodeSet, bits: int, limit: float | None, answers: list[list[float]]) -> float:
    """Return the share of hits no farther than the k-th of brute force; answers are of queries 0, 1, ..."""
    database, queries = codes.of(bits)
    chosen = np.arange(len(database))
    if limit is not None:
        chosen = np.flatnonzero(galleries.draw_scores(len(database)).astype(np.float32) <= np.float32(limit))
    answers = answers[: len(queries)]
    distances = count_differing_bits(queries[: len(answers)], database, chosen)
    limits = np.partition(distances, K - 1, axis=1)[:, K - 1]
    near = sum(np.count_nonzero(np.array(found) <= most) for found, most in zip(answers, limits, strict=True))
    return near / (K * len(answers))
