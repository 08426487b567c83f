"""The tables of docs/hashing.md as Markdown: what every method reached, and which goals are met.

In: results. Out: text, one page per set and backbone, and one of goals. Every page says when, on what and by which command
its figures were measured.
"""

import math
import statistics
from collections.abc import Collection, Iterable, Sequence

from benchmarks.hashing.goals import POINT, Goal, Verdict, judge
from benchmarks.hashing.methods import rank_of_method
from benchmarks.hashing.results import Failure, Place, Results
from benchmarks.hashing.sets import find_set
from service.usecases.evaluate import ASYMMETRIC, HAMMING, NO_CODES, EvalRow
from service.usecases.protocols import Setting

TITLES = {
    Setting.CLEAN: "Clean labels",
    Setting.NOISE: "40 % of the training labels wrong",
    Setting.FEW: "10 % of the training labels known",
    Setting.UNSEEN: "Classes not seen in training",
}
OVERVIEW = (
    "jmh",
    "nested",
    "fused",
    "separate",
    "codebook-cv",
    "codebook",
    "sdh-cv",
    "sdh",
    "fsdh",
    "fssh",
    "cosdish",
    "scdh",
    "itq",
    "lsh",
)
RANK_FIGURES = ("precision_at_10", "recall_at_100", "precision_radius_2")
LEGEND = (
    "mAP is tie-aware and over the whole ranked database; the mean is over lengths, +- its standard deviation over seeds. "
    "P@10, R@100 (precision of the first 10, recall of the first 100) and r <= 2 (precision within Hamming distance 2) are "
    "means over lengths. Seconds are of one thread, to learn all lengths and to encode database and queries, beside whatever "
    "else the machine did: `cost` compares. Bold is the best of a column."
)


def page(results: Results, place: Place, *, command: str) -> str:
    """Return the tables of one set and backbone: one per setting, and one more where asymmetric scores were asked for."""
    rows = results.rows(place)
    lines = [f"# {place[0]}, {place[1]}", "", *_origin(results.circumstances(place), command), LEGEND]
    for setting in Setting:
        chosen = [row for row in rows if row.setting == setting.value]
        if not chosen:
            continue
        lines += ["", f"## {TITLES[setting]}", "", *_table(chosen, HAMMING)]
        lines += ["", _references(chosen)]
        if any(row.scoring == ASYMMETRIC for row in chosen):
            lines += ["", "Real-valued queries against the same codes:", "", *_table(chosen, ASYMMETRIC)]
    lines += _failures(results.failures(place))
    return "\n".join(lines) + "\n"


def overview_page(results: Results, *, command: str) -> str:
    """Return one table of all sets and settings: mean mAP over lengths and seeds of the methods that matter most."""
    circumstances = sorted({at for place in results.places() for at in results.circumstances(place)})
    lines = [
        "# Overview",
        "",
        *_origin(circumstances, command),
        "Tie-aware mAP, mean over code lengths and seeds. Bold is the best of a row.",
        "",
        *_row("set", "setting", *OVERVIEW),
        *_row(*["---"] * (2 + len(OVERVIEW))),
    ]
    for place in results.places():
        rows = [row for row in results.rows(place) if row.scoring == HAMMING]
        for setting in Setting:
            levels = [
                _mean_or_nan(row.map for row in rows if row.method == method and row.setting == setting.value)
                for method in OVERVIEW
            ]
            best = max((level for level in levels if not math.isnan(level)), default=math.nan)
            texts = [_share(level, bold=level == best) for level in levels]
            lines += _row(" ".join(place), setting.value, *texts)
    return "\n".join(lines) + "\n"


def raw_rows(results: Results) -> str:
    """Return every mAP behind the pages as CSV, one line per set, setting, method, scoring, length and seed."""
    lines = ["set,backbone,setting,method,scoring,bits,seed,map"]
    lines += [
        f"{','.join(place)},{row.setting},{row.method},{row.scoring},{row.bits},{row.seed},{row.map:.5f}"
        for place in results.places()
        for row in results.rows(place)
    ]
    return "\n".join(lines) + "\n"


