"""The trainer: exact resume for every system, phases, growth, averages, guards, files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from gan_aug.catalogue import RECIPES
from gan_aug.data import Dataset, Loader, ring
from gan_aug.errors import CheckpointError, DivergedError, RecipeError
from gan_aug.latents import random_stream
from gan_aug.schedule import Growth
from gan_aug.system import System
from gan_aug.terms import Term
from gan_aug.trainer import Trainer, Training

SMALL = Growth(start=8, fade_images=8, stable_images=8)


def images():
    rng = np.random.default_rng(0)
    y = np.eye(3, dtype=np.float32)[np.arange(10) % 3]
    return Dataset(samples=rng.integers(0, 256, (10, 1, 16, 16), dtype=np.uint8), y=y, names=("a", "b", "c"))


def trainer(out, recipe, dataset=None, *, batch_size=4, seed=0, **options):
    dataset = dataset or images()
    phases = tuple(replace(p, warm_steps=0, warm_every=0, repeats=min(p.repeats, 2)) for p in recipe.phases)
    recipe = replace(recipe, phases=phases, growth=recipe.growth and SMALL)
    system = System(
        recipe, channels=dataset.channels, size=dataset.size, classes=len(dataset.names), width=4, seed=seed
    )
    loader = Loader(dataset, batch_size=batch_size, seed=seed)
    settings = {"steps": 8, "log_every": 1, **options}
    return Trainer(system, loader, Training(out=out, seed=seed, **settings))


def content(out):
    """Return every tensor and number of the last checkpoint, flat."""
    flat, pending = {}, [("", torch.load(out / "last.pt", weights_only=True))]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{path}/{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            pending += [(f"{path}/{key}", each) for key, each in enumerate(value)]
        else:
            flat[path] = value
    return flat


def assert_same(first, second):
    assert first.keys() == second.keys()
    for path, value in first.items():
        same = value.equal(second[path]) if isinstance(value, torch.Tensor) else value == second[path]
        assert same, path


@pytest.mark.parametrize("name", RECIPES)
def test_training_stopped_and_resumed_is_bit_for_bit_one_that_never_stopped(name, tmp_path):
    torch.manual_seed(0)
    whole = trainer(tmp_path / "whole", RECIPES[name])
    whole.train(4)
    torch.manual_seed(0)
    trainer(tmp_path / "parts", RECIPES[name]).train(2)
    torch.manual_seed(99)
    rest = trainer(tmp_path / "parts", RECIPES[name], seed=0)
    rest.restore(tmp_path / "parts" / "last.pt")
    rest.train(2)
    assert_same(content(tmp_path / "whole"), content(tmp_path / "parts"))
    lines = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "parts")]
    assert lines[0] == lines[1]


def test_two_hundred_steps_on_points_equal_one_hundred_and_one_hundred_more(tmp_path):
    data = ring().dataset(500, seed=0)
    recipe = RECIPES["gan-r1"]
    torch.manual_seed(0)
    trainer(tmp_path / "whole", recipe, data, steps=200).train(200)
    torch.manual_seed(0)
    trainer(tmp_path / "parts", recipe, data, steps=200).train(100)
    rest = trainer(tmp_path / "parts", recipe, data, steps=200)
    rest.restore(tmp_path / "parts" / "last.pt")
    rest.train(100)
    assert_same(content(tmp_path / "whole"), content(tmp_path / "parts"))


def test_resuming_drops_metrics_that_came_after_the_checkpoint(tmp_path):
    first = trainer(tmp_path, RECIPES["gan"])
    first.train(2)
    first.save(tmp_path / "early.pt")
    first.train(2)
    second = trainer(tmp_path, RECIPES["gan"])
    second.restore(tmp_path / "early.pt")
    second.train(1)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]


def test_a_training_told_to_stop_ends_after_the_step_under_way_with_a_checkpoint(tmp_path):
    run = trainer(tmp_path, RECIPES["gan"])
    run.train(8, stop=lambda: run.step == 3)
    assert run.step == content(tmp_path)["/step"] == 3


def test_latent_vectors_have_nothing_in_common_with_the_initial_weights(tmp_path):
    """With one stream for both, the first latent vectors of StyleGAN were the rows of its mapping."""
    seen = []
    run = trainer(tmp_path, RECIPES["stylegan"])
    rows = run.system.generator.mapping[0].weight.detach().clone() / 100
    run.system.generator.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].z))
    run.train(1)
    run.average.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].z))
    run.sample_sheet()
    for z in seen:
        cosines = torch.nn.functional.cosine_similarity(z[:, None], rows[None], dim=-1)
        assert cosines.abs().max() < 0.3


def test_a_phase_changes_its_own_networks_alone(tmp_path):
    recipe = RECIPES["gan"]
    recipe = replace(recipe, phases=(recipe.phases[0], replace(recipe.phases[1], every=3)))
    run = trainer(tmp_path, recipe)

    def weights(net):
        return torch.cat([p.detach().flatten().clone() for p in run.system.nets[net].parameters()])

    moved = []
    for _ in range(4):
        before = weights("critic"), weights("generator")
        run.train(1)
        moved.append((not weights("critic").equal(before[0]), not weights("generator").equal(before[1])))
    assert moved == [(True, True), (True, False), (True, False), (True, True)]


def test_networks_outside_a_phase_are_frozen_so_that_no_graph_is_built_for_them(tmp_path):
    seen = []

    def watch(step):
        seen.append((step.fake.requires_grad, next(step.nets["critic"].parameters()).requires_grad))
        return step.fake.detach().mean()

    recipe = RECIPES["gan"]
    phases = tuple(replace(p, terms=(*p.terms, Term(name="watch", value=watch))) for p in recipe.phases)
    trainer(tmp_path, replace(recipe, phases=phases)).train(1)
    assert seen == [(False, True), (True, False)]


def test_repeats_take_a_fresh_batch_each(tmp_path):
    run = trainer(tmp_path, RECIPES["wgan-gp"])
    run.train(1)
    assert run.loader.position == 4 * (2 + 1)
    assert run.images_seen == 4


def test_clipped_weights_stay_within_their_bound(tmp_path):
    run = trainer(tmp_path, RECIPES["wgan"])
    run.train(2)
    assert max(p.abs().max() for p in run.system.critic.parameters()) <= 0.01
    assert max(p.abs().max() for p in run.system.generator.parameters()) > 0.01


def test_gradients_are_clipped_to_their_limit(tmp_path):
    run = trainer(tmp_path, RECIPES["lapgan"], clip_gradient=1e-3)
    run.system.recipe = replace(
        run.system.recipe,
        phases=tuple(replace(p, optimiser=replace(p.optimiser, lr=1.0)) for p in run.system.recipe.phases),
    )
    before = [p.detach().clone() for p in run.system.critic.parameters()]
    run.train(1)
    moved = [(a - b).square().sum() for a, b in zip(run.system.critic.parameters(), before, strict=True)]
    assert sum(moved).sqrt().item() == pytest.approx(1e-3, rel=1e-3)


def test_growth_passes_through_the_sizes_and_begins_optimisers_anew(tmp_path):
    run = trainer(tmp_path, RECIPES["progan"])
    sizes, ages = [], []
    run.train(5, progress=lambda metrics: sizes.append(metrics["size"]))
    ages = [int(state["step"]) for state in run.optimisers[0].state.values()]
    assert sizes == [8, 8, 16, 16, 16]
    assert max(ages) == 3


def test_sheets_come_from_the_moving_average(tmp_path):
    run = trainer(tmp_path, RECIPES["gan-r1"])
    run.train(2)
    own = run.system.sample(64, generator=random_stream(0, "sheets"))
    assert not run.sample_sheet().equal(own)
    run.average.load_state_dict(run.system.generator.state_dict())
    assert run.sample_sheet().equal(own)


def poisoned(recipe, at):
    """Return the recipe with a term in the generator's phase that becomes nan at some call."""
    calls = iter(range(1000))
    term = Term(
        name="poison", value=lambda step: step.fake.mean() * (float("nan") if next(calls) >= at else 0.0)
    )
    critic, generator = recipe.phases
    return replace(recipe, phases=(critic, replace(generator, terms=(*generator.terms, term))))


