"""`polyhash gan list` and `gan train`: a training goes on where it was cut, and what cannot be trained is told."""

import json
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from gan_aug import systems
from gan_aug.catalogue import RECIPES
from gan_aug.terms import Term
from service.cli import console, gan_plan
from service.cli.gan_run import TrainedGenerator
from tests.service.command import ROOT, polyhash, unfolded, write_pictures
from tests.service.gan_runs import TINY, checkpoint, metrics, pixels, trained

MNIST = ROOT.parent / "shared" / "data" / "mnist10k"


def flat(value, path=""):
    """Return every tensor and number of a checkpoint by its path."""
    pairs = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if pairs is None:
        return {path: value}
    return {name: each for key, child in pairs for name, each in flat(child, f"{path}/{key}").items()}


def interrupt_at(monkeypatch, step):
    """Let Ctrl-C come while a step is reported."""

    @contextmanager
    def progress(*_, **__):
        yield lambda done: signal.raise_signal(signal.SIGINT) if done == step else None

    monkeypatch.setattr(console, "progress", progress)


def test_the_list_names_every_system_with_its_parts():
    done = polyhash("gan", "list", "--json")
    assert [each["name"] for each in done.document] == [card.name for card in systems()]
    entries = {each["name"]: each for each in done.document}
    assert entries["biggan"] == {
        "name": "biggan",
        "paper": "Brock et al. 2019 (arXiv 1809.11096)",
        "generator": "ResnetDecoder (conditional batch norm, spectral weights)",
        "critic": "ResnetTrunk (spectral weights) projection",
        "critic_loss": "hinge",
        "generator_loss": "hinge, orthogonal-relaxed",
        "initialisation": "orthogonal",
        "extras": ["labels", "averaged by 0.9999"],
    }
    assert entries["wgan"]["extras"] == ["5 critic steps", "weights within 0.01"]
    shown = polyhash("gan", "list").out.splitlines()
    assert shown[0] == f"{len(systems())} systems"
    assert [line.split()[0] for line in shown[2:]] == [card.name for card in systems()]


def test_a_training_that_ctrl_c_stopped_goes_on_to_the_very_end_of_one_that_never_stopped(
    tmp_path, monkeypatch
):
    command = ("gan", "train", "lapgan", *TINY, "--steps", 6, "--seed", 3)  # with dropout
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    usual = signal.getsignal(signal.SIGINT)
    assert polyhash(*command, "--out", whole).status == 0
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        stopped = polyhash(*command, "--out", parts)
    assert (stopped.status, stopped.out) == (130, "")
    assert stopped.err.splitlines() == [
        "Writing a checkpoint after this step; Ctrl-C again ends without.",
        "Stopped after step 3 of 6. Give the same command again to go on from there.",
        "polyhash: Interrupted.",
    ]
    assert checkpoint(parts)["step"] == 3
    assert signal.getsignal(signal.SIGINT) is usual
    torch.manual_seed(99)
    rest = polyhash(*command, "--out", parts, "--json")
    assert (rest.status, rest.document["steps"], rest.document["images"]) == (0, 6, 48)
    assert rest.err == "Going on after step 3 of 6.\n"
    assert all(Path(rest.document[name]).is_file() for name in ("checkpoint", "metrics", "sheet", "curves"))
    first, second = flat(checkpoint(whole)), flat(checkpoint(parts))
    assert first.keys() == second.keys()
    for path, value in first.items():
        assert torch.equal(value, second[path]) if torch.is_tensor(value) else value == second[path], path
    assert metrics(whole) == metrics(parts)
    before = (parts / "last.pt").read_bytes()
    again = polyhash(*command, "--out", parts)
    assert (again.status, again.err) == (0, "The training is complete already; nothing was changed.\n")
    assert (parts / "last.pt").read_bytes() == before


def test_a_training_killed_before_its_first_checkpoint_begins_anew(tmp_path):
    out = trained(tmp_path / "run", "gan", *TINY, "--steps", 2)
    lines = metrics(out)
    (out / "last.pt").unlink()
    trained(out, "gan", *TINY, "--steps", 2)
    assert metrics(out) == lines


def test_a_folder_of_another_run_of_other_data_or_of_other_things_is_refused(tmp_path):
    write_pictures(tmp_path / "photos", 4)
    options = ("gan", "train", "gan", "--data", tmp_path / "photos", "--size", 8, "--width", 2, "--batch", 2)
    assert polyhash(*options, "--steps", 1, "--out", tmp_path / "run").status == 0
    done = polyhash(*options, "--steps", 2000, "--seed", 7, "--out", tmp_path / "run")
    assert (done.status, done.err) == (
        1,
        f"polyhash: {tmp_path / 'run'} holds a run of another configuration: steps 1 there, 2,000 asked for; seed 0 there, "
        "7 asked for. Give the options of that run to go on with it, or another --out.\n",
    )
    done = polyhash(*options, "--steps", 1, "--out", tmp_path / "photos")
    assert (done.status, done.err) == (
        1,
        f"polyhash: {tmp_path / 'photos'} holds '000.png' and no run of `polyhash gan train`. Give an empty or a new folder.\n",
    )
    (tmp_path / "photos" / "000.png").unlink()
    for command in ((*options, "--steps", 1, "--out"), ("gan", "eval")):
        done = polyhash(*command, tmp_path / "run")
        assert done.status == 1
        assert "are no longer what its training began with: 4 samples with the hash" in done.err


