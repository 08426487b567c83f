"""The picture of all strategies: recall over time and over memory, one panel pair per set of codes.

In: parts named `strategies`. Out: a figure, as SVG and PNG. Lines join the settings of one index; ours are strong.
"""

from collections.abc import Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.search.results import Part, Row

INK, SOFT, STRONG = "#30363b", "#6b757c", "#0072B2"
# Okabe and Ito (2008), told apart with any colour vision
STYLES = {
    "FAISS flat": ("#2B2B2B", "X"),
    "FAISS IVF": ("#D55E00", "s"),
    "FAISS HNSW": ("#009E73", "^"),
    "FAISS MultiHash": ("#CC79A7", "D"),
    "our single lengths": ("#0072B2", "o"),
    "AUTO": ("#0072B2", "*"),
}
PANEL_IN = (4.6, 3.4)


def draw(parts: Sequence[Part]) -> dict[str, bytes]:
    """Return the picture by suffix, `svg` and `png`."""
    figure = Figure(figsize=(2 * PANEL_IN[0], PANEL_IN[1] * len(parts) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(parts), 2, squeeze=False)
    for (by_time, by_memory), part in zip(panels, parts, strict=True):
        _panel(by_time, part, "median time of a search, ms", of_memory=False)
        _panel(by_memory, part, "memory, bytes per code", of_memory=True)
        by_time.set_ylabel("recall of the 10 nearest by 128 bits", color=INK)
        by_time.set_title(f"{part.n:,} {part.kind} codes", loc="left", color=INK, fontsize=11)
    handles = {
        label: handle
        for axes in panels.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=9
    )
    pictures = {}
    for suffix in ("svg", "png"):
        buffer = BytesIO()
        figure.savefig(buffer, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
        pictures[suffix] = buffer.getvalue()
    return pictures


def _panel(axes: Axes, part: Part, title: str, *, of_memory: bool) -> None:
    for family, (colour, marker) in STYLES.items():
        rows = [row for row in part.rows if _family(row) == family]
        places = [
            ((row.bytes_per_code if of_memory else row.p50_us / 1000) or 0.0, row.recall or 0.0)
            for row in rows
        ]
        if places:
            ours = colour == STRONG
            axes.plot(
                *zip(*places, strict=True),
                color=colour,
                marker=marker,
                markersize=15 if family == "AUTO" else 7,
                linewidth=0 if of_memory else 2.0 if ours else 1.2,
                zorder=4 if ours else 3,
                label=family,
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel(title, color=INK)
    axes.grid(visible=True, color=SOFT, alpha=0.2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def _family(row: Row) -> str:
    name = row.case if row.case.startswith("FAISS") else row.side
    if name.startswith(("table", "flat")):
        return "our single lengths"
    return next(family for family in STYLES if name.startswith(family))
