"""Conditions: label vectors, where they join, and the losses that hold a network to them (05-gan 1.4).

In: labels or attributes, latent codes. Out: vectors [b, k], planes, scalars to minimise.
Projection is a head of gan_aug.critics; conditional normalisation is in gan_aug.norms.

Convention: a condition is a float vector per sample: a one-hot class, attributes in {0, 1}, or an InfoGAN code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, softplus

from gan_aug.errors import BatchError


def one_hot(labels: Int[Tensor, " b"], classes: int) -> Float[Tensor, "b classes"]:
    """Return the class of every sample as a vector.

    Raises:
        BatchError: if a label is not in 0 ... classes - 1.
    """
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise BatchError(
            f"Labels must be 0 ... {classes - 1}, got {int(labels.min())} ... {int(labels.max())}. "
            "Number the classes from 0, or give their count."
        )
    return torch.nn.functional.one_hot(labels.long(), classes).float()


def signed(attributes: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Return attributes in {0, 1} as {-1, 1} (IcGAN, AttGAN)."""
    return 2 * attributes - 1


def attribute_difference(
    target: Float[Tensor, "b k"], source: Float[Tensor, "b k"], *, threshold: float = 0.5
) -> Float[Tensor, "b k"]:
    """Return target - source in {-1, 0, 1}, each read as 1 at or above the threshold (STGAN)."""
    return (target >= threshold).float() - (source >= threshold).float()


def join(x: Float[Tensor, "b c ..."], condition: Float[Tensor, "b k"] | None) -> Tensor:
    """Return points or images with the condition as further numbers, or as further constant planes."""
    if condition is None:
        return x
    planes = condition.reshape(*condition.shape, *[1] * (x.ndim - 2))
    return torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], 1)


def mismatched(condition: Float[Tensor, "b k"], generator: torch.Generator) -> Float[Tensor, "b k"]:
    """Return for every sample a condition of the same batch that differs from its own, where the batch has one.

    The choice is uniform over the batch's differing rows, so wrong labels come as often as the data has them.
    """
    differs = (condition[:, None] != condition[None]).any(-1).float()
    alone = differs.sum(1) == 0
    differs[alone, alone.nonzero().flatten()] = 1.0
    return condition[torch.multinomial(differs, 1, generator=generator).flatten()]


def matching_aware_loss(
    right: Sequence[Float[Tensor, "_b ..."]],
    wrong: Sequence[Float[Tensor, "_b ..."]],
    fake: Sequence[Float[Tensor, "_b ..."]],
) -> Float[Tensor, ""]:
    """Return the critic's loss E sp(-right) + (E sp(wrong) + E sp(fake)) / 2, summed over scales.

    Args:
        right: scores of real images with their own condition.
        wrong: scores of real images with another's.
        fake: scores of generated images with the condition they were made for.

    Source: Reed et al. 2016 (arXiv 1605.05396), algorithm 1; Perarnau et al. 2016 (arXiv 1611.06355).
    """
    terms = [
        softplus(-r).mean() + 0.5 * (softplus(w).mean() + softplus(f).mean())
        for r, w, f in zip(right, wrong, fake, strict=True)
    ]
    return torch.stack(terms).sum()


def class_loss(logits: Float[Tensor, "b k"], condition: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Return the cross entropy of a class head (Odena et al. 2017, arXiv 1610.09585, eq. 3)."""
    return cross_entropy(logits, condition)


def attribute_loss(logits: Float[Tensor, "b k"], condition: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Return the binary cross entropy of an attribute head, the mean over attributes (StarGAN, AttGAN, STGAN)."""
    return binary_cross_entropy_with_logits(logits, condition)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InfoCode:
    """The part of the latent vector whose meaning InfoGAN learns: categories, then numbers in [-1, 1].

    Source: Chen et al. 2016 (arXiv 1606.03657); MNIST: one category of ten, two numbers.
    """

    categories: tuple[int, ...] = (10,)
    continuous: int = 2

    @property
    def width(self) -> int:
        """Length of the vector."""
        return sum(self.categories) + self.continuous

    def draw(self, n: int, generator: torch.Generator) -> Float[Tensor, "n width"]:
        """Return n codes: uniform classes as one-hot parts, then U(-1, 1)."""
        device = generator.device
        labels = [torch.randint(k, (n,), generator=generator, device=device) for k in self.categories]
        numbers = 2 * torch.rand(n, self.continuous, generator=generator, device=device) - 1
        return torch.cat([*map(one_hot, labels, self.categories), numbers], 1)

    def loss(self, predicted: Float[Tensor, "b width"], code: Float[Tensor, "b width"]) -> Float[Tensor, ""]:
        """Return -E log Q(c|x) up to a constant: cross entropies, and Gaussians of standard deviation 1."""
        sizes = [*self.categories, self.continuous]
        *logits, mean = torch.split(predicted, sizes, 1)
        *labels, number = torch.split(code, sizes, 1)
        loss = 0.5 * (mean - number).square().sum(1).mean()
        for each, label in zip(logits, labels, strict=True):
            loss = loss + cross_entropy(each, label)
        return loss
