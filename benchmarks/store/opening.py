"""What it takes to have a store in memory: seconds and bytes, in a fresh process each: `python -m benchmarks.store.opening`.

In: a store's folder, and from what to read it. Out: a JSON line. Libraries are loaded before the clock starts; the backbone is no
part of it. How long `polyhash serve` takes from nothing to serving is measured from outside.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from hashing.index_records import RecordIndex
from service.records import ModelKind
from service.storage.store import Store
from service.usecases.loading import load_snapshot, read_snapshot, replay
from service.workers import find_hasher

SOURCES = ("generation", "SQL")


def open_apart(folder: Path, source: str) -> dict[str, Any]:
    """Open the store in a process of its own; returns seconds, images and bytes of memory that it took."""
    command = [sys.executable, "-m", "benchmarks.store.opening", str(folder), source]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def seconds_to_serving(folder: Path) -> float:
    """Return the seconds from starting `polyhash serve` to its line that it serves: with Python, libraries, backbone."""
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "serve",
        "--store",
        str(folder),
        "--address",
        "127.0.0.1:0",
    ]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command
        try:
            line = server.stdout.readline() if server.stdout else ""
            seconds = time.perf_counter() - started
        finally:
            server.terminate()
    if not line.startswith("Serving"):
        raise SystemExit(f"The store {folder} was not served; the error is above.")
    return seconds


def _open(folder: Path, source: str) -> dict[str, Any]:
    process = psutil.Process()
    before, started = process.memory_info().rss, time.perf_counter()
    with Store.open(folder, purpose="benchmark", writable=False) as store:
        opened = time.perf_counter()
        active = store.catalog.active_model(ModelKind.HASHER)
        hasher = find_hasher(store, active.identity if active else "")
        found = time.perf_counter()
        if source == "SQL":
            snapshot = read_snapshot(store.catalog, hasher, index_factory=RecordIndex)
            replay(store.catalog, snapshot)
        else:
            snapshot = load_snapshot(
                store.catalog, store.generations, hasher, index_factory=RecordIndex, writable=False
            )
        ended = time.perf_counter()
        return {
            "seconds": ended - started,
            "store_s": opened - started,
            "hasher_s": found - opened,
            "snapshot_s": ended - found,
            "images": len(snapshot),
            "generation": snapshot.generation,
            "memory_bytes": process.memory_info().rss - before,
            "columns_bytes": snapshot.columns.nbytes,
        }


if __name__ == "__main__":
    print(json.dumps(_open(Path(sys.argv[1]), sys.argv[2])))
