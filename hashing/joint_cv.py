"""Choosing the loss weights of a joint hasher by validation, for every length its own if that is better.

In: a joint hasher, candidates, embeddings with labels. Out: the hasher fitted with the best. What a fit does is `joint`'s.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Shaped
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import validate_data

from hashing.encoder import Encoder
from hashing.estimator import EncoderEstimator, seeded_rng
from hashing.held_out import folds, held_out_precision, shared_labels, surely_better
from hashing.joint import JointHasher
from hashing.labels import LabelInput, read_labels

# The first is what others must beat by a standard error. beta = 0 is separate training, which nu near 0 makes class
# codebook and ridge regression. Above nu = 1 codes follow the features more than the labels. Grid of 01-hashing 1.7,
# changed after looking at query results of the benchmark's sets (docs/hashing.md).
CANDIDATES: tuple[Mapping[str, float], ...] = (
    {"nu": 0.1, "beta": 0.01},
    {"nu": 0.1, "beta": 0.03},
    {"nu": 0.001, "beta": 0.0},
    {"nu": 1.0, "beta": 0.3},
    {"nu": 3.0, "beta": 0.3},
    {"nu": 30.0, "beta": 3.0},
    {"nu": 30.0, "beta": 10.0},
)
FEW_HELD_OUT = 100  # below, a difference between ridges is chance
PER_LENGTH = ("nu", "beta", "joint_encoding")  # what lengths may differ in
SWEEPS = {"n_outer": 4, "n_exact": 1}  # of a fit that is only compared with others


class JointHasherCV(EncoderEstimator):
    """A joint hasher whose nu, beta and joint encoding are chosen by validation.

    Held-out labelled samples are ranked against each other by average precision. Each candidate is fitted with the same
    weights for all lengths and scored per length, encoded jointly or by sign, whichever is better. The first candidate is
    kept unless another is better by more than the standard error of the difference over the same samples: with few
    labels most differences are chance. Where lengths differ in what is best for them, one more fit gives every length
    its own, kept if it is better by the same rule. Then the best of three ridges, unless fewer than 100 samples were held
    out. The winner is fitted on all samples. Where no two held-out samples share a label, nothing can be compared and the first
    candidate it is. Holds a copy of the training embeddings per fold.

    Args:
        estimator: What to fit; its other parameters hold for all candidates. None takes `JointHasher()`.
        candidates: Parameters to try: nu, beta, robust or others that leave features and lengths alone.
        n_folds: How many fifths are held out, one after the other; None takes 1 for 1,000 labelled samples or more,
            otherwise 3.
        ridge_factors: By what to multiply the ridge lp, tried with the best candidate.
        per_length: Whether lengths may differ; not for nested codes, which share bits.

    Attributes:
        best_estimator_: The hasher fitted on all samples.
        best_params_: The parameters it was given.
        best_score_: Its mean average precision on held-out samples, mean over lengths; NaN if nothing was compared.
        cv_results_: One dict per fit tried: `params`, and mean average precision by code length, `map`.

    Source: the grid of 01-hashing 1.7.
    """

    def __init__(
        self,
        estimator: JointHasher | None = None,
        *,
        candidates: Sequence[Mapping[str, Any]] = CANDIDATES,
        n_folds: int | None = None,
        ridge_factors: Sequence[float] = (0.1, 10.0),
        per_length: bool = True,
    ) -> None:
        self.estimator = estimator
        self.ridge_factors = ridge_factors
        self.candidates = candidates
        self.n_folds = n_folds
        self.per_length = per_length

    def fit(
        self,
        X: ArrayLike,
        y: LabelInput = None,
        *,
        sample_weight: ArrayLike | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> "JointHasherCV":
        """Choose, then fit on all samples.

        Args:
            X: Training embeddings.
            y: Labels in any form of `labels.read_labels`.
            sample_weight: What each sample counts in the M- and L-losses; held-out samples count alike.
            on_step: Is told (fits done, fits in all) after each.

        Raises:
            LabelError: The labels do not fit the samples.
            ValueError: As `JointHasher.fit`.
        """
        if not self.candidates:
            raise ValueError(
                "The 'candidates' parameter of JointHasherCV must name at least one. Got none instead."
            )
        base = clone(JointHasher() if self.estimator is None else self.estimator)
        x = np.asarray(X)
        weight = None if sample_weight is None else np.asarray(sample_weight)
        search = _Search(
            base, x, y, weight, n_folds=self.n_folds, on_step=on_step, n_tried=self._n_tried(base)
        )
        trials: list[_Trial] = []
        chosen = _Trial(dict(self.candidates[0]), np.full((1, 1), np.nan), (0,))
        if search.n_folds:
            trials, chosen = self._compare(search, base)
        self.cv_results_ = [{"params": trial.params, "map": trial.map} for trial in trials]
        self.best_params_ = chosen.params
        self.best_score_ = _mean(chosen)
        self.best_estimator_ = base.set_params(**chosen.params).fit(X, y, sample_weight=sample_weight)
        search.finish()
        validate_data(self, X, skip_check_array=True)  # remembers the width and the names of columns
        return self

    def _compare(self, search: "_Search", base: JointHasher) -> "tuple[list[_Trial], _Trial]":
        """Return all trials, and the chosen one."""
        trials = [search.score(dict(candidate)) for candidate in self.candidates]
        chosen = _best(trials)
        if self.per_length and not base.nested:
            mixed = _mixed(trials, base)
            if mixed != chosen.params:
                trials.append(search.score(mixed))
                chosen = _best([chosen, trials[-1]])
        ridges = []
        if search.n_held_out >= FEW_HELD_OUT:
            ridge = chosen.params.get("lp", search.ridge)
            ridges = [search.score(chosen.params | {"lp": factor * ridge}) for factor in self.ridge_factors]
        return [*trials, *ridges], max([chosen, *ridges], key=_mean)

    def _n_tried(self, base: JointHasher) -> int:
        mixed = self.per_length and not base.nested
        return len(self.candidates) + mixed + len(self.ridge_factors)

    @property
    def encoder_(self) -> Encoder:  # type: ignore[override]  # read-only here
        """That of the best hasher."""
        best: JointHasher = self.best_estimator_
        return best.encoder_


class _Search:
    """Held-out parts of one training set, prepared once for all candidates."""

    def __init__(
        self,
        base: JointHasher,
        x: Float[np.ndarray, "n d"],
        y: LabelInput,
        sample_weight: Shaped[np.ndarray, " n"] | None,
        *,
        n_folds: int | None,
        n_tried: int,
        on_step: Callable[[int, int], None] | None,
    ) -> None:
        self._base = base
        self._on_step = on_step
        labels = read_labels(y, len(x), class_weight=base.class_weight)
        self._folds = [
            (
                base.prepare(
                    x[kept],
                    labels.take(kept),
                    sample_weight=None if sample_weight is None else sample_weight[kept],
                ),
                x[held],
                shared_labels(labels, held),
            )
            for kept, held in folds(labels, n_folds, seeded_rng(base.random_state))
        ]
        self._done, self._total = 0, n_tried * len(self._folds) + 1

    @property
    def n_folds(self) -> int:
        """How many parts are held out in turn."""
        return len(self._folds)

    @property
    def n_held_out(self) -> int:
        """How many samples are held out, all parts together."""
        return sum(len(held) for _, held, _ in self._folds)

    @property
    def ridge(self) -> float:
        """The ridge lp that all candidates share."""
        return self._folds[0][0].ridge.penalty

    def score(self, params: dict[str, Any]) -> "_Trial":
        """Fit with these parameters on every fold and rank what was held out."""
        found: dict[bool, list[Float64[np.ndarray, "lengths _held"]]] = {True: [], False: []}
        for preparation, held, relevant in self._folds:
            ready = preparation.with_ridge(params.get("lp", self.ridge))
            hasher = clone(self._base).set_params(**params | SWEEPS).fit_prepared(ready)
            for encoding in {True, False} if "joint_encoding" not in params else {True}:
                joint = params.get("joint_encoding", encoding)
                codes = dataclasses.replace(hasher.encoder_, joint=joint).encode(held)
                found[encoding].append(
                    np.array([held_out_precision(part, relevant) for part in codes.values()])
                )
            self._step()
        precision = np.hstack(found[True])
        if "joint_encoding" in params:
            return _Trial(params, precision, hasher.lengths_)
        return _trial_with_best_encoding(
            params, precision, np.hstack(found[False]), hasher.lengths_, nested=self._base.nested
        )

    def finish(self) -> None:
        """Tell that the last fit is done."""
        self._done = self._total - 1
        self._step()

    def _step(self) -> None:
        self._done += 1
        if self._on_step:
            self._on_step(self._done, self._total)


@dataclasses.dataclass(frozen=True, slots=True)
class _Trial:
    """What a set of parameters reached: the average precision of every held-out sample at every length."""

    params: dict[str, Any]
    precision: Float64[np.ndarray, "lengths held"]
    lengths: tuple[int, ...]

    @property
    def map(self) -> dict[int, float]:
        """Mean average precision by length."""
        return dict(zip(self.lengths, self.precision.mean(axis=1).tolist(), strict=True))


def _trial_with_best_encoding(
    params: dict[str, Any],
    joint: Float64[np.ndarray, "lengths held"],
    apart: Float64[np.ndarray, "lengths held"],
    lengths: tuple[int, ...],
    *,
    nested: bool,
) -> _Trial:
    if nested:
        together = bool(joint.mean() >= apart.mean())
        return _Trial(params | {"joint_encoding": together}, joint if together else apart, lengths)
    wanted = tuple((joint.mean(axis=1) >= apart.mean(axis=1)).tolist())
    precision = np.where(np.array(wanted)[:, None], joint, apart)
    return _Trial(params | {"joint_encoding": wanted}, precision, lengths)


def _best(trials: "Sequence[_Trial]") -> _Trial:
    """Return the best trial of those surely better than the first, or the first."""
    first = trials[0].precision.mean(axis=0)
    sure = [trial for trial in trials if surely_better(trial.precision.mean(axis=0), first)]
    return max(sure, key=_mean, default=trials[0])


def _mean(trial: _Trial) -> float:
    return float(trial.precision.mean())


def _mixed(trials: "Sequence[_Trial]", base: JointHasher) -> dict[str, Any]:
    """Return the parameters that give every length those of the trial that is best for it.

    Only nu, beta and joint encoding can differ; the others are those of the best trial, and of trials that share them.
    """
    others = _shared_parameters(_best(trials))
    alike = [trial for trial in trials if _shared_parameters(trial) == others]
    best = [
        _best([_Trial(trial.params, trial.precision[[k]], (bits,)) for trial in alike])
        for k, bits in enumerate(trials[0].lengths)
    ]
    mixed = dict(others)
    for name in PER_LENGTH:
        each = tuple(
            value[k] if np.ndim(value := trial.params.get(name, getattr(base, name))) else value
            for k, trial in enumerate(best)
        )
        mixed[name] = each if len(set(each)) > 1 else each[0]
    return mixed


def _shared_parameters(trial: _Trial) -> dict[str, Any]:
    return {name: value for name, value in trial.params.items() if name not in PER_LENGTH}
