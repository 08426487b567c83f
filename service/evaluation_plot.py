"""The pictures of an evaluation: mean average precision over code length, and precision over recall.

In: summaries over seeds, or precision-recall curves. Out: a PNG of a few panels. What is measured and how it is summarised
is the use cases'.

Convention: one method is highlighted, strong and on top; the others are thin, each with a colour and a marker of its own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from service.usecases.comparison import EvalSummary
from service.usecases.evaluate import ASYMMETRIC, CHANCE, COSINE, PrCurve

HIGHLIGHT = "jmh"
STRONG = "#0072B2"
# Okabe and Ito (2008) after the blue of the highlight, told apart with any colour vision; yellow is too faint on white
COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46", "#2B2B2B")
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">")  # one more than colours, so that no pair repeats
INK = "#30363b"
SOFT = "#6b757c"
DODGE = 0.03  # octaves between the methods, so that equal lines are both seen
LABEL_PT = 9.0
DPI = 150
PANEL_GAP_IN = 0.09
FEW_METHODS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    """How a method is drawn, the same in every panel."""

    colour: str
    marker: str
    width: float
    order: int


def evaluation_plot_png(summaries: Sequence[EvalSummary], *, title: str) -> bytes:
    """Return a PNG of mAP over bits, one panel per setting; cosine and chance are levels, the bands one deviation.

    Args:
        summaries: All methods, the references included if they were measured. Asymmetric scoring is dashed.
        title: What was searched with what.
    """
    styles = _styles(summary.method for summary in summaries if summary.bits)
    n_labels = len({(summary.method, summary.scoring) for summary in summaries})
    settings = list(dict.fromkeys(summary.setting for summary in summaries))
    figure, panels = _panels(
        len(settings),
        n_columns=math.ceil(math.sqrt(len(settings))),
        width_in=7.2,
        height_in=max(4.6, 1 + 0.2 * n_labels),
        title=title,
    )
    for setting, axes in zip(settings, panels, strict=True):
        _draw_setting(axes, [summary for summary in summaries if summary.setting == setting], styles)
        if len(settings) > 1:
            axes.set_title(setting, loc="left", fontsize=11, color=INK)
    return _png(figure)


def curve_plot_png(curves: Sequence[PrCurve], *, title: str) -> bytes:
    """Return a PNG of precision over recall within each Hamming radius, means over seeds: a panel per length and setting.

    Args:
        curves: All methods.
        title: What was searched with what.
    """
    styles = _styles(curve.method for curve in curves)
    keys = list(dict.fromkeys((curve.setting, curve.bits) for curve in curves))
    n_lengths, several = len({bits for _, bits in keys}), len({setting for setting, _ in keys}) > 1
    figure, panels = _panels(
        len(keys),
        n_columns=n_lengths if several else math.ceil(math.sqrt(n_lengths)),
        width_in=4.6,
        height_in=max(4.0, 0.25 * len(styles)),
        title=title,
    )
    for (setting, bits), axes in zip(keys, panels, strict=True):
        _draw_curves(axes, [c for c in curves if (c.setting, c.bits) == (setting, bits)], styles)
        name = f"{bits} bits, {setting}" if several else f"{bits} bits"
        axes.set_title(name, loc="left", fontsize=11, color=INK)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, labelcolor=INK)
    return _png(figure)


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


def _draw_setting(axes: Axes, summaries: Sequence[EvalSummary], styles: dict[str, _Style]) -> None:
    lines: dict[tuple[str, str], list[EvalSummary]] = {}
    for summary in sorted(summaries, key=lambda summary: summary.bits):
        lines.setdefault((summary.method, summary.scoring), []).append(summary)
    ends: list[tuple[float, str, str]] = []
    for (method, scoring), points in lines.items():
        mean, name = points[-1].map_mean, f"{method} asym." if scoring == ASYMMETRIC else method
        if method in styles:
            _draw_method(axes, points, styles[method], n_methods=len(styles), dashed=scoring == ASYMMETRIC)
            ends.append((mean, name, styles[method].colour))
        elif method in {COSINE, CHANCE}:
            level = float(np.mean([point.map_mean for point in points]))
            axes.axhline(level, color=SOFT, linestyle=":" if method == CHANCE else "--", linewidth=1.2)
            ends.append((level, name, SOFT))
    _finish(axes, x="code length (bits)", y="mean average precision")
    _scale_bits(axes, sorted({summary.bits for summary in summaries if summary.bits}))
    axes.set_ylim(bottom=0)
    _label_ends(axes, ends)


def _draw_method(
    axes: Axes, points: Sequence[EvalSummary], style: _Style, *, n_methods: int, dashed: bool
) -> None:
    step = min(DODGE, 8 * DODGE / n_methods)
    bits = [point.bits * 2 ** (step * (style.order - (n_methods - 1) / 2)) for point in points]
    strong = style.colour == STRONG
    if not dashed and (strong or n_methods <= FEW_METHODS):  # many bands hide each other
        axes.fill_between(
            bits,
            [point.map_mean - point.map_std for point in points],
            [point.map_mean + point.map_std for point in points],
            color=style.colour,
            alpha=0.2 if strong else 0.12,
            linewidth=0,
        )
    axes.plot(
        bits,
        [point.map_mean for point in points],
        color=style.colour,
        marker=style.marker,
        markersize=7 if strong else 5,
        linewidth=style.width,
        linestyle="--" if dashed else "-",
        zorder=4 if strong else 3,
    )


def _draw_curves(axes: Axes, curves: Sequence[PrCurve], styles: dict[str, _Style]) -> None:
    for method, style in styles.items():
        recall, precision = mean_curve([curve for curve in curves if curve.method == method])
        axes.plot(
            recall,
            precision,
            color=style.colour,
            marker=style.marker,
            markersize=5,
            markevery=max(1, len(recall) // 8),
            linewidth=style.width,
            zorder=4 if style.colour == STRONG else 3,
            label=method,
        )
    _finish(axes, x="recall", y="precision")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)


def mean_curve(curves: Sequence[PrCurve]) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """Return mean recall and mean precision over seeds, at the radii where any seed has a precision."""
    if not curves:
        return np.empty(0), np.empty(0)
    precision = np.array([curve.precision for curve in curves])
    there = ~np.isnan(precision)
    some = there.any(axis=0)
    mean = np.nansum(precision, axis=0)[some] / there.sum(axis=0)[some]
    return np.mean([curve.recall for curve in curves], axis=0)[some], mean


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name every line beside its right end, moved apart where ends meet."""
    bottom, top = axes.get_ylim()
    ordered = sorted(ends)
    places = [(mean - bottom) / (top - bottom) for mean, _, _ in ordered]
    gap = 1.3 * LABEL_PT / (72 * axes.get_window_extent().height / DPI)
    for (mean, name, colour), place, height in zip(ordered, places, spread(places, gap=gap), strict=True):
        axes.plot(
            [1.0, 1.02], [place, height], transform=axes.transAxes, color=colour, linewidth=0.7, clip_on=False
        )
        for x, text, ink, weight in ((1.03, f"{mean:.3f}", INK, "normal"), (1.12, name, colour, "bold")):
            axes.text(
                x,
                height,
                text,
                transform=axes.transAxes,
                va="center",
                fontsize=LABEL_PT,
                color=ink,
                weight=weight,
            )


