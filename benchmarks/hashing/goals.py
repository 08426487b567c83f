"""The goals of the joint model against its peers, and whether the rows meet them.

In: rows of one set and backbone. Out: one verdict per goal that the rows can answer: the paired difference with its
interval over seeds. Printing is left to `tables`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.usecases.comparison import ALL_LENGTHS, Comparison, compare
from service.usecases.evaluate import HAMMING, EvalRow
from service.usecases.protocols import Setting

JOINT, NESTED, SEPARATE, ITQ = "jmh", "nested", "separate", "itq"
# As published, and with the ridge chosen by validation, as that of the joint model is.
SDH, CODEBOOK = ("sdh", "sdh-cv"), ("codebook", "codebook-cv")

POINT = 0.01  # of mAP


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a method is to reach above another on the same seeds; None is not asked for.

    Attributes:
        method: Name of the one.
        against: Name of the other.
        settings: Where it is asked for.
        mean_points: Least difference, mean over lengths and seeds.
        length_points: Least difference at every length, mean over seeds.
        share: Least share of the seeds with a difference above 0, mean over lengths.
        only_multi_label: Asked for on sets of several labels per image only.
    """

    method: str
    against: str
    settings: tuple[Setting, ...]
    mean_points: float | None = None
    length_points: float | None = None
    share: float | None = None
    only_multi_label: bool = False


ALL_SETTINGS = tuple(Setting)

# Source: 01-hashing, section 5.
GOALS = (
    *(Goal(method=JOINT, against=sdh, settings=(Setting.CLEAN,), mean_points=3.0) for sdh in SDH),
    *(Goal(method=JOINT, against=sdh, settings=(Setting.NOISE,), mean_points=6.0) for sdh in SDH),
    *(
        Goal(method=JOINT, against=codebook, settings=(setting,), mean_points=points)
        for setting, points in (
            (Setting.CLEAN, 0.4),
            (Setting.NOISE, 2.5),
            (Setting.FEW, 1.0),
            (Setting.UNSEEN, 0.5),
        )
        for codebook in CODEBOOK
    ),
    Goal(method=JOINT, against=ITQ, settings=(Setting.UNSEEN,), mean_points=5.0),
    Goal(method=JOINT, against=SEPARATE, settings=ALL_SETTINGS, length_points=-0.2),
    Goal(method=JOINT, against=SEPARATE, settings=(Setting.NOISE,), share=0.9),
    Goal(method=JOINT, against=SEPARATE, settings=(Setting.CLEAN,), share=0.9, only_multi_label=True),
    Goal(method=NESTED, against=JOINT, settings=ALL_SETTINGS, length_points=-0.2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal in one setting beside what was measured.

    Attributes:
        goal: The goal.
        overall: The paired difference, mean over lengths.
        worst: That of the length where it is least.
        met: Whether everything that the goal asks for is reached.
    """

    goal: Goal
    overall: Comparison
    worst: Comparison
    met: bool


def judge(rows: Sequence[EvalRow], *, multi_label: bool) -> list[Verdict]:
    """Return the verdicts on all goals whose methods were both measured in a setting."""
    asked = [(goal, setting) for goal in GOALS for setting in goal.settings]
    verdicts = (
        _verdict(goal, setting, rows) for goal, setting in asked if multi_label or not goal.only_multi_label
    )
    return [verdict for verdict in verdicts if verdict]


def _verdict(goal: Goal, setting: Setting, rows: Sequence[EvalRow]) -> Verdict | None:
    pair = _paired(
        [
            row
            for row in rows
            if row.setting == setting.value
            and row.scoring == HAMMING
            and row.method in {goal.method, goal.against}
        ]
    )
    if {row.method for row in pair} != {goal.method, goal.against}:
        return None
    comparisons = compare(pair, goal.against)
    overall = comparisons[-1]
    worst = min(
        (comparison for comparison in comparisons if comparison.bits != ALL_LENGTHS),
        key=lambda comparison: comparison.difference,
    )
    met = all(
        (
            goal.mean_points is None or overall.difference >= goal.mean_points * POINT,
            goal.length_points is None or worst.difference >= goal.length_points * POINT,
            goal.share is None or overall.share_above >= goal.share,
        )
    )
    return Verdict(goal=goal, overall=overall, worst=worst, met=met)


def _paired(rows: Sequence[EvalRow]) -> list[EvalRow]:
    """Return the rows of the seeds and lengths that all methods among them have."""
    there = {
        method: {(row.seed, row.bits) for row in rows if row.method == method}
        for method in {row.method for row in rows}
    }
    common = set.intersection(*there.values()) if there else set()
    return [row for row in rows if (row.seed, row.bits) in common]
