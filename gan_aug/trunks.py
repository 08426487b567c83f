"""Trunks of critics: images or points to a map of features and one vector (05-gan 1.2, 1.5).

In: points [b, channels] or images. Out: `TrunkOutput`. Leaves scores to gan_aug.critics; the growing trunk is in
gan_aug.growing.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_aug.blocks import START, NetShape, ResidualDown, SelfAttention, channels_at, lrelu
from gan_aug.latents import Stage
from gan_aug.norms import Norm, make_norm
from gan_aug.weights import PLAIN, Conv, Dense, WeightRule


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkOutput:
    """The last map, the vector made of it, and the features of every block."""

    map: Tensor
    vector: Float[Tensor, "b d"]
    feats: tuple[Tensor, ...]


class Trunk(nn.Module, ABC):
    """What comes before a critic's heads.

    Args:
        shape: what it sees, condition planes included.
        d_vector: width of its vector.
        d_map: channels of its map.
    """

    def __init__(self, shape: NetShape, *, d_vector: int, d_map: int) -> None:
        super().__init__()
        self.shape, self.d_vector, self.d_map = shape, d_vector, d_map

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c ..."], stage: Stage | None = None) -> TrunkOutput:
        """Return the features; the stage is ignored by a trunk that does not grow."""


@final
class MlpTrunk(Trunk):
    """Three ReLU layers on points."""

    def __init__(self, shape: NetShape, *, width: int = 128, rule: WeightRule = PLAIN) -> None:
        super().__init__(shape, d_vector=width, d_map=width)
        self.layers = nn.ModuleList(
            Dense(a, b, rule=rule) for a, b in pairwise([shape.channels, width, width, width])
        )

    def forward(self, x: Float[Tensor, "b c"], stage: Stage | None = None) -> TrunkOutput:
        """Return the features; the vector is the map."""
        del stage
        feats = []
        for layer in self.layers:
            x = relu(layer(x))
            feats.append(x)
        return TrunkOutput(map=x, vector=x, feats=tuple(feats))


@final
class DcganTrunk(Trunk):
    """4 x 4 convolutions of stride 2 down to 4 px, leaky ReLU; the vector is the flattened map (Radford et al. 2016).

    Args:
        shape: what it sees.
        width: channels after the first convolution; they double at each smaller side.
        norm: after every convolution but the first; none or instance under a gradient penalty.
        rule: of all weights.
    """

    def __init__(
        self, shape: NetShape, *, width: int = 64, norm: Norm = Norm.BATCH, rule: WeightRule = PLAIN
    ) -> None:
        sides = shape.sides[-2::-1]
        counts = [channels_at(s, budget=width * shape.side // 2, cap=16 * width) for s in sides]
        super().__init__(shape, d_vector=counts[-1] * START**2, d_map=counts[-1])
        self.convs = nn.ModuleList(
            Conv(a, b, 4, stride=2, rule=rule) for a, b in pairwise([shape.channels, *counts])
        )
        kinds = [Norm.NONE] + [norm] * (len(counts) - 1)
        self.norms = nn.ModuleList(make_norm(kind, c) for kind, c in zip(kinds, counts, strict=True))

    def forward(self, x: Float[Tensor, "b c h w"], stage: Stage | None = None) -> TrunkOutput:
        """Return the features."""
        del stage
        feats = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = lrelu(norm(conv(x)))
            feats.append(x)
        return TrunkOutput(map=x, vector=x.flatten(1), feats=tuple(feats))


@final
class ResnetTrunk(Trunk):
    """Residual blocks down to 4 px and one more, ReLU; the vector is the sum over pixels (Brock et al. 2019).

    Args:
        shape: what it sees.
        width: channels after the first block; they double at each smaller side, up to 16 times.
        rule: of all weights.
        attention_at: side in px after whose block pixels attend to each other; none for nowhere.
        residual: factor on the residuals.
    """

    def __init__(
        self,
        shape: NetShape,
        *,
        width: int = 64,
        rule: WeightRule = PLAIN,
        attention_at: int | None = None,
        residual: float = 1.0,
    ) -> None:
        sides = shape.sides[-2::-1]
        counts = [channels_at(s, budget=width * shape.side // 2, cap=16 * width) for s in sides]
        super().__init__(shape, d_vector=counts[-1], d_map=counts[-1])
        widths = [shape.channels, *counts]
        self.blocks = nn.ModuleList(
            ResidualDown(a, b, rule=rule, first=k == 0, residual=residual)
            for k, (a, b) in enumerate(pairwise(widths))
        )
        self.attention = nn.ModuleList(
            SelfAttention(count, rule=rule) if side == attention_at else nn.Identity()
            for side, count in zip(sides, counts, strict=True)
        )
        self.last = ResidualDown(counts[-1], counts[-1], rule=rule, halve=False, residual=residual)

    def forward(self, x: Float[Tensor, "b c h w"], stage: Stage | None = None) -> TrunkOutput:
        """Return the features."""
        del stage
        feats = []
        for block, attend in zip(self.blocks, self.attention, strict=True):
            x = attend(block(x))
            feats.append(x)
        x = relu(self.last(x))
        return TrunkOutput(map=x, vector=x.sum((2, 3)), feats=(*feats, x))