def test_growth_reaches_full_size_within_the_steps_and_stays_there(tmp_path):
    out = trained(tmp_path / "run", "progan", *TINY, "--size", 16, "--steps", 20)
    sizes = [line["size"] for line in metrics(out)]
    assert sizes == sorted(sizes)
    assert {size: sizes.count(size) for size in sizes} == {4: 3, 8: 5, 16: 12}
    assert polyhash("gan", "sample", out, "--out", tmp_path / "a.png", "--n", 4).status == 0
    assert pixels(tmp_path / "a.png").shape == (2 * 18 + 2, 2 * 18 + 2, 3)


def test_an_image_set_gives_its_labels_as_conditions_and_its_grey_pictures_one_channel(tmp_path):
    for name, level in (("dark", 20), ("light", 230)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k in range(3):
            Image.new("L", (12, 9), level + k).save(tmp_path / "set" / name / f"{k}.png")
    (tmp_path / "set" / "light" / "damaged.png").write_bytes(b"no picture")
    options = ("gan", "train", "cgan", "--data", tmp_path / "set", "--size", 8, "--width", 2, "--batch", 4)
    done = polyhash(*options, "--steps", 1, "--out", tmp_path / "run")
    assert done.status == 0
    assert "polyhash: skipped light/damaged.png: " in done.err
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert (facts["channels"], facts["count"], facts["names"]) == (1, 6, ["dark", "light"])
    few = polyhash(*options, "--samples", 3, "--steps", 1, "--out", tmp_path / "few")
    assert few.status == 0
    assert json.loads((tmp_path / "few" / "run.json").read_text())["data"]["names"] == ["dark", "light"]


def test_attributes_of_sprites_are_all_present_that_are_asked_for(tmp_path):
    out = trained(tmp_path / "run", "acgan", "--data", "sprites", *TINY, "--steps", 1)
    generator = TrainedGenerator(out)
    assert generator.conditions(2, ["hat", "smile"]).tolist() == [[0, 1, 1, 0, 0, 0]] * 2
    assert len({tuple(row) for row in generator.conditions(40).tolist()}) > 10
    assert polyhash("gan", "sample", out, "--out", tmp_path / "a.png", "--label", "hat").status == 0


def test_scenes_are_drawn_once(tmp_path):
    out = tmp_path / "run"
    options = (
        "gan",
        "train",
        "gan",
        "--data",
        "scenes",
        "--size",
        8,
        "--width",
        2,
        "--samples",
        3,
        "--out",
        out,
    )
    assert polyhash(*options, "--steps", 1).status == 0
    drawn = {path: path.stat().st_mtime_ns for path in (out / "scenes").rglob("*.jpg")}
    assert len(drawn) == 14
    for each in out.iterdir():
        if each.is_file():
            each.unlink()
    shutil.rmtree(out / "sheets")
    assert polyhash(*options, "--steps", 2).status == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "scenes").rglob("*.jpg")} == drawn


@pytest.mark.skipif(not MNIST.is_dir(), reason="mnist10k is not beside the repository")
def test_an_image_set_of_a_table_and_rows_is_learned_from_with_its_labels(tmp_path):
    out = trained(tmp_path / "run", "gan", "--data", f"{MNIST}:train", *TINY, "--steps", 1)
    facts = json.loads((out / "run.json").read_text())["data"]
    assert (facts["channels"], facts["count"], facts["names"]) == (1, 40, list("0123456789"))


def test_a_training_that_diverges_says_what_to_do(tmp_path, monkeypatch):
    recipe = RECIPES["gan"]
    poison = Term(name="poison", value=lambda step: step.fake.mean() * float("nan"))
    phases = (recipe.phases[0], replace(recipe.phases[1], terms=(poison,)))
    monkeypatch.setattr(gan_plan, "recipe_named", lambda _: replace(recipe, phases=phases))
    done = polyhash("gan", "train", "gan", *TINY, "--out", tmp_path / "run")
    assert done.status == 1
    assert "gan diverged at step 0: a loss or gradient is no longer finite." in done.err
    assert "The same command would end there again: train in another folder with another --seed" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("gam",), "There is no system 'gam'. Choose one of gan, gan-ns, "),
        (("gan", "--size", 12), "Image size must be a power of two from 8 px on, got 12."),
        (("gan", "--data", "nowhere"), "--data nowhere is none of digits, scenes, sprites, points, points25, and no"),
        (("progan", "--data", "points"), "progan is made of sizes of images, and points have none."),
        (("cgan", "--data", "flat", "--size", 8), "cgan learns from labels, and the data has none."),
        (("gan", "--data", "empty"), "could be read, so there is nothing to learn from. Give another set."),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_told_and_leaves_no_folder(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "flat", 2)
    (tmp_path / "empty").mkdir()
    done = polyhash("gan", "train", *options, "--out", "run")
    assert done.status == 1
    assert message in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "points", "--size", 8), "points have no size in px. Leave --size out."),
        (("--label", "kind"), "digits have no columns of labels. Leave --label out."),
        (("--device", "cuda"), "there is no GPU that torch can use. Leave --device out."),
        (("--steps", 0), "Invalid value for '--steps'"),
    ],
)
def test_wrong_usage_of_train_is_told(options, message, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = polyhash("gan", "train", "gan", *options, "--out", tmp_path / "run")
    assert done.status == 2
    assert message in unfolded(done.err)
