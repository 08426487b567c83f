"""The joint objective: what labels, features and codes of other lengths have to say about codes, as three losses.

In: a problem (features, labels), weights of the losses, a solution (codes and maps). Out: loss terms. Leaves their
minimisation to `solver`.

Convention: samples are rows, so codes are B (n, bits) in {-1, +1}, and every matrix of the design note is transposed.
"""

import itertools
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, assert_never

import numpy as np
from jaxtyping import Float64

Pair = tuple[int, int]


class Topology(Enum):
    """Which code predicts which: ordered pairs (source, target) of lengths."""

    ALL = "all"  # every code predicts every other
    DOWN = "down"  # every longer code predicts every shorter one
    CHAIN = "chain"  # every code predicts the next shorter one, as in MOON (arXiv 2109.00883)

    def pairs(self, lengths: tuple[int, ...]) -> list[Pair]:
        """Return the pairs of these ascending lengths."""
        match self:
            case Topology.ALL:
                return [(s, t) for s in lengths for t in lengths if s != t]
            case Topology.DOWN:
                return [(s, t) for s in lengths for t in lengths if s > t]
            case Topology.CHAIN:
                return [(s, t) for t, s in itertools.pairwise(lengths)]
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """What the losses count.

    Attributes:
        nu: Weight of the L-loss (features).
        beta: Weight of the Q-loss (association); shared by the sources of a target.
        lw: Ridge of the label maps.
        lp: Ridge of the projections.
        lr: Ridge of the associations.
        topology: Which code predicts which.
    """

    nu: float
    beta: float
    lw: float
    lp: float
    lr: float
    topology: Topology

    def associations(self, lengths: tuple[int, ...]) -> dict[Pair, float]:
        """Return the weight of every pair: beta over the number of sources of its target."""
        pairs = self.topology.pairs(lengths)
        targets = [t for _, t in pairs]
        return {(s, t): self.beta / targets.count(t) for s, t in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is given: features with a final 1, label targets, and what each label entry counts (one column: all alike)."""

    features: Float64[np.ndarray, "n m"]
    targets: Float64[np.ndarray, "n c"]
    label_weights: Float64[np.ndarray, "n 1"] | Float64[np.ndarray, "n c"]


@dataclass(slots=True, kw_only=True)
class Solution:
    """What is sought, keyed by code length in bits.

    Attributes:
        codes: B, signs.
        label_maps: W, codes to labels.
        projections: P, features to codes.
        associations: R, keyed (source, target): codes of one length to codes of another.
        scores: features @ projections, kept because every update needs them.
    """

    codes: dict[int, Float64[np.ndarray, "n _bits"]]
    label_maps: dict[int, Float64[np.ndarray, "_bits c"]]
    projections: dict[int, Float64[np.ndarray, "m _bits"]]
    associations: dict[Pair, Float64[np.ndarray, "_source _target"]]
    scores: dict[int, Float64[np.ndarray, "n _bits"]]


class LossTerms(NamedTuple):
    """The weighted losses, summed over lengths or pairs."""

    m_loss: float  # labels
    l_loss: float  # features
    q_loss: float  # association between lengths

    @property
    def total(self) -> float:
        """The objective J."""
        return self.m_loss + self.l_loss + self.q_loss


def m_loss(
    codes: Float64[np.ndarray, "n bits"],
    label_map: Float64[np.ndarray, "bits c"],
    targets: Float64[np.ndarray, "n c"],
    label_weights: Float64[np.ndarray, "n 1"] | Float64[np.ndarray, "n c"],
    *,
    ridge: float,
) -> float:
    """Return the weighted squared error of labels predicted from codes, plus ridge times ||W||^2."""
    error = targets - codes @ label_map
    return float((label_weights * error**2).sum() + ridge * (label_map**2).sum())


def l_loss(
    codes: Float64[np.ndarray, "n bits"],
    scores: Float64[np.ndarray, "n bits"],
    projection: Float64[np.ndarray, "m bits"],
    *,
    ridge: float,
) -> float:
    """Return the squared error of codes predicted from features, plus ridge times ||P||^2."""
    return float(((codes - scores) ** 2).sum() + ridge * (projection**2).sum())


def q_loss(
    source: Float64[np.ndarray, "n source_bits"],
    target: Float64[np.ndarray, "n target_bits"],
    association: Float64[np.ndarray, "source_bits target_bits"],
    *,
    ridge: float,
) -> float:
    """Return the squared error of codes predicted from codes of another length, plus ridge times ||R||^2."""
    return float(((target - source @ association) ** 2).sum() + ridge * (association**2).sum())


def evaluate(problem: Problem, solution: Solution, weights: LossWeights) -> LossTerms:
    """Return the terms of J = sum_l bits_l M_l + nu sum_l L_l + sum_(s,t) beta_st Q_st.

    The M-loss of a length counts its bits, because label maps shrink as 1/bits; nu and beta then mean the same at all
    lengths.

    Source: JMH (Liu et al., AAAI 2019) names the three kinds of information, without formulas; this reconstruction is
    ours, consistent with MOON (arXiv 2109.00883) and the single-length methods of the same authors.
    """
    codes = solution.codes
    labels = sum(
        bits * m_loss(B, solution.label_maps[bits], problem.targets, problem.label_weights, ridge=weights.lw)
        for bits, B in codes.items()
    )
    features = sum(
        l_loss(B, solution.scores[bits], solution.projections[bits], ridge=weights.lp)
        for bits, B in codes.items()
    )
    association = sum(
        beta * q_loss(codes[s], codes[t], solution.associations[s, t], ridge=weights.lr)
        for (s, t), beta in weights.associations(tuple(codes)).items()
    )
    return LossTerms(labels, weights.nu * features, association)
