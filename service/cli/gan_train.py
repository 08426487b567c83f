"""`polyhash gan train`: training an adversarial network in a folder, from which the same command goes on.

In: the name of a system, data. Out: a folder with checkpoint, metrics, sheets of samples and loss curves.
Leaves what a folder holds to `gan_run`, the steps to gan_aug.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from service.cli import console
from service.cli.options import JsonOption, LabelOption

if TYPE_CHECKING:
    from gan_aug.trainer import Trainer
    from service.cli.gan_plan import RunOptions

SIZE_PX = 32
BATCH, BATCH_OF_POINTS = 64, 128
LINES = 1000  # of metrics, at most about twice as many
SHEETS = 10  # with checkpoints, unless said
MAX_SEED = 2**32 - 1
EXIT_INTERRUPTED = 130


def train(
    system: Annotated[
        str, typer.Argument(metavar="SYSTEM", help="Name from `polyhash gan list`.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the run, new or to go on with.", show_default=False)
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="digits|scenes|sprites|points|points25|SET",
            help="What to learn from: scikit-learn's digits; scenes or faces drawn for it; 8 or 25 "
            "Gaussians in the plane; or a folder or image set, whose labels become conditions.",
        ),
    ] = "digits",
    size: Annotated[
        int | None,
        typer.Option(
            "--size", help=f"Side of the images in px: 8, 16, 32 ... Default: {SIZE_PX}.", show_default=False
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of the whole training.")] = 5000,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            min=2,
            help=f"Samples per batch. Default: {BATCH} images or {BATCH_OF_POINTS} points.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            min=1,
            help="Channels of the networks. Default: the paper's, for a GPU; a processor wants 16 to 64.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=1,
            help="Learn from so many at most; scenes, sprites and points are drawn in this number. Default: all, or 4,000 "
            "pictures drawn, or 20,000 points.",
            show_default=False,
        ),
    ] = None,
    label: LabelOption = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MAX_SEED, help="Seed of weights, order and noise.")
    ] = 0,
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            min=1,
            help="Steps between checkpoints with a sheet of samples. Default: a tenth of all.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option("--device", help="Default: a GPU if there is one.", show_default=False),
    ] = None,
    threads: Annotated[
        int,
        typer.Option("--threads", min=1, help="Processor cores to learn with; more than are idle slow down."),
    ] = 1,
    json: JsonOption = False,
) -> None:
    """Train a generative adversarial network; given again after an interruption, go on."""
    import torch

    from service.cli.gan_data import BUILT_IN, MIXTURES, lasting_data
    from service.cli.gan_plan import RunOptions, check_possible
    from service.cli.gan_run import told_as_service_errors

    points = data in MIXTURES
    if label and data in BUILT_IN:
        raise typer.BadParameter(
            f"{data} have no columns of labels. Leave --label out.", param_hint="--label"
        )
    if points and size:
        raise typer.BadParameter(f"{data} have no size in px. Leave --size out.", param_hint="--size")
    if device == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter(
            "there is no GPU that torch can use. Leave --device out.", param_hint="--device"
        )
    torch.set_num_threads(threads)
    with told_as_service_errors():
        options = RunOptions(
            system=system,
            data=lasting_data(data),
            label=label,
            size=None if points else size or SIZE_PX,
            samples=samples,
            steps=steps,
            batch=batch or (BATCH_OF_POINTS if points else BATCH),
            width=width,
            seed=seed,
            device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        )
        check_possible(options)
        trainer = _open(options, out, every)
        interrupted = _train(trainer)
    if interrupted:
        console.say(
            f"Stopped after step {trainer.step:,} of {steps:,}. Give the same command again to go on from there."
        )
        raise typer.Exit(EXIT_INTERRUPTED)
    _report(trainer, json=json)


def _open(options: "RunOptions", out: Path, every: int | None) -> "Trainer":
    """Return the trainer of a new run, or of the one in the folder as its last checkpoint left it."""
    import torch

    from gan_aug.data import Loader
    from gan_aug.trainer import Trainer, Training
    from service.cli.gan_data import load_data
    from service.cli.gan_plan import build_system, facts_of, growth_that_fits
    from service.cli.gan_run import (
        CHECKPOINT,
        Run,
        check_free,
        check_same,
        check_same_data,
        read_run,
        write_run,
    )

    there = read_run(out)
    if there:
        check_same(out, there.options, options)
    else:
        check_free(out)
    dataset = load_data(options, out)
    facts = facts_of(dataset)
    if there:
        check_same_data(out, there.facts, facts)
    torch.manual_seed(options.seed)
    system = build_system(options, facts)
    training = Training(
        out=out,
        steps=options.steps,
        seed=options.seed,
        device=options.device,
        growth=growth_that_fits(system, options),
        mixed_precision=options.device != "cpu",
        log_every=max(1, options.steps // LINES),
        sheet_every=every or max(1, options.steps // SHEETS),
    )
    trainer = Trainer(system, Loader(dataset, batch_size=options.batch, seed=options.seed), training)
    if not there:
        write_run(out, Run(options=options, facts=facts))
    if (out / CHECKPOINT).is_file():
        trainer.restore(out / CHECKPOINT)
        done = trainer.step == options.steps
        console.say(
            "The training is complete already; nothing was changed."
            if done
            else f"Going on after step {trainer.step:,} of {options.steps:,}."
        )
    else:
        (out / "metrics.jsonl").unlink(missing_ok=True)  # of a run that ended before its first checkpoint
    return trainer


def _train(trainer: "Trainer") -> bool:
    """Train to the last step or to Ctrl-C; return whether it was that.

    Raises:
        PreconditionError: The losses are no longer finite.
    """
    from gan_aug.errors import DivergedError
    from service.errors import PreconditionError

    left = trainer.training.steps - trainer.step
    if left <= 0:
        return False
    before = trainer.step
    with _until_interrupted() as stopped, console.progress("Training", total=left, unit="steps") as meter:
        try:
            trainer.train(left, progress=lambda _: meter(trainer.step - before), stop=stopped)
        except DivergedError as error:
            raise PreconditionError(
                f"{trainer.system.recipe.name} diverged at step {error.report['step']}: a loss or gradient is no longer finite. "
                f"{trainer.training.out / 'diverged.json'} says which; the last checkpoint is kept. The same command would end there "
                "again: train in another folder with another --seed, --batch or --width."
            ) from error
    return trainer.step < trainer.training.steps


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C be asked for between steps, so that none is left half done; the second ends at once."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        console.say("Writing a checkpoint after this step; Ctrl-C again ends without.")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def _report(trainer: "Trainer", *, json: bool) -> None:
    from service.cli.gan_run import CHECKPOINT

    out, step = trainer.training.out, trainer.step
    files = {
        "checkpoint": out / CHECKPOINT,
        "metrics": out / "metrics.jsonl",
        "sheet": out / "sheets" / f"{step:07d}.png",
        "curves": out / "curves.png",
    }
    if json:
        console.show_json(
            {
                "system": trainer.system.recipe.name,
                "steps": step,
                "images": trainer.images_seen,
                "folder": str(out),
                **{name: str(path) for name, path in files.items()},
            }
        )
    else:
        console.out.print(
            f"Trained {trainer.system.recipe.name} for {step:,} steps: {files['checkpoint']}; samples are on "
            f"{files['sheet']}, losses on {files['curves']}.",
            markup=False,
            soft_wrap=True,
        )
