"""Search over gRPC beside the bare FAISS call, on random codes, with one client and a real server process.

In: number of codes, bits and requests. Out: requests/s, median and 99th percentile of searches over gRPC, of gRPC calls
that do nothing, and of the FAISS call alone, which take turns block by block, and the server's CPU time per request. Run it with `python -m benchmarks.rpc`.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import faiss
import grpc
import numpy as np
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jaxtyping import Float32, Float64, UInt8

from service import compose
from service.circumstances import read_circumstances
from service.client import Client
from service.records import NewImage

K = 10
BLOCK = 500  # requests of one side before the other takes its turn
Codes = UInt8[np.ndarray, "n bytes"]


def main() -> None:
    """Print the table."""
    options = _options()
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (options.codes, options.bits // 8), dtype=np.uint8)
    queries = rng.integers(0, 256, (options.requests, options.bits // 8), dtype=np.uint8)
    bare = faiss.IndexBinaryFlat(options.bits)
    bare.add(codes)
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "store"
        _fill(store, codes, bits=options.bits)
        with _server(store) as (process, address), Client(address) as client, _health(address) as check:

            def over_grpc(query: Codes) -> list[int]:
                return [hit.distance for hit in client.search(code=query.tobytes(), k=K, full=False).hits]

            def bare_faiss(query: Codes) -> list[int]:
                distances: list[int] = bare.search(query[None], K)[0][0].tolist()
                return distances

            for query in queries[:BLOCK]:  # warm up, and see that both answer the same
                if over_grpc(query) != bare_faiss(query):
                    sys.exit("The server's distances differ from those of FAISS.")
                check(query)
            sides = {"gRPC search": over_grpc, "gRPC, empty call": check, "bare FAISS": bare_faiss}
            measured = _measure(sides, queries, process)
    print(f"{read_circumstances()}; FAISS {faiss.__version__}, one thread each")
    print(
        f"{options.codes:,} random codes of {options.bits} bits, k = {K}, {len(queries)} requests, one client\n"
    )
    print(f"{'':<17} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'server CPU us':>14}")
    for side, (seconds, cpu_s) in measured.items():
        p50, p99 = 1e3 * np.percentile(seconds, [50, 99])
        cpu_us = f"{1e6 * cpu_s / len(seconds):.0f}" if "gRPC" in side else "-"
        print(f"{side:<17} {len(seconds) / seconds.sum():>10.0f} {p50:>8.3f} {p99:>8.3f} {cpu_us:>14}")
    search, empty, faiss_alone = (np.median(seconds) for seconds, _ in measured.values())
    print(f"\nmedian search over gRPC = {search / (empty + faiss_alone):.2f} x (empty call + FAISS)")


def _measure(
    sides: Mapping[str, Callable[[Codes], object]], queries: Codes, process: psutil.Process
) -> dict[str, tuple[Float64[np.ndarray, " n"], float]]:
    """Return, per side, the seconds of every request and the server's CPU seconds meanwhile."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    cpu_s = dict.fromkeys(sides, 0.0)
    for start in range(0, len(queries), BLOCK):
        for side, call in sides.items():
            before = process.cpu_times()
            seconds[side] += [_seconds(call, query) for query in queries[start : start + BLOCK]]
            after = process.cpu_times()
            cpu_s[side] += after.user + after.system - before.user - before.system
    return {side: (np.array(seconds[side]), cpu_s[side]) for side in sides}


def _seconds(call: Callable[[Codes], object], query: Codes) -> float:
    start = time.perf_counter()
    call(query)
    return time.perf_counter() - start


@contextmanager
def _health(address: str) -> Iterator[Callable[[Codes], object]]:
    """Give a call that does nothing: what the transport alone costs."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        yield lambda _: stub.Check(health_pb2.HealthCheckRequest())


def _fill(store: Path, codes: Codes, *, bits: int) -> None:
    """Make a store whose images have these codes, under a hasher of this length that only gives its name."""
    rng = np.random.default_rng(1)
    with compose.open_session(store, purpose="benchmark", create=True) as session:
        embeddings = rng.random((64, session.application.backbone.dim), dtype=np.float32)
        session.application.gallery.add(
            [_image(f"learn {row}", vector) for row, vector in enumerate(embeddings)]
        )
        parameters = {"lengths": (bits,), "n_anchors": 16, "random_state": 0}
        hasher = compose.fit_hasher(session, parameters=parameters)
        gallery = compose.use_hasher(session, hasher).application.gallery
        for image_id in range(1, len(embeddings) + 1):
            gallery.delete(image_id)
        nothing = np.zeros(1, dtype=np.float32)
        for start in range(0, len(codes), 4096):
            part = enumerate(codes[start : start + 4096], start)
            gallery.add([_image(f"code {row}", nothing, code) for row, code in part])


def _image(
    name: str, embedding: Float32[np.ndarray, " d"], record: UInt8[np.ndarray, " bytes"] | None = None
) -> NewImage:
    return NewImage(
        sha256=hashlib.sha256(name.encode()).digest(),
        name=name,
        source="",
        stored=False,
        byte_size=0,
        width=1,
        height=1,
        format="NONE",
        labels=(),
        attributes={},
        embedding=embedding,
        record=record,
    )


@contextmanager
def _server(store: Path) -> Iterator[tuple[psutil.Process, str]]:
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "serve",
        "--store",
        str(store),
        "--address",
        "127.0.0.1:0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield psutil.Process(server.pid), line.split()[-1]
        finally:
            server.terminate()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time searches over gRPC beside bare FAISS calls.")
    parser.add_argument("--codes", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--requests", type=int, default=5_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
