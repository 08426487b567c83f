"""Objectives against their formulas written out, and their slopes on two parallel lines."""

import math

import pytest
import torch
from torch import nn

from gan_aug.objectives import HINGE, LEAST_SQUARES, MINIMAX, NON_SATURATING, OBJECTIVES, WASSERSTEIN
from gan_aug.penalties import WGAN_DIV, WGAN_GP


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


WRITTEN = {
    MINIMAX: (lambda r: -log_sigmoid(r), lambda f: -log_sigmoid(-f), lambda f: log_sigmoid(-f)),
    NON_SATURATING: (lambda r: -log_sigmoid(r), lambda f: -log_sigmoid(-f), lambda f: -log_sigmoid(f)),
    LEAST_SQUARES: (lambda r: (r - 1) ** 2, lambda f: f**2, lambda f: (f - 1) ** 2),
    HINGE: (lambda r: max(0.0, 1 - r), lambda f: max(0.0, 1 + f), lambda f: -f),
    WASSERSTEIN: (lambda r: -r, lambda f: f, lambda f: -f),
}


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda each: each.name)
def test_losses_are_the_means_of_their_formulas_summed_over_scales(objective):
    on_real, on_fake, on_generated = WRITTEN[objective]
    torch.manual_seed(0)
    real, fake = ([torch.randn(5, 1, s, s).double() for s in (3, 2)] for _ in range(2))

    def written(scales, formula):
        return sum(sum(map(formula, each.flatten().tolist())) / each.numel() for each in scales)

    assert objective.critic_loss(real, fake).item() == pytest.approx(
        written(real, on_real) + written(fake, on_fake)
    )
    assert objective.generator_loss(fake).item() == pytest.approx(written(fake, on_generated))


def slope_between_lines(objective, penalty, *, steps):
    """Return |dL_G / d theta| for real points (0, y) and fake points (theta, y) at theta = 1 (Arjovsky et al. 2017)."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimiser = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.9))

    def line(x):
        return torch.stack([torch.full((128,), x), torch.rand(128)], 1)

    for _ in range(steps):
        real, fake = line(0.0), line(1.0)
        loss = objective.critic_loss([critic(real)], [critic(fake)])
        if penalty is not None:
            loss = loss + penalty(critic, real, fake, generator=rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    theta = torch.ones((), requires_grad=True)
    fake = torch.stack([theta.expand(128), torch.rand(128)], 1)
    (slope,) = torch.autograd.grad(objective.generator_loss([critic(fake)]), theta)
    return slope.abs().item()


def test_minimax_leaves_the_generator_without_slope_once_the_critic_separates_the_lines():
    assert slope_between_lines(MINIMAX, None, steps=600) < 1e-6


def test_non_saturating_slope_grows_past_one():
    assert slope_between_lines(NON_SATURATING, None, steps=600) > 5


def test_wasserstein_with_gradient_penalty_has_slope_one():
    assert slope_between_lines(WASSERSTEIN, WGAN_GP, steps=400) == pytest.approx(1.0, abs=0.1)


def test_wasserstein_divergence_has_the_slope_of_its_closed_form():
    """Minimising -s + k s^p gives s = (1 / (k p))^(1 / (p - 1)) = 0.608."""
    k, p = WGAN_DIV.weight, WGAN_DIV.power
    assert slope_between_lines(WASSERSTEIN, WGAN_DIV, steps=400) == pytest.approx(
        (1 / (k * p)) ** (1 / (p - 1)), abs=0.06
    )
