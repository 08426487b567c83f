"""Time and memory of joint learning: beside separate learning, at growing n, and of encoding.

In: sizes. Out: a printed table with ratios. Every fit runs in a process of its own, so that peak memory is its own, and
both sides of a ratio take turns. Run it with `python -m benchmarks.hashing cost`.
"""

import argparse
import os
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float32, Int64

from hashing.joint import JointHasher
from service.circumstances import read_circumstances

P = ParamSpec("P")
T = TypeVar("T")

LENGTHS = (8, 16, 32, 64, 128)
WIDTH = 256  # of the embeddings
CLASSES = 10
WRONG = (
    0.4  # of the labels drawn anew, and weights that doubt them: with clean clusters two sweeps would be all
)
NU, BETA = 1.0, 0.3
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class FitCost:
    """What one fit took.

    Attributes:
        seconds: Wall time.
        before_mib: Most memory that the process had held before, data and libraries included.
        peak_mib: Most memory that it had held after.
    """

    seconds: float
    before_mib: float
    peak_mib: float


def main(arguments: Sequence[str]) -> None:
    """Print the tables."""
    options = _options(arguments)
    os.environ.update(dict.fromkeys(THREADS, str(options.threads)))  # of the processes started below
    print(f"{read_circumstances()}; {options.threads} threads, numpy {np.__version__}")
    print(f"command   python -m benchmarks.hashing cost {' '.join(arguments)}".rstrip())
    print(
        f"data      {CLASSES} random clusters of width {WIDTH}, seed 0, {WRONG:.0%} of the labels drawn anew; nu {NU}, beta {BETA}; {options.anchors} anchors; lengths "
        f"{', '.join(map(str, LENGTHS))}; medians of {options.rounds} rounds\n"
    )
    _print_joint_and_separate(options.rows, options.anchors, options.rounds)
    _print_growth(options.rows, options.anchors, options.rounds)
    _print_encoding(options.rows, options.anchors, options.rounds)


def _print_joint_and_separate(n: int, anchors: int, rounds: int) -> None:
    joint, separate = [], []
    for _ in range(rounds):
        joint.append(_in_a_process(_fit, n, anchors, LENGTHS).seconds)
        separate.append([_in_a_process(_fit, n, anchors, (bits,)).seconds for bits in LENGTHS])
    joint_s, sum_s = statistics.median(joint), statistics.median(map(sum, separate))
    each = " + ".join(f"{statistics.median(times):.2f}" for times in zip(*separate, strict=True))
    print(
        f"all {len(LENGTHS)} lengths, {n:,} images   joint {joint_s:.2f} s, separate {sum_s:.2f} s ({each})"
    )
    print(f"joint / sum of separate       {joint_s / sum_s:.2f} (goal <= 0.5)\n", flush=True)


def _print_growth(n: int, anchors: int, rounds: int) -> None:
    print(f"{'images':>9} {'fit s':>8} {'x before':>9} {'peak MiB':>9} {'of it the fit':>14}")
    before = None
    for size in (n, 2 * n, 4 * n):
        costs = [_in_a_process(_fit, size, anchors, LENGTHS) for _ in range(rounds)]
        seconds = statistics.median(cost.seconds for cost in costs)
        peak = statistics.median(cost.peak_mib for cost in costs)
        own = statistics.median(cost.peak_mib - cost.before_mib for cost in costs)
        ratio = f"{seconds / before:.2f}" if before else "-"
        print(f"{size:>9,} {seconds:>8.2f} {ratio:>9} {peak:>9,.0f} {own:>14,.0f}", flush=True)
        before = seconds
    print("goals: <= 2.2 per doubling; 60,000 images with 1,000 anchors below 60 s\n")


def _print_encoding(n: int, anchors: int, rounds: int) -> None:
    linear, joint = _in_a_process(_encode, min(n, 5_000), anchors, rounds)
    print(
        f"encoding all lengths   linear {linear:.1f} us per image, joint {joint:.1f} us, ratio {joint / linear:.2f}"
    )


def _fit(n: int, anchors: int, lengths: tuple[int, ...]) -> FitCost:
    x, y = _clusters(n)
    before = _peak_mib()
    started = time.perf_counter()
    JointHasher(lengths=lengths, n_anchors=anchors, random_state=0, nu=NU, beta=BETA).fit(x, y)
    return FitCost(seconds=time.perf_counter() - started, before_mib=before, peak_mib=_peak_mib())


def _encode(n: int, anchors: int, rounds: int) -> tuple[float, float]:
    """Return the microseconds per image of linear and of joint encoding."""
    x, y = _clusters(n)
    hashers = [
        JointHasher(
            lengths=LENGTHS, n_anchors=anchors, joint_encoding=joint, random_state=0, nu=NU, beta=BETA
        ).fit(x, y)
        for joint in (False, True)
    ]
    for hasher in hashers:
        hasher.encode(x)  # the first call pays for what is made once
    times = [[_seconds(hasher.encode, x) for hasher in hashers] for _ in range(rounds)]
    linear, joint = (1e6 * statistics.median(side) / n for side in zip(*times, strict=True))
    return linear, joint


def _clusters(n: int) -> tuple[Float32[np.ndarray, "n d"], Int64[np.ndarray, " n"]]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    y = rng.integers(0, CLASSES, n)
    x = centres[y] + 2 * rng.standard_normal((n, WIDTH), dtype=np.float32)
    return x, np.where(rng.random(n) < WRONG, rng.integers(0, CLASSES, n), y)


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak * 1024 / MIB  # bytes there, KiB elsewhere


def _seconds(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    started = time.perf_counter()
    call(*args, **kwargs)
    return time.perf_counter() - started


def _in_a_process(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    at_ctrl_c = (signal.SIGINT, signal.SIG_DFL)  # end without a traceback of its own
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=signal.signal, initargs=at_ctrl_c
    ) as pool:
        return pool.submit(call, *args, **kwargs).result()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hashing cost", description="Time and memory of fits."
    )
    parser.add_argument(
        "--rows", type=int, default=15_000, help="the smallest n; also twice and four times as many"
    )
    parser.add_argument("--anchors", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
