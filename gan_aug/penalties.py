"""What keeps a critic smooth: gradient penalties, weight clipping and drift (05-gan 1.2).

In: a critic as a function of images alone, real and fake images. Out: a scalar to add to the critic's loss.
Leaves spectral normalisation and orthogonal terms, which act on weights, to gan_aug.weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import assert_never, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.errors import BatchError


class Points(Enum):
    """Where the gradient of the critic is measured."""

    LINE = "line"  # uniformly between a real and a fake image, one mixing weight per sample
    REAL = "real"
    FAKE = "fake"
    DRAGAN = "dragan"  # around real images


def penalty_points(
    points: Points,
    real: Float[Tensor, "b ..."],
    fake: Float[Tensor, "_b ..."],
    generator: torch.Generator,
) -> Float[Tensor, "b ..."]:
    """Return the images at which a penalty measures the critic's gradient, without a graph.

    Args:
        points: where they lie.
        real: real images or points.
        fake: generated ones of the same shape.
        generator: of the mixing weights and of DRAGAN's noise; on the device of the images.

    Raises:
        BatchError: if real and fake differ in shape.
    """
    if real.shape != fake.shape:
        raise BatchError(
            f"A gradient penalty needs as many fake as real images of one size, got {tuple(fake.shape)} fake and "
            f"{tuple(real.shape)} real. Generate one image per real image, at the size of the present stage."
        )
    real, fake = real.detach(), fake.detach()
    match points:
        case Points.REAL:
            return real
        case Points.FAKE:
            return fake
        case Points.LINE:
            weight = torch.rand(len(real), *[1] * (real.ndim - 1), generator=generator, device=real.device)
            return weight * real + (1 - weight) * fake
        case Points.DRAGAN:
            noise = torch.rand(real.shape, generator=generator, device=real.device)
            return real + 0.5 * real.std(correction=0) * noise
        case _:
            assert_never(points)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GradientPenalty:
    """weight * E h(||grad critic(x)||_2 - centre)^power, with h the identity, or max(0, .) if one-sided.

    One form for WGAN-GP, LP, R1, R2, WGAN-div and DRAGAN. The norm is that of one sample, so a critic must not mix the
    samples of a batch (no batch normalisation).
    """

    name: str
    source: str
    points: Points
    weight: float
    centre: float = 0.0
    power: float = 2.0
    one_sided: bool = False

    def __call__(
        self,
        critic: Callable[[Tensor], Tensor],
        real: Float[Tensor, "b ..."],
        fake: Float[Tensor, "b ..."],
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Return the penalty; it has a graph to the critic's weights and none to the images.

        Args:
            critic: maps images to their scores, `b` first; scores of several patches are summed.
            real: real images or points.
            fake: generated ones of the same shape.
            generator: of the random points.
        """
        squared = squared_gradient_norms(critic, penalty_points(self.points, real, fake, generator))
        if self.centre == 0.0:
            # Without a root, whose slope at zero is infinite.
            return self.weight * squared.pow(self.power / 2).mean()
        # Zero gradients of a saturated critic must not become nan behind the root.
        excess = squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt() - self.centre
        if self.one_sided:
            excess = excess.relu()
        return self.weight * excess.pow(self.power).mean()


def squared_gradient_norms(
    critic: Callable[[Tensor], Tensor], images: Float[Tensor, "b ..."]
) -> Float[Tensor, " b"]:
    """Return ||grad critic(x)||_2^2 of every sample, in full precision and with a graph to the critic's weights."""
    images = images.detach().requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        scores = critic(images).sum()
        (gradient,) = torch.autograd.grad(scores, images, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def drift(scores: Sequence[Float[Tensor, "_b ..."]]) -> Float[Tensor, ""]:
    """Return E r^2 of the real scores of all scales; weight 1e-3 (Karras et al. 2018, appendix A.1)."""
    return torch.stack([each.square().mean() for each in scores]).sum()


@torch.no_grad()
def clip_weights_(net: nn.Module, bound: float) -> None:
    """Clamp every parameter, those of normalisation included, to [-bound, bound] (Arjovsky et al. 2017, alg. 1)."""
    for parameter in net.parameters():
        parameter.clamp_(-bound, bound)


WGAN_GP = GradientPenalty(
    name="wgan-gp",
    source="Gulrajani et al. 2017 (arXiv 1704.00028)",
    points=Points.LINE,
    weight=10.0,
    centre=1.0,
)
# The authors' own value for points in the plane: "smaller lambda makes things faster for toy tasks".
WGAN_GP_TOY = GradientPenalty(
    name="wgan-gp-toy", source=WGAN_GP.source, points=Points.LINE, weight=0.1, centre=1.0
)
WGAN_LP = GradientPenalty(
    name="wgan-lp",
    source="Petzka et al. 2018 (arXiv 1709.08894)",
    points=Points.LINE,
    weight=10.0,
    centre=1.0,
    one_sided=True,
)
# gamma / 2 with gamma 10, as in the paper; the authors' code leaves the half out.
R1 = GradientPenalty(
    name="r1", source="Mescheder et al. 2018 (arXiv 1801.04406)", points=Points.REAL, weight=5.0
)
R2 = GradientPenalty(name="r2", source=R1.source, points=Points.FAKE, weight=5.0)
WGAN_DIV = GradientPenalty(
    name="wgan-div", source="Wu et al. 2018 (arXiv 1712.01026)", points=Points.LINE, weight=2.0, power=6.0
)
# The form of most re-implementations: k / 2 at the real and at the fake images.
WGAN_DIV_ENDS = (
    GradientPenalty(name="wgan-div-real", source=WGAN_DIV.source, points=Points.REAL, weight=1.0, power=6.0),
    GradientPenalty(name="wgan-div-fake", source=WGAN_DIV.source, points=Points.FAKE, weight=1.0, power=6.0),
)
DRAGAN = GradientPenalty(
    name="dragan",
    source="Kodali et al. 2017 (arXiv 1705.07215)",
    points=Points.DRAGAN,
    weight=10.0,
    centre=1.0,
)
PENALTIES = (WGAN_GP, WGAN_GP_TOY, WGAN_LP, R1, R2, WGAN_DIV, *WGAN_DIV_ENDS, DRAGAN)
