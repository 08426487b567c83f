"""What happens to a cached view each time it is trained on: size, colours, blur, mirroring, and mixing with another view.

In: a batch of views with the teacher's targets, and a generator. Out: pixels and targets for one step. Crops are drawn
before, in `views`, because the teacher must see them too.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast,
    adjust_saturation_with_gray_subtraction,
)
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

FACTORS = (0.6, 1.4)  # of brightness and contrast
SATURATIONS = (0.2, 1.6)
BLURRED_SHARE = 1 / 8
BLUR_PX = 5
BLUR_SIGMAS = (0.4, 1.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Network input and what the teacher makes of it.

    Attributes:
        pixels: From -1 to 1.
        maps: The teacher's projected feature maps.
        embeddings: Its projected embeddings.
    """

    pixels: Float[Tensor, "n 3 s s"]
    maps: Float[Tensor, "n d h w"]
    embeddings: Float[Tensor, "n d"]


def augment(
    views: UInt8[Tensor, "n s s 3"],
    maps: Float[Tensor, "n d h w"],
    embeddings: Float[Tensor, "n d"],
    *,
    side_px: int,
    cells: int,
    mix_share: float,
    generator: torch.Generator,
) -> Batch:
    """Return views with other colours, some blurred, half of them mirrored, and perhaps mixed; same device.

    Args:
        views: In random order: the first ones are blurred.
        maps: The teacher's targets of the views as they are.
        embeddings: Likewise.
        side_px: Views are made so small.
        cells: Side of the map that a network makes of them; the targets' cells are averaged.
        mix_share: Probability that the pictures of this batch are mixed.
        generator: Of the CPU; what is drawn does not depend on the device.
    """
    n, device = len(views), views.device

    def draw(low: float, high: float, *size: int) -> Tensor:
        return (low + (high - low) * torch.rand(size, generator=generator)).to(device)

    pixels = views.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last).float() / 255
    if side_px != pixels.shape[-1]:
        pixels = interpolate(pixels, size=(side_px, side_px), mode="bilinear", antialias=True)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        maps = adaptive_avg_pool2d(maps, cells)
    pixels = adjust_brightness_accumulative(pixels, draw(*FACTORS, n))
    pixels = adjust_contrast(pixels, draw(*FACTORS, n))
    pixels = adjust_saturation_with_gray_subtraction(pixels, draw(*SATURATIONS, n))
    blurred = round(BLURRED_SHARE * n)
    if blurred:
        sigma = draw(*BLUR_SIGMAS, blurred, 1).expand(-1, 2)
        soft = gaussian_blur2d(pixels[:blurred], (BLUR_PX, BLUR_PX), sigma)
        pixels = torch.cat([soft, pixels[blurred:]])
    batch = mirror(Batch(pixels=pixels * 2 - 1, maps=maps, embeddings=embeddings), draw(0.0, 1.0, n) < 0.5)
    if float(torch.rand((), generator=generator)) >= mix_share:
        return batch
    return mix(batch, torch.randperm(n, generator=generator).to(device), draw(0.0, 1.0, n))


def mirror(batch: Batch, which: Tensor) -> Batch:
    """Return the batch with some of its pictures and their maps mirrored left to right."""
    chosen = which[:, None, None, None]
    return Batch(
        pixels=torch.where(chosen, batch.pixels.flip(3), batch.pixels),
        maps=torch.where(chosen, batch.maps.flip(3), batch.maps),
        embeddings=batch.embeddings,
    )


def mix(batch: Batch, partners: Tensor, shares: Float[Tensor, " n"]) -> Batch:
    """Return every picture blended with its partner, and its targets likewise: `share x own + (1 - share) x partner's`.

    Source: mixup, Zhang et al. 2018 (ICLR, arXiv 1710.09412).
    Differs from the paper: the share is drawn evenly, as Beyer et al. 2022 (CVPR, arXiv 2106.05237) do for distillation.
    """
    own = shares[:, None, None, None]
    return Batch(
        pixels=own * batch.pixels + (1 - own) * batch.pixels[partners],
        maps=own * batch.maps + (1 - own) * batch.maps[partners],
        embeddings=shares[:, None] * batch.embeddings + (1 - shares[:, None]) * batch.embeddings[partners],
    )
