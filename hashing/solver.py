"""Alternating minimisation of the joint objective: leave-one-out sweeps, then sweeps of exact block updates.

In: a training set, loss weights, start codes. Out: codes and maps, and the trace of J, which exact sweeps never raise;
given enough of them, no single bit or block of the solution can improve. Leaves the choice of the start to `start` and
new samples to `encoder`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Float, Float64, Int, Int8

from hashing.energy import (
    CodeEnergy,
    Curvature,
    EntryCurvature,
    ScaledCurvature,
    SharedCurvature,
    descend_bits_,
    merge,
)
from hashing.layout import CodeLayout
from hashing.moments import LabelMoments, Moments
from hashing.objective import LossTerms, LossWeights, Maps, association_curvature, evaluate
from hashing.ridge import GramRidge, solve_ridge
from hashing.training_set import Chunk, TrainingSet

Signs = Int8[np.ndarray, "columns n"]


def fit_label_map(moments: LabelMoments, *, ridge: float) -> Float64[np.ndarray, "bits c"]:
    """Return W = (B^T D B + ridge I)^-1 B^T D Y; class by class if entries are missing (01-hashing 1.5, 1.7)."""
    if len(moments.codes) == 1:
        return solve_ridge(moments.codes[0], moments.labels, ridge=ridge)
    columns = [
        solve_ridge(gram, labels[:, None], ridge=ridge)
        for gram, labels in zip(moments.codes, moments.labels.T, strict=True)
    ]
    return np.hstack(columns)


def fit_association(
    codes: Float64[np.ndarray, "columns columns"], source: slice, target: slice, *, ridge: float
) -> Float64[np.ndarray, "source target"]:
    """Return R = (B_s^T B_s + ridge I)^-1 B_s^T B_t from B^T B of all columns (01-hashing 1.5)."""
    return solve_ridge(codes[source, source], codes[source, target], ridge=ridge)


def fit_maps(moments: Moments, ridge: GramRidge, weights: LossWeights, layout: CodeLayout) -> Maps:
    """Return the minimisers of J among all maps, given the codes behind these moments."""
    blocks = layout.blocks
    return Maps(
        labels={bits: fit_label_map(moments.labels[bits], ridge=weights.lw) for bits in layout.lengths},
        projection=ridge.solve(moments.features),
        associations={
            (s, t): fit_association(moments.codes, blocks[s], blocks[t], ridge=weights.lr)
            for s, t in weights.associations(layout.lengths)
        },
    )


def label_trust(
    chunk: Chunk,
    codes: Float[np.ndarray, "bits n"],
    label_map: Float64[np.ndarray, "bits c"],
    *,
    delta: float,
) -> Float[np.ndarray, " n"]:
    """Return exp(-error / delta^2) of every sample: the tangent of the Welsch loss, which it bounds from above.

    The error is that of the label entries that are known; what sample and class count lies outside the loss.

    Source: 01-hashing 1.7, after SSLH (IJCAI 2019).
    """
    error = chunk.targets - codes.T @ label_map.astype(codes.dtype)
    count = chunk.label_weights.max(axis=1, keepdims=True, initial=0.0)
    known = chunk.label_weights / np.where(count > 0, count, 1)
    return np.asarray(np.exp(-(known * error**2).sum(axis=1) / delta**2))


def label_energy(
    chunk: Chunk,
    label_maps: dict[int, Float64[np.ndarray, "_bits c"]],
    trust: dict[int, Float[np.ndarray, " n"]],
    weights: LossWeights,
    layout: CodeLayout,
) -> tuple[Float[np.ndarray, "columns n"], list[Curvature]]:
    """Return the linear term and the curvatures of all M-losses, sum_l mu_l ||(y - b_l W_l) D_i^1/2||^2."""
    dtype, n_columns = chunk.features.dtype, layout.n_columns
    # A NumPy number would turn all of it into float64.
    roots = {bits: math.sqrt(mu) for bits, mu in weights.of_labels(layout.lengths).items()}
    spread = {}  # sqrt(mu) W at the columns of its length
    for bits, root in roots.items():
        spread[bits] = np.zeros((n_columns, chunk.targets.shape[1]), dtype=dtype)
        spread[bits][layout.columns[bits]] = root * label_maps[bits]
    weighted = (chunk.label_weights * chunk.targets).T
    if not trust and chunk.label_weights.shape[1] == 1:
        matrix = np.sum([W @ W.T for W in spread.values()], axis=0)
        linear = np.sum([roots[bits] * W for bits, W in spread.items()], axis=0) @ weighted
        if chunk.uniform_labels:
            return linear, [SharedCurvature(matrix)]
        return linear, [ScaledCurvature(matrix, chunk.label_weights[:, 0])]
    linear = np.zeros((n_columns, len(chunk.targets)), dtype=dtype)
    curvatures: list[Curvature] = []
    for bits, W in spread.items():
        scale = trust[bits] if trust else np.ones(len(chunk.targets), dtype=dtype)
        linear += roots[bits] * W @ (weighted * scale)
        if chunk.label_weights.shape[1] == 1:
            curvatures.append(ScaledCurvature(W @ W.T, chunk.label_weights[:, 0] * scale))
        else:
            curvatures.append(EntryCurvature(W, chunk.label_weights.T * scale))
    return linear, curvatures


@dataclass(slots=True)
class State:
    """What a sweep starts from, besides the maps.

    Attributes:
        codes: B of all lengths, samples as columns.
        trust: With robust labels, what each sample's labels count for each length; empty otherwise.
    """

    codes: Signs
    trust: dict[int, Float[np.ndarray, " n"]]

    def copy(self) -> "State":
        """Return a state that shares nothing with this one."""
        return State(self.codes.copy(), {bits: weights.copy() for bits, weights in self.trust.items()})


class Solver:
    """Block coordinate descent on the joint objective.

    Attributes:
        state: The current codes; the sweeps write into it.
        maps: The current maps.
        moments: The sums over samples that belong to the codes.
    """

    def __init__(
        self,
        samples: TrainingSet,
        weights: LossWeights,
        layout: CodeLayout,
        start: Signs,
        ridge: GramRidge,
        *,
        leverages: Sequence[Float64[np.ndarray, " _n"]] | None = None,
        robust: float | None = None,
    ) -> None:
        """Start from codes.

        Args:
            samples: What is learned from.
            weights: What the losses count.
            layout: Which columns belong to which length.
            start: Codes of all lengths.
            ridge: The features' ridge regression, factorised.
            leverages: What `ridge.leverages` says of every chunk, if known.
            robust: The error delta of labels above which they count less and less; None trusts all alike.
        """
        self.samples = samples
        self.weights = weights
        self.layout = layout
        self._ridge = ridge
        self._robust = robust
        self._nu = weights.of_features(layout).astype(samples.dtype)[:, None]
        found = leverages or [ridge.leverages(chunk) for chunk in samples.chunks()]
        self._leverages = [part.astype(samples.dtype) for part in found]
        ones = {bits: np.ones(len(samples), dtype=samples.dtype) for bits in layout.lengths} if robust else {}
        self.restart_(State(start, ones))

    def restart_(self, state: State) -> None:
        """Take these codes and the maps that are best for them."""
        self.state = state.copy()
        moments = self._no_moments()
        for chunk in self.samples.chunks():
            self._add_(moments, chunk, self.state.codes[:, chunk.rows].astype(self.samples.dtype))
        self.moments = moments
        self.maps = fit_maps(moments, self._ridge, self.weights, self.layout)

    def objective(self) -> LossTerms:
        """Return the loss terms of the current solution."""
        terms = evaluate(self.moments, self.maps, self._ridge.gram, self.weights, self.layout)
        return terms._replace(m_loss=terms.m_loss + self._distrust())

    def update_codes_(self, *, passes: int, leave_one_out: bool) -> Int[np.ndarray, " columns"]:
        """Run the bit rule on the codes of all lengths, longest first, and sum up the moments; returns the flips of each bit.

        With `leave_one_out` the score of a sample is that of projections fitted without its own vote: a flip then
        counts what J changes with P fitted anew. All samples flip at once, so J may rise a little. Without it J never
        rises.
        """
        blocks = list(self.layout.blocks.values())[::-1]
        association = association_curvature(self.maps.associations, self.weights, self.layout)
        shared = SharedCurvature(association.astype(self.samples.dtype))
        projection = self.maps.projection.T.astype(self.samples.dtype)
        flips = np.zeros(self.layout.n_columns, dtype=np.int64)
        moments = self._no_moments()
        for chunk, leverages in zip(self.samples.chunks(), self._leverages, strict=True):
            codes = self.state.codes[:, chunk.rows].astype(self.samples.dtype)
            if self._robust:
                self._update_trust_(chunk, codes)
            scores = projection @ chunk.features.T
            if leave_one_out:
                scores -= leverages * codes
            labels, curvatures = label_energy(
                chunk, self.maps.labels, self._trust(chunk), self.weights, self.layout
            )
            energy = CodeEnergy(
                linear=self._nu * chunk.feature_weights * scores + labels,
                curvatures=merge([shared, *curvatures]),
            )
            flips += descend_bits_(codes, energy, blocks=blocks, passes=passes)
            self.state.codes[:, chunk.rows] = codes
            self._add_(moments, chunk, codes)
        self.moments = moments
        return flips

    def update_label_maps_(self) -> None:
        """Set every W to its minimiser."""
        for bits, moments in self.moments.labels.items():
            self.maps.labels[bits] = fit_label_map(moments, ridge=self.weights.lw)

    def update_projection_(self) -> None:
        """Set P to its minimiser."""
        self.maps.projection = self._ridge.solve(self.moments.features)

    def update_associations_(self) -> None:
        """Set every R to its minimiser."""
        blocks = self.layout.blocks
        for s, t in self.maps.associations:
            self.maps.associations[s, t] = fit_association(
                self.moments.codes, blocks[s], blocks[t], ridge=self.weights.lr
            )

    def sweep_(self, *, passes: int, leave_one_out: bool) -> int:
        """Update every block once; returns the number of flips."""
        flips = int(self.update_codes_(passes=passes, leave_one_out=leave_one_out).sum())
        if flips or self._robust:
            self.update_label_maps_()
        if flips:
            self.update_projection_()
            self.update_associations_()
        return flips

    def _no_moments(self) -> Moments:
        return Moments.empty(
            self.layout,
            n_features=len(self._ridge.gram),
            n_classes=self.samples.labels.targets.shape[1],
            per_class=self.samples.labels.weights.shape[1] != 1,
        )

    def _add_(self, moments: Moments, chunk: Chunk, codes: Float[np.ndarray, "columns n"]) -> None:
        moments.add_(chunk, codes, self._trust(chunk), self.layout)

    def _trust(self, chunk: Chunk) -> dict[int, Float[np.ndarray, " n"]]:
        return {bits: weights[chunk.rows] for bits, weights in self.state.trust.items()}

    def _update_trust_(self, chunk: Chunk, codes: Float[np.ndarray, "columns n"]) -> None:
        assert self._robust is not None  # noqa: S101 - the only caller asked
        for bits, part in self.layout.columns.items():
            self.state.trust[bits][chunk.rows] = label_trust(
                chunk, codes[part], self.maps.labels[bits], delta=self._robust
            )

    def _distrust(self) -> float:
        """Return what the tangents of the Welsch loss have at error 0, delta^2 (1 - t + t log t) at trust t."""
        if self._robust is None:
            return 0.0
        mu = self.weights.of_labels(self.layout.lengths)
        weight = self.samples.labels.weights.max(axis=1, initial=0.0) * self.samples.sample_weight
        return self._robust**2 * sum(
            mu[bits] * float(weight @ (1 - t + scipy.special.xlogy(t, t)).astype(np.float64))
            for bits, t in self.state.trust.items()
        )


def minimise(
    solver: Solver,
    *,
    n_outer: int,
    n_exact: int,
    passes: int,
    on_step: Callable[[int, int], None] | None = None,
) -> list[LossTerms]:
    """Bring the solver near a point that no single bit or block can improve; returns the loss terms after every sweep.

    Leave-one-out sweeps first, because plain descent keeps every sample near its start; then plain sweeps from the best
    codes seen, which never raise J, until nothing flips.

    Args:
        solver: Holds the start and, afterwards, the solution.
        n_outer: Leave-one-out sweeps, at most.
        n_exact: Plain sweeps, at most; they reach that point, up to rounding, if they end before by themselves.
        passes: Passes over the bits of a length per sweep.
        on_step: Is told (sweeps done, sweeps at most) after each sweep.
    """
    total = n_outer + n_exact
    trace = [solver.objective()]
    best = solver.state.copy()
    for _ in range(n_outer):
        flips = solver.sweep_(passes=passes, leave_one_out=True)
        trace.append(solver.objective())
        if trace[-1].total < min(terms.total for terms in trace[:-1]):
            best = solver.state.copy()
        if on_step:
            on_step(len(trace) - 1, total)
        if not flips:
            break
    solver.restart_(best)
    for _ in range(n_exact):
        flips = solver.sweep_(passes=passes, leave_one_out=False)
        trace.append(solver.objective())
        if on_step:
            on_step(len(trace) - 1, total)
        if not flips:
            break
    return trace
