"""Folding batch norms: the same values with fewer layers, and no folding where that would change them."""

import torch
from torch import nn

from service.vision.batch_norms import fold_batch_norms


def settle_(model: nn.Module) -> None:
    """Give batch norms statistics and scales as of a trained network; fresh ones do almost nothing."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.5, 0.5)


class Shared(nn.Module):
    """A convolution whose output two layers read, so that its batch norm must stay."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return torch.relu(self.norm(y)) + torch.relu(y)


def test_folding_keeps_the_values_and_drops_the_layers():
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4)
    ).eval()
    settle_(model)
    x = torch.randn(2, 3, 8, 8)
    folded = fold_batch_norms(model, lambda candidate: candidate(x))
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-5)
    kept = [isinstance(layer, nn.BatchNorm2d) for layer in folded.children()]
    assert kept == [False, False, False, True]  # the last one follows a ReLU
    assert isinstance(model[1], nn.BatchNorm2d)


def test_a_batch_norm_is_not_folded_where_its_input_is_read_elsewhere():
    torch.manual_seed(3)
    model = Shared().eval()
    settle_(model)
    x = torch.randn(2, 3, 8, 8)
    assert fold_batch_norms(model, lambda candidate: candidate(x)) is model


def test_a_convolution_used_twice_is_folded_for_neither_of_its_norms():
    torch.manual_seed(4)
    conv = nn.Conv2d(3, 3, 1)
    model = nn.Sequential(conv, nn.BatchNorm2d(3), conv, nn.BatchNorm2d(3)).eval()
    settle_(model)
    x = torch.randn(2, 3, 8, 8)
    folded = fold_batch_norms(model, lambda candidate: candidate(x))
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_network_without_batch_norms_is_returned_as_it_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    assert fold_batch_norms(model, lambda candidate: candidate(torch.zeros(1, 3, 8, 8))) is model
