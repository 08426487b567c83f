"""Exported generators: every system's file does what sampling does, at any batch size; what is refused."""

import copy
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch

from gan_aug.catalogue import RECIPES
from gan_aug.decoders import Decoder
from gan_aug.errors import ExportError
from gan_aug.export import export_generator, onnx_inputs, program_inputs
from gan_aug.latents import Stage
from gan_aug.system import System

# The other kinds of decoders have quick tests of their own below.
QUICK = {"acgan", "biggan"}


def every_recipe_slow_but(quick):
    return pytest.mark.parametrize(
        "name", [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES]
    )


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def trained(name, size=8):
    """Return a system whose weights and running statistics are no longer those of the start."""
    system = System(RECIPES[name], channels=1 if size else 2, size=size, classes=3, width=4, seed=1)
    with torch.no_grad():
        for weight in system.generator.parameters():
            fan_in = weight[0].numel() if weight.ndim > 1 else 1
            weight.add_(torch.randn(weight.shape, generator=rng(7)), alpha=0.5 * fan_in**-0.5)
        for _ in range(20):
            system.generator.train()(sampled(system, 8)[1])
    return system


def conditions(system, n):
    if system.recipe.conditional:
        return torch.eye(3)[torch.arange(n) % 3]
    return None


def sampled(system, n, **options):
    """Return images as sampling makes them, and the latent inputs that they were made from."""
    seen = []
    net = options.get("net", system.generator)
    hook = net.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0]))
    images = system.sample(n, generator=rng(n), y=conditions(system, n), **options)
    hook.remove()
    return images, seen[0]


def load_program(path):
    module = torch.export.load(path).module()
    return lambda latents: module(**program_inputs(latents))


def load_onnx(path):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(latents):
        inputs = {name: each.numpy() for name, each in onnx_inputs(latents).items()}
        assert [each.name for each in session.get_inputs()] == list(inputs)
        return torch.from_numpy(session.run(["images"], inputs)[0])

    return run


def assert_samples(run, system, **options):
    for n in (1, 2, 7):
        images, latents = sampled(system, n, **options)
        assert images.std() > 0.01
        torch.testing.assert_close(run(latents), images, rtol=0, atol=1e-4)


@every_recipe_slow_but(QUICK)
def test_a_program_of_every_system_makes_what_sampling_makes_at_any_batch_size(name, tmp_path):
    system = trained(name, size=16)
    exported = export_generator(system, tmp_path / "new" / "generator.pt2")
    assert exported.max_difference < 1e-5
    assert exported.system == name
    assert [each.name for each in exported.path.parent.iterdir()] == ["generator.pt2"]
    assert_samples(load_program(exported.path), system)


@every_recipe_slow_but({"lapgan"})
def test_an_onnx_file_of_every_system_makes_what_sampling_makes_at_any_batch_size(name, tmp_path):
    pytest.importorskip("onnxscript")
    system = trained(name, size=16)
    exported = export_generator(system, tmp_path / "generator.onnx")
    assert [each.name for each in tmp_path.iterdir()] == ["generator.onnx"]
    assert_samples(load_onnx(exported.path), system)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "load"), [("pt2", load_program), ("onnx", load_onnx)])
def test_attention_at_64_px_is_exported_too(suffix, load, tmp_path):
    if suffix == "onnx":
        pytest.importorskip("onnxscript")
    system = trained("biggan", size=64)
    assert system.generator.attention[-1].gain != 0
    assert_samples(load(export_generator(system, tmp_path / f"g.{suffix}").path), system)


@pytest.mark.parametrize(("name", "inputs"), [("gan", {"z": (100,)}), ("infogan", {"z": (62,), "y": (12,)})])
def test_the_inputs_are_those_of_sampling(name, inputs, tmp_path):
    system = trained(name)
    exported = export_generator(system, tmp_path / "generator.pt2")
    assert exported.inputs == inputs
    assert_samples(load_program(exported.path), system)


