"""Timing of several ways to do the same, which take turns, so that ratios hold on a busy machine.

In: calls by name. Out: seconds of every call. Ratios compare medians within a round, whose order changes from round to round.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float64

T = TypeVar("T")

Name = tuple[str, str]  # what was asked for, and who answers
Side = Callable[[int], object]  # does the work of the i-th call


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Seconds of every call of one side, by round."""

    seconds: Float64[np.ndarray, "rounds calls"]

    @property
    def p50_us(self) -> float:
        """Median of all calls, microseconds."""
        return 1e6 * float(np.median(self.seconds))

    @property
    def p99_us(self) -> float:
        """99th percentile of all calls, microseconds."""
        return 1e6 * float(np.percentile(self.seconds, 99))

    def ratio_to(self, base: "Turns") -> float:
        """Return how many times as long as the base it takes: the median over rounds of the ratio of medians."""
        ratios = np.median(self.seconds, axis=1) / np.median(base.seconds, axis=1)
        return float(np.median(ratios))


def timed(call: Callable[[int], T], number: int) -> tuple[T, float]:
    """Return the result of one call, and its seconds."""
    start = time.perf_counter()
    result = call(number)
    return result, time.perf_counter() - start


def take_turns(sides: Mapping[Name, Side], *, rounds: int, calls: int) -> dict[Name, Turns]:
    """Call every side `calls` times in a row, round by round, after one unmeasured call each."""
    seconds = {name: np.empty((rounds, calls)) for name in sides}
    for side in sides.values():
        side(0)
    names = list(sides)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            side, row = sides[name], seconds[name][number]
            for call in range(calls):
                _, row[call] = timed(side, number * calls + call)
    return {name: Turns(seconds=taken) for name, taken in seconds.items()}
