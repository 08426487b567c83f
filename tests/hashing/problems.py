"""Random small problems for the solver, and the objective from its definition.

In: nothing but random choices. Out: problems of every kind that the specification names (01-hashing 1.4, 1.7) as
training sets in double precision, and J from residuals rather than from sums over samples.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from hashing import training_set
from hashing.labels import Labels
from hashing.layout import CodeLayout
from hashing.objective import LossWeights, Topology
from hashing.ridge import GramRidge
from hashing.solver import Solver
from hashing.training_set import TrainingSet

LENGTHS = [(2, 5), (3,), (2, 3, 8), (1, 4, 6)]  # neither objective nor solver asks for whole bytes


@dataclass(frozen=True, kw_only=True)
class Problem:
    features: np.ndarray  # (n, m), the last column 1
    targets: np.ndarray  # (n, c)
    label_weights: np.ndarray  # (n, 1) or (n, c)
    sample_weight: np.ndarray  # (n,)
    losses: dict[str, Any]
    lengths: tuple[int, ...]
    nested: bool
    start: np.ndarray  # (columns, n), int8

    # Not drawn: run-time type checks of what a strategy builds would draw random numbers of their own.
    @cached_property
    def weights(self):
        return LossWeights(**self.losses)

    @cached_property
    def layout(self):
        return CodeLayout(self.lengths, self.nested)

    def samples(self, dtype=np.float64):
        labels = Labels(
            targets=self.targets,
            weights=self.label_weights,
            classes=np.arange(self.targets.shape[1]),
        )
        return TrainingSet(
            self.features, lambda rows: rows, labels, sample_weight=self.sample_weight, dtype=dtype
        )

    def solver(self, *, robust=None, dtype=np.float64):
        samples = self.samples(dtype)
        ridge = GramRidge(samples.gram(), self.weights.lp)
        return Solver(samples, self.weights, self.layout, self.start, ridge, robust=robust)


def scales():
    return st.floats(-2, 2).map(lambda power: 10**power)  # hyper-parameters over four decades


@st.composite
def per_length(draw, lengths):
    if draw(st.booleans()):
        return draw(scales())
    return tuple(draw(scales()) for _ in lengths)


@st.composite
def problems(draw):
    """Draw problems: multi-label, unlabelled, weighted, with missing entries, nested, of every topology."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m, c = draw(st.integers(4, 40)), draw(st.integers(1, 12)), draw(st.integers(0, 5))
    lengths, nested = draw(st.sampled_from(LENGTHS)), draw(st.booleans())
    label_weights = rng.exponential(size=(n, 1)) * (rng.random((n, 1)) < 0.7)  # some are unlabelled
    if c and draw(st.booleans()):
        label_weights = label_weights * rng.random((n, c)).round(1)  # entries missing, wholly or in part
    weighted = draw(st.booleans())
    return Problem(
        features=np.hstack([rng.normal(size=(n, m)), np.ones((n, 1))]),
        targets=(rng.random((n, c)) < draw(st.sampled_from([0.2, 0.6]))).astype(float),
        label_weights=label_weights if draw(st.booleans()) else (label_weights > 0).astype(float),
        sample_weight=rng.exponential(size=n) if weighted else np.ones(n),
        losses={
            "nu": draw(per_length(lengths)),
            "beta": draw(per_length(lengths)),
            "lw": draw(scales()),
            "lp": draw(scales()),
            "lr": draw(scales()),
            "topology": draw(st.sampled_from(Topology)),
        },
        lengths=lengths,
        nested=nested,
        start=rng.choice((-1, 1), size=(max(lengths) if nested else sum(lengths), n)).astype(np.int8),
    )


@contextmanager
def chunks_of(size) -> Iterator[None]:
    """Let training sets be visited so many samples at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_set, "CHUNK", size)
        yield


def label_errors(problem, codes, maps):
    """Return, by length, what every sample counts and its squared error over the label entries that are known."""
    weights = problem.label_weights * problem.sample_weight[:, None]
    count = weights.max(axis=1, initial=0.0)
    known = weights / np.where(count > 0, count, 1)[:, None]
    return {
        bits: (count, (known * (problem.targets - codes[part].T @ maps.labels[bits]) ** 2).sum(axis=1))
        for bits, part in problem.layout.columns.items()
    }


def plain_objective(problem, codes, maps, *, robust=None):
    """Return J from its definition; with robust labels, of the Welsch loss delta^2 (1 - exp(-error / delta^2)).

    M- and L-losses count for every length with all its columns, Q-losses lie between the columns that lengths add.
    """
    layout, weights = problem.layout, problem.weights
    B = codes.T.astype(float)
    pairs = weights.topology.pairs(layout.lengths)
    nu, beta = (
        dict(zip(layout.lengths, value if isinstance(value, tuple) else [value] * 99, strict=False))
        for value in (weights.nu, weights.beta)
    )
    errors = label_errors(problem, codes, maps)
    total = 0.0
    for bits, part in layout.columns.items():
        W, P = maps.labels[bits], maps.projection[:, part]
        count, error = errors[bits]
        if robust is not None:
            error = robust**2 * (1 - np.exp(-error / robust**2))
        missed = problem.sample_weight[:, None] * (B[:, part] - problem.features @ P) ** 2
        total += bits * ((count * error).sum() + weights.lw * (W**2).sum())
        total += nu[bits] * (missed.sum() + weights.lp * (P**2).sum())
    for s, t in pairs:
        R = maps.associations[s, t]
        missed = (B[:, layout.blocks[t]] - B[:, layout.blocks[s]] @ R) ** 2
        total += beta[t] / sum(t == other for _, other in pairs) * (missed.sum() + weights.lr * (R**2).sum())
    return total
