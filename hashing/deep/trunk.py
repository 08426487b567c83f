"""The network of the deep heads: a small trunk of ReLU layers, and linear heads that give the scores of every length.

In: embeddings. Out: scores; and, once trained, the same network as a `FeatureMap` with projections, so that encoding
needs no torch. Leaves losses to `losses` and the loop to `training`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn.functional import normalize

from hashing.features import FeatureKind, FeatureMap, Layer
from hashing.layout import CodeLayout

CHUNK = 4096  # rows at a time: bounds memory

Scores = dict[int, Float[Tensor, "n _bits"]]
Projections = dict[int, Float32[np.ndarray, "_m _bits"]]


@final
class HashNetwork(nn.Module):
    """Embeddings to scores of every length, whose signs are the codes.

    Random numbers come from the given generators only; the global state of torch is neither read nor changed.

    Args:
        dim: Width of the embeddings.
        lengths: Code lengths in bits, ascending.
        hidden: Widths of the trunk's layers, at least one.
        dropout: Share of a layer's outputs that a training step leaves out.
        normalize: Scale embeddings to unit length first.
        nested: One linear head of the longest length, of which each shorter length is a prefix.
        batch_norm: Normalise every score over the batch, as OrthoHash does to balance bits.
        block: Makes the embeddings of its own inputs first; trained along.
        generator: Draws the initial weights.
    """

    def __init__(
        self,
        dim: int,
        lengths: Sequence[int],
        *,
        hidden: Sequence[int],
        dropout: float,
        normalize: bool,
        generator: torch.Generator,
        nested: bool = False,
        batch_norm: bool = False,
        block: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.lengths = tuple(lengths)
        self.dropout = dropout
        self.normalize = normalize
        self.nested = nested
        self.block = block
        widths = (dim, *hidden)
        self.layers = nn.ModuleList(
            _linear(inputs, outputs, generator) for inputs, outputs in itertools.pairwise(widths)
        )
        outputs = self.lengths[-1:] if nested else self.lengths
        self.heads = nn.ModuleDict({str(bits): _linear(widths[-1], bits, generator) for bits in outputs})
        self.norms = nn.ModuleDict({str(bits): nn.BatchNorm1d(bits) for bits in outputs if batch_norm})
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(()))

    def embeddings(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        """Return the embeddings that the trunk reads, before they are scaled."""
        return x if self.block is None else self.block(x)

    @torch.no_grad()
    def standardise_(self, x: Float[Tensor, "n ..."]) -> None:
        """Centre the trunk's inputs and give them variance 1 on average, so that one learning rate suits all embeddings."""
        self.centre.zero_()
        self.scale.fill_(1.0)
        inputs = torch.cat([self.inputs(part) for part in torch.split(x, CHUNK)])
        self.centre.copy_(inputs.mean(dim=0))
        spread = float((inputs - self.centre).square().mean().sqrt())
        self.scale.fill_(1 / spread if spread > 0 else 1.0)

    def inputs(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        """Return what the trunk reads: embeddings, scaled."""
        embeddings = self.embeddings(x)
        return ((normalize(embeddings) if self.normalize else embeddings) - self.centre) * self.scale

    def features(
        self, x: Float[Tensor, "n ..."], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n m"]:
        """Return the trunk's output; a generator makes it drop out."""
        hidden = self.inputs(x)
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
            if generator is not None and self.dropout > 0:
                kept = torch.rand(hidden.shape, generator=generator, device=hidden.device) >= self.dropout
                hidden = hidden * kept / (1 - self.dropout)
        return hidden

    def forward(self, x: Float[Tensor, "n ..."], generator: torch.Generator | None = None) -> Scores:
        """Return the scores of every length; a generator makes the trunk drop out."""
        features = self.features(x, generator)
        scores = {int(name): head(features) for name, head in self.heads.items()}
        scores = {bits: self.norms[str(bits)](f) if self.norms else f for bits, f in scores.items()}
        if self.nested:
            (longest,) = scores.values()
            return {bits: longest[:, :bits] for bits in self.lengths}
        return scores

    def added_bits(self, bits: int) -> int:
        """Return how many of its bits a length does not share with shorter ones; they are its last."""
        part = CodeLayout(self.lengths, self.nested).blocks[bits]
        return int(part.stop - part.start)

    def head(self, bits: int) -> nn.Linear:
        """Return the layer whose first outputs are the scores of a length."""
        head = self.heads[str(self.lengths[-1] if self.nested else bits)]
        assert isinstance(head, nn.Linear)  # noqa: S101 - our own invariant
        return head

    def train(self, mode: bool = True) -> "HashNetwork":  # noqa: FBT001, FBT002 - the signature of torch
        """Set the mode; the block stays as it is when serving, its dropout off and its running statistics fixed."""
        super().train(mode)
        if self.block is not None:
            self.block.eval()
        return self

    @torch.no_grad()
    def all_scores(self, x: Float[Tensor, "n ..."]) -> Scores:
        """Return the scores of many samples, chunk by chunk, as encoding will give them; the mode is left as it was."""
        was_training = self.training
        self.eval()
        parts = [self(part) for part in torch.split(x, CHUNK)]
        self.train(was_training)
        return {bits: torch.cat([part[bits] for part in parts]) for bits in self.lengths}


def convert(network: HashNetwork, embeddings: Float[np.ndarray, "n d"]) -> tuple[FeatureMap, Projections]:
    """Return the network as a feature map, centred on these embeddings, and projections: the same scores without torch."""
    layers = [_arrays(layer) for layer in network.layers]
    weight, bias = layers[0]
    centre, scale = network.centre.cpu().numpy().astype(np.float64), float(network.scale)
    layers[0] = (weight * scale, bias - centre @ weight * scale)
    uncentred = FeatureMap(
        kind=FeatureKind.LINEAR,
        normalize=network.normalize,
        mean=np.zeros(layers[-1][0].shape[1], dtype=np.float32),
        anchors=np.empty((0, len(weight)), dtype=np.float32),
        width=1.0,
        layers=tuple((W.astype(np.float32), b.astype(np.float32)) for W, b in layers),
    )
    total = sum(
        uncentred(embeddings[start : start + CHUNK])[:, :-1].sum(axis=0)
        for start in range(0, len(embeddings), CHUNK)
    )
    mean = np.asarray(total / len(embeddings), dtype=np.float32)
    return replace(uncentred, mean=mean), _projections(network, mean)


def join(networks: Sequence[tuple[FeatureMap, Projections]]) -> tuple[FeatureMap, Projections]:
    """Return separately trained networks of equal depth side by side as one, whose layers are block-diagonal."""
    maps = [feature_map for feature_map, _ in networks]
    layers: list[Layer] = []
    for depth, parts in enumerate(zip(*(part.layers for part in maps), strict=True)):
        weights = [weight for weight, _ in parts]
        joined = np.hstack(weights) if depth == 0 else scipy.linalg.block_diag(*weights)
        layers.append((np.asarray(joined, dtype=np.float32), np.concatenate([bias for _, bias in parts])))
    mean = np.concatenate([part.mean for part in maps])
    projections: Projections = {}
    start = 0
    for part, heads in networks:
        rows = slice(start, start + len(part.mean))
        for bits, head in heads.items():
            projections[bits] = np.zeros((len(mean) + 1, bits), dtype=np.float32)
            projections[bits][rows], projections[bits][-1] = head[:-1], head[-1]
        start = rows.stop
    return replace(maps[0], mean=mean, layers=tuple(layers)), projections


def _projections(network: HashNetwork, mean: Float32[np.ndarray, " m"]) -> Projections:
    projections: Projections = {}
    for name, head in network.heads.items():
        weight, bias = _arrays(head)
        if network.norms:
            norm = network.norms[name]
            assert isinstance(norm, nn.BatchNorm1d)  # noqa: S101 - our own invariant
            gain, shift = _gain_and_shift(norm)
            weight, bias = weight * gain, bias * gain + shift
        projection = np.vstack([weight, bias + mean @ weight]).astype(np.float32)
        projections |= {
            bits: projection[:, :bits] for bits in (network.lengths if network.nested else [int(name)])
        }
    return projections


def _gain_and_shift(norm: nn.BatchNorm1d) -> tuple[Float[np.ndarray, " bits"], Float[np.ndarray, " bits"]]:
    assert norm.running_mean is not None  # noqa: S101 - our own invariant
    assert norm.running_var is not None  # noqa: S101 - our own invariant
    gain = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias.detach() - norm.running_mean * gain
    return gain.cpu().numpy().astype(np.float64), shift.cpu().numpy().astype(np.float64)


def _arrays(layer: nn.Module) -> tuple[Float[np.ndarray, "inputs outputs"], Float[np.ndarray, " outputs"]]:
    assert isinstance(layer, nn.Linear)  # noqa: S101 - our own invariant
    weight, bias = layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()
    return weight.T.astype(np.float64), bias.astype(np.float64)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer with weights of the given generator (He et al. 2015) and no bias yet."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(
        device="cpu"
    )  # draws nothing from the global state
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
