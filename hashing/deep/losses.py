"""The losses of the deep heads: the three of the joint objective, differentiable, and those of the deep peers.

In: scores or codes of a batch and what they should be. Out: scalars. Leaves the maps they use to `objective`, and when
they are added up to `objective` and `peers`.

Convention: samples are rows; every loss is a sum over the samples, as in `hashing.objective`, so that the weights mean
the same there and here; the peers' losses are means over the samples that count, as published.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

COSINE_MARGIN = 0.2  # OrthoHash, Hoe et al., NeurIPS 2021
CSQ_QUANTISATION = 1e-4  # lambda of the authors' code of CSQ, Yuan et al., CVPR 2020


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:  # noqa: ANN401 - torch leaves the context untyped
        ctx.save_for_backward(scores)
        return torch.where(scores > 0, 1.0, -1.0).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401 - torch leaves the context untyped
        (scores,) = ctx.saved_tensors
        passed: Tensor = grads[0] * (scores.abs() <= 1)
        return passed


def straight_through(scores: Float[Tensor, "n bits"]) -> Float[Tensor, "n bits"]:
    """Return the signs; their gradient passes to scores within [-1, 1] as if nothing had happened, and to no others.

    Source: Hubara et al., Binarized neural networks, NeurIPS 2016: the gradient is that of the hard tanh.
    """
    signs: Tensor = _StraightThrough.apply(scores)  # type: ignore[no-untyped-call]
    return signs


def m_loss(
    codes: Float[Tensor, "n bits"],
    label_map: Float[Tensor, "bits c"],
    targets: Float[Tensor, "n c"],
    label_weights: Float[Tensor, "n 1"] | Float[Tensor, "n c"],
    *,
    ridge: float,
) -> Float[Tensor, ""]:
    """Return the weighted squared error of labels predicted from codes, plus ridge times ||W||^2.

    Unlabelled samples and missing entries have weight 0 and leave no gradient.
    """
    return (label_weights * (targets - codes @ label_map).square()).sum() + ridge * label_map.square().sum()


def l_loss(
    codes: Float[Tensor, "n bits"],
    scores: Float[Tensor, "n bits"],
    projection: Float[Tensor, "bits m"],
    *,
    ridge: float,
) -> Float[Tensor, ""]:
    """Return the squared error of codes predicted from features, plus ridge times ||P||^2: ||B - P Phi||^2 + ridge ||P||^2.

    The codes are given, not the signs of these scores: under dropout a sample would otherwise learn to agree with noise.
    """
    return (codes - scores).square().sum() + ridge * projection.square().sum()


def q_loss(
    source: Float[Tensor, "n source_bits"],
    target: Float[Tensor, "n target_bits"],
    association: Float[Tensor, "source_bits target_bits"],
    *,
    ridge: float,
) -> Float[Tensor, ""]:
    """Return the squared error of codes predicted from codes of another length, plus ridge times ||R||^2."""
    return (target - source @ association).square().sum() + ridge * association.square().sum()


def csq_loss(
    scores: Float[Tensor, "n bits"], centres: Float[Tensor, "n bits"], weights: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Return the cross entropy of bits against the samples' hash centres, and a little quantisation.

    Source: CSQ, Yuan et al., CVPR 2020: central similarity on tanh outputs, (1 + tanh f) / 2 = sigmoid(2 f), and the
        quantisation (|tanh f| - 1)^2 of the authors' code.
    """
    central = binary_cross_entropy_with_logits(2 * scores, (centres + 1) / 2, reduction="none").mean(dim=1)
    quantisation = (scores.tanh().abs() - 1).square().mean(dim=1)
    return _weighted_mean(central + CSQ_QUANTISATION * quantisation, weights)


def orthohash_loss(
    scores: Float[Tensor, "n bits"],
    words: Float[Tensor, "c bits"],
    targets: Float[Tensor, "n c"],
    entry_weights: Float[Tensor, "n 1"] | Float[Tensor, "n c"],
) -> Float[Tensor, ""]:
    """Return the cross entropy of a softmax over cosines to the codewords, those of own classes lowered by a margin.

    Several labels share the mass evenly. Classes not known of a sample are left out of its softmax; a sample without
    a known class counts nothing.

    Source: OrthoHash, Hoe et al., One loss for all, NeurIPS 2021; scale sqrt(bits), margin 0.2.
    """
    known = (entry_weights > 0).expand_as(targets)
    own = targets * known
    cosines = normalize(scores, dim=1) @ normalize(words, dim=1).T
    logits = words.shape[1] ** 0.5 * (cosines - COSINE_MARGIN * own)
    logs = torch.log_softmax(logits.masked_fill(~known, -1e4), dim=1)  # not -inf: 0 times it must be 0
    shares = own / own.sum(dim=1, keepdim=True).clamp(min=1)
    weights = entry_weights.amax(dim=1) * own.any(dim=1)
    return _weighted_mean(-(shares * logs).sum(dim=1), weights)


def similarity_distillation(
    short: Float[Tensor, "n short_bits"], long: Float[Tensor, "n long_bits"]
) -> Float[Tensor, ""]:
    """Return how far the cosines between samples under a short code are from those under a longer one, held fixed.

    Source: NHL, arXiv 2412.08922.
    """
    a, b = normalize(short, dim=1), normalize(long.detach(), dim=1)
    return (a @ a.T - b @ b.T).square().mean()


def conflict_weights(gradients: Sequence[Float[Tensor, "_bits m"]]) -> list[float]:
    """Return the weight of every length's loss, shortest first; they sum to their number.

    Gradients are those of the shared head, each of its own rows. Where a longer length's gradient g_l points against
    a shorter one's g_s on the shared rows, the longer loss is scaled by min(1, ||g_s||^2 / (L - 1) / -<g_s, g_l>), so
    that all longer lengths together never undo the step of a shorter one.

    Source: NHL, arXiv 2412.08922, and its published code.
    """
    weights = [1.0] * len(gradients)
    for s, short in enumerate(gradients[:-1]):
        share = float(short.square().sum()) / (len(gradients) - 1)
        for t in range(s + 1, len(gradients)):
            against = -float((short * gradients[t][: len(short)]).sum())
            if against > share:
                weights[t] *= share / against
    return [weight * len(weights) / sum(weights) for weight in weights]


def _weighted_mean(values: Float[Tensor, " n"], weights: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    return (weights * values).sum() / weights.sum().clamp(min=1e-12)
