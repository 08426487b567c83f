"""`polyhash eval`: measuring methods on labelled image sets."""

import math
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from service.cli import console
from service.cli.evaluation_sets import divide, open_sets
from service.cli.options import LabelOption, LengthsOption, parse_lengths, writable

if TYPE_CHECKING:
    from service.usecases.comparison import Comparison, EvalSummary
    from service.usecases.evaluate import PrCurve
    from service.usecases.protocols import Setting

app = typer.Typer(help="Measure methods on labelled image sets.", no_args_is_help=True)


class _NamesMethods(TyperCommand):
    """A command whose help names the methods there are; only the help has to wait for their libraries."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - of click, which typer hides
        """Write the help."""
        from hashing.methods import HASHING_METHODS

        methods = next(parameter for parameter in self.params if parameter.name == "methods")
        vars(methods)["help"] = f"Which methods, separated by commas: {', '.join(HASHING_METHODS)}."
        super().format_help(ctx, formatter)


@app.callback()
def _evaluate() -> None:
    """Measure methods on labelled image sets."""


def _share(value: float | None) -> float | None:
    """Return a share that leaves some and takes some."""
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"must be above 0 and below 1, got {value:g}.")
    return value


def _picture(path: Path | None) -> Path | None:
    """Return the path of a PNG to write, which is no text to print."""
    if path == Path("-"):
        raise typer.BadParameter("a PNG is not printed, got -. Give the name of a file.")
    return writable(path)


@app.command("hashing", cls=_NamesMethods)
def hashing(
    train: Annotated[str, typer.Option(help="SET or SET:SPLIT to learn from.", show_default=False)],
    database: Annotated[
        str | None,
        typer.Option(help="SET or SET:SPLIT to search. Default: that of --train.", show_default=False),
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="SET or SET:SPLIT to search for.", show_default=False)
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Draw this share of the database as queries, without --query.",
            show_default=False,
            callback=_share,
        ),
    ] = None,
    label: LabelOption = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="As for `polyhash index`; a SET of features needs none.", show_default="encoder"),
    ] = None,
    lengths: LengthsOption = "16,32,64,128",
    methods: Annotated[
        str, typer.Option(help="Which methods, separated by commas.")
    ] = "jmh,codebook,itq,lsh",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds per method.")] = 3,
    train_per_label: Annotated[
        int | None,
        typer.Option(
            min=1, help="Train on so many images per label, drawn anew for each seed.", show_default=False
        ),
    ] = None,
    settings: Annotated[
        str, typer.Option(help="Which settings, separated by commas: clean, noise, few, unseen.")
    ] = "clean",
    noise: Annotated[
        float, typer.Option(metavar="SHARE", help="noise: share of wrong training labels.", callback=_share)
    ] = 0.4,
    labelled: Annotated[
        float, typer.Option(metavar="SHARE", help="few: share of training labels kept.", callback=_share)
    ] = 0.1,
    unseen: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="unseen: share of the classes not trained on, but retrieved.",
            callback=_share,
        ),
    ] = 0.3,
    asymmetric: Annotated[
        bool, typer.Option("--asymmetric", help="Score also real-valued queries against codes.")
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(help="Compare the others with this method, in pairs over seeds.", show_default=False),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Keep embeddings in this folder for the next run.", show_default=False)
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(help="Write the figures here; - prints them.", show_default=False, callback=writable),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Write a PNG of mAP over bits here.", show_default=False, callback=_picture),
    ] = None,
    plot_pr: Annotated[
        Path | None,
        typer.Option(
            help="Write a PNG of precision over recall here.", show_default=False, callback=_picture
        ),
    ] = None,
) -> None:
    """Compare hashing methods: tie-aware mAP, precision and recall of every method, length and seed."""
    from service import compose
    from service.circumstances import read_circumstances
    from service.usecases.comparison import compare, summarise
    from service.usecases.evaluate import (
        NO_CODES,
        EvalFailure,
        PrCurve,
        evaluate_hashing,
        evaluation_document,
    )
    from service.usecases.protocols import draw_trial

    wanted, chosen = parse_lengths(lengths), _parse_settings(settings)
    factories = compose.hashing_methods(_parts(methods))
    if baseline is not None and (baseline not in factories or len(factories) == 1):
        raise typer.BadParameter(
            f"Expected one of several --methods to compare the others with, got {baseline!r} of "
            f"{', '.join(factories)}.",
            param_hint="--baseline",
        )
    if (query is None) is (holdout is None):
        raise typer.BadParameter("Give either --query SET or --holdout SHARE.", param_hint="--query")
    database = database or train
    specs = dict.fromkeys(spec for spec in (train, database, query) if spec)
    sets, source = open_sets(list(specs), label=label, backbone=backbone, cache=cache)
    learned, searched, asked = divide(sets, train=train, database=database, query=query, holdout=holdout)
    drawn: dict[str, Any] = {
        "train": learned,
        "database": searched,
        "query": asked,
        "train_per_label": train_per_label,
        "noise": noise,
        "labelled": labelled,
        "unseen": unseen,
    }
    for setting in chosen:  # what the sets do not allow is said before hours of fits
        draw_trial(setting, seed=0, **drawn)
    curves: list[PrCurve] = []
    failures: list[EvalFailure] = []

    def fail(failure: EvalFailure) -> None:
        failures.append(failure)
        console.complain(
            f"{failure.method} failed ({failure.setting}, seed {failure.seed}): {failure.reason}"
        )

    with console.progress("Learning and measuring", total=None, unit="fits") as meter:
        rows = evaluate_hashing(
            methods=factories,
            lengths=wanted,
            seeds=range(seeds),
            settings=chosen,
            asymmetric=asymmetric,
            clock=time.perf_counter,
            on_progress=meter,
            on_curve=curves.append if plot_pr else None,
            on_failure=fail,
            **drawn,
        )
    summaries = summarise(rows)
    title = f"{_title(database, query, holdout)}, {source}"
    measured = {(row.method, row.setting) for row in rows if row.scoring != NO_CODES}
    if measured:
        _draw(summaries, curves, plot, plot_pr, title)
    else:
        console.complain("No method was measured, so there is nothing to plot.")
    if json:
        now = read_circumstances()
        document = evaluation_document(
            rows,
            failures,
            command=shlex.join(["polyhash", *sys.argv[1:]]),
            commit=now.commit,
            date=now.date,
            hardware=now.hardware,
        )
        console.write_json(document, json)
    if json != Path("-"):
        _show(summaries, title)
        if baseline:
            there = any(method == baseline for method, _ in measured)
            _show_comparisons(compare(rows, baseline) if there else [], baseline)
    if {setting for _, setting in measured} != {setting.value for setting in chosen}:
        raise typer.Exit(1)  # of some setting there is no figure


def _title(database: str, query: str | None, holdout: float | None) -> str:
    name = Path(database).absolute().name
    if query:
        return f"{Path(query).absolute().name} against {name}"
    return f"{100 * (holdout or 0):g} % of {name} against the rest"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _parse_settings(text: str) -> "list[Setting]":
    from service.usecases.protocols import Setting

    try:
        return list(dict.fromkeys(Setting(part) for part in _parts(text)))
    except ValueError as error:
        there = ", ".join(setting.value for setting in Setting)
        raise typer.BadParameter(
            f"Settings are some of {there}, separated by commas. Got {text!r}.", param_hint="--settings"
        ) from error


def _draw(
    summaries: "Sequence[EvalSummary]",
    curves: "Sequence[PrCurve]",
    plot: Path | None,
    plot_pr: Path | None,
    title: str,
) -> None:
    from service.evaluation_plot import curve_plot_png, evaluation_plot_png

    if plot:
        plot.write_bytes(evaluation_plot_png(summaries, title=title))
    if plot_pr:
        plot_pr.write_bytes(curve_plot_png(curves, title=title))


def _show(summaries: "Sequence[EvalSummary]", title: str) -> None:
    columns = dict.fromkeys(("setting", "method", "scoring"), "left")
    columns |= dict.fromkeys(("bits", "mAP", "+-", "P@10", "R@100", "P radius 2", "seeds"), "right")
    rows: list[tuple[object, ...]] = [
        (
            summary.setting,
            summary.method,
            summary.scoring,
            summary.bits or "-",
            f"{summary.map_mean:.4f}",
            f"{summary.map_std:.4f}",
            f"{summary.precision_at_10_mean:.4f}",
            f"{summary.recall_at_100_mean:.4f}",
            "-" if math.isnan(summary.precision_radius_2_mean) else f"{summary.precision_radius_2_mean:.4f}",
            summary.seeds,
        )
        for summary in summaries
    ]
    console.show_table(title, columns, rows)


def _show_comparisons(comparisons: "Sequence[Comparison]", baseline: str) -> None:
    if not comparisons:
        console.complain(
            f"No other method was measured where {baseline} was, so there is nothing to compare."
        )
        return
    columns = dict.fromkeys(("setting", "method", "scoring"), "left")
    columns |= dict.fromkeys(("bits", "mAP", "from", "to", "above"), "right")
    rows: list[tuple[object, ...]] = [
        (
            comparison.setting,
            comparison.method,
            comparison.scoring,
            comparison.bits or "all",
            f"{comparison.difference:+.4f}",
            "-" if math.isnan(comparison.low) else f"{comparison.low:+.4f}",
            "-" if math.isnan(comparison.high) else f"{comparison.high:+.4f}",
            f"{round(comparison.share_above * comparison.seeds)}/{comparison.seeds}",
        )
        for comparison in comparisons
    ]
    console.show_table(f"Above {baseline}, in pairs over seeds, with 95 % intervals", columns, rows)
