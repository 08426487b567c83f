"""Trained generators as files that run without gan_aug, by torch.export or as ONNX, checked against the network.

In: a system, a path that ends in .pt2 or .onnx. Out: that file, and how far its images are from the network's.
Leaves drawing latent inputs to gan_aug.latents.

Convention: inputs are those of `Latents`: z [b, d_latent], y [b, d_condition] where the system has conditions or codes,
noise, a tuple of planes [b, 1, side, side] where it has noise (StyleGAN, LapGAN), which ONNX calls noise_0, noise_1 ...
Nothing is drawn inside, so equal inputs give equal images. The batch size b is free. Truncation of z is the caller's;
that of styles (psi) and the stage of a growing system are fixed when the file is written.
"""

import copy
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.errors import ExportError
from gan_aug.latents import Latents, Stage, draw_latents, random_stream
from gan_aug.system import System
from gan_aug.weights import constrained_layers

TOLERANCE = 1e-4  # of images in [-1, 1]; sums of float32 in another order differ by 1e-7 to 1e-5
TRACED = 3  # batch size of the trace
CHECKED = (1, 5)  # batch sizes of the check; unlike the trace's, so that a size frozen by it is noticed

Run = Callable[[Latents], Tensor]  # a file's images of some latent inputs


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedGenerator:
    """A file that was written and checked.

    Attributes:
        system: Name of the recipe.
        path: Of the file.
        inputs: The shape of every input after the batch size, by name.
        max_difference: The largest absolute difference between a number of the file's images and of the network's.
    """

    system: str
    path: Path
    inputs: dict[str, tuple[int, ...]]
    max_difference: float


@final
class LatentSampler(nn.Module):
    """A decoder, taken over, called with named tensors in place of `Latents`.

    The rules of its weights are applied once and for all: their results become the weights.
    """

    def __init__(self, decoder: nn.Module, *, stage: Stage | None, psi: float) -> None:
        super().__init__()
        self.decoder = decoder.requires_grad_(requires_grad=False)
        self.stage, self.psi = stage, psi
        for layer in constrained_layers(decoder):
            layer.weight.copy_(layer.constrain(layer.weight))
            layer.constrain = nn.Identity()

    def forward(
        self,
        z: Float[Tensor, "b d"],
        y: Float[Tensor, "b k"] | None = None,
        noise: tuple[Float[Tensor, "b 1 _h _w"], ...] = (),
    ) -> Float[Tensor, "b ..."]:
        """Return points or images."""
        latents = Latents(z=z, y=y, noise=noise, psi=self.psi)
        images: Tensor = self.decoder(latents, self.stage)
        return images


def program_inputs(latents: Latents) -> dict[str, Tensor | tuple[Tensor, ...]]:
    """Return the keyword arguments of a .pt2 file's module for some latent inputs."""
    entries = {"z": latents.z, "y": latents.y, "noise": latents.noise or None}
    return {name: each for name, each in entries.items() if each is not None}


def onnx_inputs(latents: Latents) -> dict[str, Tensor]:
    """Return the inputs of an .onnx file by name for some latent inputs, before they are made arrays."""
    entries = {"z": latents.z, "y": latents.y, **{f"noise_{k}": each for k, each in enumerate(latents.noise)}}
    return {name: each for name, each in entries.items() if each is not None}


