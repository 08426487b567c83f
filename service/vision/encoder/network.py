"""The compact network of our own encoder: a residual net of few channels and dense 3 x 3 convolutions.

In: scaled pixels. Out: a feature map whose mean over the cells is the embedding. Weights in files are left to
`weight_file`, preparing pictures to `backbone`, learning to `trainer`.

Source: He et al. 2016 (CVPR), basic blocks; the averaging shortcut is that of He et al. 2019 (CVPR), ResNet-D.
Differs from the paper: the map is projected before it is averaged, so that every cell can be compared with the teacher's.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from service.errors import InvalidArgumentError

HEAD_STD = 0.01  # targets are about 1 long over all channels together; maps begin smaller than that


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderShape:
    """How large a network is; what a weight file says of it.

    Attributes:
        stem: Channels of the first convolution, which halves the picture.
        widths: Channels of each stage; every stage halves the map again.
        depths: Blocks of each stage.
        dim: Width d of map and embedding.
    """

    stem: int = 16
    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 2, 1)
    dim: int = 256

    def __post_init__(self) -> None:
        sizes = (self.stem, self.dim, *self.widths, *self.depths)
        if not self.widths or len(self.widths) != len(self.depths) or min(sizes) < 1:
            raise InvalidArgumentError(
                f"An encoder has a width and a depth of at least 1 per stage, got widths {self.widths}, depths"
                f" {self.depths}, stem {self.stem} and dim {self.dim}. Give as many widths as depths.",
                reason="ENCODER_SHAPE",
            )

    @property
    def stride(self) -> int:
        """Input pixels per cell of the map."""
        return int(2 ** (1 + len(self.widths)))


@final
class EncoderNetwork(nn.Module):
    """The network of a shape, with fresh weights of torch's global generator."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = _normed(3, shape.stem, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        channels = shape.stem
        for width, depth in zip(shape.widths, shape.depths, strict=True):
            for position in range(depth):
                blocks.append(ResidualBlock(channels, width, stride=1 if position else 2))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(channels, shape.dim, 1)
        self.apply(_start_)
        nn.init.normal_(self.head.weight, std=HEAD_STD)

    def forward(self, pixels: Float[Tensor, "n 3 s_h s_w"]) -> Float[Tensor, "n d h w"]:
        """Return the feature maps of n scaled pictures; `embeddings_of` averages them."""
        return self.head(self.blocks(torch.relu(self.stem(pixels))))  # type: ignore[no-any-return]  # a module's call


def embeddings_of(maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n d"]:
    """Return the embeddings that belong to feature maps: their means over the cells."""
    return maps.mean((2, 3))


@final
class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which averages and projects where the shape changes."""

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.first = _normed(channels, width, kernel=3, stride=stride)
        self.second = _normed(width, width, kernel=3)
        same = stride == 1 and channels == width
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.AvgPool2d(
                    stride, ceil_mode=True
                ),  # ceil: as many cells as a padded 3 x 3 convolution leaves
                _normed(channels, width, kernel=1),
            )
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h2 w2"]:
        """Return the block's output."""
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def _normed(channels: int, width: int, *, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


def _start_(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if isinstance(layer, ResidualBlock):
        # A block begins as its shortcut alone (Goyal et al. 2017, arXiv 1706.02677, 5.1).
        nn.init.zeros_(layer.second.get_parameter("1.weight"))
