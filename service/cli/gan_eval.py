"""`polyhash gan eval`: how near what a run draws is to what it learned from, and how much of that it covers.

In: a run folder. Out: figures, each beside the name of the space it was measured in.
Leaves the measures to gan_aug, the space to `service.vision.feature_space`.
"""

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import console
from service.cli.gan_train import MAX_SEED
from service.cli.options import JsonOption

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from gan_aug.data import Dataset
    from gan_aug.feature_space import FeatureSpace
    from service.cli.gan_run import TrainedGenerator

EMBEDDED_AT_ONCE = 64  # images between two steps of the progress bar
GROUPS = 16  # conditions whose samples are compared among themselves
PER_GROUP = 10  # samples of each, all 45 pairs (Choi et al. 2020)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.", show_default=False)],
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            help="In whose embeddings images are compared: as `--backbone` of `polyhash index`. Default: `encoder`. Points are "
            "compared in their plane.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int,
        typer.Option(
            "--n", min=2, help="Samples drawn, and at most so many real ones. FID falls as they grow."
        ),
    ] = 5000,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="Seed of the samples.")] = 0,
    json: JsonOption = False,
) -> None:
    """Measure samples of the averaged generator against the data of the run: FID, KID, precision, recall, diversity."""
    from service.cli.gan_data import load_data
    from service.cli.gan_plan import facts_of
    from service.cli.gan_run import TrainedGenerator, check_same_data, told_as_service_errors

    with told_as_service_errors():
        generator = TrainedGenerator(run)
        options = generator.run.options
        if options.size is None and backbone:
            raise typer.BadParameter(
                "points are compared in their plane, not by a backbone. Leave it out.",
                param_hint="--backbone",
            )
        space = _space(backbone) if options.size else None
        dataset = load_data(options, run)
        check_same_data(run, generator.run.facts, facts_of(dataset))
        figures = _measure(generator, dataset, space, n=n, seed=seed)
    if json:
        console.show_json({"system": options.system, "step": generator.step, "seed": seed, **figures})
    else:
        _show(f"{options.system} after {generator.step:,} steps on {options.data}", figures)


def _space(backbone: str | None) -> "FeatureSpace":
    from service.vision.backbones import DEFAULT_BACKBONE, load_backbone
    from service.vision.feature_space import BackboneSpace

    return BackboneSpace(load_backbone(backbone or DEFAULT_BACKBONE))


def _measure(
    generator: "TrainedGenerator", dataset: "Dataset", space: "FeatureSpace | None", *, n: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return every figure by name, each with its space and the sizes of both samples."""
    import numpy as np
    import torch

    from gan_aug.distribution_distance import frechet_distance, kernel_distance
    from gan_aug.diversity import diversity
    from gan_aug.mode_coverage import mode_coverage
    from gan_aug.neighbourhoods import density_coverage, precision_recall
    from service.cli.gan_data import mixture_named

    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(dataset.samples))[:n]
    batch = dataset.batch(chosen)
    conditional = generator.system.recipe.conditional
    y = batch.y[torch.arange(n) % len(chosen)] if conditional and batch.y is not None else None
    total = len(chosen) + n + (GROUPS * PER_GROUP if conditional else 0)
    with console.progress("Embedding", total=total, unit="samples") as meter:
        embedding = _Embedding(space, meter)
        real = embedding.of(batch.images)
        drawn = torch.cat(list(generator.sample(n, seed=seed, y=y)))
        fake = embedding.of(drawn)
        groups = fake[None]
        if y is not None and batch.y is not None:
            kinds = torch.unique(batch.y, dim=0)[:GROUPS].repeat_interleave(PER_GROUP, 0)
            alike = torch.cat(list(generator.sample(len(kinds), seed=seed, y=kinds)))
            groups = embedding.of(alike).reshape(-1, PER_GROUP, fake.shape[1])
    name = space.name if space else "plane"
    various = diversity(real, groups, space=name)
    measures: dict[str, Any] = {
        "frechet_distance": frechet_distance(real, fake, space=name),
        "kernel_distance": kernel_distance(real, fake, space=name, rng=rng),
        "precision_recall": precision_recall(real, fake, space=name),
        "density_coverage": density_coverage(real, fake, space=name),
        "diversity": various,
    }
    if space is None:
        measures["mode_coverage"] = mode_coverage(drawn.numpy(), mixture_named(generator.run.options.data))
    figures = {
        measure: {key: each.value if isinstance(each, Enum) else each for key, each in asdict(value).items()}
        for measure, value in measures.items()
    }
    figures["diversity"]["ratio"] = various.ratio
    return figures


class _Embedding:
    """Turns samples into features and tells how far it is."""

    def __init__(self, space: "FeatureSpace | None", meter: console.Meter) -> None:
        self._space, self._meter, self._done = space, meter, 0

    def of(self, samples: "Tensor") -> "np.ndarray":
        """Return the features of images, or points as they are."""
        import numpy as np

        from gan_aug.feature_space import embed, rgb_bytes

        parts = []
        for start in range(0, len(samples), EMBEDDED_AT_ONCE):
            part = samples[start : start + EMBEDDED_AT_ONCE]
            parts.append(embed(rgb_bytes(part), self._space) if self._space else part.numpy())
            self._done += len(part)
            self._meter(self._done)
        return np.concatenate(parts)


SHOWN = (
    ("FID", "frechet_distance", "value"),
    ("KID", "kernel_distance", "value"),
    ("KID, standard error", "kernel_distance", "standard_error"),
    ("precision", "precision_recall", "precision"),
    ("recall", "precision_recall", "recall"),
    ("density", "density_coverage", "density"),
    ("coverage", "density_coverage", "coverage"),
    ("diversity", "diversity", "value"),
    ("diversity of real samples", "diversity", "of_real"),
    ("modes covered", "mode_coverage", "covered"),
    ("modes near", "mode_coverage", "near"),
    ("modes", "mode_coverage", "modes"),
    ("share of high quality", "mode_coverage", "high_quality"),
    ("divergence of modes", "mode_coverage", "divergence"),
)


def _show(title: str, figures: dict[str, dict[str, Any]]) -> None:
    rows: list[tuple[object, ...]] = []
    for heading, measure, key in SHOWN:
        if measure not in figures:
            continue
        entry = figures[measure]
        value = entry[key]
        groups = f"{entry['n_groups']} x " if entry.get("n_groups", 1) > 1 else ""
        rows.append(
            (
                heading,
                f"{value:.4g}" if isinstance(value, float) else value,
                entry["space"],
                entry.get("n_real", "-"),
                f"{groups}{entry['n_fake']}",
            )
        )
    columns = {"figure": "left", "value": "right", "space": "left", "real": "right", "drawn": "right"}
    console.show_table(title, columns, rows)
