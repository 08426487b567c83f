"""Normalisations against loops over samples and channels."""

import pytest
import torch
from torch import nn

from gan_aug.errors import RecipeError
from gan_aug.norms import Norm, make_norm, modulate, standing_statistics_

X = 3 * torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) + 1
C = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))


def standard(x):
    return (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()


def by_loop(norm):
    y = torch.empty_like(X)
    for i in range(4):
        for c in range(3):
            match norm:
                case Norm.NONE:
                    y[i, c] = X[i, c]
                case Norm.BATCH | Norm.CONDITIONAL_BATCH:
                    y[:, c] = standard(X[:, c])
                case Norm.INSTANCE | Norm.INSTANCE_AFFINE | Norm.ADAPTIVE_INSTANCE:
                    y[i, c] = standard(X[i, c])
                case Norm.LAYER:
                    y[i] = standard(X[i])
                case Norm.PIXEL:
                    y[i, c] = X[i, c] / (X[i].square().mean(0) + 1e-8).sqrt()
    return y


@pytest.mark.parametrize("norm", Norm, ids=lambda each: each.value)
def test_a_norm_equals_a_loop_over_samples_and_channels(norm):
    layer = make_norm(norm, 3, d_condition=2)
    expected = by_loop(norm)
    if norm.conditional:
        biased = layer.to_scale.bias is not None
        assert biased is (norm is Norm.ADAPTIVE_INSTANCE)
        scale = C @ layer.to_scale.weight.T + (layer.to_scale.bias if biased else 0)
        shift = C @ layer.to_shift.weight.T + (layer.to_shift.bias if biased else 0)
        expected = torch.stack(
            [
                torch.stack([expected[i, c] * (1 + scale[i, c]) + shift[i, c] for c in range(3)])
                for i in range(4)
            ]
        )
    torch.testing.assert_close(layer(X, C), expected)


@pytest.mark.parametrize("norm", [Norm.BATCH, Norm.INSTANCE_AFFINE, Norm.LAYER], ids=lambda each: each.value)
def test_affine_norms_learn_scale_and_shift_per_channel(norm):
    assert [each.numel() for each in make_norm(norm, 3).parameters()] == [3, 3]


def test_a_conditional_norm_needs_a_condition():
    with pytest.raises(
        RecipeError, match="conditional-batch normalisation takes scale and shift from a condition"
    ):
        make_norm(Norm.CONDITIONAL_BATCH, 3)


def test_zero_scale_and_shift_change_nothing():
    zeros = torch.zeros(4, 3)
    assert modulate(X, zeros, zeros).equal(X)


def test_standing_statistics_are_plain_means_over_the_forwards():
    net = nn.Sequential(nn.BatchNorm2d(3))
    batches = [X, X + 2, 2 * X]
    pending = iter(batches)
    standing_statistics_(net, lambda: net(next(pending)), batches=3)
    assert not net.training
    torch.testing.assert_close(net[0].running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0))
    assert net[0].momentum == 0.1
