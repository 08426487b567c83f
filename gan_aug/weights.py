"""Layers whose weights obey a rule, their initial values, and orthogonal terms (05-gan 1.3).

In: a rule per layer; whole networks to initialise or to penalise. Out: `Dense` and `Conv` layers, scalars to minimise.
Leaves the normalisation of activations to gan_aug.norms.

Convention: the matrix of a convolution is its kernel flattened to (out, in * height * width); rows are filters.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import assert_never, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.errors import RecipeError


class Constraint(Enum):
    """What is done to a weight each time it is used."""

    NONE = "none"
    SPECTRAL = "spectral"  # divided by an estimate of its largest singular value
    EQUALISED = "equalised"  # multiplied by He's constant, so that all weights learn at one rate


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WeightRule:
    """How a layer's weight is used.

    Args:
        constraint: what is done to the weight.
        gain: factor on the constrained weight. Spectral critics of points in the plane need more than 1.
        iterations: power iterations of a training forward; spectral only.
        rate: factor on the learning rate of weight and bias; equalised only (StyleGAN's mapping: 0.01).
    """

    constraint: Constraint
    gain: float = 1.0
    iterations: int = 1
    rate: float = 1.0


PLAIN = WeightRule(constraint=Constraint.NONE)
SPECTRAL = WeightRule(constraint=Constraint.SPECTRAL)  # Miyato et al. 2018 (arXiv 1802.05957)
EQUALISED = WeightRule(constraint=Constraint.EQUALISED, gain=math.sqrt(2))  # Karras et al. 2018, section 4.1
EQUALISED_LINEAR = WeightRule(constraint=Constraint.EQUALISED)  # before no ReLU


@final
class SpectralNorm(nn.Module):
    """W -> gain * W / sigma, sigma = u^T W v after power iterations of a training forward (Miyato et al. 2018, eqs. 4-6).

    In evaluation u stays and sigma is taken from the present weight, so that loading or averaging weights leaves no
    stale sigma behind. For convolutions sigma is that of the flattened kernel and not the operator norm, which is up to
    sqrt(height * width) as large; see `exact_conv_norm`.
    """

    u: Float[Tensor, " rows"]

    def __init__(self, rows: int, *, iterations: int, gain: float) -> None:
        super().__init__()
        self.iterations, self.gain = iterations, gain
        self.register_buffer("u", torch.full((rows,), rows**-0.5))

    def forward(self, weight: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
        """Return the normalised weight."""
        matrix = weight.flatten(1)
        with torch.no_grad():
            u = self.u
            v = nn.functional.normalize(matrix.T @ u, dim=0)
            if self.training:
                for _ in range(self.iterations):
                    u = nn.functional.normalize(matrix @ v, dim=0)
                    v = nn.functional.normalize(matrix.T @ u, dim=0)
                self.u.copy_(u)
        return weight * (self.gain / torch.dot(u, matrix @ v))


@final
class EqualisedRate(nn.Module):
    """W -> W * gain * rate / sqrt(fan in), with W drawn from N(0, 1 / rate^2) (Karras et al. 2018, section 4.1)."""

    def __init__(self, fan_in: int, *, gain: float, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.scale = gain * rate / math.sqrt(fan_in)

    def forward(self, weight: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
        """Return the scaled weight."""
        return weight * self.scale


def _constrain(rule: WeightRule, weight: Tensor) -> nn.Module:
    match rule.constraint:
        case Constraint.NONE:
            return nn.Identity()
        case Constraint.SPECTRAL:
            return SpectralNorm(len(weight), iterations=rule.iterations, gain=rule.gain)
        case Constraint.EQUALISED:
            return EqualisedRate(weight[0].numel(), gain=rule.gain, rate=rule.rate)
        case _:
            assert_never(rule.constraint)


def _bias(rule: WeightRule, bias: Tensor | None) -> Tensor | None:
    return bias if bias is None or rule.rate == 1.0 else bias * rule.rate


@final
class Dense(nn.Linear):
    """A linear layer whose weight obeys a rule."""

    def __init__(self, inputs: int, outputs: int, *, rule: WeightRule = PLAIN, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.rule = rule
        self.constrain = _constrain(rule, self.weight)

    def forward(self, x: Float[Tensor, "b inputs"]) -> Float[Tensor, "b outputs"]:
        """Return the linear map of every row."""
        return nn.functional.linear(x, self.constrain(self.weight), _bias(self.rule, self.bias))


@final
class Conv(nn.Conv2d):
    """A convolution, padded so that stride 1 keeps the size, whose weight obeys a rule."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        rule: WeightRule = PLAIN,
        bias: bool = True,
    ) -> None:
        # Even kernels halve exactly: 4x4, stride 2, padding 1.
        super().__init__(inputs, outputs, kernel, stride=stride, padding=(kernel - 1) // 2, bias=bias)
        self.rule = rule
        self.constrain = _constrain(rule, self.weight)

    def forward(self, x: Float[Tensor, "b inputs _h _w"]) -> Float[Tensor, "b outputs _h2 _w2"]:
        """Return the convolution."""
        bias = _bias(self.rule, self.bias)
        return nn.functional.conv2d(x, self.constrain(self.weight), bias, self.stride, self.padding)


class Initialisation(Enum):
    """How the weights of a network are drawn; biases are zero."""

    ORTHOGONAL = (
        "orthogonal"  # Saxe et al. 2014: the flattened matrix is, the convolution as an operator is not
    )
    NORMAL = "normal"  # N(0, 0.02), Radford et al. 2016
    XAVIER = "xavier"  # normal, gain 0.02, as in BicycleGAN
    KAIMING = "kaiming"  # normal over the fan in, as in MUNIT


@torch.no_grad()
def initialise_(net: nn.Module, scheme: Initialisation, generator: torch.Generator) -> None:
    """Draw the weight of every linear, convolution and embedding layer anew, and the start of power iterations.

    Layers with an equalised rate draw from N(0, 1 / rate^2) under every scheme: their rule holds the scheme.
    """
    for module in net.modules():
        if isinstance(module, SpectralNorm):
            module.u.copy_(nn.functional.normalize(torch.randn(len(module.u), generator=generator), dim=0))
        if not isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            continue
        constraint = getattr(module, "constrain", None)
        if isinstance(constraint, EqualisedRate):
            module.weight.normal_(std=1 / constraint.rate, generator=generator)
        else:
            _draw_(module.weight, scheme, generator)
        bias = getattr(module, "bias", None)
        if isinstance(bias, Tensor):
            bias.zero_()


def _draw_(weight: Tensor, scheme: Initialisation, generator: torch.Generator) -> None:
    match scheme:
        case Initialisation.ORTHOGONAL:
            nn.init.orthogonal_(weight, generator=generator)
        case Initialisation.NORMAL:
            nn.init.normal_(weight, std=0.02, generator=generator)
        case Initialisation.XAVIER:
            nn.init.xavier_normal_(weight, gain=0.02, generator=generator)
        case Initialisation.KAIMING:
            nn.init.kaiming_normal_(weight, generator=generator)
        case _:
            assert_never(scheme)


def orthogonal_penalty(weight: Float[Tensor, "rows ..."]) -> Float[Tensor, ""]:
    """Return ||W W^T - I||_F^2 (Brock et al. 2017, arXiv 1609.07093; the survey's eq. 2)."""
    matrix = weight.flatten(1)
    return (matrix @ matrix.T - torch.eye(len(matrix), device=weight.device)).square().sum()


def relaxed_orthogonal_penalty(weight: Float[Tensor, "rows ..."]) -> Float[Tensor, ""]:
    """Return ||W W^T o (1 - I)||_F^2, which leaves the filters' lengths free (Brock et al. 2019, eq. 3).

    Its gradient is 4 (W W^T o (1 - I)) W. The authors' released code adds half of it by hand; here autograd does.
    Differs from the paper: rows are filters, so W W^T here is the W^T W there.
    """
    matrix = weight.flatten(1)
    gram = matrix @ matrix.T
    return (gram - torch.diag(gram.diagonal())).square().sum()


def constrained_layers(net: nn.Module) -> Iterator[Dense | Conv]:
    """Yield every `Dense` and `Conv` of a network; embeddings and transposed convolutions are neither."""
    yield from (module for module in net.modules() if isinstance(module, Dense | Conv))


def exact_conv_norm(weight: Float[Tensor, "outputs inputs kh kw"], size: int) -> Float[Tensor, ""]:
    """Return the operator norm of a circular convolution of size x size images, in float64.

    The Fourier transform makes the operator block diagonal: one (out, in) matrix per frequency, so the norm is the
    largest singular value of all of them.

    Raises:
        RecipeError: if the image is smaller than the kernel.

    Source: Sedghi et al. 2019, The Singular Values of Convolutional Layers (arXiv 1805.10408).
    """
    if size < max(weight.shape[2:]):
        raise RecipeError(
            f"Images of {size} px are smaller than the kernel of {tuple(weight.shape[2:])}. "
            "Give the size of the images that the layer sees."
        )
    spectrum = torch.fft.fft2(weight.detach().double(), s=(size, size))
    norms: Tensor = torch.linalg.matrix_norm(spectrum.permute(2, 3, 0, 1), ord=2)
    return norms.max()
