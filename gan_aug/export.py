"""Trained generators as files that need no gan_aug: torch.export programs and ONNX, checked against the network.

In: a system, a path ending in .pt2 or .onnx. Out: that file, and how far its images are from the network's.
Leaves drawing latent inputs to gan_aug.latents; the file takes them as they are.

Convention: inputs are named z [b, d_latent], y [b, d_condition] where the system has conditions or codes, and noise_0,
noise_1 ... [b, 1, side, side], one per noise plane (StyleGAN, LapGAN). Nothing is drawn inside: equal inputs give equal
images. The batch size b is free. Truncation of z is the caller's; that of styles, psi, and the stage of a growing system
are fixed when the file is written.
"""

import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.errors import GanError
from gan_aug.latents import Latents, Stage, draw_latents, random_stream
from gan_aug.system import System
from gan_aug.weights import constrained_layers

TOLERANCE = 1e-4  # of images in [-1, 1]; float32 sums in another order differ by 1e-6 to 1e-5
BATCHES = (1, 5)  # of the check; neither is the size at which the network is traced
TRACED = 3

Run = Callable[[dict[str, Tensor]], Tensor]


class ExportError(GanError):
    """A generator that cannot be written as the file asked for, or a file that does not do what the generator does."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedGenerator:
    """A file that was written and checked.

    Attributes:
        system: Name of the recipe.
        path: Of the file.
        inputs: Shape of every input by name; "b" stands for the batch size.
        max_difference: Largest absolute difference between an output of the file and of the network.
    """

    system: str
    path: Path
    inputs: dict[str, tuple[str | int, ...]]
    max_difference: float


@final
class LatentSampler(nn.Module):
    """A decoder called with tensors by name in place of `Latents`, its weights' rules applied once and for all."""

    def __init__(self, decoder: nn.Module, *, stage: Stage | None, psi: float) -> None:
        super().__init__()
        self.decoder = copy.deepcopy(decoder).cpu().eval().requires_grad_(requires_grad=False)
        self.stage, self.psi = stage, psi
        for layer in constrained_layers(self.decoder):
            layer.weight.copy_(layer.constrain(layer.weight))
            layer.constrain = nn.Identity()

    def forward(
        self,
        z: Float[Tensor, "b d"],
        y: Float[Tensor, "b k"] | None = None,
        noise: tuple[Float[Tensor, "b 1 _h _w"], ...] = (),
    ) -> Float[Tensor, "b ..."]:
        """Return points or images."""
        images: Tensor = self.decoder(Latents(z=z, y=y, noise=noise, psi=self.psi), self.stage)
        return images


def export_generator(
    system: System,
    path: Path,
    *,
    net: nn.Module | None = None,
    stage: Stage | None = None,
    psi: float = 1.0,
) -> ExportedGenerator:
    """Write the generator of a system, and check the file on inputs that depend on nothing but the system.

    Args:
        system: whose generator is written, in evaluation mode; it is left as it was.
        path: ends in .pt2 (torch.export; run by `torch.export.load(path).module()`) or .onnx (onnxruntime).
        net: the generator to write, such as the moving average; the system's own by default.
        stage: of a growing system; full size by default.
        psi: truncation of styles (StyleGAN).

    Raises:
        ExportError: if the ending is another, a library is missing, or outputs of the file differ from the network's
            by `TOLERANCE` or more; then no file is left.
    """
    save, load = _format(path)
    decoder = system.generator if net is None else net
    sampler = LatentSampler(decoder, stage=stage, psi=psi)
    example = _inputs(system, TRACED)
    batch = torch.export.Dim("b", min=1)
    program = torch.export.export(
        sampler,
        (),
        kwargs=_arguments(example),
        dynamic_shapes=torch.utils._pytree.tree_map(lambda _: {0: batch}, _arguments(example)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save(program, path)
    return program, sampler, example


def _inputs(system: System, n: int) -> dict[str, Any]:
    rng = random_stream(n, "export")
    width = system.shape.d_condition
    code = system.recipe.code
    y = None
    if width:
        y = torch.eye(width)[torch.arange(n) % width] if code is None else code.draw(n, rng)
    planes = system.generator.noise_planes
    return draw_latents(n, system.shape.d_latent, y=y, noise_planes=planes, generator=rng)

def _arguments(l):
    return {"z": l.z} | ({} if l.y is None else {"y": l.y}) | ({"noise": l.noise} if l.noise else {})

def _format(path):
    return lambda program, path: torch.export.save(program, path), None
