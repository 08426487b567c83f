"""What happens when: phases, optimisers and their decay, moving averages, growth (05-gan 2, vocabulary 8).

In: the step, the images seen, the epoch. Out: repeats, rates, stages. The trainer runs what is said here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import assert_never, final

import torch
from torch import nn

from gan_aug.errors import RecipeError
from gan_aug.latents import Stage
from gan_aug.terms import Term


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where training is: the step, the steps planned, and whole passes over the data."""

    step: int
    steps: int
    epoch: int


class Method(Enum):
    """The optimisers."""

    ADAM = "adam"
    RMSPROP = "rmsprop"
    SGD = "sgd"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser:
    """An optimiser and its decay.

    Args:
        method: which.
        lr: learning rate at the start.
        betas: of Adam; RMSprop takes the second as its smoothing, SGD none.
        decay_from: share of the steps after which the rate falls, linearly, to 0 at the end; 1 for never.
        decay_per_epoch: the rate is divided by it after every epoch.
        momentum_per_epoch: by which SGD's momentum grows from 0.
        momentum: its limit.
    """

    method: Method = Method.ADAM
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay_from: float = 1.0
    decay_per_epoch: float = 1.0
    momentum_per_epoch: float = 0.0
    momentum: float = 0.0

    def make(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return a new optimiser."""
        match self.method:
            case Method.ADAM:
                return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas)
            case Method.RMSPROP:
                return torch.optim.RMSprop(parameters, lr=self.lr, alpha=self.betas[1])
            case Method.SGD:
                return torch.optim.SGD(parameters, lr=self.lr)
            case _:
                assert_never(self.method)

    def rate(self, clock: Clock) -> float:
        """Return the learning rate of a step."""
        start = self.decay_from * clock.steps
        left = 1.0 if clock.step <= start else max(0.0, (clock.steps - clock.step) / (clock.steps - start))
        return self.lr * left / self.decay_per_epoch**clock.epoch

    def adjust_(self, optimiser: torch.optim.Optimizer, clock: Clock) -> None:
        """Set learning rate and momentum of a step."""
        for group in optimiser.param_groups:
            group["lr"] = self.rate(clock)
            if self.method is Method.SGD:
                group["momentum"] = min(self.momentum, self.momentum_per_epoch * clock.epoch)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of every step in which some networks learn and all others are frozen.

    Args:
        train: names of the networks that learn.
        terms: what they minimise.
        optimiser: of this phase alone.
        repeats: batches per step.
        warm_repeats: batches per step during the first `warm_steps` steps, and in every `warm_every`-th.
        warm_steps: see there.
        warm_every: see there; 0 for never.
        every: the phase runs in every so-manieth step.
        clip_weights: bound on every weight after each update; none for no bound.
        clip_gradient: largest norm of a gradient; none for no limit.
    """

    train: tuple[str, ...]
    terms: tuple[Term, ...]
    optimiser: Optimiser
    repeats: int = 1
    warm_repeats: int = 1
    warm_steps: int = 0
    warm_every: int = 0
    every: int = 1
    clip_weights: float | None = None
    clip_gradient: float | None = None

    def repeats_at(self, step: int) -> int:
        """Return how many batches the phase takes in a step, 0 if it rests."""
        if step % self.every:
            return 0
        warm = step < self.warm_steps or (self.warm_every and step % self.warm_every == 0)
        return self.warm_repeats if warm else self.repeats


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """An exponential moving average of a network's weights: its decay, and the step before which it only copies."""

    decay: float
    start: int = 0

    @torch.no_grad()
    def update_(self, average: nn.Module, net: nn.Module, step: int) -> None:
        """Move the average towards the network; buffers are copied, for they are statistics already."""
        weight = 1.0 if step < self.start else 1 - self.decay
        for mean, value in zip(average.parameters(), net.parameters(), strict=True):
            mean.lerp_(value, weight)
        for statistic, latest in zip(average.buffers(), net.buffers(), strict=True):
            statistic.copy_(latest)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Sizes double: stable at the first, then for every next one fading in, then stable (Karras et al. 2018).

    Args:
        start: first side in px.
        fade_images: images over which a new size fades in.
        stable_images: images for which a size then stays.
    """

    start: int = 4
    fade_images: int = 600_000
    stable_images: int = 600_000

    def __post_init__(self) -> None:
        if self.fade_images <= 0 or self.stable_images < 0:
            raise RecipeError(
                f"Growth needs fade_images > 0 and stable_images >= 0, got {self.fade_images} and {self.stable_images}."
            )

    def stage(self, seen: int, size: int) -> Stage:
        """Return the stage after so many images, on the way to a size."""
        if seen < self.stable_images:
            return Stage(size=min(self.start, size))
        doublings, within = divmod(seen - self.stable_images, self.fade_images + self.stable_images)
        side = self.start << (doublings + 1)
        if side > size:
            return Stage(size=size)
        return Stage(size=side, alpha=min(1.0, within / self.fade_images))
