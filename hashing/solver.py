"""Alternating minimisation of the joint objective: leave-one-out sweeps, then sweeps of exact block updates.

In: a problem, loss weights, start codes. Out: a solution, and the trace of J, which exact sweeps never raise; given
enough of them, no single bit or block of the solution can improve. Leaves the choice of the start to `start` and new samples to `joint`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Shaped

from hashing.objective import LossTerms, LossWeights, Pair, Problem, Solution, evaluate
from hashing.ridge import FeatureRidge, solve_ridge

Codes = dict[int, Float64[np.ndarray, "n _bits"]]

TIE = 1e-10  # of the largest field of a bit: rounding noise, not a reason to flip


def fit_label_map(
    codes: Float64[np.ndarray, "n bits"],
    targets: Float64[np.ndarray, "n c"],
    weights: Float64[np.ndarray, "n 1"] | Float64[np.ndarray, "n c"],
    *,
    ridge: float,
) -> Float64[np.ndarray, "bits c"]:
    """Return the label map W that minimises the M-loss of these codes; class by class if entries are missing."""
    if weights.shape[1] == 1:
        weighted = codes * weights
        return solve_ridge(codes.T @ weighted, weighted.T @ targets, ridge=ridge)
    columns = [
        fit_label_map(codes, targets[:, [k]], weights[:, [k]], ridge=ridge) for k in range(targets.shape[1])
    ]
    return np.hstack(columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeEnergy:
    """b^T A_i b - 2 b^T c_i per sample i: the objective as a function of the codes of one length.

    A_i = curvature + label_map diag(label_weights_i) label_map^T, so no matrix per sample is ever stored.
    """

    linear: Float64[np.ndarray, "n bits"]
    curvature: Float64[np.ndarray, "bits bits"]
    label_map: Float64[np.ndarray, "bits c"]
    label_weights: Float64[np.ndarray, "n 1"] | Float64[np.ndarray, "n c"]

    def gradient(self, codes: Float64[np.ndarray, "n bits"]) -> Float64[np.ndarray, "n bits"]:
        """Return c_i - A_i b_i."""
        labels = self.label_weights * (codes @ self.label_map)
        gradient: Float64[np.ndarray, "n bits"] = (
            self.linear - codes @ self.curvature - labels @ self.label_map.T
        )
        return gradient

    def diagonal(self) -> Float64[np.ndarray, "n bits"]:
        """Return the diagonals of A_i."""
        labels = np.broadcast_to(self.label_weights, (len(self.linear), self.label_map.shape[1]))
        return np.asarray(np.diag(self.curvature) + labels @ (self.label_map**2).T)

    def rows(self, samples: Int[np.ndarray, " some"], k: int) -> Float64[np.ndarray, "some bits"]:
        """Return row k of A_i of these samples."""
        labels = (self.label_weights[samples] * self.label_map[k]) @ self.label_map.T
        return np.asarray(self.curvature[k] + labels)


def descend_bits_(
    codes: Float64[np.ndarray, "n bits"], energy: CodeEnergy, *, passes: int
) -> Int[np.ndarray, " bits"]:
    """Flip every bit of every sample that lowers the energy, bit after bit; returns the flips of each bit.

    All samples of one bit are flipped at once: given the other blocks they are independent.
    """
    gradient = energy.gradient(codes)
    diagonal = energy.diagonal()
    tie = TIE * np.abs(gradient + diagonal * codes).max(axis=0, initial=0.0)
    flips = np.zeros(codes.shape[1], dtype=np.int64)
    for _ in range(passes):
        before = flips.sum()
        for k in range(codes.shape[1]):
            field = gradient[:, k] + diagonal[:, k] * codes[:, k]
            samples = np.flatnonzero(field * codes[:, k] < -tie[k])
            if not samples.size:
                continue
            flips[k] += samples.size
            gradient[samples] += 2 * codes[samples, k, None] * energy.rows(samples, k)
            codes[samples, k] *= -1
        if flips.sum() == before:
            break
    return flips


def association_energy(
    codes: Codes,
    associations: dict[Pair, Float64[np.ndarray, "_source _target"]],
    betas: dict[Pair, float],
    bits: int,
) -> tuple[Float64[np.ndarray, "n bits"], Float64[np.ndarray, "bits bits"]]:
    """Return the linear term and the curvature of all Q-losses that touch the codes of one length."""
    linear = np.zeros_like(codes[bits])
    curvature = np.zeros((bits, bits))
    for (s, t), beta in betas.items():
        R = associations[s, t]
        if t == bits:
            linear += beta * codes[s] @ R
        elif s == bits:
            linear += beta * codes[t] @ R.T
            curvature += beta * R @ R.T
    return linear, curvature


class Solver:
    """Block coordinate descent on the joint objective.

    Attributes:
        solution: The current codes and maps; the block updates write into it.
    """

    def __init__(self, problem: Problem, weights: LossWeights, start: Codes, ridge: FeatureRidge) -> None:
        self.problem = problem
        self.weights = weights
        self.solution = Solution(codes={}, label_maps={}, projections={}, associations={}, scores={})
        self._betas = weights.associations(tuple(start))
        self._ridge = ridge
        self._leverages = ridge.leverages()[:, None]
        self.restart_(start)

    def restart_(self, codes: Codes) -> None:
        """Take these codes and the maps that are best for them."""
        solution = self.solution
        solution.codes = {bits: B.copy() for bits, B in codes.items()}
        solution.scores = {bits: np.empty_like(B) for bits, B in codes.items()}
        solution.projections = {bits: np.empty((self.problem.features.shape[1], bits)) for bits in codes}
        for bits in codes:
            self.update_label_map_(bits)
            self.update_projection_(bits)
        for pair in self._betas:
            self.update_association_(pair)

    def objective(self) -> LossTerms:
        """Return the loss terms of the current solution."""
        return evaluate(self.problem, self.solution, self.weights)

    def update_label_map_(self, bits: int) -> None:
        """Set W of one length to its minimiser."""
        self.solution.label_maps[bits] = fit_label_map(
            self.solution.codes[bits],
            self.problem.targets,
            self.problem.label_weights,
            ridge=self.weights.lw,
        )

    def update_projection_(self, bits: int, columns: Shaped[np.ndarray, "..."] | slice = slice(None)) -> None:
        """Set P of one length to its minimiser; only in the columns whose bits changed, if given."""
        P = self._ridge.fit(self.solution.codes[bits][:, columns])
        self.solution.projections[bits][:, columns] = P
        self.solution.scores[bits][:, columns] = self.problem.features @ P

    def update_association_(self, pair: Pair) -> None:
        """Set R of one pair to its minimiser."""
        # Sums of up to 2^24 signs are exact in float32, at twice the speed.
        source, target = (self.solution.codes[bits].astype(np.float32) for bits in pair)
        self.solution.associations[pair] = solve_ridge(
            (source.T @ source).astype(np.float64),
            (source.T @ target).astype(np.float64),
            ridge=self.weights.lr,
        )

    def update_codes_(self, bits: int, *, passes: int, leave_one_out: bool) -> Int[np.ndarray, " bits"]:
        """Run the bit rule on the codes of one length; returns the flips of each bit.

        With `leave_one_out` the score of a sample is that of projections fitted without its own vote: a flip then
        counts what J changes with P fitted anew. All samples flip at once, so J may rise a little. Without it J never
        rises.
        """
        solution, problem, nu = self.solution, self.problem, self.weights.nu
        codes = solution.codes[bits]
        W = solution.label_maps[bits]
        linear, curvature = association_energy(solution.codes, solution.associations, self._betas, bits)
        linear += nu * solution.scores[bits]
        linear += bits * (problem.label_weights * problem.targets) @ W.T
        if leave_one_out:
            linear -= nu * self._leverages * codes
        energy = CodeEnergy(
            linear=linear,
            curvature=curvature,
            label_map=W,
            label_weights=bits * problem.label_weights,
        )
        return descend_bits_(codes, energy, passes=passes)

    def sweep_(self, *, passes: int, leave_one_out: bool) -> int:
        """Update every block once, longest codes first; returns the number of flips."""
        total = 0
        for bits in sorted(self.solution.codes, reverse=True):
            flips = self.update_codes_(bits, passes=passes, leave_one_out=leave_one_out)
            if not flips.any():
                continue  # every map that touches these codes is its minimiser already
            self.update_label_map_(bits)
            self.update_projection_(bits, np.flatnonzero(flips))
            for pair in self._betas:
                if bits in pair:
                    self.update_association_(pair)
            total += int(flips.sum())
        return total


def minimise(
    solver: Solver,
    *,
    n_outer: int,
    n_exact: int,
    passes: int,
    on_step: Callable[[int, int], None] | None = None,
) -> list[LossTerms]:
    """Bring the solver to a point that no single bit or block can improve; returns the loss terms after every sweep.

    Leave-one-out sweeps first, because plain descent keeps every sample near its start; then plain sweeps from the best
    codes seen, which never raise J, until nothing flips.

    Args:
        solver: Holds the start and, afterwards, the solution.
        n_outer: Leave-one-out sweeps, at most.
        n_exact: Plain sweeps, at most.
        passes: Passes over the bits per sweep and length.
        on_step: Is told (sweeps done, sweeps at most) after each sweep.
    """
    total = n_outer + n_exact
    trace = [solver.objective()]
    best = {bits: B.copy() for bits, B in solver.solution.codes.items()}
    for _ in range(n_outer):
        flips = solver.sweep_(passes=passes, leave_one_out=True)
        trace.append(solver.objective())
        if trace[-1].total < min(terms.total for terms in trace[:-1]):
            best = {bits: B.copy() for bits, B in solver.solution.codes.items()}
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