def export_generator(
    system: System,
    path: Path,
    *,
    net: nn.Module | None = None,
    stage: Stage | None = None,
    psi: float = 1.0,
) -> ExportedGenerator:
    """Write the generator of a system for any processor, and check the written file on fixed inputs.

    Args:
        system: whose generator is written, in evaluation mode; it is left as it was.
        path: ends in .pt2, run by `torch.export.load(path).module()`; or in .onnx, run by onnxruntime.
        net: the generator to write, such as its moving average.
        stage: of a growing system; full size by default.
        psi: truncation of styles (StyleGAN).

    Raises:
        ExportError: if the ending is another one, a library is missing, or the file's images differ from the network's
            by 1e-4 or more; then nothing is written.
    """
    save, load = _format(path)
    decoder = copy.deepcopy(system.generator if net is None else net).cpu().eval()
    latents = _fixed_latents(system, TRACED)
    program = _trace(LatentSampler(copy.deepcopy(decoder), stage=stage, psi=psi), latents)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        save(program, draft)
        run = load(draft)
        fixed = [_fixed_latents(system, n, psi=psi) for n in CHECKED]
        # The maximum of a tensor keeps NaN, Python's may drop it.
        difference = float(torch.stack([_difference(decoder, run, each, stage) for each in fixed]).max())
        if not difference < TOLERANCE:  # NaN, too, is refused
            raise ExportError(
                f"Images of the exported {system.recipe.name} must be within {TOLERANCE:g} of the network's, they "
                f"differ by up to {difference:.2g}. Look in its decoder for numbers drawn inside or for layers that "
                "depend on the batch; no file was written."
            )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    shapes = {name: tuple(each.shape[1:]) for name, each in onnx_inputs(latents).items()}
    return ExportedGenerator(system=system.recipe.name, path=path, inputs=shapes, max_difference=difference)


def _format(path: Path) -> tuple[Callable[[torch.export.ExportedProgram, Path], None], Callable[[Path], Run]]:
    """Return how to write and how to run the file."""
    if path.suffix == ".pt2":
        return torch.export.save, _load_program
    if path.suffix != ".onnx":
        raise ExportError(f"An exported generator ends in .pt2 or .onnx, got {path.name!r}. Rename it.")
    for library in ("onnxscript", "onnxruntime"):
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise ExportError(
                f"Writing {path.name} needs {library}, which is not installed. Run `pip install onnxscript "
                "onnxruntime`, or write a .pt2 file."
            ) from error
    return _save_onnx, _load_onnx


def _trace(sampler: LatentSampler, latents: Latents) -> torch.export.ExportedProgram:
    inputs, rows = program_inputs(latents), {0: torch.export.Dim("b", min=1)}
    shapes = {name: (rows,) * len(each) if isinstance(each, tuple) else rows for name, each in inputs.items()}
    return torch.export.export(sampler, (), kwargs=inputs, dynamic_shapes=shapes)


def _load_program(path: Path) -> Run:
    module = torch.export.load(path).module()
    return lambda latents: module(**program_inputs(latents))


def _save_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    first, *others = program.graph_signature.user_inputs
    axes = {
        first: {0: "b"},
        **{other: {0: None} for other in others},
    }  # shared, so that one input names it for all
    with warnings.catch_warnings():
        # torch 2.13 calls a function of its own that it has deprecated.
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        torch.onnx.export(
            program,
            f=path,
            dynamo=True,
            dynamic_shapes=axes,
            output_names=["images"],
            external_data=False,
            verbose=False,
        )


def _load_onnx(path: Path) -> Run:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # threads that wait for work would slow down everything else
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(latents: Latents) -> Tensor:
        arrays = {name: each.numpy() for name, each in onnx_inputs(latents).items()}
        return torch.from_numpy(session.run(None, arrays)[0])

    return run


def _fixed_latents(system: System, n: int, *, psi: float = 1.0) -> Latents:
    """Return inputs as sampling draws them, a function of the batch size alone; labels take turns."""
    rng = random_stream(n, "export")
    width, code = system.shape.d_condition, system.recipe.code
    labels = torch.eye(width)[torch.arange(n) % width] if width else None
    y = code.draw(n, rng) if code is not None else labels
    planes = system.generator.noise_planes
    return draw_latents(n, system.shape.d_latent, generator=rng, y=y, noise_planes=planes, psi=psi)


@torch.no_grad()
def _difference(decoder: nn.Module, run: Run, latents: Latents, stage: Stage | None) -> Float[Tensor, ""]:
    expected: Tensor = decoder(latents, stage)
    return (run(latents) - expected).abs().max()
