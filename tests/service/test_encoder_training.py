"""Training an encoder: the schedule, runs that survive an interruption, the report and the command."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from service.errors import ConflictError, DataLossError, InvalidArgumentError
from service.vision.descriptor import DescriptorBackbone
from service.vision.encoder.backbone import EncoderBackbone
from service.vision.encoder.network import EncoderNetwork
from service.vision.encoder.schedule import learning_rate, planned_steps, side_share
from service.vision.encoder.teacher import Teacher
from service.vision.encoder.trainer import CHECKPOINT, FIRST_PLAN_STEPS, Trainer, TrainingPlan
from service.vision.encoder.training_report import loss_curve_png, nearest, neighbours_png
from tests.service.command import polyhash
from tests.service.distilling import SHAPE, make_cache, render_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return render_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def cache(tmp_path, scenes):
    return make_cache(tmp_path / "cache", scenes)


def test_the_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [learning_rate(step, 1000, peak=0.5) for step in range(1001)]
    assert max(rates) == pytest.approx(0.5, rel=1e-2)
    assert rates.index(max(rates)) == pytest.approx(50, abs=1)
    assert all(a > b for a, b in pairwise(rates[51:]))
    assert rates[525] == pytest.approx(0.25, rel=1e-6)
    assert rates[1000] == pytest.approx(0, abs=1e-12)


def test_the_plan_follows_the_pace_and_never_takes_steps_back():
    assert planned_steps(30, 1200.0, 600.0) == 30
    n, seconds = 1000, 0.0
    budget = sum(side_share(step, n) ** 2 for step in range(n))
    for step in range(n):
        seconds += side_share(step, n) ** 2  # as long as there are pixels
        if step % 97 == 0:
            assert planned_steps(step + 1, seconds, budget) == pytest.approx(n, abs=3)


def test_pictures_grow_during_a_run():
    shares = [side_share(step, 100) for step in range(101)]
    assert shares == sorted(shares)
    assert (shares[0], shares[84], shares[-1]) == (0.6, 0.8, 1.0)


def network():
    torch.manual_seed(0)
    return EncoderNetwork(SHAPE)


def plan(**changed):
    return TrainingPlan(**({"steps": 12, "batch": 8, "parts": 2, "peak": 3e-3} | changed))


def test_an_interrupted_run_ends_with_the_same_bits(cache, tmp_path):
    whole = Trainer(network(), cache, plan(), tmp_path / "whole")
    expected = whole.run(lambda *_: None).state_dict()
    stopped = Trainer(network(), cache, plan(), tmp_path / "stopped")

    def stop(step, _total):
        if step == 5:
            stopped.save()
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run(stop)
    resumed = Trainer(network(), cache, plan(), tmp_path / "stopped")
    assert resumed.step == 5
    got = resumed.run(lambda *_: None).state_dict()
    assert all(torch.equal(got[key], expected[key]) for key in expected)
    assert resumed.history == whole.history


def total(record):
    return record.direction + record.maps + record.relations


def test_training_brings_the_loss_down(cache, tmp_path):
    trainer = Trainer(network(), cache, plan(steps=150, batch=16, peak=1e-2, mix_share=0.0), tmp_path / "run")
    trainer.run(lambda *_: None)
    first, last = trainer.history[0], trainer.history[-1]
    assert total(last) < 0.9 * total(first)
    assert last.direction < first.direction
    assert [record.step for record in trainer.history] == [50, 100, 150]


def test_minutes_become_steps_at_the_pace_of_the_first_ones_and_survive_resuming(cache, tmp_path):
    ticks = iter(range(10**6))
    trainer = Trainer(
        network(), cache, plan(steps=None, minutes=1.0), tmp_path / "run", clock=lambda: float(next(ticks))
    )
    totals = {}
    trainer.run(lambda step, total: totals.update({step: total}))
    assert totals[FIRST_PLAN_STEPS - 1] is None
    assert FIRST_PLAN_STEPS < trainer.step == trainer.total <= 60
    again = Trainer(network(), cache, plan(steps=None, minutes=2.0), tmp_path / "run")
    assert again.step == trainer.step < again.total


def test_a_checkpoint_of_another_plan_is_refused(cache, tmp_path):
    Trainer(network(), cache, plan(steps=1), tmp_path / "run").run(lambda *_: None)
    with pytest.raises(ConflictError, match="is of another run: it was made from"):
        Trainer(network(), cache, plan(steps=1, seed=1), tmp_path / "run")


def test_a_damaged_checkpoint_is_named(cache, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(DataLossError, match=r"The checkpoint .* is damaged"):
        Trainer(network(), cache, plan(), tmp_path)


# ---------------------------------------------------------------- report and command


def test_neighbours_are_those_of_the_largest_cosine():
    angles = np.array([0.0, 0.1, 2.0, 0.3, 3.1], dtype=np.float32)
    unit_rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert nearest(unit_rows, [0, 4], k=2) == [[0, 1, 3], [4, 2, 3]]


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mobilenet")
    config = transformers.MobileNetV2Config(depth_multiplier=0.25, finegrained_output=False, image_size=64)
    processor = transformers.MobileNetV2ImageProcessorPil(
        size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}
    )
    transformers.MobileNetV2Model(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_the_command_learns_writes_and_goes_on(tmp_path, scenes, teacher_folder):
    out = tmp_path / "own.safetensors"
    arguments = ("train", "encoder", f"{scenes}@10", "--teacher", teacher_folder, "--out", out)
    options = ("--checkpoint", tmp_path / "run", "--scenes", "0", "--steps", "1", "--threads", "1", "--json")
    done = polyhash(*arguments, *options)
    assert done.status == 0, done.err
    assert done.document["steps"] == "1"
    assert EncoderBackbone.load(out).identity == done.document["encoder"]
    assert {tensor.dtype for tensor in load_file(out).values()} == {torch.float16}
    for picture in ("own-loss.png", "own-neighbours.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    again = polyhash(*arguments, *options)
    assert again.document == done.document
    assert "Going on after step 1" in again.err


def test_views_of_a_set_must_be_a_number(tmp_path, scenes):
    done = polyhash("train", "encoder", f"{scenes}@many", "--teacher", "x", "--out", tmp_path / "own")
    assert done.status == 2
    assert "expected SET or SET@VIEWS" in done.err


@pytest.mark.parametrize("wrong", ["set", "teacher"])
def test_what_is_wrong_is_told_before_scenes_are_drawn(tmp_path, scenes, teacher_folder, wrong):
    done = polyhash(
        *("train", "encoder", "nowhere" if wrong == "set" else scenes),
        *("--teacher", "descriptor" if wrong == "teacher" else teacher_folder),
        *("--out", tmp_path / "own", "--checkpoint", tmp_path / "run"),
    )
    assert done.status != 0
    said = {"set": "Image set 'nowhere' does not exist", "teacher": "cannot teach"}[wrong]
    assert said in " ".join(done.err.split())
    assert not (tmp_path / "run").exists()


def test_a_teacher_averages_its_map():
    with pytest.raises(
        InvalidArgumentError, match="cannot teach: its map has 14 channels, its embedding 976"
    ):
        Teacher(DescriptorBackbone(), student_px=32, cells=2)


def test_pictures_of_a_report_are_pngs(cache):
    from service.vision.encoder.trainer import LossRecord  # noqa: PLC0415

    records = [LossRecord(step=s, direction=1 / s, maps=1 / s, relations=2 / s) for s in (1, 2, 3)]
    assert loss_curve_png(records, title="a run").startswith(b"\x89PNG")
    sheet = neighbours_png(cache.squares, np.array(cache.embeddings, dtype=np.float32), queries=[0, 3], k=3)
    assert sheet.startswith(b"\x89PNG")
