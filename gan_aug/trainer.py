"""The trainer: runs the phases of any recipe, watches for divergence, averages, grows, writes, resumes (05-gan 2).

In: a `System`, a `Loader`. Out: trained networks, `metrics.jsonl`, sheets, curves, checkpoints in one folder.
Knows no system by name: what differs between them is in their recipes.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from gan_aug.checkpoint import load_checkpoint, random_states, restore_random_states, save_checkpoint
from gan_aug.data import Batch, Loader
from gan_aug.errors import CheckpointError, DivergedError, RecipeError
from gan_aug.latents import Stage, random_stream
from gan_aug.penalties import clip_weights_
from gan_aug.schedule import Clock, Growth, Phase
from gan_aug.sheets import save_curves, save_sheet
from gan_aug.system import System

SHEET = 64  # samples on a sheet of images
SCATTER = 1000  # samples on a sheet of points

Metrics = dict[str, int | float]  # counts and losses of one step, by name


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a system is trained.

    Args:
        out: folder of all files; made if missing.
        steps: planned, for decays.
        seed: of latent vectors and noise.
        device: of networks and batches.
        growth: in place of the recipe's, such as one for fewer images.
        mixed_precision: compute in bfloat16 where the device is an accelerator; gradient penalties stay in full.
        clip_gradient: largest norm of a gradient where the phase has none of its own.
        log_every: steps between lines of metrics.
        sheet_every: steps between sheets with curves and checkpoints; 0 for one checkpoint at the end and no pictures.
    """

    out: Path
    steps: int
    seed: int = 0
    device: str = "cpu"
    growth: Growth | None = None
    mixed_precision: bool = False
    clip_gradient: float = float("inf")
    log_every: int = 10
    sheet_every: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.log_every) < 1 or self.sheet_every < 0:
            raise RecipeError(
                f"A training needs steps and log_every from 1 on and sheet_every from 0 on, got {self.steps}, "
                f"{self.log_every} and {self.sheet_every}."
            )


