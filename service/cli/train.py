"""`polyhash train`: learning models from what a store or an image set holds."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli import console
from service.cli.options import (
    BackboneOption,
    JsonOption,
    LengthsOption,
    StoreOption,
    parse_lengths,
    writable,
)
from service.cli.sessions import learn, open_session

app = typer.Typer(help="Learn models.", no_args_is_help=True)


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
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random choice.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also write the hasher file here.", show_default=False, callback=writable),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Learn a joint hasher from the embeddings and labels of a store and encode the store with it."""
    from service import compose

    wanted = parse_lengths(lengths)
    with open_session(store, purpose="polyhash train hasher", backbone=backbone) as session:
        learned = learn(session, {"lengths": wanted, "features": features, "random_state": seed})
        gallery = learned.application.gallery
        if out:
            shutil.copyfile(compose.hasher_path(learned.store, gallery.hasher_identity), out)
        identity, images = gallery.hasher_identity, len(gallery)
    if json:
        console.show_json({"hasher": identity, "lengths": list(wanted), "images": images})
    else:
        console.out.print(
            f"Learned {identity}: {', '.join(map(str, wanted))} bits, {images:,} images encoded."
        )
