"""`polyhash train`: learning models from what a store or an image set holds."""

import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from service.cli import console
from service.cli.options import (
    BackboneOption,
    JsonOption,
    LengthsOption,
    StoreOption,
    above_zero,
    parse_lengths,
    writable,
    zero_or_more,
)
from service.cli.sessions import learn, open_session
from service.cli.train_encoder import encoder

app = typer.Typer(help="Learn models.", no_args_is_help=True)
app.command("encoder")(encoder)

MAX_SEED = 2**32 - 1  # of numpy's generators


@app.callback()
def _train() -> None:
    """Learn models."""


@app.command("hasher")
def hasher(
    store: StoreOption,
    backbone: BackboneOption = None,
    lengths: LengthsOption = "16,32,64,128",
    features: Annotated[
        Literal["linear", "rbf"], typer.Option("--features", help="`linear`, or `rbf`: closeness to anchors.")
    ] = "rbf",
    nested: Annotated[
        bool,
        typer.Option(
            "--nested",
            help="Make every code the beginning of the next longer one: an image takes the bytes of the longest only.",
        ),
    ] = False,
    class_weight: Annotated[
        Literal["balanced"] | None,
        typer.Option(
            "--class-weight",
            help="`balanced` lets rare classes count as much as common ones. Default: images count alike.",
            show_default=False,
        ),
    ] = None,
    robust: Annotated[
        float | None,
        typer.Option(
            "--robust",
            metavar="DELTA",
            help="Distance of a label from what its image's code says around which it counts less and less, for labels "
            "of which some are wrong; two classes are 1.4 apart. Acts little unless --nu is near 1. Default: labels count alike.",
            show_default=False,
            callback=above_zero,
        ),
    ] = None,
    nu: Annotated[
        float | None,
        typer.Option(
            "--nu",
            help="Weight of the embeddings against the labels, above 0. Default: what is best for clean labels.",
            show_default=False,
            callback=above_zero,
        ),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(
            "--beta",
            help="Weight with which the lengths predict each other, from 0 to --nu. Default: likewise.",
            show_default=False,
            callback=zero_or_more,
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose --nu and --beta by validation on labelled images, for each length its own unless nested; "
            "`polyhash stats --json` tells what was chosen.",
        ),
    ] = False,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Learn a network head with the same losses, by gradient steps: for users with patience or a GPU.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MAX_SEED, help="Seed of every random choice.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also write the hasher file here.", show_default=False, callback=writable),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Learn a joint hasher from the embeddings and labels of a store and encode the store with it."""
    from hashing.joint import JointHasher
    from service.workers import hasher_path

    weights = {name: weight for name, weight in (("nu", nu), ("beta", beta)) if weight is not None}
    if tune and weights:
        raise typer.BadParameter(
            "it chooses nu and beta itself. Leave --nu and --beta out.", param_hint="--tune"
        )
    if deep and (tune or robust or features != "rbf"):
        raise typer.BadParameter(
            "the network head knows neither --tune nor --robust nor --features. Leave them out.",
            param_hint="--deep",
        )
    used = JointHasher().get_params() | weights
    if used["beta"] > used["nu"]:
        raise typer.BadParameter(
            f"must not be above nu: expected 0 to {used['nu']:g}, got {used['beta']:g}{'' if beta else ' by default'}. "
            "Give a smaller --beta or a larger --nu.",
            param_hint="--beta",
        )
    parameters: dict[str, Any] = weights | {
        "lengths": parse_lengths(lengths),
        "nested": nested,
        "class_weight": class_weight,
        "random_state": seed,
    }
    if not deep:
        parameters |= {"features": features, "robust": robust}
    with open_session(store, purpose="polyhash train hasher", backbone=backbone, relearn=True) as session:
        labelled = session.application.catalog.counts().labelled_images > 0
        of_labels = {"--class-weight": class_weight, "--robust": robust, "--tune": tune}
        if not labelled and any(of_labels.values()):
            in_vain = ", ".join(option for option, value in of_labels.items() if value)
            console.say(f"No image of the store has a label, so {in_vain} had no effect.")
        learn(session, parameters, tune=tune and labelled, deep=deep)
        snapshot = session.application.gallery.snapshot
        identity, layout, images = snapshot.hasher.identity, snapshot.layout, len(snapshot)
        if out:
            shutil.copyfile(hasher_path(session.store, identity), out)
    if json:
        console.show_json(
            {
                "hasher": identity,
                "lengths": list(layout.lengths),
                "nested": layout.nested,
                "record_bytes": layout.record_bytes,
                "images": images,
            }
        )
    else:
        console.out.print(
            f"Learned {identity}: {', '.join(map(str, layout.lengths))} bits, {images:,} images encoded in "
            f"{layout.record_bytes} byte{'s' if layout.record_bytes > 1 else ''} each."
        )
