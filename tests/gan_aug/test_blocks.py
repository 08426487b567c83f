"""Shared parts against loops and written-out sums."""

import pytest
import torch
from torch.nn.functional import max_pool2d, relu

from gan_aug.blocks import (
    NetShape,
    ResidualDown,
    ResidualUp,
    SelfAttention,
    blur,
    channels_at,
    down,
    minibatch_stddev,
    up,
)
from gan_aug.errors import RecipeError
from gan_aug.norms import Norm

X = torch.randn(6, 8, 4, 4, generator=torch.Generator().manual_seed(0))


def test_sizes_are_powers_of_two_from_eight():
    assert NetShape(channels=3, size=32, d_latent=1).sides == (4, 8, 16, 32)
    with pytest.raises(RecipeError, match="power of two from 8 px on, got 48"):
        NetShape(channels=3, size=48, d_latent=1)
    with pytest.raises(RecipeError, match="makes images, got points of 2 numbers"):
        NetShape(channels=2, size=None, d_latent=1).sides  # noqa: B018  # reading it is the test


def test_channels_double_at_half_the_side_up_to_the_cap():
    assert [channels_at(s, budget=64 * 128, cap=16 * 64) for s in (4, 8, 16, 32, 64, 128)] == [
        1024, 1024, 512, 256, 128, 64,
    ]  # fmt: skip  # BigGAN's plan at 128 px


@pytest.mark.parametrize(("batch", "members"), [(8, 4), (6, 2), (3, 1)])
def test_minibatch_deviation_is_the_mean_over_a_groups_deviations(batch, members):
    x = torch.randn(batch, 2, 3, 3, generator=torch.Generator().manual_seed(batch))
    out = minibatch_stddev(x)
    assert out[:, :2].equal(x)
    groups = batch // members
    for i in range(batch):
        group = torch.stack([x[j] for j in range(batch) if j % groups == i % groups])
        expected = (group.var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(out[i, 2], expected.expand(3, 3))


def test_blur_keeps_flat_images_and_spreads_a_dot():
    dot = torch.zeros(1, 2, 5, 5)
    dot[0, 1, 2, 2] = 16
    assert blur(dot)[0, 1, 1:4, 1:4].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert not blur(dot)[0, 0].any()
    assert blur(torch.ones(1, 1, 5, 5))[0, 0, 1:4, 1:4].eq(1).all()


def test_down_undoes_up():
    torch.testing.assert_close(down(up(X)), X)


def test_attention_starts_as_identity_and_equals_a_loop_over_pixels():
    attend = SelfAttention(8)
    assert attend(X).equal(X)
    with torch.no_grad():
        attend.gain.fill_(0.5)
    query, key, value = attend.query(X), max_pool2d(attend.key(X), 2), max_pool2d(attend.value(X), 2)
    mixed = torch.zeros(6, 4, 4, 4)
    for i in range(4):
        for j in range(4):
            weights = torch.einsum("bc,bchw->bhw", query[:, :, i, j], key).flatten(1).softmax(1)
            mixed[:, :, i, j] = torch.einsum("bn,bvn->bv", weights, value.flatten(2))
    torch.testing.assert_close(attend(X), X + 0.5 * attend.out(mixed))


def test_residual_blocks_are_shortcut_plus_scaled_residual():
    block = ResidualUp(8, 3, norm=Norm.NONE, residual=0.1)
    expected = up(block.shortcut(X)) + 0.1 * block.conv2(relu(block.conv1(up(relu(X)))))
    torch.testing.assert_close(block(X, None), expected)
    block = ResidualDown(8, 3, residual=0.1)
    torch.testing.assert_close(
        block(X), down(block.shortcut(X) + 0.1 * block.conv2(relu(block.conv1(relu(X)))))
    )
    first = ResidualDown(8, 3, first=True, halve=False)
    torch.testing.assert_close(first(X), first.shortcut(X) + first.conv2(relu(first.conv1(X))))
