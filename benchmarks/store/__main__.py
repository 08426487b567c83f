"""`python -m benchmarks.store`: what a store of a million images takes on disk and in memory, and how it starts and rebuilds.

In: a number of images, a folder to keep the store in. Out: figures with their goals, printed and as JSON. The store is made once and
used again; a rebuild adds a generation to it and the oldest goes.
"""

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Must be said before NumPy is loaded, and holds for the processes that are started, too.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"


from benchmarks.store.filling import fill  # noqa: E402
from benchmarks.store.opening import open_apart, seconds_to_serving  # noqa: E402
from benchmarks.store.swapping import PHASES, Load, swap_under_load  # noqa: E402
from service import compose  # noqa: E402
from service.circumstances import read_circumstances  # noqa: E402

BYTES, GENERATION_S, SQL_S = 80, 1.0, 6.0  # goals: per image, and seconds to start


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    folder = options.cache / f"store-{options.images}"
    filled_s = None
    if not folder.exists():
        started = time.perf_counter()
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        fill(unfinished, options.images, progress=_say)
        unfinished.rename(folder)
        filled_s = time.perf_counter() - started
    found: dict[str, Any] = {
        "circumstances": f"{read_circumstances()}; one thread",
        "images": options.images,
        "filled_s": filled_s,
        "starts": {
            source: [open_apart(folder, source) for _ in range(options.rounds)]
            for source in ("generation", "SQL")
        },
        "serving_s": [seconds_to_serving(folder) for _ in range(options.rounds)],
        "sql_bytes": _sql_bytes(folder / "catalog.sqlite"),
    }
    with compose.open_session(folder, purpose="benchmark", serving=True) as session:
        load = swap_under_load(session, threads=options.threads, quiet_s=options.quiet_s)
        number = session.application.gallery.snapshot.generation
        generation = folder / "generations"
        found["generation_bytes"] = {
            file.name: file.stat().st_size for file in sorted(generation.glob(f"*{number}/*"))
        }
    found["swap"] = _swap(load)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"store-{options.images}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print("\n".join(_report(found)))


def _say(done: int, total: int) -> None:
    print(f"\rfilled {done:,} of {total:,}", end="\n" if done == total else "", flush=True)


def _swap(load: Load) -> dict[str, Any]:
    return {
        "errors": load.errors,
        "generations": sorted(load.generations),
        "stages_s": load.stages_s,
        "searches": {phase: len(load.seconds[phase]) for phase in PHASES},
        "p50_ms": {phase: load.percentile_ms(phase, 50) for phase in PHASES},
        "p99_ms": {phase: load.percentile_ms(phase, 99) for phase in PHASES},
        "max_ms": {phase: load.percentile_ms(phase, 100) for phase in PHASES},
    }


def _sql_bytes(file: Path) -> dict[str, int]:
    """Return the bytes of every table and index."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"
        ).fetchall()
    finally:
        connection.close()
    return dict(rows)


def _report(found: dict[str, Any]) -> Iterator[str]:
    n, starts, swap = found["images"], found["starts"], found["swap"]
    yield f"{found['circumstances']}; {n:,} images, codes of 16, 32, 64 and 128 bits"
    yield ""
    yield f"{'':<52} {'measured':>12}  goal"
    if found["filled_s"]:
        yield _line("filled through SqlCatalog, images/s", f"{n / found['filled_s']:,.0f}")
    disk = sum(found["generation_bytes"].values()) / n
    yield _line("generation on disk, bytes/image", f"{disk:.1f}", disk <= BYTES, f"<= {BYTES}")
    memory = statistics.median(each["memory_bytes"] for each in starts["generation"]) / n
    yield _line("memory from a generation, bytes/image", f"{memory:.1f}", memory <= BYTES, f"<= {BYTES}")
    sql = {name: size for name, size in found["sql_bytes"].items() if "embeddings" not in name}
    yield _line("catalog on disk without embeddings, bytes/image", f"{sum(sql.values()) / n:.1f}")
    for name, size in list(sql.items())[:6]:
        yield _line(f"  {name}", f"{size / n:.1f}")
    for source, goal in (("generation", GENERATION_S), ("SQL", SQL_S)):
        seconds = statistics.median(each["seconds"] for each in starts[source])
        yield _line(
            f"start from {source}, without backbone, s", f"{seconds:.2f}", seconds < goal, f"< {goal:g}"
        )
        for part in ("store_s", "hasher_s", "snapshot_s"):
            yield _line(
                f"  {part[:-2]}, s", f"{statistics.median(each[part] for each in starts[source]):.2f}"
            )
    yield _line("`polyhash serve` from nothing to serving, s", f"{statistics.median(found['serving_s']):.2f}")
    rebuilt_s = sum(swap["stages_s"].values())
    yield _line("rebuild under load, images/s", f"{n / rebuilt_s:,.0f}")
    for stage, seconds in swap["stages_s"].items():
        yield _line(f"  {stage}, s", f"{seconds:.2f}")
    yield _line("errors of searches meanwhile", str(len(swap["errors"])), not swap["errors"], "0")
    for phase in PHASES:
        figures = f"{swap['p50_ms'][phase]:.2f} / {swap['p99_ms'][phase]:.2f} / {swap['max_ms'][phase]:.1f}"
        yield _line(f"  {phase}: {swap['searches'][phase]:,} searches, p50 / p99 / max ms", figures)
    ratio = swap["p99_ms"]["swap"] / swap["p99_ms"]["before"]
    yield _line("p99 during the swap over normal p99", f"{ratio:.2f}")


def _line(what: str, measured: str, met: bool | None = None, goal: str = "") -> str:  # noqa: FBT001 - a verdict
    verdict = "" if met is None else f"{goal} {'met' if met else 'MISSED'}"
    return f"{what:<52} {measured:>12}  {verdict}".rstrip()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description="Measure a large store.")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--cache", type=Path, default=Path(".bench-cache"), help="where the store is kept")
    parser.add_argument("--out", type=Path, default=Path("bench-out/store"))
    parser.add_argument("--rounds", type=int, default=3, help="starts of each kind")
    parser.add_argument("--threads", type=int, default=1, help="that search during the rebuild")
    parser.add_argument(
        "--quiet-s", type=float, default=5.0, help="seconds of searches before and after the rebuild"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
