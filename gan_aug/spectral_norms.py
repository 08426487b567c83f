"""Spectral norms of a network's layers, and weights at the bounds of clipping (05-gan 1.3).

In: a network. Out: one line per layer. Nothing of the network changes: no power iteration runs on.
The rules that bound the norms are in gan_aug.weights.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.errors import RecipeError
from gan_aug.weights import exact_conv_norm


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorms:
    """The spectral norms of one layer's weight, as it is used: after normalisation or scaling.

    Attributes:
        layer: Its name in the network.
        matrix: Largest singular value of the weight flattened to (first axis, rest), which spectral normalisation
            bounds.
        operator: Largest factor by which the layer can lengthen an input. That of a convolution is for circular padding;
            with a stride, or transposed, for the convolution without the stride, which bounds it.
    """

    layer: str
    matrix: float
    operator: float


@torch.no_grad()
def spectral_norms(net: nn.Module, *, size: int = 32) -> tuple[LayerNorms, ...]:
    """Return the norms of every linear and convolution layer, in float64.

    Args:
        net: any network, in any mode.
        size: side in px of the images at which convolutions are measured; the norm changes little with it.

    Raises:
        RecipeError: if the network has no such layer, or a kernel is larger than the size.
    """
    norms = []
    for name, layer in net.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            continue
        weight = used_weight(layer).double()
        matrix = float(torch.linalg.matrix_norm(weight.flatten(1), ord=2))
        operator = matrix if isinstance(layer, nn.Linear) else float(exact_conv_norm(weight, size))
        norms.append(LayerNorms(layer=name, matrix=matrix, operator=operator))
    if not norms:
        raise RecipeError(
            f"A {type(net).__name__} has no linear or convolution layer to measure. Give a network."
        )
    return tuple(norms)


def used_weight(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> Float[Tensor, "rows ..."]:
    """Return the weight as a forward in evaluation mode uses it."""
    constrain = getattr(layer, "constrain", None)
    if not isinstance(constrain, nn.Module):
        return layer.weight
    training = constrain.training
    weight: Tensor = constrain.eval()(layer.weight)
    constrain.train(training)
    return weight


@torch.no_grad()
def share_at_bounds(net: nn.Module, bound: float) -> float:
    """Return the share of weights of linear and convolution layers within 1 % of -bound or bound.

    Clipping drives a critic's weights there (Gulrajani et al. 2017, section 3.2).
    """
    layers = [each for each in net.modules() if isinstance(each, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    weights = torch.cat([layer.weight.flatten() for layer in layers])
    return float((weights.abs() >= 0.99 * bound).double().mean())
