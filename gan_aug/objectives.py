"""The adversarial objectives: what critic and generator minimise on the critic's scores (05-gan 1.1).

In: scores (logits), one tensor per scale. Out: a scalar to minimise.
Leaves penalties to gan_aug.penalties and the conditional terms to gan_aug.conditioning.

Convention: a loss is the mean over each scale's scores, summed over the scales. Nothing is halved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import relu, softplus


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One game: elementwise losses of real scores, of fake scores, and of fake scores for the generator."""

    name: str
    source: str
    on_real: Callable[[Tensor], Tensor]
    on_fake: Callable[[Tensor], Tensor]
    on_generated: Callable[[Tensor], Tensor]

    def critic_loss(
        self, real: Sequence[Float[Tensor, "_b ..."]], fake: Sequence[Float[Tensor, "_b ..."]]
    ) -> Float[Tensor, ""]:
        """Return what the critic minimises, summed over scales."""
        return _total(self.on_real, real) + _total(self.on_fake, fake)

    def generator_loss(self, fake: Sequence[Float[Tensor, "_b ..."]]) -> Float[Tensor, ""]:
        """Return what the generator minimises, summed over scales."""
        return _total(self.on_generated, fake)


def _total(loss: Callable[[Tensor], Tensor], scores: Sequence[Tensor]) -> Tensor:
    return torch.stack([loss(each).mean() for each in scores]).sum()


MINIMAX = Objective(
    name="minimax",
    source="Goodfellow et al. 2014, eq. 1 (arXiv 1406.2661): the generator minimises E log(1 - D) and saturates",
    on_real=lambda r: softplus(-r),
    on_fake=softplus,
    on_generated=lambda f: -softplus(f),
)
NON_SATURATING = Objective(
    name="non-saturating",
    source="Goodfellow et al. 2014, section 3 (arXiv 1406.2661); what most libraries call vanilla or minimax",
    on_real=lambda r: softplus(-r),
    on_fake=softplus,
    on_generated=lambda f: softplus(-f),
)
LEAST_SQUARES = Objective(
    name="least-squares",
    source="Mao et al. 2017 (arXiv 1611.04076), targets 1, 0 and 1",
    on_real=lambda r: (r - 1).square(),
    on_fake=torch.square,
    on_generated=lambda f: (f - 1).square(),
)
HINGE = Objective(
    name="hinge",
    source="Lim and Ye 2017 (arXiv 1705.02894); Miyato et al. 2018, eqs. 16 and 17 (arXiv 1802.05957)",
    on_real=lambda r: relu(1 - r),
    on_fake=lambda f: relu(1 + f),
    on_generated=torch.neg,
)
WASSERSTEIN = Objective(
    name="wasserstein",
    source="Arjovsky et al. 2017 (arXiv 1701.07875); the critic's sign is that of Gulrajani et al. 2017",
    on_real=torch.neg,
    on_fake=lambda f: f,
    on_generated=torch.neg,
)
OBJECTIVES = (MINIMAX, NON_SATURATING, LEAST_SQUARES, HINGE, WASSERSTEIN)