def test_noise_is_an_input_so_a_file_repeats_itself_and_heeds_the_planes(tmp_path):
    system = trained("lapgan", size=16)
    exported = export_generator(system, tmp_path / "generator.pt2")
    assert exported.inputs == {"z": (100,), "y": (3,), "noise_0": (1, 16, 16)}
    run = load_program(exported.path)
    assert_samples(run, system)
    _, latents = sampled(system, 2)
    assert run(latents).equal(run(latents))
    other = replace(latents, noise=tuple(-plane for plane in latents.noise))
    assert not torch.allclose(run(other), run(latents), atol=1e-3)


def test_style_truncation_and_the_stage_of_a_growing_system_are_fixed_in_the_file(tmp_path):
    system = trained("stylegan")
    options = {"psi": 0.5, "stage": Stage(size=8, alpha=0.25)}
    run = load_program(export_generator(system, tmp_path / "fading.pt2", **options).path)
    assert_samples(run, system, **options)
    images, latents = sampled(system, 2)
    assert not torch.allclose(run(latents), images, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["progan", "stylegan"])
def test_a_small_stage_makes_small_images(name, tmp_path):
    system = trained(name, size=32)
    stage = Stage(size=16, alpha=0.5)
    for suffix, load in (("pt2", load_program), ("onnx", load_onnx)):
        if suffix == "onnx":
            pytest.importorskip("onnxscript")
        assert_samples(
            load(export_generator(system, tmp_path / f"g.{suffix}", stage=stage).path), system, stage=stage
        )


def test_the_average_can_be_written_in_place_of_the_generator(tmp_path):
    system = trained("acgan")
    average = copy.deepcopy(system.generator)
    with torch.no_grad():
        average.first.weight.neg_()
    exported = export_generator(system, tmp_path / "average.pt2", net=average)
    assert_samples(load_program(exported.path), system, net=average)


def test_a_generator_of_points_is_exported_too(tmp_path):
    system = trained("cgan", size=None)
    exported = export_generator(system, tmp_path / "points.pt2")
    assert_samples(load_program(exported.path), system)


def test_the_system_stays_as_it_was(tmp_path):
    system = trained("biggan")
    before = copy.deepcopy(system.generator.state_dict())
    export_generator(system, tmp_path / "generator.pt2")
    assert all(value.equal(before[name]) for name, value in system.generator.state_dict().items())
    assert all(module.training for module in system.generator.modules())
    assert all(weight.requires_grad for weight in system.generator.parameters())


class RestlessDecoder(Decoder):
    """Draws noise of its own, so that no file of it can be checked."""

    def forward(self, latents, stage=None):
        del stage
        return latents.z + torch.randn_like(latents.z)


def test_a_file_that_differs_from_its_network_is_refused_and_leaves_the_one_before(tmp_path):
    system = System(replace(RECIPES["gan"], generator=partial(RestlessDecoder)), channels=1, size=16)
    path = tmp_path / "generator.pt2"
    path.write_text("the one before")
    torch.manual_seed(0)
    message = r"exported gan must be within 0\.0001 of the network's, they differ by up to \d"
    with pytest.raises(ExportError, match=message):
        export_generator(system, path)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["the one before"]


def test_a_network_that_makes_no_numbers_of_one_label_alone_is_refused(tmp_path):
    system = trained("cgan", size=None)
    with torch.no_grad():
        system.generator.hidden[0].weight[:, -1] = 1e38
        system.generator.hidden[1].weight.abs_().mul_(1e3)
    with pytest.raises(ExportError, match="differ by up to nan"):
        export_generator(system, tmp_path / "generator.pt2")


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ExportError, match=r"ends in \.pt2 or \.onnx, got 'generator\.pt'"):
        export_generator(trained("gan"), tmp_path / "generator.pt")


@pytest.mark.parametrize("library", ["onnxscript", "onnxruntime"])
def test_a_missing_library_is_named_before_anything_is_written(library, tmp_path, monkeypatch):
    for each in ("onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, each, sys.modules["types"])
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExportError, match=f"needs {library}, which is not installed. Run `pip install"):
        export_generator(trained("gan"), tmp_path / "generator.onnx")
    assert not list(tmp_path.iterdir())
