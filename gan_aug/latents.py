"""What a generator is given: latent vectors, conditions, noise planes; and the stage of a growing network.

In: a generator of random numbers. Out: `Latents`, on its device. Leaves the networks to the decoders.
"""

import zlib
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gan_aug.errors import RecipeError


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far a growing network has grown: the side of its images in px, and the share of the newest block."""

    size: int
    alpha: float = 1.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Latents:
    """The input of a decoder.

    Args:
        z: standard normal, unless truncated.
        y: the condition; none for an unconditional decoder.
        noise: standard normal planes, one per entry of the decoder's `noise_planes`.
        z_mixed: a second latent vector, taken by style layers from `cut` on.
        cut: number of style layers that see z.
        psi: share of the way from the mean style to a sample's own, in the first layers.
    """

    z: Float[Tensor, "b d"]
    y: Float[Tensor, "b k"] | None = None
    noise: tuple[Float[Tensor, "b 1 _h _w"], ...] = ()
    z_mixed: Float[Tensor, "b d"] | None = None
    cut: int = 0
    psi: float = 1.0


def random_stream(seed: int, purpose: str, *, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of random numbers for one purpose.

    Two generators of one seed give the same numbers: latent vectors would equal rows of initial weights, and a network
    answers those as it answers no others. Hence a stream per purpose.
    """
    state = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> np.uint64(1)))


def draw_latents(
    n: int,
    width: int,
    *,
    generator: torch.Generator,
    y: Float[Tensor, "n k"] | None = None,
    noise_planes: tuple[int, ...] = (),
    layers: int = 0,
    mixing: float = 0.0,
    threshold: float | None = None,
    psi: float = 1.0,
) -> Latents:
    """Return n latent inputs on the device of the generator.

    Args:
        n: how many.
        width: of z.
        generator: of all random numbers.
        y: conditions to go with them.
        noise_planes: sides of the noise planes, in px.
        layers: number of style layers, of which a mixed batch cuts one off at random.
        mixing: probability that a batch mixes two styles (Karras et al. 2019: 0.9).
        threshold: entries of z beyond it are drawn anew (Brock et al. 2019); none keeps all.
        psi: passed on.
    """
    device = generator.device
    z = truncated_normal(n, width, threshold=threshold, generator=generator)
    noise = tuple(torch.randn(n, 1, side, side, generator=generator, device=device) for side in noise_planes)
    z_mixed, cut = None, 0
    if layers > 1 and float(torch.rand((), generator=generator, device=device)) < mixing:
        z_mixed = torch.randn(n, width, generator=generator, device=device)
        cut = int(torch.randint(1, layers, (), generator=generator, device=device))
    return Latents(z=z, y=y, noise=noise, z_mixed=z_mixed, cut=cut, psi=psi)


def truncated_normal(
    n: int, width: int, *, threshold: float | None, generator: torch.Generator
) -> Float[Tensor, "n width"]:
    """Return standard normal numbers, those beyond the threshold drawn again until none is.

    Raises:
        RecipeError: if the threshold is below 0.02, under which almost every number is drawn again.
    """
    if threshold is not None and threshold < 0.02:
        raise RecipeError(f"The truncation threshold must be at least 0.02, got {threshold}.")
    z = torch.randn(n, width, generator=generator, device=generator.device)
    while threshold is not None and bool((outside := z.abs() > threshold).any()):
        fresh = torch.randn(n, width, generator=generator, device=generator.device)
        z = torch.where(outside, fresh, z)
    return z
