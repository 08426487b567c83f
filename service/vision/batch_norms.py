"""Batch norms folded into the convolutions in front of them, which saves a pass over every activation.

In: a network in eval mode and a call that runs it. Out: a network of the same values with fewer layers. Which network
that is, and what its layers are called, does not matter here.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(model: nn.Module, run: Callable[[nn.Module], Tensor]) -> nn.Module:
    """Return the model with every batch norm folded that directly follows a convolution.

    Which convolution feeds which batch norm is seen in one run, not read from names. The model itself is returned
    when it has no such pair, or when folding changes what `run` returns (a convolution whose output has another reader).

    Args:
        model: A network in eval mode; left as it is.
        run: Calls the network it is given on some fixed input and returns an output.
    """
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()):
        return model
    folded = copy.deepcopy(model)
    with torch.no_grad():
        expected = run(model)
        for conv_name, conv, norm_name, norm in _pairs(folded, run):
            folded.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
            folded.set_submodule(norm_name, nn.Identity())
        same = torch.allclose(run(folded), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    return folded if same else model


def _pairs(
    model: nn.Module, run: Callable[[nn.Module], Tensor]
) -> list[tuple[str, nn.Conv2d, str, nn.BatchNorm2d]]:
    """Return the convolutions and batch norms, with their names, where the one's output is the other's input."""
    outputs: dict[int, tuple[str, nn.Conv2d, Tensor]] = {}  # keeps the tensors, or an id could be given twice
    pairs: list[tuple[str, nn.Conv2d, str, nn.BatchNorm2d]] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(layer, nn.Conv2d):
                outputs[id(output)] = (name, layer, output)
            elif isinstance(layer, nn.BatchNorm2d) and id(inputs[0]) in outputs:
                pairs.append((*outputs[id(inputs[0])][:2], name, layer))

        return hook

    hooks = [
        layer.register_forward_hook(watch(name))
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d))
    ]
    run(model)
    for hook in hooks:
        hook.remove()
    return pairs
