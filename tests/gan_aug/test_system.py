"""Every named system: builds, gets gradients everywhere, heeds conditions, refuses data that do not fit."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from gan_aug import systems
from gan_aug.catalogue import RECIPES, recipe_named
from gan_aug.data import Batch
from gan_aug.errors import BatchError, RecipeError
from gan_aug.latents import Stage
from gan_aug.system import System, fade
from gan_aug.weights import Dense

every_recipe = pytest.mark.parametrize("name", RECIPES)
GENERATED_BY_THE_SURVEY = {
    "gan", "cgan", "acgan", "infogan", "wgan", "wgan-gp", "gan-r1", "wgan-div", "sngan", "lapgan", "progan", "biggan",
    "stylegan",
}  # fmt: skip
Y = torch.eye(3)[[0, 1, 2, 1]]


def build(name, size=16, **options):
    return System(RECIPES[name], channels=1, size=size, classes=3, width=4, **options)


def batch(size=16):
    return Batch(images=torch.randn(4, 1, size, size, generator=rng()).clamp(-1, 1), y=Y)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def stage_of(system):
    return Stage(size=16, alpha=0.5) if system.recipe.growth else None


def test_the_list_names_every_system_of_the_survey_with_paper_and_parts():
    cards = {card.name: card for card in systems()}
    assert cards.keys() >= GENERATED_BY_THE_SURVEY
    assert all("20" in card.paper for card in cards.values())
    assert cards["biggan"].parts == (
        "ResnetDecoder",
        "ResnetTrunk projection",
        "critic: hinge",
        "generator: hinge, orthogonal-relaxed",
    )
    assert cards["progan"].parts[2] == "critic: wasserstein, wgan-gp, drift"


def test_an_unknown_system_is_answered_with_the_list():
    with pytest.raises(RecipeError, match=r"no system 'bigan'\. Choose one of gan, .*biggan"):
        recipe_named("bigan")
    assert recipe_named("gan") is RECIPES["gan"]


@every_recipe
def test_a_gradient_reaches_every_weight_of_the_networks_that_learn(name):
    system = build(name)
    stage = stage_of(system)
    for parameter_name, parameter in system.generator.named_parameters():
        if "noise_gain" in parameter_name:
            parameter.data.fill_(
                0.5
            )  # at 0, the start, the first layer sees a constant, whose deviation is 0
    for phase in system.recipe.phases:
        for key, net in system.nets.items():
            net.zero_grad()
            net.requires_grad_(key in phase.train)
        tensors = system.tensors(batch(), rng(), stage)
        total = sum(term.weight * term.value(tensors) for term in phase.terms)
        assert torch.isfinite(total)
        total.backward()
        for key, net in system.nets.items():
            unused = {"to_image.0", "from_image.0"} if stage else set()  # of 4 px, two sizes below
            for parameter_name, parameter in net.named_parameters():
                if key not in phase.train or any(each in parameter_name for each in unused):
                    assert parameter.grad is None, parameter_name
                else:
                    assert parameter.grad is not None, parameter_name
                    assert parameter.ndim < 2 or parameter.grad.abs().max() > 0, parameter_name


@every_recipe
def test_samples_follow_from_the_seeds_and_leave_the_mode_alone(name):
    first, second, other = build(name), build(name), build(name, seed=1)

    def sample(system, seed=0):
        y = Y if system.recipe.conditional else None
        return system.sample(4, generator=rng(seed), y=y)

    assert sample(first).shape == (4, 1, 16, 16)
    assert sample(first).equal(sample(second))
    assert not sample(first).equal(sample(first, seed=1))
    assert not sample(first).equal(sample(other))
    assert first.generator.training
    assert not sample(first).requires_grad


@pytest.mark.parametrize(
    "name", [name for name, recipe in RECIPES.items() if recipe.conditional or recipe.code]
)
def test_conditions_change_the_samples(name):
    system = build(name)
    y = torch.eye(system.shape.d_condition)[:4] if system.recipe.code else Y
    images = [system.sample(len(y), generator=rng(), y=each) for each in (y, y.roll(1, 0))]
    assert (images[0] - images[1]).abs().max() > 1e-4 * images[0].abs().max()


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if not r.growth and n != "lapgan"])
def test_systems_also_learn_points_in_the_plane(name):
    system = System(RECIPES[name], channels=2, size=None, classes=3, width=8)
    points = Batch(images=torch.randn(4, 2, generator=rng()), y=Y)
    for phase in system.recipe.phases:
        tensors = system.tensors(points, rng())
        assert torch.isfinite(sum(term.weight * term.value(tensors) for term in phase.terms))
    assert tensors.fake.shape == (4, 2)


def test_points_need_a_system_without_sizes():
    for name in ("progan", "lapgan"):
        with pytest.raises(RecipeError, match=f"{name} is made of sizes of images, and points have none"):
            System(RECIPES[name], channels=2, size=None, classes=3)


def test_conditional_systems_ask_for_labels():
    with pytest.raises(RecipeError, match="cgan learns from labels, and the data has none"):
        System(RECIPES["cgan"], channels=1, size=16)
    system = build("cgan")
    with pytest.raises(BatchError, match="cgan learns from labels, and the batch has none"):
        system.tensors(Batch(images=batch().images), rng())
    with pytest.raises(BatchError, match=r"makes 2 images from conditions of 3 numbers each, got none"):
        system.sample(2, generator=rng())
    with pytest.raises(BatchError, match=r"got \(4, 3\)"):
        system.sample(2, generator=rng(), y=Y)


def test_fake_conditions_are_the_batchs_own_in_another_order_and_stay_in_place_for_pyramids():
    tensors = build("acgan").tensors(batch(), rng(3))
    assert Counter(map(tuple, tensors.fake_y.tolist())) == Counter(map(tuple, Y.tolist()))
    assert build("lapgan").tensors(batch(), rng()).fake_y.equal(Y)


def test_real_images_are_seen_at_the_stages_size_and_coarseness():
    x = batch().images
    small = torch.nn.functional.avg_pool2d(x, 2)
    assert fade(x, Stage(size=16)).equal(x)
    torch.testing.assert_close(fade(x, Stage(size=8)), small)
    doubled = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(fade(x, Stage(size=16, alpha=0.25)), 0.75 * doubled + 0.25 * x)


def test_orthogonal_term_sums_over_layers_and_leaves_embeddings_out():
    system = build("biggan")
    (_, term) = system.recipe.phases[1].terms
    tensors = system.tensors(batch(), rng())
    before = term.value(tensors)
    with torch.no_grad():
        system.generator.embed.weight.mul_(100)
    assert term.value(tensors).equal(before)
    expected = 0.0
    for layer in system.generator.modules():
        if isinstance(layer, Dense) or type(layer).__name__ == "Conv":
            gram = layer.weight.flatten(1) @ layer.weight.flatten(1).T
            expected += (gram - torch.diag(gram.diag())).square().sum().item()
    assert before.item() == pytest.approx(expected, rel=1e-4)


def test_truncation_narrows_biggans_latents_and_stylegans_styles():
    system = build("biggan")
    seen = []
    system.generator.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].z))
    system.sample(4, generator=rng(), y=Y, threshold=0.5)
    assert seen[0].abs().max() <= 0.5
    style = build("stylegan")

    def spread(psi):
        noise = torch.Generator().manual_seed(0)
        images = style.sample(4, generator=noise, psi=psi)
        return images.std(0).mean()

    assert spread(0.0) < spread(1.0)


def test_a_recipe_with_a_code_is_needed_to_recover_one():
    recipe = replace(RECIPES["gan"], phases=RECIPES["infogan"].phases)
    system = System(recipe, channels=1, size=16, width=4)
    with pytest.raises(RecipeError, match="Recovering a code needs a recipe with an InfoCode"):
        recipe.phases[0].terms[1].value(system.tensors(batch(), rng()))
