"""What the options of a training make of a recipe: its size, the paper's toy constants on points, growth that fits.

In: `RunOptions` and `DataFacts`. Out: a `System`, a `Growth`. Leaves the recipes themselves to gan_aug, files to `gan_run`.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from gan_aug.blocks import NetShape
from gan_aug.catalogue import recipe_named
from gan_aug.data import Dataset
from gan_aug.penalties import R1, R2, WGAN_GP_TOY
from gan_aug.schedule import Growth, Phase
from gan_aug.system import Recipe, System
from gan_aug.terms import smooth

SHEET_LABELS = 64  # conditions kept for sheets without the data
# On points in the plane: lambda 0.1 of the authors of WGAN-GP, gamma 1 of our measurements (05-gan 1.2, 4.3).
TOY_PENALTIES = {
    "wgan-gp": WGAN_GP_TOY,
    "r1": replace(R1, weight=0.5),
    "r2": replace(R2, weight=0.5),
}
# Two as well in their toy code: of 128, WGAN-GP put 0.5 % of its points near a mode in 2,000 steps, of two 45 %.
LATENT_OF_POINTS = 2
# Of all images, the last size gets the share 4 / (4 + 2 * doublings): 40 % from 4 to 32 px, as in the papers' runs.
PHASES_AT_FULL_SIZE = 4


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Everything that decides what a training arrives at; a run goes on only with the same.

    Attributes:
        system: Name of the recipe.
        data: Name of built-in data, or an image set by its absolute path.
        label: Column of the image set's labels.
        size: Side of the images in px; none for points.
        samples: At most so many are learned from.
        steps: Of the whole training.
        batch: Samples per batch.
        width: Of the networks, in place of the paper's.
        seed: Of every random choice.
        device: `cpu` or `cuda`, whose random numbers differ.
    """

    system: str
    data: str
    label: str | None
    size: int | None
    samples: int | None
    steps: int
    batch: int
    width: int | None
    seed: int
    device: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What is known of the data without having them.

    Attributes:
        channels: Of an image, or coordinates of a point.
        count: Samples.
        names: Of the classes or attributes.
        exclusive: Whether every sample is of one class.
        first_labels: Places among the names of the first samples' labels, where they are not exclusive.
        sha256: The first 12 digits of the hash over samples, labels and names.
    """

    channels: int
    count: int
    names: tuple[str, ...]
    exclusive: bool
    first_labels: tuple[tuple[int, ...], ...]
    sha256: str


def facts_of(dataset: Dataset) -> DataFacts:
    """Return what run.json keeps of a data set."""
    digest = hashlib.sha256(repr((dataset.samples.shape, dataset.names)).encode())
    digest.update(dataset.samples.tobytes())
    y = dataset.y
    if y is not None:
        digest.update(y.tobytes())
    exclusive = y is not None and bool((y.sum(1) == 1).all())
    rows = np.zeros((0, 0)) if y is None or exclusive else y[:SHEET_LABELS]
    return DataFacts(
        channels=dataset.channels,
        count=len(dataset.samples),
        names=dataset.names,
        exclusive=exclusive,
        first_labels=tuple(tuple(np.flatnonzero(row).tolist()) for row in rows),
        sha256=digest.hexdigest()[:12],
    )


def check_possible(options: RunOptions) -> None:
    """Refuse what no data could make possible, before any are read or drawn.

    Raises:
        RecipeError: There is no such system or size, or the system makes images only and points are given.
    """
    recipe = recipe_named(options.system)
    NetShape(channels=1, size=options.size, d_latent=1)
    if options.size is None:
        build_system(replace(options, width=1), _POINTS if recipe.conditional else _UNLABELLED_POINTS)


_UNLABELLED_POINTS = DataFacts(channels=2, count=1, names=(), exclusive=False, first_labels=(), sha256="")
_POINTS = replace(_UNLABELLED_POINTS, names=("a", "b"), exclusive=True)


def build_system(options: RunOptions, facts: DataFacts) -> System:
    """Return the networks of a run with their initial weights.

    Raises:
        RecipeError: There is no such system, or it cannot learn from such data.
    """
    recipe = recipe_named(options.system)
    return System(
        recipe if options.size else for_points(recipe),
        channels=facts.channels,
        size=options.size,
        classes=len(facts.names),
        width=options.width,
        seed=options.seed,
    )


def for_points(recipe: Recipe) -> Recipe:
    """Return a recipe with the latent width and the weights of gradient penalties that suit points in the plane."""
    phases = tuple(_with_toy_penalties(phase) for phase in recipe.phases)
    return replace(recipe, d_latent=LATENT_OF_POINTS, phases=phases)


def _with_toy_penalties(phase: Phase) -> Phase:
    terms = (smooth(TOY_PENALTIES[term.name]) if term.name in TOY_PENALTIES else term for term in phase.terms)
    return replace(phase, terms=tuple(terms))


def growth_that_fits(system: System, options: RunOptions) -> Growth | None:
    """Return a growth that reaches full size within the steps and stays there for a good part; none if none grows.

    Every fade and every stay below full size takes as many images as the others.
    """
    growth = system.recipe.growth
    if growth is None:
        return None
    doublings = max(0, (system.shape.side // growth.start).bit_length() - 1)
    phase = max(1, options.steps * options.batch // (2 * doublings + PHASES_AT_FULL_SIZE))
    return replace(growth, fade_images=phase, stable_images=phase)
