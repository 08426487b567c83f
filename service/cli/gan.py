"""`polyhash gan`: lists the adversarial networks, shows samples of trained ones, writes their generators as programs.

In: run folders of `gan train`. Out: tables, PNG sheets, .pt2 and .onnx files. Training is in `gan_train`, figures in `gan_eval`.
"""

import logging
from pathlib import Path
from typing import Annotated

import typer

from service.cli import console
from service.cli.gan_eval import evaluate
from service.cli.gan_train import MAX_SEED, train
from service.cli.options import JsonOption, writable

app = typer.Typer(help="Train and measure generative adversarial networks.", no_args_is_help=True)

MOST_COLUMNS = 32  # of a sheet with one column per label

RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.", show_default=False)]
TruncationOption = Annotated[
    float | None,
    typer.Option(
        "--truncation",
        metavar="PSI",
        min=0.0,
        help="StyleGAN: share of the way from the mean style to a sample's own, 1 for all of it. Other systems: entries of z "
        "beyond it are drawn anew, 0.5 for instance. Default: no truncation.",
        show_default=False,
    ),
]


@app.command("list")
def list_systems(json: JsonOption = False) -> None:
    """Show every system: its paper, its networks with their normalisation, and what each of them minimises."""
    from service.cli.gan_parts import parts_of_all

    systems = parts_of_all()
    if json:
        console.show_json(systems)
        return
    shown = ("name", "generator", "critic", "critic_loss", "generator_loss", "extras", "paper")
    console.show_table(
        f"{len(systems)} systems",
        {name.replace("_", " "): "left" for name in shown},
        [
            tuple(", ".join(each[name]) if name == "extras" else each[name] for name in shown)
            for each in systems
        ],
    )


@app.command("sample")
def sample(
    run: RunArgument,
    out: Annotated[
        Path, typer.Option("--out", help="PNG file to write.", show_default=False, callback=writable)
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="Samples.")] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="Seed of the samples.")] = 0,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            help="Class of the samples; several take turns, each in a column of its own. Of data with attributes: one that "
            "every sample shall have. Default: all classes in turn.",
            show_default=False,
        ),
    ] = None,
    truncation: TruncationOption = None,
    json: JsonOption = False,
) -> None:
    """Write a sheet of samples from the averaged generator of a run."""
    import torch

    from gan_aug.sheets import image_grid, save_sheet
    from service.cli.gan_data import mixture_named
    from service.cli.gan_run import TrainedGenerator, told_as_service_errors

    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"a sheet ends in .png, got {out.name!r}.", param_hint="--out")
    with told_as_service_errors():
        generator = TrainedGenerator(run)
        y = generator.conditions(n, label or ())
        drawn = torch.cat(list(generator.sample(n, seed=seed, y=y, truncation=truncation)))
    options = generator.run.options
    if options.size:
        from PIL import Image

        kinds = 1 if y is None else len(label or generator.run.facts.names)
        by_kind = generator.run.facts.exclusive and 1 < kinds <= MOST_COLUMNS
        Image.fromarray(image_grid(drawn, columns=min(kinds, n) if by_kind else None)).save(out)
    else:
        real = mixture_named(options.data).dataset(len(drawn), seed=0)
        save_sheet(out, drawn, reference=torch.from_numpy(real.samples))
    if json:
        console.show_json(
            {"system": options.system, "step": generator.step, "samples": n, "seed": seed, "file": str(out)}
        )
    else:
        console.out.print(
            f"{n:,} samples of {options.system} after {generator.step:,} steps: {out}",
            markup=False,
            soft_wrap=True,
        )


@app.command("export")
def export(
    run: RunArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.pt2|FILE.onnx", help="File to write.", show_default=False)
    ],
    psi: Annotated[
        float,
        typer.Option("--truncation", metavar="PSI", min=0.0, help="Of StyleGAN's styles, fixed in the file."),
    ] = 1.0,
    json: JsonOption = False,
) -> None:
    """Write the averaged generator of a run as a program for torch.export or onnxruntime, and check what it computes."""
    from gan_aug.export import export_generator
    from service.cli.gan_run import TrainedGenerator, told_as_service_errors

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which is not needed
    with told_as_service_errors():
        generator = TrainedGenerator(run)
        if psi != 1.0 and not generator.system.generator.style_layers:
            raise typer.BadParameter(
                f"{generator.run.options.system} has no styles; truncate what you give the file as z. Leave it out.",
                param_hint="--truncation",
            )
        written = export_generator(generator.system, out, stage=generator.stage, psi=psi)
    if json:
        console.show_json(
            {
                "system": written.system,
                "file": str(out),
                "inputs": {name: list(shape) for name, shape in written.inputs.items()},
                "max_difference": written.max_difference,
            }
        )
    else:
        inputs = ", ".join(
            f"{name} [{', '.join(map(str, ('b', *shape)))}]" for name, shape in written.inputs.items()
        )
        console.out.print(
            f"Wrote the generator of {written.system} to {out}; inputs: {inputs}. Its images differ from the network's "
            f"by at most {written.max_difference:.2g}.",
            markup=False,
            soft_wrap=True,
        )


app.command("train")(train)
app.command("eval")(evaluate)
