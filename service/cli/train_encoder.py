"""`polyhash train encoder`: distilling an image encoder of our own from a larger one.

In: image sets and a teacher's folder. Out: a weight file that any command takes as a backbone, with pictures of how it went.
An interrupted run goes on when the same command is given again.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import console
from service.cli.options import JsonOption, writable

if TYPE_CHECKING:
    from service.vision.encoder.target_cache import TargetCache
    from service.vision.encoder.teacher import TrainingSet

INPUT_PX = 160
SCENE_PX = 192
SHEET_QUERIES = 10
SHEET_VIEWS = 2000
NAME = "polyhash-encoder"


def encoder(
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="SET[@VIEWS]...",
            help="Image sets, each with how many views of a picture are learned from: `photos:train@8`; `photos@0.25` "
            "takes one view of every fourth picture. Default: 8.",
        ),
    ],
    teacher: Annotated[str, typer.Option("--teacher", help="Backbone to learn from.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", help="File of the weights.", show_default=False, callback=writable)
    ],
    checkpoint: Annotated[
        Path,
        typer.Option("--checkpoint", help="Folder of the teacher's targets and of what was learned so far."),
    ] = Path("encoder-training"),
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.01, help="Time to learn for, after the teacher was asked.")
    ] = 120.0,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Learn for exactly so many steps instead.", show_default=False),
    ] = None,
    scenes: Annotated[
        int,
        typer.Option("--scenes", min=0, help="Learn also from rendered scenes: so many of each category."),
    ] = 100,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Processor cores to learn with.")] = 2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")] = 0,
    json: JsonOption = False,
) -> None:
    """Distil an image encoder from a larger one; given again after an interruption, go on."""
    import torch

    from service.vision.backbones import load_backbone
    from service.vision.encoder.network import EncoderNetwork, EncoderShape
    from service.vision.encoder.target_cache import TargetCache
    from service.vision.encoder.teacher import Teacher
    from service.vision.encoder.trainer import Trainer, TrainingPlan

    wanted = [parse_training_set(text) for text in sets]
    shape = EncoderShape()
    asked = Teacher(load_backbone(teacher), student_px=INPUT_PX, cells=INPUT_PX // shape.stride)
    for one in wanted:
        len(one)  # a set that is not there is told before minutes of drawing
    if scenes:
        wanted.append(_scenes(checkpoint / "scenes", scenes, seed))
    torch.set_num_threads(1)  # the parts of a batch run beside each other
    rows = TargetCache(checkpoint, wanted, asked, dim=shape.dim, seed=seed)
    with console.stages("views") as report:
        for refused in rows.fill(report):
            console.complain(f"skipped {refused.name}: {refused.error}")
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plan = TrainingPlan(
        minutes=minutes, steps=steps, parts=1 if device.type == "cuda" else threads, seed=seed
    )
    trainer = Trainer(EncoderNetwork(shape), rows, plan, checkpoint, device=device)
    if trainer.step:
        console.say(f"Going on after step {trainer.step:,}.")
    with console.progress("Learning", total=None, unit="steps") as meter:
        network = trainer.run(meter)
    facts = {
        "teacher": asked.backbone.identity,
        "sets": ", ".join(f"{one.name}@{one.views:g}" for one in wanted),
        "views": str(len(rows.ready())),
        "steps": str(trainer.step),
    }
    identity = _write(network, facts, rows, trainer.history, out)
    if json:
        console.show_json({"encoder": identity, "file": str(out), **facts})
    else:
        console.out.print(
            f"Learned {identity} in {trainer.step:,} steps: {out} ({out.stat().st_size / 1e6:.1f} MB), beside it its"
            " loss curve and a sheet of neighbours."
        )


def parse_training_set(text: str) -> "TrainingSet":
    """Return the set in a text such as `photos:train@8`.

    Raises:
        typer.BadParameter: The views are no number above 0.
    """
    from service.vision.encoder.teacher import DEFAULT_VIEWS, TrainingSet

    spec, at, views = text.rpartition("@")
    if not at or "/" in views:
        return TrainingSet(spec=text, views=DEFAULT_VIEWS)
    if not re.fullmatch(r"\d+(\.\d+)?", views) or float(views) <= 0:
        raise typer.BadParameter(
            f"expected SET or SET@VIEWS with VIEWS above 0, for example photos:train@8, got {text!r}.",
            param_hint="SET",
        )
    return TrainingSet(spec=spec, views=float(views))


def _scenes(folder: Path, instances: int, seed: int) -> "TrainingSet":
    """Return rendered scenes as a set, drawn at the first run."""
    from service.scenes.gallery import CLEAR_DAY, SHEET_CONDITIONS, write_gallery
    from service.vision.encoder.teacher import TrainingSet

    if not (folder / "labels.csv").is_file():  # written last
        with console.progress("Drawing scenes", total=None, unit="pictures") as meter:
            write_gallery(
                folder,
                instances,
                seed=seed,
                size_px=SCENE_PX,
                conditions=(CLEAR_DAY, *SHEET_CONDITIONS),
                on_image=meter,
            )
    return TrainingSet(spec=f"{folder}:train", views=1)


def _write(network: Any, facts: dict[str, str], rows: "TargetCache", history: Any, out: Path) -> str:  # noqa: ANN401 - torch is imported late
    """Write the weights, the loss curve and the contact sheet; return the identity."""
    import numpy as np

    from hashing.durable_file import write_durably
    from service.vision.encoder.backbone import EncoderBackbone
    from service.vision.encoder.training_report import loss_curve_png, neighbours_png
    from service.vision.encoder.weight_file import encoder_file_bytes

    write_durably(out, encoder_file_bytes(network.cpu(), name=NAME, input_px=INPUT_PX, facts=facts))
    backbone = EncoderBackbone.load(out)
    write_durably(
        out.with_name(f"{out.stem}-loss.png"),
        loss_curve_png(history, title=f"Distilling {backbone.identity}"),
    )
    ready = rows.ready()
    shown = ready[:: max(1, len(ready) // SHEET_VIEWS)]
    squares = rows.squares[shown]
    queries = np.linspace(0, len(shown) - 1, SHEET_QUERIES).astype(int).tolist()
    write_durably(
        out.with_name(f"{out.stem}-neighbours.png"),
        neighbours_png(squares, backbone.extract(squares).embeddings, queries=queries),
    )
    return backbone.identity
