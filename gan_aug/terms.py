"""Terms of a loss: functions of one training step's tensors to a scalar (05-gan 2, vocabulary 7).

In: a `Step`. Out: scalars, to be weighted and summed by the trainer. Adding a system takes a recipe and at most one
term here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug import penalties
from gan_aug.conditioning import InfoCode, attribute_loss, class_loss, matching_aware_loss, mismatched
from gan_aug.critics import CriticOutput, Head
from gan_aug.errors import RecipeError
from gan_aug.objectives import Objective
from gan_aug.penalties import GradientPenalty
from gan_aug.weights import constrained_layers, orthogonal_penalty, relaxed_orthogonal_penalty

Images = Any  # a tensor, or LapGAN's tuple of sizes: each critic knows its own


@final
@dataclass(kw_only=True)
class Step:
    """The tensors of one training step; scores are computed when a term first asks for them.

    Args:
        nets: by name.
        judge: the critic, at the present stage.
        real: images, points or pyramids.
        fake: generated ones, with a graph only while the generator trains.
        real_y: conditions of the real ones.
        fake_y: conditions, or codes, that the fake ones were made for.
        generator: of further random numbers.
        code: what an InfoGAN code is made of.
    """

    nets: Mapping[str, nn.Module]
    judge: Callable[[Images, Tensor | None], CriticOutput]
    real: Images
    fake: Images
    real_y: Float[Tensor, "b k"] | None
    fake_y: Float[Tensor, "b k"] | None
    generator: torch.Generator
    code: InfoCode | None = None

    @cached_property
    def real_out(self) -> CriticOutput:
        """What the critic says of the real images."""
        return self.judge(self.real, self.real_y)

    @cached_property
    def fake_out(self) -> CriticOutput:
        """What the critic says of the fake images."""
        return self.judge(self.fake, self.fake_y)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A named, weighted part of a loss."""

    name: str
    value: Callable[[Step], Float[Tensor, ""]]
    weight: float = 1.0


def judge_apart(objective: Objective) -> Term:
    """Return the critic's side of a game."""
    return Term(
        name=objective.name,
        value=lambda step: objective.critic_loss(step.real_out.scores, step.fake_out.scores),
    )


def fool(objective: Objective) -> Term:
    """Return the generator's side of a game."""
    return Term(name=objective.name, value=lambda step: objective.generator_loss(step.fake_out.scores))


def smooth(penalty: GradientPenalty) -> Term:
    """Return a gradient penalty on the critic, given the real images' conditions."""

    def value(step: Step) -> Tensor:
        def scores(images: Tensor) -> Tensor:
            each = step.judge(images, step.real_y).scores
            return torch.stack([score.sum() for score in each])

        return penalty(scores, step.real, step.fake, generator=step.generator)

    return Term(name=penalty.name, value=value)


def drift(weight: float = 1e-3) -> Term:
    """Return the pull of real scores to zero."""
    return Term(name="drift", value=lambda step: penalties.drift(step.real_out.scores), weight=weight)


def matching_aware() -> Term:
    """Return the critic's loss in which real images with another's condition count as fake."""

    def value(step: Step) -> Tensor:
        wrong = step.judge(step.real, mismatched(_given(step.real_y), step.generator))
        return matching_aware_loss(step.real_out.scores, wrong.scores, step.fake_out.scores)

    return Term(name="matching-aware", value=value)


def name_class(*, of: str, head: Head = Head.CLASS, weight: float = 1.0) -> Term:
    """Return the class or attribute loss of the critic's head, on "real" or "fake" images.

    Raises:
        RecipeError: for any other word.
    """
    if of not in {"real", "fake"}:
        raise RecipeError(f"Classes are named of real or fake images, got {of!r}.")
    loss = class_loss if head is Head.CLASS else attribute_loss

    def value(step: Step) -> Tensor:
        out, y = (step.real_out, step.real_y) if of == "real" else (step.fake_out, step.fake_y)
        return loss(out.aux[head], _given(y))

    return Term(name=f"{head.value}-{of}", value=value, weight=weight)


def recover_code(weight: float = 1.0) -> Term:
    """Return InfoGAN's loss: the code must be readable off the image. For the critic's phase and the generator's."""

    def value(step: Step) -> Tensor:
        if step.code is None:
            raise RecipeError("Recovering a code needs a recipe with an InfoCode, got none.")
        return step.code.loss(step.fake_out.aux[Head.CODE], _given(step.fake_y))

    return Term(name="code", value=value, weight=weight)


def keep_orthogonal(net: str = "generator", *, relaxed: bool = True, weight: float = 1e-4) -> Term:
    """Return the orthogonal term over all linear and convolution layers of a network, embeddings excepted."""
    penalty = relaxed_orthogonal_penalty if relaxed else orthogonal_penalty

    def value(step: Step) -> Tensor:
        return torch.stack([penalty(layer.weight) for layer in constrained_layers(step.nets[net])]).sum()

    return Term(name="orthogonal-relaxed" if relaxed else "orthogonal", value=value, weight=weight)


def _given(y: Tensor | None) -> Tensor:
    if y is None:
        raise RecipeError("A term needs conditions, and the batch has none. Give labelled data.")
    return y