def goals_page(results: Results, *, command: str) -> str:
    """Return the table of all goals on all sets: mean paired differences in points of mAP, met or not."""
    lines = [
        "# Goals",
        "",
        *_origin(sorted({at for place in results.places() for at in results.circumstances(place)}), command),
        "Differences of tie-aware mAP in points (0.01) on the same seeds; 95 % interval by Student's t of the mean over "
        "lengths.",
        "",
        *_row(
            "set",
            "setting",
            "difference",
            "mean",
            "95 % interval",
            "worst length",
            "seeds above",
            "goal",
            "met",
        ),
        *_row(*["---"] * 9),
    ]
    for place in results.places():
        for verdict in judge(results.rows(place), multi_label=find_set(place[0]).multi_label):
            lines += _verdict_row(" ".join(place), verdict)
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[EvalRow], scoring: str) -> list[str]:
    rows = [row for row in rows if row.scoring == scoring]
    lengths = sorted({row.bits for row in rows})
    by_method = {
        method: [row for row in rows if row.method == method]
        for method in sorted({row.method for row in rows}, key=rank_of_method)
    }
    cells: list[list[float]] = []
    for group in by_method.values():
        maps = [_mean(row.map for row in group if row.bits == bits) for bits in lengths]
        ranks = [_mean(getattr(row, name) for row in group) for name in RANK_FIGURES]
        cells.append([*maps, _mean(maps), *ranks])
    best = [max(column) for column in zip(*cells, strict=True)]
    heading = [
        "method",
        "seeds",
        *map(str, lengths),
        "mean mAP",
        "P@10",
        "R@100",
        "r <= 2",
        "fit s",
        "encode s",
    ]
    lines = [*_row(*heading), *_row(*["---"] * len(heading))]
    for (method, group), values in zip(by_method.items(), cells, strict=True):
        texts = [_share(value, bold=value == top) for value, top in zip(values, best, strict=True)]
        seeds = {row.seed for row in group}
        if len(seeds) > 1:
            texts[len(lengths)] += f" +- {_share(_deviation(group, seeds))}"
        seconds = [f"{_mean(getattr(row, name) for row in group):.2f}" for name in ("fit_s", "encode_s")]
        lines += _row(method, _span(seeds), *texts, *seconds)
    return lines


def _references(rows: Sequence[EvalRow]) -> str:
    levels = {
        method: _mean(row.map for row in rows if row.method == method)
        for method in dict.fromkeys(row.method for row in rows if row.scoring == NO_CODES)
    }
    names = {"cosine": "Cosine search on the embeddings themselves", "chance": "a random order"}
    told = [f"{names.get(method, method)}: mAP {_share(value)}" for method, value in levels.items()]
    return f"{'; '.join(told)}." if told else ""


def _failures(failures: Sequence[Failure]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        cell = failure.cell
        reasons.setdefault((cell.method, failure.reason), []).append(f"{cell.setting} {cell.seed}")
    if not reasons:
        return []
    told = [f"- {method} ({', '.join(cells)}): {reason}" for (method, reason), cells in reasons.items()]
    return ["", "## Not measured", "", *told]


def _verdict_row(place: str, verdict: Verdict) -> list[str]:
    overall, worst = verdict.overall, verdict.worst
    return _row(
        place,
        overall.setting,
        f"{verdict.goal.method} - {verdict.goal.against}",
        _points(overall.difference),
        "-" if overall.seeds < 2 else f"{_points(overall.low)} to {_points(overall.high)}",
        f"{_points(worst.difference)} at {worst.bits}",
        f"{round(overall.share_above * overall.seeds)} of {overall.seeds}",
        _asked(verdict.goal),
        "yes" if verdict.met else "**no**",
    )


def _asked(goal: Goal) -> str:
    asked = {
        "mean >= {:+.1f}": goal.mean_points,
        "every length >= {:+.1f}": goal.length_points,
        "above in {:.0%} of seeds": goal.share,
    }
    return ", ".join(text.format(least) for text, least in asked.items() if least is not None)


def _origin(circumstances: Iterable[str], command: str) -> list[str]:
    return [f"{'; '.join(circumstances)}.", "", "```", command, "```", ""]


def _span(seeds: Collection[int]) -> str:
    """Return `5-9` for the seeds from 5 to 9, or all of them where some between are missing."""
    first, last = min(seeds), max(seeds)
    if last - first + 1 != len(seeds):
        return ", ".join(map(str, sorted(seeds)))
    return str(first) if first == last else f"{first}-{last}"


def _deviation(group: Sequence[EvalRow], seeds: Iterable[int]) -> float:
    """Return the sample deviation over seeds of the mean over lengths."""
    return statistics.stdev(_mean(row.map for row in group if row.seed == seed) for seed in seeds)


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def _mean_or_nan(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.fmean(found) if found else math.nan


def _share(value: float, *, bold: bool = False) -> str:
    """Return a number from 0 to 1 as the field prints it, `.873`."""
    text = "-" if math.isnan(value) else f"{value:.3f}".removeprefix("0")
    return f"**{text}**" if bold else text


def _points(difference: float) -> str:
    return f"{difference / POINT:+.2f}"


def _row(*cells: str) -> list[str]:
    return [f"| {' | '.join(cells)} |"]
