"""The joint objective for a network: gradients move the codes, and once per epoch the maps follow in closed form.

In: labels, loss weights; scores of batches. Out: the loss of a batch, label maps, associations, a trace. The network and
the loop are `trunk`'s and `training`'s.

Label maps and associations are no parameters of the network: as in `hashing.solver` they are the exact minimisers given
the codes of all training samples. Solved on a batch instead they would fit any labels as soon as a code has as many bits
as the batch has samples; learned by gradient they would need a learning rate of their own and lag behind the codes.
"""

from enum import Enum
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashing.deep.losses import l_loss, m_loss, q_loss, straight_through
from hashing.deep.trunk import HashNetwork, Scores
from hashing.labels import Labels
from hashing.objective import LossWeights, Pair

FINAL_SHARPNESS = 10.0  # of tanh at the end of the continuation, HashNet (Cao et al., ICCV 2017)


class Relaxation(Enum):
    """How gradients pass the sign."""

    STRAIGHT_THROUGH = "straight_through"  # the codes are signs, their gradient that of a hard tanh
    TANH = "tanh"  # the codes are tanh(a f), a growing from 1 to 10 during training

    def codes(self, scores: Float[Tensor, "n bits"], progress: float) -> Float[Tensor, "n bits"]:
        """Return what stands for the codes at this point of the training, 0 to 1."""
        match self:
            case Relaxation.STRAIGHT_THROUGH:
                return straight_through(scores)
            case Relaxation.TANH:
                return torch.tanh((1 + (FINAL_SHARPNESS - 1) * progress) * scores)
            case _:
                assert_never(self)


class JointObjective:
    """J = sum_l bits_l M_l + nu sum_l L_l + sum_(s,t) beta_st Q_st, per sample and bit.

    Samples without labels enter the L- and Q-loss only.

    The L-loss asks the features for the codes that all samples had at the start of the epoch, as the closed-form
    solver does in its own sweeps: the network regresses on B, and B follows once per epoch.

    Attributes:
        codes: B by code length, of all training samples.
        label_maps: W by code length.
        associations: R by (source, target) length, between the bits that each length adds.
        trace: The weighted M-, L- and Q-loss over all training samples, whenever the maps were solved.

    Source: 01-hashing 1.4 and 1.5, the B-block replaced by gradient steps of the network that makes the codes.
    """

    def __init__(
        self, labels: Labels, weights: LossWeights, *, relaxation: Relaxation, device: torch.device
    ) -> None:
        self.weights = weights
        self.relaxation = relaxation
        self.targets = torch.tensor(labels.targets, dtype=torch.float32, device=device)
        self.label_weights = torch.tensor(labels.weights, dtype=torch.float32, device=device)
        self.codes: Scores = {}
        self.label_maps: dict[int, Float[Tensor, "_bits c"]] = {}
        self.associations: dict[Pair, Float[Tensor, "_source _target"]] = {}
        self.trace: list[tuple[float, float, float]] = []

    @torch.no_grad()
    def start_epoch(self, network: HashNetwork, x: Float[Tensor, "n ..."]) -> None:
        """Solve the maps for the codes of all training samples, and note the losses."""
        scores = network.all_scores(x)
        codes = self.codes = {bits: straight_through(f) for bits, f in scores.items()}
        self.label_maps = {
            bits: solve_label_map(B, self.targets, self.label_weights, ridge=self.weights.lw)
            for bits, B in codes.items()
        }
        added = _added(network, codes)
        self.associations = {
            (s, t): solve_association(added[s], added[t], ridge=self.weights.lr)
            for s, t in self.weights.associations(network.lengths)
        }
        m, l, q = self._terms(network, scores, codes, slice(None), share=1.0)  # noqa: E741 - the losses' names
        self.trace.append((float(m), float(l), float(q)))

    def loss(
        self, network: HashNetwork, scores: Scores, rows: Int[Tensor, " batch"], progress: float
    ) -> Float[Tensor, ""]:
        """Return J of the batch, its maps as they were solved at the start of the epoch, per sample and bit."""
        codes = {bits: self.relaxation.codes(f, progress) for bits, f in scores.items()}
        terms = self._terms(network, scores, codes, rows, share=len(rows) / len(self.targets))
        return torch.stack(terms).sum() / (len(rows) * sum(network.lengths))

    def _terms(
        self,
        network: HashNetwork,
        scores: Scores,
        codes: Scores,
        rows: Int[Tensor, " batch"] | slice,
        *,
        share: float,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """Return the weighted losses of the given rows; share is their part of all samples, and of the ridges."""
        w = self.weights
        nu = dict(zip(network.lengths, np.broadcast_to(w.nu, len(network.lengths)).tolist(), strict=True))
        zero = self.targets.new_zeros(())
        labels, features, association = zero, zero, zero
        for bits, B in codes.items():
            errors = m_loss(
                B, self.label_maps[bits], self.targets[rows], self.label_weights[rows], ridge=w.lw * share
            )
            labels = labels + bits * errors
            head = network.head(bits).weight[:bits]
            errors = l_loss(self.codes[bits][rows], scores[bits], head, ridge=w.lp * share)
            features = features + nu[bits] * errors
        added = _added(network, codes)
        for (s, t), beta in w.associations(network.lengths).items():
            R = self.associations[s, t]
            association = association + beta * q_loss(added[s], added[t], R, ridge=w.lr * share)
        return labels, features, association


def _added(network: HashNetwork, codes: Scores) -> Scores:
    """Return the bits that each length adds: nested codes would predict those they share perfectly."""
    return {bits: B[:, -network.added_bits(bits) :] for bits, B in codes.items()}


def solve_label_map(
    codes: Float[Tensor, "n bits"],
    targets: Float[Tensor, "n c"],
    label_weights: Float[Tensor, "n 1"] | Float[Tensor, "n c"],
    *,
    ridge: float,
) -> Float[Tensor, "bits c"]:
    """Return the label map W that minimises the M-loss; class by class where entries are missing (01-hashing 1.7)."""
    if label_weights.shape[1] == 1:
        return _ridge(codes, targets, label_weights, ridge)
    columns = zip(targets.T, label_weights.T, strict=True)
    return torch.cat([_ridge(codes, y[:, None], weight[:, None], ridge) for y, weight in columns], dim=1)


def solve_association(
    source: Float[Tensor, "n source_bits"], target: Float[Tensor, "n target_bits"], *, ridge: float
) -> Float[Tensor, "source_bits target_bits"]:
    """Return the association R that minimises the Q-loss."""
    return _ridge(source, target, source.new_ones((len(source), 1)), ridge)


def _ridge(
    sources: Float[Tensor, "n bits"],
    targets: Float[Tensor, "n t"],
    weights: Float[Tensor, "n 1"],
    ridge: float,
) -> Float[Tensor, "bits t"]:
    b = sources.double()
    gram = b.T @ (weights * b) + ridge * torch.eye(b.shape[1], dtype=b.dtype, device=b.device)
    solution: Tensor = torch.linalg.solve(gram, b.T @ (weights * targets.double()))
    return solution.float()
