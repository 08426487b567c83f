"""Searches while a generation is built and swapped in: their times before, beside the build, and around the swap; and errors.

In: an open session. Out: times by phase. Threads search without pause, as impatient clients would.
"""

import threading
import time
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from service.compose import Session
from service.errors import PolyhashError
from service.usecases.queries import CodeQuery, SearchRequest

K = 10
PHASES = ("before", "building", "swap", "after")


@dataclass(slots=True)
class Load:
    """What searching threads saw.

    Attributes:
        seconds: Of every search, by the phase in which it began.
        errors: Messages of those that failed, or found fewer than k.
        stages_s: Seconds of each stage of the rebuild.
        generations: Numbers that answered.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    errors: list[str] = field(default_factory=list)
    stages_s: dict[str, float] = field(default_factory=dict)
    generations: set[int] = field(default_factory=set)

    def percentile_ms(self, phase: str, percent: int) -> float:
        """Return a percentile of a phase, milliseconds."""
        taken: Float64[np.ndarray, " n"] = np.array(self.seconds[phase])
        return 1e3 * float(np.percentile(taken, percent)) if len(taken) else float("nan")


def swap_under_load(session: Session, *, threads: int, quiet_s: float) -> Load:
    """Search all the while: `quiet_s` seconds, a rebuild, and `quiet_s` seconds again."""
    load, stop, phase = Load(), threading.Event(), [PHASES[0]]
    running = [
        threading.Thread(target=_search_on, args=(session, load, phase, stop, seed))
        for seed in range(threads)
    ]
    for thread in running:
        thread.start()
    time.sleep(quiet_s)
    began: dict[str, float] = {}

    def report(stage: str, done: int, total: int) -> None:
        del done, total
        began.setdefault(stage, time.perf_counter())
        phase[0] = "swap" if stage == "loading" else "building"

    try:
        session.application.rebuilder.rebuild(report=report, note="benchmark")
        ended = time.perf_counter()
        phase[0] = "after"
        time.sleep(quiet_s)
    finally:
        stop.set()
        for thread in running:
            thread.join()
    ends = [*list(began.values())[1:], ended]
    load.stages_s = {stage: end - start for (stage, start), end in zip(began.items(), ends, strict=True)}
    return load


def _search_on(session: Session, load: Load, phase: list[str], stop: threading.Event, seed: int) -> None:
    searcher, gallery = session.application.searcher, session.application.gallery
    rng = np.random.default_rng(seed)
    record_bytes = gallery.snapshot.layout.record_bytes
    while not stop.is_set():
        query = CodeQuery(code=rng.integers(0, 256, record_bytes, dtype=np.uint8).tobytes())
        now, started = phase[0], time.perf_counter()
        try:
            answer = searcher.search(SearchRequest(query=query, bits=64, k=K, full=False))
        except PolyhashError as error:
            load.errors.append(error.message)
            continue
        load.seconds[now].append(time.perf_counter() - started)
        load.generations.add(answer.generation)
        if len(answer.hits) != K:
            load.errors.append(f"{len(answer.hits)} hits instead of {K}")
