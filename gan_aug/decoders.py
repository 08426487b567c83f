"""Decoders of one size: latent vectors to points or images, all sizes by one code path (05-gan 1.2, 1.5).

In: `Latents`. Out: points [b, channels], or images [b, channels, size, size] in [-1, 1].
Growing decoders are in gan_aug.growing, LapGAN's in gan_aug.laplacian.
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_aug.blocks import START, NetShape, ResidualUp, SelfAttention, channels_at
from gan_aug.conditioning import join
from gan_aug.latents import Latents, Stage
from gan_aug.norms import Norm, make_norm
from gan_aug.weights import PLAIN, Conv, Dense, WeightRule


class Decoder(nn.Module, ABC):
    """A generator from latent inputs.

    Args:
        shape: what it makes.
        noise_planes: sides in px of the noise planes that it takes.
        style_layers: number of layers that can be given different styles.
    """

    def __init__(self, shape: NetShape, *, noise_planes: tuple[int, ...] = (), style_layers: int = 0) -> None:
        super().__init__()
        self.shape, self.noise_planes, self.style_layers = shape, noise_planes, style_layers

    @abstractmethod
    def forward(self, latents: Latents, stage: Stage | None = None) -> Float[Tensor, "b ..."]:
        """Return points or images; of the stage's size if the decoder grows, else the stage is ignored."""


@final
class MlpDecoder(Decoder):
    """Three ReLU layers to points in the plane or in any other space."""

    def __init__(self, shape: NetShape, *, width: int = 128) -> None:
        super().__init__(shape)
        widths = (shape.d_latent + shape.d_condition, width, width, width)
        self.hidden = nn.ModuleList(Dense(a, b) for a, b in pairwise(widths))
        self.out = Dense(width, shape.channels)

    def forward(self, latents: Latents, stage: Stage | None = None) -> Float[Tensor, "b channels"]:
        """Return points."""
        del stage
        x = join(latents.z, latents.y)
        for layer in self.hidden:
            x = relu(layer(x))
        points: Tensor = self.out(x)
        return points


@final
class DcganDecoder(Decoder):
    """Transposed 4 x 4 convolutions from 4 px up, batch normalisation, ReLU, tanh (Radford et al. 2016).

    Args:
        shape: what it makes.
        width: channels before the last convolution; they double at each smaller side.
        norm: after every convolution but the last.
    """

    def __init__(self, shape: NetShape, *, width: int = 64, norm: Norm = Norm.BATCH) -> None:
        super().__init__(shape)
        counts = [channels_at(s, budget=width * shape.side // 2, cap=16 * width) for s in shape.sides[:-1]]
        self.first = Dense(shape.d_latent + shape.d_condition, counts[0] * START**2)
        self.norms = nn.ModuleList(make_norm(norm, count) for count in counts)
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in pairwise([*counts, shape.channels])
        )

    def forward(self, latents: Latents, stage: Stage | None = None) -> Float[Tensor, "b c h w"]:
        """Return images."""
        del stage
        x = self.first(join(latents.z, latents.y)).unflatten(1, (-1, START, START))
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(relu(norm(x)))
        return torch.tanh(x)


@final
class ResnetDecoder(Decoder):
    """Residual blocks from 4 px up; with a conditional norm, BigGAN's: shared embedding and hierarchical z.

    A conditional norm gets [embedding of y, a chunk of z] in every block, and the first chunk starts the image; else z
    and y are joined at the start.

    Args:
        shape: what it makes.
        width: channels of the last block; they double at each smaller side, up to 16 times.
        norm: before every convolution; the last one's has no condition.
        rule: of all weights but the shared embedding.
        embedding: width of the shared embedding of y.
        attention_at: side in px after whose block pixels attend to each other; none for nowhere.
        residual: factor on the residuals.

    Source: Gulrajani et al. 2017, appendix F; Miyato et al. 2018, appendix B; Brock et al. 2019, appendix B.
    """

    def __init__(
        self,
        shape: NetShape,
        *,
        width: int = 64,
        norm: Norm = Norm.BATCH,
        rule: WeightRule = PLAIN,
        embedding: int = 128,
        attention_at: int | None = None,
        residual: float = 1.0,
    ) -> None:
        super().__init__(shape)
        counts = [channels_at(s, budget=width * shape.side, cap=16 * width) for s in shape.sides]
        self.conditional = norm.conditional
        chunk = shape.d_latent // len(counts)  # one for the start, one for every block
        self.chunks = [shape.d_latent - chunk * (len(counts) - 1)] + [chunk] * (len(counts) - 1)
        start, d_condition = shape.d_latent + shape.d_condition, 0
        self.embed: nn.Module | None = None
        if self.conditional:
            start, d_condition = self.chunks[0], chunk
            if shape.d_condition:
                # An embedding: neither normalised nor made orthogonal.
                self.embed = nn.Linear(shape.d_condition, embedding, bias=False)
                d_condition += embedding
        self.first = Dense(start, counts[0] * START**2, rule=rule)
        self.blocks = nn.ModuleList(
            ResidualUp(a, b, norm=norm, rule=rule, d_condition=d_condition, residual=residual)
            for a, b in pairwise(counts)
        )
        self.attention = nn.ModuleList(
            SelfAttention(count, rule=rule) if side == attention_at else nn.Identity()
            for side, count in zip(shape.sides[1:], counts[1:], strict=True)
        )
        self.last_norm = make_norm(Norm.BATCH if norm.conditional else norm, counts[-1])
        self.out = Conv(counts[-1], shape.channels, 3, rule=rule)

    def forward(self, latents: Latents, stage: Stage | None = None) -> Float[Tensor, "b c h w"]:
        """Return images."""
        del stage
        start = join(latents.z, latents.y)
        conditions: list[Tensor | None] = [None] * len(self.blocks)
        if self.conditional:
            start, *parts = latents.z.split(self.chunks, 1)  # type: ignore[no-untyped-call]  # torch has no types here
            shared = None if self.embed is None else self.embed(latents.y)
            conditions = [join(part, shared) for part in parts]
        x = self.first(start).unflatten(1, (-1, START, START))
        for block, attend, condition in zip(self.blocks, self.attention, conditions, strict=True):
            x = attend(block(x, condition))
        return torch.tanh(self.out(relu(self.last_norm(x))))
