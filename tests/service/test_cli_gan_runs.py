"""`polyhash gan sample`, `eval` and `export`: sheets, figures and programs of what a run has learned."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_aug.export import program_inputs
from gan_aug.latents import draw_latents, random_stream
from service.cli.gan_data import load_data
from service.cli.gan_run import TrainedGenerator
from tests.service.command import polyhash, unfolded
from tests.service.gan_runs import PICTURES_ONCE, TINY, checkpoint, metrics, pixels, trained


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Small trainings that the tests below only read."""
    folder = tmp_path_factory.mktemp("runs")
    trained(folder / "acgan", "acgan", *TINY, "--steps", 4)
    trained(folder / "gan-r1", "gan-r1", *TINY, "--steps", 4)
    trained(folder / "stylegan", "stylegan", *TINY, "--steps", 2, "--size", 16)
    trained(
        folder / "points",
        "wgan-gp",
        "--data",
        "points",
        *PICTURES_ONCE,
        "--samples",
        50,
        "--width",
        8,
        "--steps",
        3,
    )
    return folder


def test_points_are_learned_with_the_constants_of_toy_problems(runs):
    assert "critic/wgan-gp-toy" in metrics(runs / "points")[0]
    assert TrainedGenerator(runs / "points").system.shape.d_latent == 2


def test_a_sheet_has_a_column_for_every_label_and_follows_from_its_seed(runs, tmp_path):
    def sheet(name, *options):
        done = polyhash("gan", "sample", runs / "acgan", "--out", tmp_path / name, *options)
        assert (done.status, done.err) == (0, "")
        return pixels(tmp_path / name)

    assert sheet("all.png", "--n", 20).shape == (2 * 10 + 2, 10 * 10 + 2, 3)
    some = sheet("some.png", "--n", 6, "--label", "3", "--label", "4")
    assert some.shape == (3 * 10 + 2, 2 * 10 + 2, 3)
    assert (some == sheet("again.png", "--n", 6, "--label", "3", "--label", "4")).all()
    assert (some != sheet("seed.png", "--n", 6, "--label", "3", "--label", "4", "--seed", 1)).any()
    changed = some != sheet("other.png", "--n", 6, "--label", "3", "--label", "5")
    assert changed[:, 12:].any()
    assert not changed[:, :12].any()


def test_samples_come_from_the_averaged_generator(runs):
    generator = TrainedGenerator(runs / "gan-r1")
    state, saved = generator.system.generator.state_dict(), checkpoint(runs / "gan-r1")
    assert all(torch.equal(state[name], value) for name, value in saved["average"].items())
    assert any(not torch.equal(state[name], value) for name, value in saved["nets"]["generator"].items())


@pytest.mark.parametrize(("run", "value"), [("stylegan", 0.0), ("gan-r1", 0.1)])
def test_truncation_makes_samples_more_alike(runs, run, value):
    generator = TrainedGenerator(runs / run)
    free, truncated = (
        torch.cat(list(generator.sample(120, seed=0, truncation=each))) for each in (None, value)
    )
    assert truncated.std(0).mean() < 0.9 * free.std(0).mean()


def test_a_sheet_of_points_is_a_picture_of_the_plane(runs, tmp_path):
    done = polyhash("gan", "sample", runs / "points", "--out", tmp_path / "a.png", "--n", 5, "--json")
    assert done.document == {
        "system": "wgan-gp", "step": 3, "samples": 5, "seed": 0, "file": str(tmp_path / "a.png"),
    }  # fmt: skip
    assert pixels(tmp_path / "a.png").shape == (500, 500, 4)


def test_points_are_measured_in_their_plane(runs):
    done = polyhash("gan", "eval", runs / "points", "--n", 60, "--json").document
    found = {name: each for name, each in done.items() if isinstance(each, dict)}
    assert set(found) == {
        "frechet_distance", "kernel_distance", "precision_recall", "density_coverage", "diversity", "mode_coverage",
    }  # fmt: skip
    assert {each["space"] for each in found.values()} == {"plane"}
    assert (found["frechet_distance"]["n_real"], found["frechet_distance"]["n_fake"]) == (50, 60)
    assert (found["mode_coverage"]["modes"], found["mode_coverage"]["high_quality"]) == (8, 0)
    shown = polyhash("gan", "eval", runs / "points", "--n", 60).out.splitlines()
    assert shown[0] == "wgan-gp after 3 steps on points"
    assert all("plane" in line for line in shown[2:])


