"""The picture of an evaluation: mean average precision over code length, one line per method.

In: summaries over seeds. Out: a PNG. What is measured and how it is summarised is `service.usecases.evaluate`'s.
"""

from collections.abc import Sequence
from io import BytesIO
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from service.usecases.evaluate import CHANCE, COSINE, EvalSummary

# Okabe and Ito (2008), told apart with any colour vision; yellow is left out, too faint on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one more than colours, so that no pair repeats
INK = "#30363b"
SOFT = "#6b757c"
DODGE = 0.04  # octaves between the methods, so that equal lines are both seen
LABEL_GAP = 0.055  # height of a line of text, as a part of the plot's


def evaluation_plot_png(summaries: Sequence[EvalSummary], *, title: str) -> bytes:
    """Return a PNG of mAP over bits, bands of one standard deviation over seeds, cosine and chance as levels.

    Args:
        summaries: All methods, the references included if they were measured.
        title: What was searched with what.
    """
    figure = Figure(figsize=(7.6, 4.6), dpi=150, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    methods: dict[str, list[EvalSummary]] = {}
    for summary in sorted(summaries, key=lambda summary: summary.bits):
        methods.setdefault(summary.method, []).append(summary)
    references = [methods.pop(name)[0] for name in (COSINE, CHANCE) if name in methods]
    ends = [(reference, SOFT) for reference in references]
    for reference in references:
        style = ":" if reference.method == CHANCE else "--"
        axes.axhline(reference.map_mean, color=SOFT, linestyle=style, linewidth=1.4)
    for place, (points, colour, marker) in enumerate(
        zip(methods.values(), cycle(COLOURS), cycle(MARKERS), strict=False)
    ):
        shift = 2 ** (DODGE * (place - (len(methods) - 1) / 2))
        _draw_method(axes, points, colour=colour, marker=marker, shift=shift)
        ends.append((points[-1], colour))
    _finish(axes, bits=sorted({point.bits for points in methods.values() for point in points}), title=title)
    _label_ends(axes, ends)
    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()


def _draw_method(
    axes: Axes, points: Sequence[EvalSummary], *, colour: str, marker: str, shift: float
) -> None:
    bits = [point.bits * shift for point in points]
    means = [point.map_mean for point in points]
    axes.fill_between(
        bits,
        [point.map_mean - point.map_std for point in points],
        [point.map_mean + point.map_std for point in points],
        color=colour,
        alpha=0.18,
        linewidth=0,
    )
    axes.plot(bits, means, color=colour, marker=marker, markersize=6, linewidth=2)


def _label_ends(axes: Axes, ends: Sequence[tuple[EvalSummary, str]]) -> None:
    """Name every line beside its right end, moved apart where ends meet."""
    bottom, top = axes.get_ylim()
    ordered = sorted(ends, key=lambda end: end[0].map_mean)
    heights = spread([(end.map_mean - bottom) / (top - bottom) for end, _ in ordered], gap=LABEL_GAP)
    for (end, colour), height in zip(ordered, heights, strict=True):
        axes.text(1.02, height, f"{end.map_mean:.3f}", transform=axes.transAxes, va="center", color=INK)
        axes.text(
            1.11, height, end.method, transform=axes.transAxes, va="center", color=colour, weight="bold"
        )


def spread(heights: Sequence[float], *, gap: float) -> list[float]:
    """Return ascending heights moved up as little as keeps them `gap` apart, then down below 1 if they went over."""
    apart: list[float] = []
    for height in heights:
        apart.append(max([height, *(low + gap for low in apart[-1:])]))
    ceiling = 1.0
    for position in reversed(range(len(apart))):
        apart[position] = min(apart[position], ceiling)
        ceiling = apart[position] - gap
    return apart


def _finish(axes: Axes, *, bits: Sequence[int], title: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, color=INK, pad=12)
    axes.set_xscale("log", base=2)
    axes.set_xticks(bits, labels=[str(length) for length in bits])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("code length (bits)", color=INK)
    axes.set_ylabel("mean average precision", color=INK)
    axes.set_ylim(bottom=0)
    axes.tick_params(colors=INK, length=0)
    axes.grid(axis="y", color="#e4e8ea", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b8c0c5")
