"""LapGAN: a pyramid of generators of residuals, each trained against its own critic (05-gan 1.5).

In: `Latents` with a plane of noise per level; for training also the real pyramid. Out: images of every size.
Levels learn independently: each is given the real coarse image, so one loss summed over levels trains them all.

Source: Denton et al. 2015 (arXiv 1506.05751).
"""

import math
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout, interpolate, relu

from gan_aug.blocks import NetShape, down
from gan_aug.conditioning import join
from gan_aug.critics import CriticOutput
from gan_aug.decoders import Decoder
from gan_aug.latents import Latents, Stage
from gan_aug.weights import Conv, Dense

COARSEST = 8  # px


def pyramid(images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c _h _w"], ...]:
    """Return the images at 8 px, 16 px ... and their own size, each the 2 x 2 means of the next."""
    levels = [images]
    while levels[0].shape[-1] > COARSEST:
        levels.insert(0, down(levels[0]))
    return tuple(levels)


def enlarge(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Return the image at twice its size, bilinear."""
    return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


@final
class ConditionPlane(nn.Module):
    """The condition as one learnt plane, Linear and ReLU; nothing without a condition."""

    def __init__(self, d_condition: int, side: int) -> None:
        super().__init__()
        self.dense = Dense(d_condition, side * side) if d_condition else None
        self.side = side

    def forward(self, x: Float[Tensor, "b c h w"], y: Float[Tensor, "b k"] | None) -> Tensor:
        """Return x with the plane behind its channels."""
        if self.dense is None:
            return x
        return torch.cat([x, relu(self.dense(y)).reshape(-1, 1, self.side, self.side)], 1)


@final
class ResidualLevel(nn.Module):
    """[coarse image, condition plane, noise] -> conv7, ReLU, conv7, ReLU, conv5 -> residual."""

    def __init__(self, shape: NetShape, side: int, *, width: int) -> None:
        super().__init__()
        self.plane = ConditionPlane(shape.d_condition, side)
        inputs = shape.channels + 1 + bool(shape.d_condition)
        self.conv1 = Conv(inputs, width, 7)
        self.conv2 = Conv(width, width, 7)
        self.conv3 = Conv(width, shape.channels, 5)

    def forward(
        self,
        coarse: Float[Tensor, "b c h w"],
        y: Float[Tensor, "b k"] | None,
        noise: Float[Tensor, "b 1 h w"],
    ) -> Float[Tensor, "b c h w"]:
        """Return the enlarged coarse image plus its residual."""
        uniform = torch.erf(noise / math.sqrt(2))  # a standard normal becomes U(-1, 1)
        x = torch.cat([self.plane(coarse, y), uniform], 1)
        residual: Tensor = self.conv3(relu(self.conv2(relu(self.conv1(x)))))
        return coarse + residual


@final
class LaplacianDecoder(Decoder):
    """A fully connected generator of 8 px, then one residual per doubling.

    Args:
        shape: what it makes.
        width: channels of every level.
        hidden: width of the 8 px generator's two ReLU layers.
    """

    def __init__(self, shape: NetShape, *, width: int = 64, hidden: int = 600) -> None:
        sides = shape.sides[2:]
        super().__init__(shape, noise_planes=sides)
        widths = [shape.d_latent + shape.d_condition, hidden, hidden]
        self.hidden = nn.ModuleList(Dense(a, b) for a, b in pairwise(widths))
        self.coarsest = Dense(hidden, shape.channels * COARSEST**2)
        self.levels = nn.ModuleList(ResidualLevel(shape, side, width=width) for side in sides)

    def forward(self, latents: Latents, stage: Stage | None = None) -> Float[Tensor, "b c h w"]:
        """Return images, each level refining the one before."""
        del stage
        x = self._start(latents)
        for level, noise in zip(self.levels, latents.noise, strict=True):
            x = level(enlarge(x), latents.y, noise)
        return x

    def refine(
        self, latents: Latents, real: tuple[Float[Tensor, "b c _h _w"], ...]
    ) -> tuple[Float[Tensor, "b c _h _w"], ...]:
        """Return the generated image of every level, made from the real one of the level below."""
        finer = (
            level(enlarge(coarse), latents.y, noise)
            for level, coarse, noise in zip(self.levels, real[:-1], latents.noise, strict=True)
        )
        return (self._start(latents), *finer)

    def _start(self, latents: Latents) -> Tensor:
        x = join(latents.z, latents.y)
        for layer in self.hidden:
            x = relu(layer(x))
        return torch.tanh(self.coarsest(x)).reshape(-1, self.shape.channels, COARSEST, COARSEST)


@final
class LevelCritic(nn.Module):
    """[image, condition plane] -> conv5, ReLU, conv5 of stride 2, ReLU, dropout, one score."""

    def __init__(self, shape: NetShape, side: int, *, width: int) -> None:
        super().__init__()
        self.plane = ConditionPlane(shape.d_condition, side)
        self.conv1 = Conv(shape.channels + bool(shape.d_condition), width, 5)
        self.conv2 = Conv(width, width, 5, stride=2)
        self.score = Dense(width * (side // 2) ** 2, 1)

    def forward(self, x: Float[Tensor, "b c h w"], y: Float[Tensor, "b k"] | None) -> Float[Tensor, "b 1"]:
        """Return the score; dropout only while training."""
        h = relu(self.conv2(relu(self.conv1(self.plane(x, y)))))
        score: Tensor = self.score(dropout(h.flatten(1), training=self.training))
        return score


@final
class LaplacianCritic(nn.Module):
    """One critic per size of the pyramid, each giving one of the output's scores."""

    def __init__(self, shape: NetShape, *, width: int = 64) -> None:
        super().__init__()
        self.levels = nn.ModuleList(LevelCritic(shape, side, width=width) for side in shape.sides[1:])

    def forward(
        self,
        x: tuple[Float[Tensor, "b c _h _w"], ...],
        y: Float[Tensor, "b k"] | None = None,
        stage: Stage | None = None,
    ) -> CriticOutput:
        """Return one score per level of the pyramid x."""
        del stage
        scores = tuple(level(each, y) for level, each in zip(self.levels, x, strict=True))
        return CriticOutput(scores=scores, aux={}, feats=())
