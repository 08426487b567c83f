"""Norms of layers against SVD and written-out operators; the network stays as it was; weights at bounds."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gan_aug.catalogue import RECIPES
from gan_aug.errors import RecipeError
from gan_aug.penalties import clip_weights_
from gan_aug.spectral_norms import share_at_bounds, spectral_norms
from gan_aug.system import System
from gan_aug.weights import EQUALISED, SPECTRAL, Conv, Dense


def seeded(build):
    torch.manual_seed(0)
    return build()


def operator_norm(layer, size):
    """Return the norm of a bias-free layer as a matrix, column by column."""
    channels = layer.weight.shape[0 if isinstance(layer, nn.ConvTranspose2d) else 1]
    columns = torch.eye(channels * size**2).reshape(-1, channels, size, size)
    with torch.no_grad():
        return np.linalg.norm(layer(columns).flatten(1).numpy(), 2)


def test_a_dense_layer_has_the_largest_singular_value_for_both_norms():
    net = seeded(lambda: nn.Sequential(nn.Linear(5, 3), nn.ReLU(), Dense(3, 7)))
    first, second = spectral_norms(net)
    assert (first.layer, second.layer) == ("0", "2")
    for norms, layer in ((first, net[0]), (second, net[2])):
        expected = np.linalg.svd(layer.weight.detach().numpy())[1][0]
        assert norms.matrix == pytest.approx(expected, rel=1e-5)
        assert norms.operator == norms.matrix


def test_a_convolution_has_the_norm_of_its_operator_beside_that_of_its_kernel():
    layer = seeded(lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular", bias=False))
    (norms,) = spectral_norms(layer, size=6)
    assert norms.operator == pytest.approx(operator_norm(layer, 6), rel=1e-5)
    kernel = layer.weight.detach().flatten(1).numpy()
    assert norms.matrix == pytest.approx(np.linalg.norm(kernel, 2), rel=1e-5)
    assert norms.matrix <= norms.operator <= 3 * norms.matrix


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Conv2d(2, 3, 4, stride=2, padding=1, bias=False),
        lambda: nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1, bias=False),
    ],
    ids=["stride", "transposed"],
)
def test_the_norm_bounds_layers_with_a_stride_and_transposed_ones(build):
    layer = seeded(build)
    (norms,) = spectral_norms(layer, size=16)
    assert 0.3 * norms.operator < operator_norm(layer, 8) <= norms.operator


def test_weights_are_measured_as_used_and_nothing_of_the_network_changes():
    net = seeded(lambda: nn.Sequential(Dense(6, 6, rule=SPECTRAL), Conv(2, 3, 3, rule=EQUALISED)))
    for _ in range(200):
        net[0](torch.zeros(1, 6))
    before = copy.deepcopy(net.state_dict())
    spectral, equalised = spectral_norms(net)
    assert spectral.matrix == pytest.approx(1, abs=1e-4)
    scaled = net[1].weight.detach().flatten(1).numpy() * np.sqrt(2 / 18)
    assert equalised.matrix == pytest.approx(np.linalg.norm(scaled, 2), rel=1e-5)
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())


def test_every_network_of_a_system_is_measured_layer_by_layer():
    system = System(RECIPES["gan"], channels=1, size=16, width=4)
    names = [norms.layer for norms in spectral_norms(system.generator)]
    assert names == ["first", "convs.0", "convs.1"]
    assert all(norms.matrix > 0 for norms in spectral_norms(system.critic))


def test_clipping_leaves_a_share_of_weights_at_the_bounds():
    net = nn.Linear(4, 1)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-5.0, 0.0095, 0.00995, 3.0]]))
    clip_weights_(net, 0.01)
    assert share_at_bounds(net, 0.01) == 0.75


def test_a_network_without_weights_to_measure_is_refused():
    with pytest.raises(RecipeError, match="A ReLU has no linear or convolution layer to measure"):
        spectral_norms(nn.ReLU())
    with pytest.raises(RecipeError, match="smaller than the kernel"):
        spectral_norms(nn.Conv2d(1, 1, 5), size=4)
