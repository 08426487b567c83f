"""Time of one search in our indexes beside the bare FAISS call, on random codes.

In: sizes, lengths, number of queries. Out: a printed table of medians and their ratio; both sides take turns query by
query, so the ratio holds on a busy machine. Run it with `python -m benchmarks.index`.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import faiss
import numpy as np

from hashing.index_build import build_index
from service.circumstances import read_circumstances

T = TypeVar("T")

K = 10
WARM_UP = 5


def main() -> None:
    """Print the table."""
    options = _options()
    faiss.omp_set_num_threads(1)
    print(f"{read_circumstances()}; one core used")
    print(f"data      uniformly random codes, seed 0; k = {K}, {options.queries} queries one by one, medians")
    print(f"versions  faiss {faiss.__version__}, numpy {np.__version__}\n")
    print(
        f"{'codes':>9} {'bits':>5} {'index':>12} {'ours us':>9} {'FAISS us':>9} {'ours/FAISS':>10}  same hits"
    )
    for size in options.sizes:
        for bits in options.lengths:
            print(_row(size, bits, n_queries=options.queries), flush=True)


def _row(size: int, bits: int, *, n_queries: int) -> str:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (size, bits // 8), dtype=np.uint8)
    queries = rng.integers(0, 256, (n_queries + WARM_UP, 1, bits // 8), dtype=np.uint8)
    ours, bare = build_index(bits), faiss.IndexBinaryFlat(bits)
    ours.add(np.arange(size), codes)
    bare.add(codes)
    times: list[tuple[float, float]] = []
    same = True
    for query in queries:
        (hits,), ours_s = _timed(partial(ours.search, query, k=K))
        (distances, rows), bare_s = _timed(partial(bare.search, query, K))
        times.append((ours_s, bare_s))
        same &= np.array_equal(hits.image_ids, rows[0]) and np.array_equal(hits.distances, distances[0])
    ours_us, bare_us = (1e6 * statistics.median(side) for side in zip(*times[WARM_UP:], strict=True))
    name = type(ours).__name__
    ratio = ours_us / bare_us
    return f"{size:>9,} {bits:>5} {name:>12} {ours_us:>9.0f} {bare_us:>9.0f} {ratio:>10.3f}  {'yes' if same else 'NO'}"


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time searches in our indexes beside bare FAISS calls.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000], help="numbers of codes")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64, 128], help="bits")
    parser.add_argument("--queries", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()
