"""A run folder: what a training was asked for, what its data were, and the generator that came of it.

In: a folder. Out: `Run` as run.json holds it, a refusal where another run lives there, or a `TrainedGenerator` that samples.
Leaves training to `gan_train`, reading data to `gan_data`, what options make of a recipe to `gan_plan`.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gan_aug.checkpoint import load_checkpoint
from gan_aug.errors import GanError
from gan_aug.latents import Stage, random_stream
from hashing.durable_file import write_durably
from service.cli.gan_plan import DataFacts, RunOptions, build_system, growth_that_fits
from service.errors import ConflictError, DataLossError, InvalidArgumentError, NotFoundError

FORMAT = "polyhash gan run 1"
RUN_FILE, CHECKPOINT, SCENES = "run.json", "last.pt", "scenes"
DRAWN_AT_ONCE = 100  # samples of a pass: memory does not grow with how many are asked for


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What run.json holds."""

    options: RunOptions
    facts: DataFacts


@contextmanager
def told_as_service_errors() -> Iterator[None]:
    """Let what gan_aug refuses be told like every other refusal of the command line."""
    try:
        yield
    except GanError as error:
        raise InvalidArgumentError(str(error)) from error


def check_free(folder: Path) -> None:
    """Refuse a folder of other things; scenes drawn for a run that did not begin are none.

    Raises:
        ConflictError: The folder holds something.
    """
    others = sorted(each.name for each in folder.iterdir() if each.name != SCENES) if folder.exists() else []
    if others:
        raise ConflictError(
            f"{folder} holds {others[0]!r} and no run of `polyhash gan train`. Give an empty or a new folder."
        )


def read_run(folder: Path) -> Run | None:
    """Return the run of a folder, or none.

    Raises:
        DataLossError: Its run.json cannot be read.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        return None
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise DataLossError(
            f"{path} cannot be read as a run: {error!r}. Train anew in another folder."
        ) from error


def _parse(content: dict[str, Any]) -> Run:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
    facts = content["data"]
    labels = tuple(tuple(row) for row in facts["first_labels"])
    facts = {**facts, "names": tuple(facts["names"]), "first_labels": labels}
    return Run(options=RunOptions(**content["options"]), facts=DataFacts(**facts))


def write_run(folder: Path, run: Run) -> None:
    """Write run.json."""
    content = {"format": FORMAT, "options": asdict(run.options), "data": asdict(run.facts)}
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / RUN_FILE, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def check_same(folder: Path, there: RunOptions, asked: RunOptions) -> None:
    """Refuse to go on with a run of other options.

    Raises:
        ConflictError: An option differs; the message names each with both values.
    """
    pairs = ((field.name, getattr(there, field.name), getattr(asked, field.name)) for field in fields(asked))
    differing = [f"{name} {_told(a)} there, {_told(b)} asked for" for name, a, b in pairs if a != b]
    if differing:
        raise ConflictError(
            f"{folder} holds a run of another configuration: {'; '.join(differing)}. Give the options of that run to go "
            "on with it, or another --out."
        )


def check_same_data(folder: Path, there: DataFacts, found: DataFacts) -> None:
    """Refuse to go on with, or to compare with, other data than a run began with.

    Raises:
        ConflictError: Samples or labels differ.
    """
    if there.sha256 != found.sha256:
        raise ConflictError(
            f"The data of {folder} are no longer what its training began with: {there.count:,} samples with the hash "
            f"{there.sha256} then, {found.count:,} with {found.sha256} now. Bring them back, or train anew."
        )


def _told(value: object) -> str:
    return "left open" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


@final
class TrainedGenerator:
    """The averaged generator of a run, on the CPU, at the stage it has grown to; its own weights where none are averaged.

    Attributes:
        run: What it was trained from.
        system: Whose generator has those weights.
        stage: Of a growing system, else none.
        step: Steps trained.
    """

    def __init__(self, folder: Path) -> None:
        """Read the last checkpoint of a run folder.

        Raises:
            NotFoundError: The folder holds no run, or it was stopped before its first checkpoint.
            DataLossError: Its run.json is damaged.
            gan_aug.errors.CheckpointError: Its checkpoint is.
        """
        found = read_run(folder)
        if found is None:
            raise NotFoundError(f"{folder} holds no run. Give the folder of a `polyhash gan train`.")
        if not (folder / CHECKPOINT).is_file():
            raise NotFoundError(
                f"{folder} has no checkpoint yet. Give `polyhash gan train` again, for longer than one interval of --every."
            )
        content = load_checkpoint(folder / CHECKPOINT)
        self.run = found
        self.system = build_system(found.options, found.facts)
        try:
            self.system.generator.load_state_dict(content["average"] or content["nets"]["generator"])
        except RuntimeError as error:
            raise DataLossError(
                f"{folder / CHECKPOINT} does not fit {RUN_FILE} beside it: {error}. Train anew in another folder."
            ) from error
        growth = growth_that_fits(self.system, found.options)
        self.stage: Stage | None = growth and growth.stage(content["images_seen"], self.system.shape.side)
        self.step = int(content["step"])

    def conditions(self, n: int, labels: Sequence[str] = ()) -> Float[Tensor, "n k"] | None:
        """Return n conditions, or none for a system without labels.

        Args:
            n: How many.
            labels: Classes, which take turns, or attributes, all of which every sample then has. By default all classes
                take turns, and attributes are those of the first training samples.

        Raises:
            InvalidArgumentError: The system knows no labels, or not these.
        """
        names, name = self.run.facts.names, self.system.recipe.name
        if not self.system.recipe.conditional:
            if labels:
                raise InvalidArgumentError(f"{name} learns without labels, so it has none to ask for.")
            return None
        if unknown := [each for each in labels if each not in names]:
            raise InvalidArgumentError(
                f"This {name} was not trained with the label {unknown[0]!r}. It knows {', '.join(names)}."
            )
        places = [names.index(each) for each in labels]
        if self.run.facts.exclusive:
            rows = [[place] for place in places or range(len(names))]
        else:
            rows = [places] if places else [list(row) for row in self.run.facts.first_labels]
        y = np.zeros((len(rows), len(names)), dtype=np.float32)
        for row, present in zip(y, rows, strict=True):
            row[present] = 1
        return torch.from_numpy(y[np.arange(n) % len(y)])

    def sample(
        self, n: int, *, seed: int, y: Float[Tensor, "n k"] | None = None, truncation: float | None = None
    ) -> Iterator[Float[Tensor, "m c ..."]]:
        """Yield n samples, some at a time; the first of them are the same however many are asked for.

        Args:
            n: How many.
            seed: Of all random numbers.
            y: Their conditions.
            truncation: StyleGAN's share of the way from the mean style; for other systems the bound on entries of z.
        """
        rng = random_stream(seed, "samples")
        styles = bool(self.system.generator.style_layers)
        threshold = None if styles else truncation
        psi = truncation if styles and truncation is not None else 1.0
        for start in range(0, n, DRAWN_AT_ONCE):
            m = min(DRAWN_AT_ONCE, n - start)
            part = None if y is None else y[start : start + m]
            drawn = self.system.sample(
                m, generator=rng, y=part, stage=self.stage, threshold=threshold, psi=psi
            )
            yield drawn