def _styles(methods: Iterable[str]) -> dict[str, _Style]:
    names = list(dict.fromkeys(methods))
    others = [name for name in names if name != HIGHLIGHT]
    styles = {
        name: _Style(
            colour=COLOURS[place % len(COLOURS)],
            marker=MARKERS[place % len(MARKERS)],
            width=1.2,
            order=names.index(name),
        )
        for place, name in enumerate(others)
    }
    if HIGHLIGHT in names:
        styles[HIGHLIGHT] = _Style(colour=STRONG, marker="o", width=2.8, order=names.index(HIGHLIGHT))
    return {name: styles[name] for name in names}


def _panels(
    n: int, *, n_columns: int, width_in: float, height_in: float, title: str
) -> tuple[Figure, list[Axes]]:
    n_rows = math.ceil(n / n_columns)
    size = (width_in * n_columns, height_in * n_rows)
    layout = ConstrainedLayoutEngine(h_pad=PANEL_GAP_IN)
    figure = Figure(figsize=size, dpi=DPI, layout=layout, facecolor="white")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    return figure, [figure.add_subplot(n_rows, n_columns, place) for place in range(1, n + 1)]


def _scale_bits(axes: Axes, bits: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(bits, labels=[str(length) for length in bits])
    axes.set_xticks([], minor=True)


def _finish(axes: Axes, *, x: str, y: str) -> None:
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(colors=INK, length=0, pad=6)  # so far that the zeros of both axes stay apart
    axes.grid(axis="y", color="#e4e8ea", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b8c0c5")


def _png(figure: Figure) -> bytes:
    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()
