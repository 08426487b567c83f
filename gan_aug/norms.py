"""Normalisation of activations, plain and conditional (05-gan 1.3).

In: activations [b, c, h, w] and, for the conditional kinds, a vector per sample. Out: activations of the same shape.
All layers are called with both, so that a block has one forward for all kinds. Leaves weights to gan_aug.weights.
"""

from collections.abc import Callable
from enum import Enum
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.errors import RecipeError
from gan_aug.weights import PLAIN, Dense, WeightRule


class Norm(Enum):
    """The kinds of normalisation."""

    NONE = "none"
    BATCH = "batch"
    INSTANCE = "instance"
    INSTANCE_AFFINE = "instance-affine"
    LAYER = "layer"
    PIXEL = "pixel"
    CONDITIONAL_BATCH = "conditional-batch"
    ADAPTIVE_INSTANCE = "adaptive-instance"

    @property
    def conditional(self) -> bool:
        """Whether scale and shift come from the condition."""
        return self in {Norm.CONDITIONAL_BATCH, Norm.ADAPTIVE_INSTANCE}


def pixel_norm(x: Float[Tensor, "b c ..."]) -> Float[Tensor, "b c ..."]:
    """Return x / sqrt(mean over channels of x^2 + 1e-8) (Karras et al. 2018, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def instance_norm(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return every channel of every sample with mean 0 and variance 1 over its pixels."""
    centred = x - x.mean((2, 3), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + 1e-5)


def layer_norm(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return every sample with mean 0 and variance 1 over channels and pixels."""
    centred = x - x.mean((1, 2, 3), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean((1, 2, 3), keepdim=True) + 1e-5)


def modulate(
    x: Float[Tensor, "b c h w"], scale: Float[Tensor, "b c"], shift: Float[Tensor, "b c"]
) -> Float[Tensor, "b c h w"]:
    """Return x * (1 + scale) + shift, channel by channel."""
    return x * (1 + scale[..., None, None]) + shift[..., None, None]


@final
class Unconditional(nn.Module):
    """A function of the activations alone, with a learnt scale and shift per channel where asked for."""

    def __init__(self, function: Callable[[Tensor], Tensor], affine_channels: int = 0) -> None:
        super().__init__()
        self.function = function
        self.affine = affine_channels > 0
        if self.affine:
            self.scale = nn.Parameter(torch.zeros(1, affine_channels))
            self.shift = nn.Parameter(torch.zeros(1, affine_channels))

    def forward(self, x: Float[Tensor, "b c ..."], condition: Float[Tensor, "b d"] | None = None) -> Tensor:
        """Return the normalised activations; the condition is ignored."""
        del condition
        y = self.function(x)
        if not self.affine:
            return y
        n = y.shape[0]  # len() would be a constant in an exported program
        return modulate(y, self.scale.expand(n, -1), self.shift.expand(n, -1))


@final
class Modulated(nn.Module):
    """Normalises without parameters, then scales by 1 + W_g c and shifts by W_b c for a condition c.

    With batch statistics this is BigGAN's conditional batch normalisation, with instance statistics AdaIN.
    """

    def __init__(
        self, normalise: nn.Module, channels: int, d_condition: int, *, rule: WeightRule, bias: bool
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.to_scale = Dense(d_condition, channels, rule=rule, bias=bias)
        self.to_shift = Dense(d_condition, channels, rule=rule, bias=bias)

    def forward(
        self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b c h w"]:
        """Return the normalised, then modulated activations."""
        return modulate(self.normalise(x), self.to_scale(condition), self.to_shift(condition))


_FUNCTIONS: dict[Norm, Callable[[Tensor], Tensor]] = {
    Norm.NONE: lambda x: x,
    Norm.INSTANCE: instance_norm,
    Norm.INSTANCE_AFFINE: instance_norm,
    Norm.LAYER: layer_norm,
    Norm.PIXEL: pixel_norm,
}


def make_norm(norm: Norm, channels: int, *, d_condition: int = 0, rule: WeightRule = PLAIN) -> nn.Module:
    """Return a layer called as layer(activations, condition).

    Args:
        norm: its kind.
        channels: of the activations.
        d_condition: width of the condition; needed by the conditional kinds.
        rule: of the conditional kinds' linear maps.

    Raises:
        RecipeError: if a conditional kind has no condition.
    """
    if norm.conditional and not d_condition:
        raise RecipeError(
            f"{norm.value} normalisation takes scale and shift from a condition, and there is none. "
            "Give d_condition, or another norm."
        )
    if norm.conditional:
        batch = norm is Norm.CONDITIONAL_BATCH
        statistics = nn.BatchNorm2d(channels, affine=False) if batch else Unconditional(instance_norm)
        # Without bias in BigGAN: a zero condition means scale 1 and shift 0.
        return Modulated(statistics, channels, d_condition, rule=rule, bias=not batch)
    if norm is Norm.BATCH:
        return Unconditional(nn.BatchNorm2d(channels))
    affine = norm in {Norm.INSTANCE_AFFINE, Norm.LAYER}
    return Unconditional(_FUNCTIONS[norm], channels if affine else 0)


@torch.no_grad()
def standing_statistics_(net: nn.Module, forward: Callable[[], object], *, batches: int) -> None:
    """Replace the running statistics of batch normalisation by plain means over some forwards of the net.

    Leaves the net in evaluation mode.

    Source: Brock et al. 2019, section 4.1 and appendix A.
    """
    layers = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a plain mean
    net.train()
    for _ in range(batches):
        forward()
    net.eval()
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