@final
class Trainer:
    """A system in training.

    Args:
        system: its networks are moved to the device.
        loader: of the data.
        training: how.
    """

    def __init__(self, system: System, loader: Loader, training: Training) -> None:
        self.system, self.loader, self.training = system, loader, training
        self.device = torch.device(training.device)
        self.rng = random_stream(training.seed, "training", device=self.device)
        self.step = self.images_seen = 0
        for net in system.nets.values():
            net.to(self.device).train()
        recipe = system.recipe
        self.growth = recipe.growth and (training.growth or recipe.growth)
        self.average: nn.Module | None = copy.deepcopy(system.generator).eval() if recipe.average else None
        self.stage = self._stage()
        self.optimisers = self._new_optimisers()

    def train(
        self,
        steps: int,
        progress: Callable[[Metrics], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """Train for so many further steps, then write `last.pt`, and pictures where asked for.

        Args:
            steps: all phases in turn, each as often as it says.
            progress: called after every step with its metrics.
            stop: asked after every step whether to end there, as after the last one.

        Raises:
            DivergedError: if a loss or gradient is no longer finite; the weights are left as they were before that
                update, and `diverged.json` holds the report. No checkpoint is written.
        """
        for _ in range(steps):
            metrics = self._run_step()
            if self.step % self.training.log_every == 0:
                self._log(metrics)
            if progress is not None:
                progress(metrics)
            if stop is not None and stop():
                break
            if self.training.sheet_every and self.step % self.training.sheet_every == 0:
                self._write()
        self._write()

    def _run_step(self) -> Metrics:
        self._grow()
        metrics: Metrics = {}
        for phase, optimiser in zip(self.system.recipe.phases, self.optimisers, strict=True):
            clock = Clock(step=self.step, steps=self.training.steps, epoch=self.loader.epoch)
            phase.optimiser.adjust_(optimiser, clock)
            for _ in range(phase.repeats_at(self.step)):
                metrics |= self._update(phase, optimiser)
        recipe = self.system.recipe
        if self.average is not None and recipe.average is not None:
            recipe.average.update_(self.average, self.system.generator, self.step)
        self.images_seen += self.loader.batch_size
        self.step += 1
        return {"step": self.step, **({"size": self.stage.size} if self.stage else {}), **metrics}

    def _update(self, phase: Phase, optimiser: torch.optim.Optimizer) -> Metrics:
        for name, net in self.system.nets.items():
            net.requires_grad_(name in phase.train)
        batch = self._batch()
        half = self.training.mixed_precision and self.device.type != "cpu"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            tensors = self.system.tensors(batch, self.rng, self.stage)
            losses = {term.name: term.weight * term.value(tensors).float() for term in phase.terms}
        optimiser.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        limit = self.training.clip_gradient if phase.clip_gradient is None else phase.clip_gradient
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        prefix = "+".join(phase.train)
        metrics = {f"{prefix}/{name}": float(loss.detach()) for name, loss in losses.items()}
        metrics[f"{prefix}/gradient"] = float(norm)
        self._guard(metrics)
        optimiser.step()
        if phase.clip_weights is not None:
            for name in phase.train:
                clip_weights_(self.system.nets[name], phase.clip_weights)
        return metrics

    def _batch(self) -> Batch:
        batch = self.loader.next()
        y = None if batch.y is None else batch.y.to(self.device)
        return Batch(images=batch.images.to(self.device), y=y)

    def _guard(self, metrics: Metrics) -> None:
        """Stop at the first number that is not finite."""
        bad = [name for name, value in metrics.items() if not torch.isfinite(torch.tensor(value))]
        if not bad:
            return
        weights = {
            name: max(float(p.detach().abs().max()) for p in net.parameters())
            for name, net in self.system.nets.items()
        }
        report: dict[str, object] = {
            "step": self.step,
            "not_finite": bad,
            "metrics": {name: repr(value) for name, value in metrics.items()},
            "largest_weights": weights,
        }
        self.training.out.mkdir(parents=True, exist_ok=True)
        (self.training.out / "diverged.json").write_text(json.dumps(report, indent=2))
        raise DivergedError(
            f"{self.system.recipe.name} diverged at step {self.step}: {', '.join(bad)} must be finite. See "
            "diverged.json; go on from the last checkpoint with a smaller learning rate or a clipped gradient.",
            report=report,
        )

    def _stage(self) -> Stage | None:
        return self.growth and self.growth.stage(self.images_seen, self.system.shape.side)

    def _grow(self) -> None:
        """Move to the present stage; at a new size all optimisers begin anew (Karras et al. 2018, appendix A.1)."""
        before, self.stage = self.stage, self._stage()
        if before is not None and self.stage is not None and before.size != self.stage.size:
            self.optimisers = self._new_optimisers()

    def _new_optimisers(self) -> list[torch.optim.Optimizer]:
        nets = self.system.nets
        return [
            phase.optimiser.make([p for name in phase.train for p in nets[name].parameters()])
            for phase in self.system.recipe.phases
        ]

    def _log(self, metrics: Metrics) -> None:
        self.training.out.mkdir(parents=True, exist_ok=True)
        with (self.training.out / "metrics.jsonl").open("a") as lines:
            lines.write(json.dumps(metrics) + "\n")

    def sample_sheet(self) -> Tensor:
        """Return the samples of a sheet: the same latent vectors at every call, conditions in the data's order."""
        n = SHEET if self.system.shape.size else SCATTER
        conditional = self.system.recipe.conditional
        y = self.loader.dataset.first_conditions(n).to(self.device) if conditional else None
        rng = random_stream(self.training.seed, "sheets", device=self.device)
        return self.system.sample(n, generator=rng, y=y, stage=self.stage, net=self.average)

    def _write(self) -> None:
        out = self.training.out
        if self.training.sheet_every:
            points = self.loader.dataset.samples[:SCATTER] if self.system.shape.size is None else None
            reference = None if points is None else torch.from_numpy(points)
            save_sheet(out / "sheets" / f"{self.step:07d}.png", self.sample_sheet(), reference=reference)
            if (out / "metrics.jsonl").exists():
                save_curves(out / "curves.png", out / "metrics.jsonl")
        self.save(out / "last.pt")

    def save(self, path: Path) -> None:
        """Write all that is needed to go on."""
        save_checkpoint(
            path,
            {
                "recipe": self.system.recipe.name,
                "nets": {name: net.state_dict() for name, net in self.system.nets.items()},
                "average": self.average and self.average.state_dict(),
                "optimisers": [each.state_dict() for each in self.optimisers],
                "step": self.step,
                "images_seen": self.images_seen,
                "size": self.stage and self.stage.size,
                "position": self.loader.position,
                "rng": self.rng.get_state().cpu(),
                "global_rng": random_states(),
            },
        )

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; lines of metrics that came after it are dropped.

        Raises:
            CheckpointError: if the file is none, or of another system or shape.
        """
        content = load_checkpoint(path)
        name = self.system.recipe.name
        if content["recipe"] != name:
            raise CheckpointError(
                f"{path} is of the system {content['recipe']!r}, this is {name!r}. Build that one."
            )
        try:
            for key, net in self.system.nets.items():
                net.load_state_dict(content["nets"][key])
            if self.average is not None:
                self.average.load_state_dict(content["average"])
        except RuntimeError as error:
            raise CheckpointError(f"{path} has networks of another shape: {error}. Build those.") from error
        self.step, self.images_seen = content["step"], content["images_seen"]
        self.loader.position = content["position"]
        # Of the last update, whatever the images seen say by now, so that a new size is noticed as new.
        self.stage = None if content["size"] is None else Stage(size=content["size"])
        self.optimisers = self._new_optimisers()
        for optimiser, state in zip(self.optimisers, content["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.rng.set_state(content["rng"])
        restore_random_states(content["global_rng"])
        self._drop_metrics()

    def _drop_metrics(self) -> None:
        metrics = self.training.out / "metrics.jsonl"
        if metrics.exists():
            lines = metrics.read_text().splitlines(keepends=True)
            metrics.write_text("".join(line for line in lines if json.loads(line)["step"] <= self.step))