def test_a_loss_that_is_not_finite_stops_training_with_a_report_and_unharmed_weights(tmp_path):
    run = trainer(tmp_path, poisoned(RECIPES["gan"], at=2))
    with pytest.raises(
        DivergedError, match=r"gan diverged at step 2: generator/poison, generator/gradient must be"
    ) as info:
        run.train(8)
    assert info.value.report["not_finite"] == ["generator/poison", "generator/gradient"]
    assert json.loads((tmp_path / "diverged.json").read_text()) == info.value.report
    assert all(torch.isfinite(p).all() for net in run.system.nets.values() for p in net.parameters())
    assert not (tmp_path / "last.pt").exists()


def test_a_training_leaves_metrics_curves_sheets_and_a_checkpoint(tmp_path):
    trainer(tmp_path, RECIPES["gan"], sheet_every=2).train(3)
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == ["curves.png", "last.pt", "metrics.jsonl", "sheets/0000002.png", "sheets/0000003.png"]
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert list(first) == [
        "step", "critic/minimax", "critic/gradient", "generator/minimax", "generator/gradient",
    ]  # fmt: skip


def test_a_checkpoint_of_another_system_or_shape_is_refused(tmp_path):
    trainer(tmp_path, RECIPES["gan"]).train(1)
    with pytest.raises(CheckpointError, match=r"is of the system 'gan', this is 'gan-ns'"):
        trainer(tmp_path, RECIPES["gan-ns"]).restore(tmp_path / "last.pt")
    colour = Dataset(samples=np.zeros((4, 3, 16, 16), np.uint8))
    with pytest.raises(CheckpointError, match="has networks of another shape"):
        trainer(tmp_path, RECIPES["gan"], colour).restore(tmp_path / "last.pt")


def test_a_training_needs_steps(tmp_path):
    with pytest.raises(
        RecipeError, match="needs steps and log_every from 1 on and sheet_every from 0 on, got 0, 10 and 0"
    ):
        Training(out=tmp_path, steps=0)