def test_every_figure_of_images_names_the_backbone(runs):
    done = polyhash("gan", "eval", runs / "acgan", "--n", 30, "--backbone", "descriptor")
    title, headings, *lines = done.out.splitlines()
    assert title == "acgan after 4 steps on digits"
    assert headings.split() == ["figure", "value", "space", "real", "drawn"]
    assert [line.split("  ")[0] for line in lines] == [
        "FID", "KID", "KID, standard error", "precision", "recall", "density", "coverage", "diversity",
        "diversity of real samples",
    ]  # fmt: skip
    assert all("descriptor@" in line and "embeddings at 128 px" in line for line in lines)
    assert lines[-1].split()[-3:] == ["10", "x", "10"]


def test_a_generator_that_repeats_the_data_is_near_and_covers_all(runs, monkeypatch):
    def repeat(self, n, **_):
        data = load_data(self.run.options, Path())
        yield data.batch(np.arange(n)).images

    monkeypatch.setattr(TrainedGenerator, "sample", repeat)
    done = polyhash("gan", "eval", runs / "gan-r1", "--n", 40, "--json").document
    assert done["frechet_distance"]["space"].startswith("polyhash-encoder@")
    assert done["frechet_distance"]["value"] == pytest.approx(0, abs=1e-6)
    assert done["precision_recall"]["precision"] == done["density_coverage"]["coverage"] == 1
    assert done["diversity"]["ratio"] == pytest.approx(1)


def test_an_exported_generator_draws_what_the_run_does(runs, tmp_path):
    done = polyhash("gan", "export", runs / "acgan", "--out", tmp_path / "g.pt2", "--json").document
    assert done["inputs"] == {"z": [100], "y": [10]}
    assert done["max_difference"] < 1e-4
    generator = TrainedGenerator(runs / "acgan")
    y = generator.conditions(7, ["2"])
    latents = draw_latents(7, 100, generator=random_stream(5, "samples"), y=y)
    exported = torch.export.load(tmp_path / "g.pt2").module()(**program_inputs(latents))
    (drawn,) = generator.sample(7, seed=5, y=y)
    assert torch.allclose(exported, drawn, atol=1e-4)
    told = polyhash("gan", "export", runs / "acgan", "--out", tmp_path / "g.pt2").out
    assert "inputs: z [b, 100], y [b, 10]. Its images differ from the network's by at most" in told


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        (("sample", "acgan", "--out", "a.jpg"), 2, "a sheet ends in .png, got 'a.jpg'."),
        (("sample", "acgan", "--out", "a.png", "--label", "x"), 1, "was not trained with the label 'x'. It knows 0, 1, 2"),
        (("sample", "gan-r1", "--out", "a.png", "--label", "1"), 1, "gan-r1 learns without labels, so it has none"),
        (("sample", "gan-r1", "--out", "a.png", "--truncation", 0), 1, "The truncation threshold must be at least 0.02"),
        (("sample", "nowhere", "--out", "a.png"), 1, "nowhere holds no run. Give the folder of a `polyhash gan train`."),
        (("eval", "points", "--backbone", "encoder"), 2, "points are compared in their plane, not by a backbone."),
        (("eval", "acgan", "--backbone", "nothing"), 1, "There is no backbone 'nothing'."),
        (("eval", "acgan", "--n", 5, "--backbone", "descriptor"), 1, "needs at least 20 real samples, got 5"),
        (("export", "acgan", "--out", "g.zip"), 1, "An exported generator ends in .pt2 or .onnx, got 'g.zip'."),
        (("export", "acgan", "--out", "g.pt2", "--truncation", 0.5), 2, "acgan has no styles; truncate what you give"),
    ],
)  # fmt: skip
def test_what_a_run_cannot_do_is_told(command, status, message, runs, monkeypatch):
    monkeypatch.chdir(runs)
    done = polyhash("gan", *command)
    assert done.status == status
    assert message in unfolded(done.err)


def test_a_damaged_run_is_told(runs, tmp_path):
    def refused(change):
        out = tmp_path / "run"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(runs / "acgan", out)
        change(out)
        done = polyhash("gan", "sample", out, "--out", tmp_path / "a.png")
        assert done.status == 1
        return done.err

    def edit(old, new):
        return lambda out: (out / "run.json").write_text((out / "run.json").read_text().replace(old, new))

    assert "cannot be read as a run" in refused(lambda out: (out / "run.json").write_text("{"))
    assert "its format is 'polyhash gan run 9', not 'polyhash gan run 1'" in refused(edit("run 1", "run 9"))
    assert "last.pt does not fit run.json beside it" in refused(edit('"width": 4', '"width": 5'))
    assert "has no checkpoint yet. Give `polyhash gan train` again" in refused(
        lambda out: (out / "last.pt").unlink()
    )
    assert "cannot be read as a checkpoint" in refused(lambda out: (out / "last.pt").write_bytes(b"none"))
