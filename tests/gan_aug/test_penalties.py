"""Gradient penalties against closed forms of linear critics and against loops over samples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gan_aug.errors import BatchError
from gan_aug.penalties import (
    DRAGAN,
    PENALTIES,
    R1,
    R2,
    WGAN_DIV,
    WGAN_GP,
    WGAN_LP,
    Points,
    clip_weights_,
    drift,
    penalty_points,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3))
@settings(max_examples=25, deadline=None)
def test_penalties_of_a_linear_critic_are_their_closed_forms(slope):
    a = torch.tensor(slope, dtype=torch.double)
    real, fake = torch.randn(2, 6, 3, dtype=torch.double, generator=generator())
    norm = a.norm().item()

    def measured(penalty):
        return penalty(lambda x: x @ a, real, fake, generator=generator()).item()

    assert measured(WGAN_GP) == pytest.approx(10 * (norm - 1) ** 2, abs=1e-9)
    assert measured(WGAN_LP) == pytest.approx(10 * max(0, norm - 1) ** 2, abs=1e-9)
    assert measured(DRAGAN) == pytest.approx(10 * (norm - 1) ** 2, abs=1e-9)
    assert measured(R1) == measured(R2) == pytest.approx(10 / 2 * norm**2, abs=1e-9)
    assert measured(WGAN_DIV) == pytest.approx(2 * norm**6, abs=1e-9)


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda each: each.name)
def test_a_penalty_and_its_gradient_equal_a_loop_over_samples(penalty):
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3), nn.Softplus()
    ).double()
    real, fake = torch.randn(2, 5, 2, 4, 4, dtype=torch.double, generator=generator())
    total = torch.zeros((), dtype=torch.double)
    for x in penalty_points(penalty.points, real, fake, generator(1)):
        point = x[None].requires_grad_()
        (gradient,) = torch.autograd.grad(critic(point).sum(), point, create_graph=True)
        excess = gradient.square().sum().sqrt() - penalty.centre
        total = total + (excess.clamp_min(0) if penalty.one_sided else excess) ** penalty.power / 5
    expected = torch.autograd.grad(penalty.weight * total, list(critic.parameters()), allow_unused=True)
    value = penalty(critic, real, fake, generator=generator(1))
    actual = torch.autograd.grad(value, list(critic.parameters()), allow_unused=True)
    assert value.item() == pytest.approx(penalty.weight * total.item())
    for got, want in zip(actual, expected, strict=True):
        assert (got is None) == (want is None)
        if want is not None:
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda each: each.name)
def test_a_saturated_critic_gets_a_finite_gradient(penalty):
    critic = nn.Linear(2, 1)
    nn.init.zeros_(critic.weight)
    real, fake = torch.randn(2, 4, 2, generator=generator())
    value = penalty(critic, real, fake, generator=generator())
    value.backward()
    assert torch.isfinite(critic.weight.grad).all()


def test_points_lie_where_their_kind_says():
    real, fake = torch.randn(2, 4, 3, generator=generator())
    assert penalty_points(Points.REAL, real, fake, generator()).equal(real)
    assert penalty_points(Points.FAKE, real, fake, generator()).equal(fake)
    weights = (penalty_points(Points.LINE, real, fake, generator()) - fake) / (real - fake)
    torch.testing.assert_close(weights, weights[:, :1].expand(-1, 3))
    assert 0 <= weights.min() <= weights.max() <= 1
    assert len(weights[:, 0].unique()) == 4
    noise = (penalty_points(Points.DRAGAN, real, fake, generator()) - real) / (0.5 * real.std(correction=0))
    assert 0 <= noise.min() <= noise.max() <= 1


def test_points_need_pairs_of_one_shape():
    with pytest.raises(
        BatchError, match=r"as many fake as real images of one size, got \(3, 2\) fake and \(4, 2\)"
    ):
        penalty_points(Points.LINE, torch.zeros(4, 2), torch.zeros(3, 2), generator())


def test_drift_is_the_mean_square_of_every_scale():
    assert drift([torch.tensor([1.0, 3.0]), torch.tensor([[2.0]])]).item() == pytest.approx(5 + 4)


def test_clipping_bounds_every_parameter_also_those_of_normalisation():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    clip_weights_(net, 0.01)
    assert all(each.abs().max() <= 0.01 for each in net.parameters())
    assert net[1].weight.eq(0.01).all()
