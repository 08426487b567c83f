"""Parts that decoders and critics share: sizes and widths, residual blocks, attention, blur, minibatch deviation.

In: activations [b, c, h, w]. Out: the same, up or down by two where said. Leaves whole networks to the decoders and
critics.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, max_pool2d, relu

from gan_aug.errors import RecipeError
from gan_aug.norms import Norm, make_norm
from gan_aug.weights import PLAIN, Conv, WeightRule

START = 4  # side of the smallest activations, px


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NetShape:
    """What the networks of a system are built for.

    Args:
        channels: of an image; or the coordinates of a point.
        size: side of an image in px, a power of two; none for points.
        d_latent: width of z.
        d_condition: width of the condition, 0 for none.
    """

    channels: int
    size: int | None
    d_latent: int
    d_condition: int = 0

    def __post_init__(self) -> None:
        size = self.size
        if size is not None and (size < 2 * START or size & (size - 1)):
            raise RecipeError(
                f"Image size must be a power of two from 8 px on, got {size}. Resize the images."
            )

    @property
    def side(self) -> int:
        """Side of an image in px.

        Raises:
            RecipeError: for points.
        """
        if self.size is None:
            raise RecipeError(
                f"This network makes images, got points of {self.channels} numbers. Give a size."
            )
        return self.size

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides 4, 8 ... size."""
        return tuple(START << k for k in range(int(math.log2(self.side // START)) + 1))


def channels_at(side: int, *, budget: int, cap: int) -> int:
    """Return the channels of activations of this side: twice as many at half the side, up to a cap."""
    return max(1, min(cap, budget // side))


def up(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Return every pixel four times."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


def down(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Return the means of 2 x 2 pixels."""
    return avg_pool2d(x, 2)


def lrelu(x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    """Return max(x, 0.2 x)."""
    return leaky_relu(x, 0.2)


def blur(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the image smoothed by [1, 2, 1] / 4 in both directions (Karras et al. 2019, appendix C)."""
    line = x.new_tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    return nn.functional.conv2d(x, kernel, padding=1, groups=x.shape[1])


def minibatch_stddev(x: Float[Tensor, "b c h w"], *, group: int = 4) -> Float[Tensor, "b c2 h w"]:
    """Return x and one more plane: the mean standard deviation over groups of samples (Karras et al. 2018, section 3).

    Groups have `group` samples, or the largest common divisor with the batch.
    """
    members = math.gcd(len(x), group)
    groups = x.reshape(members, -1, *x.shape[1:])
    deviation = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    plane = deviation.repeat(members).reshape(-1, 1, 1, 1)
    return torch.cat([x, plane.expand(-1, 1, *x.shape[2:])], 1)


@final
class ResidualUp(nn.Module):
    """norm-ReLU-up-conv3-norm-ReLU-conv3 beside up-conv1, twice the size (BigGAN's, Brock et al. 2019, figure 15)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        norm: Norm,
        rule: WeightRule = PLAIN,
        d_condition: int = 0,
        residual: float = 1.0,
    ) -> None:
        super().__init__()
        self.norm1 = make_norm(norm, inputs, d_condition=d_condition, rule=rule)
        self.norm2 = make_norm(norm, outputs, d_condition=d_condition, rule=rule)
        self.conv1 = Conv(inputs, outputs, 3, rule=rule)
        self.conv2 = Conv(outputs, outputs, 3, rule=rule)
        self.shortcut = Conv(inputs, outputs, 1, rule=rule)
        self.residual = residual

    def forward(self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b d"] | None) -> Tensor:
        """Return activations of twice the side."""
        y = self.conv1(up(relu(self.norm1(x, condition))))
        y = self.conv2(relu(self.norm2(y, condition)))
        return torch.add(up(self.shortcut(x)), y, alpha=self.residual)


@final
class ResidualDown(nn.Module):
    """ReLU-conv3-ReLU-conv3-down beside conv1-down; the first block of a critic has no ReLU before its first convolution.

    Args:
        inputs: channels.
        outputs: channels.
        rule: of all weights.
        halve: whether the size is halved.
        first: whether the input is an image.
        residual: factor on the residual (GAN_stability: 0.1).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rule: WeightRule = PLAIN,
        halve: bool = True,
        first: bool = False,
        residual: float = 1.0,
    ) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, outputs, 3, rule=rule)
        self.conv2 = Conv(outputs, outputs, 3, rule=rule)
        self.shortcut = Conv(inputs, outputs, 1, rule=rule)
        self.halve, self.first, self.residual = halve, first, residual

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        """Return activations of half the side, or of the same if the block does not halve."""
        y = self.conv2(relu(self.conv1(x if self.first else relu(x))))
        y = self.shortcut(x) + self.residual * y
        return down(y) if self.halve else y


@final
class SelfAttention(nn.Module):
    """Adds to every pixel what it attends to, times a gain that starts at 0 (Zhang et al. 2019, arXiv 1805.08318)."""

    def __init__(self, channels: int, *, rule: WeightRule = PLAIN) -> None:
        super().__init__()
        inner, values = max(1, channels // 8), max(1, channels // 2)
        self.query = Conv(channels, inner, 1, rule=rule, bias=False)
        self.key = Conv(channels, inner, 1, rule=rule, bias=False)
        self.value = Conv(channels, values, 1, rule=rule, bias=False)
        self.out = Conv(values, channels, 1, rule=rule, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return x plus the attended values; keys and values are pooled 2 x 2."""
        query = self.query(x).flatten(2)  # b q n
        key = max_pool2d(self.key(x), 2).flatten(2)  # b q n/4
        value = max_pool2d(self.value(x), 2).flatten(2)  # b v n/4
        weights = (query.transpose(1, 2) @ key).softmax(-1)  # b n n/4
        attended = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return torch.addcmul(x, self.gain, self.out(attended))
