"""Networks that grow: ProGAN's and StyleGAN's decoders, and the critic trunk of both (05-gan 1.5).

In: `Latents` or images, and a stage. Out: images of the stage's size, or a trunk's features.
Leaves the order of stages to gan_aug.schedule.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.blocks import START, NetShape, blur, channels_at, down, lrelu, minibatch_stddev, up
from gan_aug.conditioning import join
from gan_aug.decoders import Decoder
from gan_aug.errors import BatchError, RecipeError
from gan_aug.latents import Latents, Stage
from gan_aug.norms import Norm, make_norm, pixel_norm
from gan_aug.trunks import Trunk, TrunkOutput
from gan_aug.weights import EQUALISED, EQUALISED_LINEAR, Conv, Dense, WeightRule

# The papers' 512 channels up to 32 px, then half as many at each double size.
FULL_SIDE = 32


def _counts(shape: NetShape, width: int) -> list[int]:
    return [channels_at(side, budget=FULL_SIDE * width, cap=width) for side in shape.sides]


def _depth(shape: NetShape, stage: Stage | None) -> int:
    """Return the index of the stage's side among the shape's."""
    if stage is None:
        return len(shape.sides) - 1
    if stage.size not in shape.sides:
        raise RecipeError(f"Sizes grow through {shape.sides} px, got a stage of {stage.size} px.")
    return shape.sides.index(stage.size)


def _grow(
    x: Tensor,
    blocks: Sequence[Callable[[Tensor], Tensor]],
    to_image: nn.ModuleList,
    stage: Stage | None,
) -> Tensor:
    """Return the image after these blocks, mixed with the enlarged one before the last while that fades in."""
    before = x
    for block in blocks:
        before, x = x, block(x)
    image: Tensor = to_image[len(blocks)](x)
    if stage is not None and stage.alpha < 1.0 and blocks:
        image = torch.lerp(up(to_image[len(blocks) - 1](before)), image, stage.alpha)
    return image


@final
class ProgressiveBlock(nn.Module):
    """Up, then twice a 3 x 3 convolution, leaky ReLU and pixel norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, outputs, 3, rule=EQUALISED)
        self.conv2 = Conv(outputs, outputs, 3, rule=EQUALISED)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Return activations of twice the side."""
        x = pixel_norm(lrelu(self.conv1(up(x))))
        return pixel_norm(lrelu(self.conv2(x)))


@final
class ProgressiveDecoder(Decoder):
    """Per size: up, two 3 x 3 convolutions, leaky ReLU, pixel norm; equalised rate; a 1 x 1 convolution to the image.

    Args:
        shape: what it makes at full size.
        width: channels up to 32 px.

    Source: Karras et al. 2018 (arXiv 1710.10196), table 2. The image is linear, not squashed.
    """

    def __init__(self, shape: NetShape, *, width: int = 512) -> None:
        super().__init__(shape)
        counts = _counts(shape, width)
        self.first = Dense(shape.d_latent + shape.d_condition, counts[0] * START**2, rule=EQUALISED)
        self.base = Conv(counts[0], counts[0], 3, rule=EQUALISED)
        self.blocks = nn.ModuleList(ProgressiveBlock(a, b) for a, b in pairwise(counts))
        self.to_image = nn.ModuleList(Conv(c, shape.channels, 1, rule=EQUALISED_LINEAR) for c in counts)

    def forward(self, latents: Latents, stage: Stage | None = None) -> Float[Tensor, "b c h w"]:
        """Return images of the stage's size, of full size without a stage."""
        x = self.first(pixel_norm(join(latents.z, latents.y))).unflatten(1, (-1, START, START))
        x = pixel_norm(lrelu(self.base(pixel_norm(lrelu(x)))))
        return _grow(x, list(self.blocks)[: _depth(self.shape, stage)], self.to_image, stage)


@final
class StyleLayer(nn.Module):
    """(up, convolution, blur), noise, bias, leaky ReLU, instance norm, AdaIN; without convolution at the very start."""

    def __init__(self, inputs: int | None, outputs: int, d_style: int, *, enlarge: bool) -> None:
        super().__init__()
        self.conv = None if inputs is None else Conv(inputs, outputs, 3, rule=EQUALISED, bias=False)
        self.noise_gain = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.shift = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.norm = make_norm(Norm.ADAPTIVE_INSTANCE, outputs, d_condition=d_style, rule=EQUALISED_LINEAR)
        self.enlarge = enlarge

    def forward(
        self, x: Float[Tensor, "b c h w"], style: Float[Tensor, "b d"], noise: Float[Tensor, "b 1 h2 w2"]
    ) -> Tensor:
        """Return the styled activations."""
        if self.conv is not None:
            x = blur(self.conv(up(x))) if self.enlarge else self.conv(x)
        styled: Tensor = self.norm(lrelu(x + self.noise_gain * noise + self.shift), style)
        return styled


