"""The joint objective: what labels, features and codes of other lengths have to say about codes, as three losses.

In: sums over samples (moments), maps, weights of the losses. Out: loss terms. Leaves their minimisation to `solver`.

Convention: samples are rows, so codes are B (n, bits) in {-1, +1}, and every matrix of the design note is transposed.
Every loss is the error of a ridge regression, ||(T - S M) V^1/2||^2 + ridge ||M||^2, from sources S to targets T with
weights V per sample, and needs of the samples only the sums S^T V S, S^T V T and ||V^1/2 T||^2.
"""

import itertools
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, assert_never

import numpy as np
from jaxtyping import Float64

from hashing.layout import CodeLayout
from hashing.moments import LabelMoments, Moments

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
        nu: Weight of the L-loss (features); one for all lengths, or one for each, ascending.
        beta: Weight of the Q-loss (association) of a target, shared by its sources; one for all lengths or one for each.
        lw: Ridge of the label maps.
        lp: Ridge of the projections.
        lr: Ridge of the associations.
        topology: Which code predicts which.
    """

    nu: float | tuple[float, ...]
    beta: float | tuple[float, ...]
    lw: float
    lp: float
    lr: float
    topology: Topology

    def of_labels(self, lengths: tuple[int, ...]) -> dict[int, float]:
        """Return mu of every length: its bits, because label maps shrink as 1/bits; nu and beta then mean the same."""
        return {bits: float(bits) for bits in lengths}

    def of_features(self, layout: CodeLayout) -> Float64[np.ndarray, " columns"]:
        """Return nu of every column; a column of several nested codes counts for each."""
        nu = np.zeros(layout.n_columns)
        for part, weight in zip(layout.columns.values(), _each(self.nu, layout.lengths), strict=True):
            nu[part] += weight
        return nu

    def associations(self, lengths: tuple[int, ...]) -> dict[Pair, float]:
        """Return beta of every pair: that of its target over the number of the target's sources."""
        pairs = self.topology.pairs(lengths)
        beta = dict(zip(lengths, _each(self.beta, lengths), strict=True))
        targets = [t for _, t in pairs]
        return {(s, t): beta[t] / targets.count(t) for s, t in pairs}


def _each(weight: float | tuple[float, ...], lengths: tuple[int, ...]) -> tuple[float, ...]:
    return weight if isinstance(weight, tuple) else (weight,) * len(lengths)


@dataclass(slots=True, kw_only=True)
class Maps:
    """The maps between labels, features and codes, in float64.

    Attributes:
        labels: W by code length, codes to labels, (bits, c).
        projection: P, features to the columns of all codes, (m, columns).
        associations: R, keyed (source, target) lengths: the block of one length to the block of another.
    """

    labels: dict[int, Float64[np.ndarray, "_bits c"]]
    projection: Float64[np.ndarray, "m columns"]
    associations: dict[Pair, Float64[np.ndarray, "_source _target"]]


class LossTerms(NamedTuple):
    """The weighted losses, summed over lengths or pairs."""

    m_loss: float  # labels
    l_loss: float  # features
    q_loss: float  # association between lengths

    @property
    def total(self) -> float:
        """The objective J."""
        return self.m_loss + self.l_loss + self.q_loss


def m_loss(label_map: Float64[np.ndarray, "bits c"], moments: LabelMoments, *, ridge: float) -> float:
    """Return ||(Y - B W) D^1/2||^2 + ridge ||W||^2 of one length: labels predicted from codes (01-hashing 1.4).

    Its moments hold one B^T D B for all classes, or one per class if entries are missing.
    """
    fitted = (
        moments.codes[0] @ label_map
        if len(moments.codes) == 1
        else np.einsum("crs,sc->rc", moments.codes, label_map, optimize=True)
    )
    pull = fitted + ridge * label_map - 2 * moments.labels
    return float(moments.power + (label_map * pull).sum())


def l_loss(
    projection: Float64[np.ndarray, "m columns"],
    gram: Float64[np.ndarray, "m m"],
    moments: Moments,
    *,
    ridge: float,
) -> Float64[np.ndarray, " columns"]:
    """Return ||(b - Phi p) E^1/2||^2 + ridge ||p||^2 of every column: codes predicted from features (01-hashing 1.4)."""
    pull = gram @ projection + ridge * projection - 2 * moments.features
    return np.asarray(moments.feature_weight + (projection * pull).sum(axis=0))


def q_loss(
    association: Float64[np.ndarray, "source target"],
    source: slice,
    target: slice,
    codes: Float64[np.ndarray, "columns columns"],
    *,
    ridge: float,
) -> float:
    """Return ||B_t - B_s R||^2 + ridge ||R||^2: codes predicted from codes of another length (01-hashing 1.4).

    Args:
        association: R.
        source: Columns of B_s.
        target: Columns of B_t.
        codes: B^T B of all columns.
        ridge: Ridge of R.
    """
    pull = codes[source, source] @ association + ridge * association - 2 * codes[source, target]
    return float(np.trace(codes[target, target]) + (association * pull).sum())


def evaluate(
    moments: Moments,
    maps: Maps,
    gram: Float64[np.ndarray, "m m"],
    weights: LossWeights,
    layout: CodeLayout,
) -> LossTerms:
    """Return the terms of J = sum_l bits_l M_l + sum_l nu_l L_l + sum_(s,t) beta_st Q_st.

    Args:
        moments: The sums over samples.
        maps: W, P, R.
        gram: Phi^T E Phi.
        weights: What the losses count.
        layout: Which columns belong to which length.

    Source: JMH (Liu et al., AAAI 2019) names the three kinds of information, without formulas; this reconstruction is
    ours, consistent with MOON (arXiv 2109.00883) and the single-length methods of the same authors.
    """
    labels = sum(
        mu * m_loss(maps.labels[bits], moments.labels[bits], ridge=weights.lw)
        for bits, mu in weights.of_labels(layout.lengths).items()
    )
    features = weights.of_features(layout) @ l_loss(maps.projection, gram, moments, ridge=weights.lp)
    blocks = layout.blocks
    association = sum(
        beta * q_loss(maps.associations[s, t], blocks[s], blocks[t], moments.codes, ridge=weights.lr)
        for (s, t), beta in weights.associations(layout.lengths).items()
    )
    return LossTerms(float(labels), float(features), float(association))


def association_curvature(
    associations: dict[Pair, Float64[np.ndarray, "_source _target"]],
    weights: LossWeights,
    layout: CodeLayout,
) -> Float64[np.ndarray, "columns columns"]:
    """Return the matrix of all Q-losses as a function of a sample's codes, sum_(s,t) beta_st ||b_t - b_s R||^2."""
    total = np.zeros((layout.n_columns, layout.n_columns))
    blocks = layout.blocks
    for (s, t), beta in weights.associations(layout.lengths).items():
        R = associations[s, t]
        total[blocks[s], blocks[s]] += beta * R @ R.T
        total[blocks[s], blocks[t]] -= beta * R
        total[blocks[t], blocks[s]] -= beta * R.T
        total[blocks[t], blocks[t]] += beta * np.eye(R.shape[1])
    return total
