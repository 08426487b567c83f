"""Figures over seeds: means with deviations, and methods compared in pairs.

In: the rows of an evaluation. Out: one summary per setting, method, scoring and length, and by how much each is above a
baseline on the same draws. Measuring is left to `evaluate`, showing to the command line and `evaluation_plot`.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float64
from scipy.stats import t as student_t

from service.errors import InvalidArgumentError
from service.usecases.evaluate import NO_CODES, EvalRow

ALL_LENGTHS = 0  # the code length of a comparison over all of them
CONFIDENCE = 0.95

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSummary:
    """Means over the seeds of one setting, method, scoring and length; the sample deviation of one seed is 0."""

    setting: str
    method: str
    scoring: str
    bits: int
    seeds: int
    map_mean: float
    map_std: float
    precision_at_10_mean: float
    precision_at_10_std: float
    recall_at_100_mean: float
    precision_radius_2_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """By how much the mAP of a method is above that of the baseline with the same draws and scoring.

    Attributes:
        setting: As in the rows, and so are `method` and `scoring`.
        bits: Code length; `ALL_LENGTHS` for the mean over all, if there are several.
        seeds: How many pairs.
        difference: Mean over the pairs.
        low: Lower end of its 95 % interval by Student's t; NaN with one pair.
        high: Upper end.
        share_above: In how many of the pairs the method is above the baseline; 0 to 1.
    """

    setting: str
    method: str
    scoring: str
    bits: int
    seeds: int
    difference: float
    low: float
    high: float
    share_above: float


def summarise(rows: Sequence[EvalRow]) -> list[EvalSummary]:
    """Return one summary per setting, method, scoring and length, in the order of their first rows."""
    return [
        _summary(group)
        for group in _grouped(rows, lambda row: (row.setting, row.method, row.scoring, row.bits)).values()
    ]


def compare(rows: Sequence[EvalRow], baseline: str) -> list[Comparison]:
    """Return how every other method stands against the baseline: each length, then all, in the order of the rows.

    Args:
        rows: Of one evaluation; references are left out, and what the baseline was not measured on.
        baseline: Name of a method in the rows.

    Raises:
        InvalidArgumentError: The rows have no such method.
    """
    rows = [row for row in rows if row.scoring != NO_CODES]
    if baseline not in (there := dict.fromkeys(row.method for row in rows)):
        raise InvalidArgumentError(
            f"There is no method {baseline!r} to compare with. Choose from {', '.join(there)}.",
            field="baseline",
        )
    level = {
        (row.setting, row.scoring, row.bits, row.seed): row.map for row in rows if row.method == baseline
    }
    comparisons = []
    paired = [
        row
        for row in rows
        if row.method != baseline and (row.setting, row.scoring, row.bits, row.seed) in level
    ]
    for (setting, method, scoring), group in _grouped(
        paired, lambda row: (row.setting, row.method, row.scoring)
    ).items():
        by_length: dict[int, dict[int, float]] = {}
        for row in group:
            by_length.setdefault(row.bits, {})[row.seed] = (
                row.map - level[setting, scoring, row.bits, row.seed]
            )
        above = {
            bits: np.array([by_seed[seed] for seed in sorted(by_seed)]) for bits, by_seed in by_length.items()
        }
        common = sorted(set.intersection(*map(set, by_length.values())))
        if len(above) > 1 and common:
            above[ALL_LENGTHS] = np.array(
                [np.mean([by_seed[seed] for by_seed in by_length.values()]) for seed in common]
            )
        comparisons += [
            _comparison(setting, method, scoring, bits, differences) for bits, differences in above.items()
        ]
    return comparisons


def _comparison(
    setting: str, method: str, scoring: str, bits: int, differences: Float64[np.ndarray, " seeds"]
) -> Comparison:
    n, mean = len(differences), float(differences.mean())
    margin = float("nan")
    if n > 1:
        margin = float(student_t.ppf((1 + CONFIDENCE) / 2, n - 1) * differences.std(ddof=1) / np.sqrt(n))
    return Comparison(
        setting=setting,
        method=method,
        scoring=scoring,
        bits=bits,
        seeds=n,
        difference=mean,
        low=mean - margin,
        high=mean + margin,
        share_above=float((differences > 0).mean()),
    )


def _summary(group: Sequence[EvalRow]) -> EvalSummary:
    maps = np.array([row.map for row in group])
    precisions = np.array([row.precision_at_10 for row in group])
    ddof = min(1, len(group) - 1)
    return EvalSummary(
        setting=group[0].setting,
        method=group[0].method,
        scoring=group[0].scoring,
        bits=group[0].bits,
        seeds=len(group),
        map_mean=float(maps.mean()),
        map_std=float(maps.std(ddof=ddof)),
        precision_at_10_mean=float(precisions.mean()),
        precision_at_10_std=float(precisions.std(ddof=ddof)),
        recall_at_100_mean=float(np.mean([row.recall_at_100 for row in group])),
        precision_radius_2_mean=float(np.mean([row.precision_radius_2 for row in group])),
    )


def _grouped(rows: Sequence[EvalRow], key: Callable[[EvalRow], K]) -> dict[K, list[EvalRow]]:
    groups: dict[K, list[EvalRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