@final
class StyleDecoder(Decoder):
    """StyleGAN: a mapping to styles, a learnt constant, two styled layers per size.

    Args:
        shape: what it makes at full size.
        width: channels up to 32 px, and width of a style.
        mapping: layers of the mapping, whose learning rate is a hundredth.

    Source: Karras et al. 2019 (arXiv 1812.04948): style mixing, a running mean style (0.995) and truncation towards it
    in the first 8 layers.
    """

    mean_style: Float[Tensor, " width"]

    def __init__(self, shape: NetShape, *, width: int = 512, mapping: int = 8) -> None:
        counts = _counts(shape, width)
        planes = tuple(side for side in shape.sides for _ in range(2))
        super().__init__(shape, noise_planes=planes, style_layers=len(planes))
        self.embed = (
            Dense(shape.d_condition, shape.d_latent, rule=EQUALISED_LINEAR) if shape.d_condition else None
        )
        slow = WeightRule(constraint=EQUALISED.constraint, gain=EQUALISED.gain, rate=0.01)
        widths = [shape.d_latent * (2 if shape.d_condition else 1)] + [width] * mapping
        self.mapping = nn.ModuleList(Dense(a, b, rule=slow) for a, b in pairwise(widths))
        self.register_buffer("mean_style", torch.zeros(width))
        self.constant = nn.Parameter(torch.ones(1, counts[0], START, START))
        layers = [
            StyleLayer(None, counts[0], width, enlarge=False),
            StyleLayer(counts[0], counts[0], width, enlarge=False),
        ]
        for a, b in pairwise(counts):
            layers += [StyleLayer(a, b, width, enlarge=True), StyleLayer(b, b, width, enlarge=False)]
        self.layers = nn.ModuleList(layers)
        self.to_image = nn.ModuleList(Conv(c, shape.channels, 1, rule=EQUALISED_LINEAR) for c in counts)

    def map(self, z: Float[Tensor, "b d"], y: Float[Tensor, "b k"] | None) -> Float[Tensor, "b width"]:
        """Return the styles of latent vectors; while training, the running mean moves towards theirs."""
        w = pixel_norm(z if self.embed is None else join(z, self.embed(y)))
        for layer in self.mapping:
            w = lrelu(layer(w))
        if self.training:
            self.mean_style.lerp_(w.detach().float().mean(0), 1 - 0.995)
        return w

    def forward(self, latents: Latents, stage: Stage | None = None) -> Float[Tensor, "b c h w"]:
        """Return images of the stage's size, of full size without a stage.

        Raises:
            BatchError: if there is not one noise plane per layer.
        """
        if len(latents.noise) != len(self.layers):
            raise BatchError(
                f"This decoder takes {len(self.layers)} planes of noise, got {len(latents.noise)}. "
                "Draw latents with its noise_planes."
            )
        styles = self._styles(latents)
        layers = [
            partial(layer, style=style, noise=noise)
            for layer, style, noise in zip(self.layers, styles, latents.noise, strict=True)
        ]
        x = layers[1](layers[0](self.constant.expand(latents.z.shape[0], -1, -1, -1)))
        pairs = list(zip(layers[2::2], layers[3::2], strict=True))
        blocks = [partial(_both, pair) for pair in pairs[: _depth(self.shape, stage)]]
        return _grow(x, blocks, self.to_image, stage)

    def _styles(self, latents: Latents) -> list[Tensor]:
        own = self.map(latents.z, latents.y)
        styles = [own] * len(self.layers)
        if latents.z_mixed is not None:
            other = self.map(latents.z_mixed, latents.y)
            styles = styles[: latents.cut] + [other] * (len(styles) - latents.cut)
        if latents.psi != 1.0:
            styles = [torch.lerp(self.mean_style, w, latents.psi) for w in styles[:8]] + styles[8:]
        return styles


def _both(pair: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    return pair[1](pair[0](x))


@final
class ShrinkingBlock(nn.Module):
    """Twice a 3 x 3 convolution and leaky ReLU, then down."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, inputs, 3, rule=EQUALISED)
        self.conv2 = Conv(inputs, outputs, 3, rule=EQUALISED)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Return activations of half the side."""
        return down(lrelu(self.conv2(lrelu(self.conv1(x)))))


@final
class GrowingTrunk(Trunk):
    """The mirror of both decoders, with the minibatch deviation before the last convolution."""

    def __init__(self, shape: NetShape, *, width: int = 512) -> None:
        counts = _counts(shape, width)
        super().__init__(shape, d_vector=counts[0], d_map=counts[0])
        self.from_image = nn.ModuleList(Conv(shape.channels, c, 1, rule=EQUALISED) for c in counts)
        self.blocks = nn.ModuleList(ShrinkingBlock(b, a) for a, b in pairwise(counts))
        self.last = Conv(counts[0] + 1, counts[0], 3, rule=EQUALISED)
        self.to_vector = Dense(counts[0] * START**2, counts[0], rule=EQUALISED)

    def forward(self, x: Float[Tensor, "b c h w"], stage: Stage | None = None) -> TrunkOutput:
        """Return the features of images of the stage's size."""
        depth = _depth(self.shape, stage)
        features, h = [], lrelu(self.from_image[depth](x))
        for k in reversed(range(depth)):
            h = self.blocks[k](h)
            if k == depth - 1 and stage is not None and stage.alpha < 1.0:
                h = torch.lerp(lrelu(self.from_image[k](down(x))), h, stage.alpha)
            features.append(h)
        h = lrelu(self.last(minibatch_stddev(h)))
        return TrunkOutput(map=h, vector=lrelu(self.to_vector(h.flatten(1))), feats=(*features, h))
