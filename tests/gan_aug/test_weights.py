"""Weight rules and orthogonal terms against SVD, autograd, finite differences and written-out operators."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from gan_aug.errors import RecipeError
from gan_aug.objectives import HINGE
from gan_aug.weights import (
    EQUALISED,
    SPECTRAL,
    Constraint,
    Conv,
    Dense,
    Initialisation,
    WeightRule,
    constrained_layers,
    exact_conv_norm,
    initialise_,
    orthogonal_penalty,
    relaxed_orthogonal_penalty,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sigmas(net):
    """Return the largest singular value, by SVD, of every normalised weight as a training step left it."""
    return [
        torch.linalg.matrix_norm(layer.constrain(layer.weight).detach().flatten(1), ord=2).item()
        for layer in constrained_layers(net.eval())
    ]


def train_critic(rule, *, steps):
    net = nn.Sequential(
        Dense(2, 64, rule=rule), nn.ReLU(), Dense(64, 64, rule=rule), nn.ReLU(), Dense(64, 1, rule=rule)
    )
    initialise_(net, Initialisation.ORTHOGONAL, generator())
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.0, 0.9))
    rng, seen = generator(1), []
    for step in range(steps):
        net.train()
        real = torch.randn(64, 2, generator=rng)
        fake = 0.5 * torch.randn(64, 2, generator=rng) + 1
        optimiser.zero_grad()
        HINGE.critic_loss([net(real)], [net(fake)]).backward()
        optimiser.step()
        if step % 10 == 9:
            seen += sigmas(copy.deepcopy(net))
    return torch.tensor(seen)


@pytest.mark.parametrize(("iterations", "largest"), [(1, 1.3), (5, 1.1)])
def test_spectral_normalisation_holds_sigma_near_one_while_training(iterations, largest):
    seen = train_critic(WeightRule(constraint=Constraint.SPECTRAL, iterations=iterations), steps=200)
    assert 0.95 < seen.mean() <= 1.05
    assert seen.max() <= largest


def test_repeated_power_iteration_reaches_the_singular_value_of_a_convolution():
    layer = Conv(3, 5, 3, rule=WeightRule(constraint=Constraint.SPECTRAL, iterations=100, gain=2.0))
    initialise_(layer, Initialisation.KAIMING, generator())
    layer(torch.randn(1, 3, 4, 4))
    assert sigmas(layer) == pytest.approx([2.0], rel=1e-4)


def test_evaluation_uses_the_present_weight_and_changes_no_state():
    layer = Dense(4, 3, rule=SPECTRAL)
    x = torch.randn(2, 4)
    for _ in range(30):
        layer(x)
    layer.eval()
    before, u = layer(x) - layer.bias, layer.constrain.u.clone()
    with torch.no_grad():
        layer.weight.mul_(7)
    torch.testing.assert_close(layer(x) - layer.bias, before)
    assert layer.constrain.u.equal(u)


def test_sigma_is_constant_along_its_vectors_but_not_for_the_weight():
    """The gradient is that of W / (u^T W v) with u and v held (Miyato et al. 2018, eq. 12)."""
    layer = Dense(4, 3, rule=SPECTRAL, bias=False).double().eval()
    W, u = layer.weight, layer.constrain.u
    v = nn.functional.normalize(W.detach().T @ u, dim=0)
    x = torch.randn(2, 4, dtype=torch.double)
    expected = torch.autograd.grad((x @ (W / (u @ W @ v)).T).square().sum(), W)
    torch.testing.assert_close(torch.autograd.grad(layer(x).square().sum(), W), expected)


def test_equalised_layers_draw_unit_weights_and_scale_them_by_hes_constant():
    layer = Dense(400, 300, rule=WeightRule(constraint=Constraint.EQUALISED, gain=math.sqrt(2), rate=0.01))
    initialise_(layer, Initialisation.NORMAL, generator())
    assert layer.weight.std().item() == pytest.approx(100, rel=0.02)
    used = layer.constrain(layer.weight)
    assert used.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    with torch.no_grad():
        layer.bias.fill_(5.0)
    assert layer(torch.zeros(1, 400)).detach().flatten().tolist() == pytest.approx([0.05] * 300)
    conv = Conv(4, 2, 3, rule=EQUALISED)
    torch.testing.assert_close(conv.constrain(conv.weight), conv.weight * math.sqrt(2 / (4 * 9)))


@pytest.mark.parametrize(
    ("scheme", "deviation"),
    [
        (Initialisation.NORMAL, 0.02),
        (Initialisation.KAIMING, math.sqrt(2 / 200)),
        (Initialisation.XAVIER, 0.02 * math.sqrt(2 / 500)),
    ],
)
def test_initial_weights_have_their_schemes_deviation_and_zero_biases(scheme, deviation):
    layer = Dense(200, 300)
    initialise_(layer, scheme, generator())
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert not layer.bias.any()


def test_initialisation_is_settled_by_the_generator_alone():
    def weights(seed):
        net = nn.Sequential(Conv(2, 3, 3, rule=SPECTRAL), nn.Embedding(4, 3))
        initialise_(net, Initialisation.ORTHOGONAL, generator(seed))
        return torch.cat([each.flatten() for each in net.state_dict().values()])

    assert weights(3).equal(weights(3))
    assert not weights(3).equal(weights(4))


def test_orthogonal_initialisation_makes_the_flattened_matrix_orthogonal_but_not_the_convolution():
    conv = Conv(8, 16, 3)
    initialise_(conv, Initialisation.ORTHOGONAL, generator())
    assert orthogonal_penalty(conv.weight).item() == pytest.approx(0, abs=1e-9)
    assert 1.5 < exact_conv_norm(conv.weight, 16) < 3.0


def test_relaxed_orthogonal_term_is_the_sum_over_pairs_of_filters():
    W = torch.randn(4, 2, 3, 3, generator=generator())
    pairs = [(W[i] * W[j]).sum().item() ** 2 for i, j in itertools.permutations(range(4), 2)]
    assert relaxed_orthogonal_penalty(W).item() == pytest.approx(sum(pairs), rel=1e-5)


def test_relaxed_orthogonal_gradient_is_whole_and_not_half():
    W = torch.randn(4, 2, 3, 3, dtype=torch.double, generator=generator()).requires_grad_()
    (gradient,) = torch.autograd.grad(relaxed_orthogonal_penalty(W), W)
    M = W.detach().flatten(1)
    gram = M @ M.T
    torch.testing.assert_close(gradient.flatten(1), 4 * (gram - torch.diag(gram.diag())) @ M)
    step = torch.zeros_like(M).reshape(W.shape)
    step[1, 0, 2, 1] = 1e-5
    finite = (relaxed_orthogonal_penalty(W + step) - relaxed_orthogonal_penalty(W - step)) / 2e-5
    assert gradient[1, 0, 2, 1].item() == pytest.approx(finite.item(), rel=1e-6)


def test_orthogonal_term_is_the_squared_distance_to_the_identity():
    W = torch.randn(3, 5, dtype=torch.double, generator=generator()).requires_grad_()
    expected = sum(((W[i] @ W[j]).item() - (i == j)) ** 2 for i, j in itertools.product(range(3), range(3)))
    assert orthogonal_penalty(W.float()).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [3, 5])
def test_exact_convolution_norm_is_that_of_the_dense_circular_operator(size):
    weight = torch.randn(2, 3, 3, 3, dtype=torch.double, generator=generator())
    columns = []
    for one in torch.eye(3 * size * size, dtype=torch.double).reshape(-1, 3, size, size):
        wrapped = nn.functional.pad(one[None], (1, 1, 1, 1), mode="circular")
        columns.append(nn.functional.conv2d(wrapped, weight).flatten())
    dense = torch.linalg.matrix_norm(torch.stack(columns, 1), ord=2)
    assert exact_conv_norm(weight, size).item() == pytest.approx(dense.item(), rel=1e-9)
    flattened = torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    assert exact_conv_norm(weight, size) <= 3 * flattened


def test_exact_convolution_norm_refuses_images_smaller_than_the_kernel():
    with pytest.raises(RecipeError, match=r"Images of 2 px are smaller than the kernel of \(3, 3\)"):
        exact_conv_norm(torch.zeros(1, 1, 3, 3), 2)
