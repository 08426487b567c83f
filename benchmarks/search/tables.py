"""The result as Markdown: ratios first, then times; and which goals of the search are met.

In: parts. Out: text. Every table says when, on what, over which codes and how many calls it was measured.
"""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.search.lengths import AUTO, FLAT, TABLE
from benchmarks.search.results import Part, Row
from benchmarks.search.searches import ALL, BATCH, BY_SCORE, FAISS, GRPC, GRPC_AUTO, INDEX, SEARCHER

TITLES = {
    "filtered": "Exact search with and without a filter",
    "batch": f"Batches of {BATCH} queries",
    "table": "The table of 16-bit codes",
    "strategies": "Every way to find the nearest by 128 bits",
    "stores": "Beside other stores",
}
PLOT = "strategies.svg"
NOTES = {
    "stores": "Milvus Lite answers from a process of its own, like gRPC; LanceDB and our searcher work in the caller's.",
    "strategies": "Recall: the share of hits as near as the 10th of the exact answer. Memory: what the process grew by, over codes.",
    "filtered": "Our index gets a filter's rows ready-made and FAISS its bitmap; searcher and gRPC work the filter out each time.",
}
EXACT_RECALL = 0.99

Rows = Mapping[tuple[str, str], Row]
Verdict = tuple[str, str, bool]  # a goal, what was measured, whether that meets it


def page(parts: Sequence[Part], *, command: str, plotted: bool) -> str:
    """Return all tables, below the command that printed them."""
    lines = ["# Search", "", "```", command, "```", "", *_goals(parts)]
    for name, title in TITLES.items():
        chosen = [part for part in parts if part.name == name]
        if not chosen:
            continue
        lines += [f"## {title}", ""]
        if name in NOTES:
            lines += [NOTES[name], ""]
        if name == "strategies" and plotted:
            lines += [f"![recall over time and memory of every strategy]({PLOT})", ""]
        for part in chosen:
            lines += [*_table(part), ""]
    return "\n".join(lines)


def _table(part: Part) -> Iterator[str]:
    raw = next(iter(part.raw_us.values()))
    yield f"### {part.n:,} {part.kind} codes, {part.bits} bits"
    yield ""
    yield (
        f"{part.circumstances}. Codes: {part.how}. Medians of {len(raw)} rounds of {len(raw[0])} calls each, in turns; "
        f"k = 10; ratios to {part.base}."
    )
    yield ""
    columns = ["case", "side", "ratio", "p50 µs", "p99 µs"]
    if has_recall := any(row.recall is not None for row in part.rows):
        columns.append("recall")
    if has_bytes := any(row.bytes_per_code is not None for row in part.rows):
        columns.append("bytes/code")
    if has_note := any(row.note for row in part.rows):
        columns.append("note")
    yield _line(columns)
    yield _line(["---"] * len(columns))
    for row in part.rows:
        cells = [row.case, row.side, f"{row.ratio:.2f}", f"{row.p50_us:,.0f}", f"{row.p99_us:,.0f}"]
        cells += ["" if row.recall is None else f"{row.recall:.4f}"] if has_recall else []
        cells += ["" if row.bytes_per_code is None else f"{row.bytes_per_code:.1f}"] if has_bytes else []
        yield _line(cells + [row.note] * has_note)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _goals(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the verdicts, of the parts that have something to say about a goal."""
    verdicts = [verdict for part in parts for verdict in _verdicts(part)]
    if verdicts:
        yield _line(["goal", "codes", "measured", "met"])
        yield _line(["---"] * 4)
        yield from verdicts
        yield ""


def _verdicts(part: Part) -> Iterator[str]:
    judge = {"filtered": _filtered, "batch": _batch, "table": _table_goal, "strategies": _funnel}.get(
        part.name
    )
    where = f"{part.n:,} {part.kind}, {part.bits} bits"
    if judge:
        for goal, measured, met in judge({(row.case, row.side): row for row in part.rows}):
            yield _line([goal, where, measured, "yes" if met else "NO"])


def _filtered(rows: Rows) -> Iterator[Verdict]:
    for side in (INDEX, SEARCHER, GRPC):
        for case in ("1 %", BY_SCORE):
            if (case, side) in rows:
                ratio = rows[case, side].ratio / rows[ALL, side].ratio
                yield f"{side}: filtered at {case} no slower than unfiltered", f"{ratio:.2f} x", ratio <= 1


def _batch(rows: Rows) -> Iterator[Verdict]:
    for (_, side), row in rows.items():
        if side in {INDEX, SEARCHER, GRPC, GRPC_AUTO}:
            yield f"{side}: batch within 15 % of {FAISS}", f"{row.ratio:.2f} x", row.ratio <= 1.15


def _table_goal(rows: Rows) -> Iterator[Verdict]:
    row = rows[TABLE]
    yield "16-bit search within 0.1 ms", f"{row.p50_us / 1000:.3f} ms", row.p50_us <= 100


def _funnel(rows: Rows) -> Iterator[Verdict]:
    auto, flat = rows[AUTO], rows[FLAT]
    recall, faster = auto.recall or 0.0, flat.ratio / auto.ratio
    yield f"AUTO: recall at least {EXACT_RECALL}", f"{recall:.4f}", recall >= EXACT_RECALL
    yield "AUTO at least 3 times as fast as FAISS flat 128", f"{faster:.1f} x", faster >= 3
