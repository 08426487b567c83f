"""`polyhash eval`: measuring methods on labelled image sets."""

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import console
from service.cli.options import LabelOption, LengthsOption, parse_lengths, writable

if TYPE_CHECKING:
    from service.ports import Backbone
    from service.usecases.embed import EmbeddedSet
    from service.usecases.evaluate import EvalSummary, LabelledEmbeddings

app = typer.Typer(help="Measure methods on labelled image sets.", no_args_is_help=True)

SetOption = Annotated[str, typer.Option(help="Image SET or SET:SPLIT.", show_default=False)]


@app.callback()
def _evaluate() -> None:
    """Measure methods on labelled image sets."""


@app.command("hashing")
def hashing(
    train: SetOption,
    database: SetOption,
    query: SetOption,
    label: LabelOption = None,
    backbone: Annotated[str, typer.Option(help="As for `polyhash index`.")] = "descriptor",
    lengths: LengthsOption = "16,32,64,128",
    methods: Annotated[
        str, typer.Option(help="Which methods, separated by commas: jmh, codebook, itq, lsh.")
    ] = "jmh,codebook,itq,lsh",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds per method.")] = 3,
    train_per_label: Annotated[
        int | None,
        typer.Option(
            min=1, help="Train on so many images per label, drawn anew for each seed.", show_default=False
        ),
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
        typer.Option(help="Write a PNG of mAP over bits here.", show_default=False, callback=writable),
    ] = None,
) -> None:
    """Compare hashing methods: tie-aware mAP and precision@10 of every method, length and seed."""
    from service import compose
    from service.circumstances import read_circumstances
    from service.usecases.embed import shared_images
    from service.usecases.evaluate import evaluate_hashing, evaluation_document, summarise
    from service.vision.backbones import load_backbone

    wanted = parse_lengths(lengths)
    factories = compose.hashing_methods(methods.split(","))
    loaded = load_backbone(backbone)
    sets = {spec: _embed(spec, label, loaded, cache) for spec in dict.fromkeys((train, database, query))}
    if shared := shared_images(sets[query], sets[database]):
        console.say(f"{shared} images stand in both query and database; figures are higher for it.")
    with console.progress("Learning and measuring", total=None, unit="fits") as meter:
        rows = evaluate_hashing(
            train=_labelled(sets[train]),
            database=_labelled(sets[database]),
            query=_labelled(sets[query]),
            methods=factories,
            lengths=wanted,
            seeds=range(seeds),
            train_per_label=train_per_label,
            clock=time.perf_counter,
            on_progress=meter,
        )
    summaries = summarise(rows)
    title = f"{Path(query).name} against {Path(database).name}, {loaded.identity.partition('@')[0]}"
    if plot:
        _write_plot(plot, summaries, title)
    if json:
        now = read_circumstances()
        document = evaluation_document(
            rows,
            command=shlex.join(["polyhash", *sys.argv[1:]]),
            commit=now.commit,
            date=now.date,
            hardware=now.hardware,
        )
        console.write_json(document, json)
    if json != Path("-"):
        _show(summaries, title)


def _embed(spec: str, label: str | None, backbone: "Backbone", cache: Path | None) -> "EmbeddedSet":
    from service import compose
    from service.usecases.embed import embed_set
    from service.vision.datasets import open_image_set
    from service.vision.embedding_cache import EmbeddingCache

    images = open_image_set(spec, label=label)
    memory = EmbeddingCache(cache, backbone_identity=backbone.identity, dim=backbone.dim) if cache else None
    with console.progress(f"Embedding {images.name}", total=len(images), unit="images") as meter:
        embedded = embed_set(
            images, backbone, decode=compose.decoder(backbone), memory=memory, on_progress=meter
        )
    for skip in embedded.rejected:
        console.complain(f"skipped {skip.name}: {skip.error}")
    return embedded


def _labelled(embedded: "EmbeddedSet") -> "LabelledEmbeddings":
    from service.usecases.evaluate import LabelledEmbeddings

    return LabelledEmbeddings(embeddings=embedded.embeddings, labels=embedded.labels)


def _write_plot(path: Path, summaries: "Sequence[EvalSummary]", title: str) -> None:
    from service.evaluation_plot import evaluation_plot_png

    path.write_bytes(evaluation_plot_png(summaries, title=title))


def _show(summaries: "Sequence[EvalSummary]", title: str) -> None:
    rows: list[tuple[object, ...]] = [
        (
            summary.method,
            summary.bits or "-",
            f"{summary.map_mean:.4f}",
            f"{summary.map_std:.4f}",
            f"{summary.precision_at_10_mean:.4f}",
            summary.seeds,
        )
        for summary in summaries
    ]
    columns = {
        "method": "left",
        "bits": "right",
        "mAP": "right",
        "+-": "right",
        "P@10": "right",
        "seeds": "right",
    }
    console.show_table(title, columns, rows)
