"""Schedules against tables written out."""

import pytest
import torch
from torch import nn

from gan_aug.errors import RecipeError
from gan_aug.latents import Stage
from gan_aug.recipes import WGAN
from gan_aug.recipes_multiscale import LAPGAN_SGD
from gan_aug.schedule import Average, Clock, Growth, Method, Optimiser


def test_growth_is_stable_then_fades_and_stays_at_every_doubling():
    growth = Growth(start=4, fade_images=100, stable_images=50)
    stages = {
        seen: growth.stage(seen, 16) for seen in (0, 49, 50, 75, 149, 150, 199, 200, 250, 300, 349, 10**6)
    }
    assert stages == {
        0: Stage(size=4), 49: Stage(size=4),
        50: Stage(size=8, alpha=0.0), 75: Stage(size=8, alpha=0.25), 149: Stage(size=8, alpha=0.99),
        150: Stage(size=8), 199: Stage(size=8),
        200: Stage(size=16, alpha=0.0), 250: Stage(size=16, alpha=0.5), 300: Stage(size=16), 349: Stage(size=16),
        10**6: Stage(size=16),
    }  # fmt: skip
    with pytest.raises(RecipeError, match="fade_images > 0 and stable_images >= 0, got 0 and 5"):
        Growth(fade_images=0, stable_images=5)


def test_the_rate_falls_linearly_from_its_point_to_zero():
    half = Optimiser(lr=1.0, decay_from=0.5)
    rates = [half.rate(Clock(step=step, steps=100, epoch=0)) for step in (0, 50, 75, 99, 100, 120)]
    assert rates == pytest.approx([1, 1, 0.5, 0.02, 0, 0])
    assert Optimiser(lr=1.0).rate(Clock(step=100, steps=100, epoch=9)) == 1.0


@pytest.mark.parametrize("method", Method)
def test_every_method_takes_its_rate_from_the_clock(method):
    spec = Optimiser(method=method, lr=0.5, betas=(0.0, 0.9), decay_from=0.0)
    weight = nn.Parameter(torch.ones(1))
    optimiser = spec.make([weight])
    spec.adjust_(optimiser, Clock(step=0, steps=10, epoch=0))
    weight.sum().backward()
    optimiser.step()
    first = {Method.ADAM: 0.5, Method.RMSPROP: 0.5 / 0.1**0.5, Method.SGD: 0.5}[method]
    assert weight.item() == pytest.approx(1 - first, rel=1e-5)
    spec.adjust_(optimiser, Clock(step=10, steps=10, epoch=0))
    optimiser.step()
    assert weight.item() == pytest.approx(1 - first, rel=1e-5)


def test_lapgans_momentum_grows_by_epoch_to_its_limit_while_the_rate_decays():
    optimiser = LAPGAN_SGD.make([nn.Parameter(torch.ones(1))])
    seen = []
    for epoch in (0, 100, 2000):
        LAPGAN_SGD.adjust_(optimiser, Clock(step=0, steps=1, epoch=epoch))
        seen.append((optimiser.param_groups[0]["momentum"], optimiser.param_groups[0]["lr"]))
    assert [m for m, _ in seen] == pytest.approx([0, 0.08, 0.7])
    assert [lr for _, lr in seen] == pytest.approx([0.02, 0.02 / 1.00004**100, 0.02 / 1.00004**2000])


def test_wgans_critic_takes_a_hundred_batches_at_the_start_and_every_five_hundredth_step():
    repeats = [WGAN.phases[0].repeats_at(step) for step in (0, 24, 25, 499, 500, 501, 1000)]
    assert repeats == [100, 100, 5, 5, 100, 5, 100]


def test_an_average_copies_until_its_start_then_moves_slowly_and_copies_statistics():
    net, mean = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    with torch.no_grad():
        net.weight.fill_(5.0)
        net.running_mean.fill_(3.0)
    average = Average(decay=0.9, start=2)
    average.update_(mean, net, 1)
    assert mean.weight.item() == 5
    with torch.no_grad():
        net.weight.fill_(15.0)
    average.update_(mean, net, 2)
    assert mean.weight.item() == pytest.approx(0.9 * 5 + 0.1 * 15)
    assert mean.running_mean.item() == 3
