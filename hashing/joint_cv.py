"""Choosing the loss weights of a joint hasher by validation, for every length its own if that is better.

In: a joint hasher, candidates, embeddings with labels. Out: the hasher fitted with the best. What a fit does is `joint`'s.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.model_selection import KFold
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from hashing.codes import hamming_distances
from hashing.joint import JointHasher
from hashing.labels import LabelInput, Labels, read_labels
from hashing.metrics import average_precision

# The first is what others must beat by a standard error; the second is class codebook and ridge regression, where joint
# learning has nothing to say. Grid of 01-hashing 1.7 along beta / nu = 0.3, where joint encoding is at its best.
CANDIDATES: tuple[Mapping[str, float], ...] = (
    {"nu": 0.1, "beta": 0.03},
    {"nu": 0.001, "beta": 0.0},
    {"nu": 1.0, "beta": 0.3},
    {"nu": 3.0, "beta": 1.0},
    {"nu": 30.0, "beta": 10.0},
)
FOLDS = 5  # a fifth is held out at a time
FEW_FOLDS = 3  # of them are used where labels are few
MANY = 1000  # labelled samples from which one fold is enough
MAX_HELD_OUT = 1000  # samples ranked against each other per fold
SWEEPS = {"n_outer": 4, "n_exact": 1}  # of a fit that is only compared with others


class JointHasherCV(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """A joint hasher whose nu, beta and joint encoding are chosen by validation.

    Held-out labelled samples are ranked against each other by average precision. Each candidate is fitted with the same
    weights for all lengths and scored per length, encoded jointly and by sign. The first candidate, encoded jointly, is
    kept unless another is better by more than the standard error of the difference over the same samples: with few
    labels most differences are chance. Where lengths differ in what is best for them, one more fit gives every length
    its own, kept if it is better by the same rule; so is the ridge. The winner is fitted on all samples. Where no two
    held-out samples share a label, nothing can be compared and the first candidate it is.

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
        on_step: Callable[[int, int], None] | None = None,
    ) -> "JointHasherCV":
        """Choose, then fit on all samples.

        Args:
            X: Training embeddings.
            y: Labels in any form of `labels.read_labels`.
            on_step: Is told (fits done, fits in all) after each.

        Raises:
            LabelError: The labels do not fit the samples.
            ValueError: As `JointHasher.fit`.
        """
        base = clone(JointHasher() if self.estimator is None else self.estimator)
        x = np.asarray(X)
        search = _Search(base, x, y, n_folds=self.n_folds, on_step=on_step, n_tried=self._n_tried(base))
        trials: list[_Trial] = []
        chosen = _Trial(dict(self.candidates[0]), np.full((1, 1), np.nan), (0,))
        if search.n_folds:
            trials, chosen = self._compare(search, base)
        self.cv_results_ = [{"params": trial.params, "map": trial.map} for trial in trials]
        self.best_params_ = chosen.params
        self.best_score_ = float(chosen.precision.mean())
        self.best_estimator_ = base.set_params(**chosen.params).fit(X, y)
        search.finish()
        self.n_features_in_ = base.n_features_in_
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
        ridges = [
            search.score(chosen.params | {"lp": factor * search.ridge}) for factor in self.ridge_factors
        ]
        return [*trials, *ridges], _best([chosen, *ridges])

    def _n_tried(self, base: JointHasher) -> int:
        mixed = self.per_length and not base.nested
        return len(self.candidates) + mixed + len(self.ridge_factors)

    def transform(self, X: ArrayLike) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records as `JointHasher.transform`."""
        return self._best().transform(X)

    def encode(self, X: ArrayLike) -> dict[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the packed codes of every length."""
        return self._best().encode(X)

    def project(self, X: ArrayLike) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        """Return the scores of every length."""
        return self._best().project(X)

    def _best(self) -> JointHasher:
        check_is_fitted(self)
        best: JointHasher = self.best_estimator_
        return best

    @property
    def _n_features_out(self) -> int:
        return self._best().encoder_.layout.record_bytes

    def __sklearn_tags__(self) -> Tags:
        return get_tags(JointHasher() if self.estimator is None else self.estimator)


class _Search:
    """Held-out parts of one training set, prepared once for all candidates."""

    def __init__(
        self,
        base: JointHasher,
        x: Float[np.ndarray, "n d"],
        y: LabelInput,
        *,
        n_folds: int | None,
        n_tried: int,
        on_step: Callable[[int, int], None] | None,
    ) -> None:
        self._base = base
        self._on_step = on_step
        labels = read_labels(y, len(x))
        rng = np.random.default_rng(check_random_state(base.random_state).randint(2**31))
        self._folds = [
            (
                base.prepare(x[kept], [y[i] for i in kept.tolist()]),  # type: ignore[index]  # labels were found in it
                x[held],
                _shared(labels, held),
            )
            for kept, held in _folds(labels, n_folds, rng)
            if (np.triu(_shared(labels, held), 1) > 0).any()
        ]
        self._done, self._total = 0, n_tried * len(self._folds) + 1

    @property
    def n_folds(self) -> int:
        """How many parts are held out in turn."""
        return len(self._folds)

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
                    np.array([_held_out_precision(part, relevant) for part in codes.values()])
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
        together = not _surely_better(apart.mean(axis=0), joint.mean(axis=0))
        return _Trial(params | {"joint_encoding": together}, joint if together else apart, lengths)
    wanted = tuple(not _surely_better(a, j) for a, j in zip(apart, joint, strict=True))
    precision = np.where(np.array(wanted)[:, None], joint, apart)
    return _Trial(params | {"joint_encoding": wanted}, precision, lengths)


def _best(trials: "Sequence[_Trial]") -> _Trial:
    """Return the best trial of those surely better than the first, or the first."""
    first = trials[0].precision.mean(axis=0)
    sure = [trial for trial in trials if _surely_better(trial.precision.mean(axis=0), first)]
    return max(sure, key=lambda trial: float(trial.precision.mean()), default=trials[0])


def _mixed(trials: "Sequence[_Trial]", base: JointHasher) -> dict[str, Any]:
    """Return the parameters that give every length those of the trial that is best for it."""
    best = [
        _best([_Trial(trial.params, trial.precision[[k]], (bits,)) for trial in trials])
        for k, bits in enumerate(trials[0].lengths)
    ]
    mixed: dict[str, Any] = {}
    for name in sorted({name for trial in best for name in trial.params}):
        each = tuple(
            value[k] if np.ndim(value := trial.params.get(name, getattr(base, name))) else value
            for k, trial in enumerate(best)
        )
        per_length = name in {"nu", "beta", "joint_encoding"}
        mixed[name] = each if per_length and len(set(each)) > 1 else each[0]
    return mixed


def _surely_better(ours: Float64[np.ndarray, " held"], theirs: Float64[np.ndarray, " held"]) -> bool:
    """Tell whether the mean difference exceeds its standard error."""
    difference = ours - theirs
    return bool(difference.mean() > difference.std(ddof=1) / np.sqrt(len(difference)))


def _folds(
    labels: Labels, n_folds: int | None, rng: np.random.Generator
) -> Iterator[tuple[Int64[np.ndarray, " kept"], Int64[np.ndarray, " held"]]]:
    """Yield which samples are kept, the unlabelled always among them, and which labelled ones are held out."""
    labelled = rng.permutation(np.flatnonzero(labels.labelled))
    if len(labelled) < 2 * FOLDS:
        return
    wanted = n_folds or (1 if len(labelled) >= MANY else FEW_FOLDS)
    for _, picked in list(KFold(FOLDS).split(labelled))[:wanted]:
        held = np.sort(labelled[picked[:MAX_HELD_OUT]])
        yield np.setdiff1d(np.arange(len(labels.targets)), labelled[picked]), held


def _shared(labels: Labels, rows: Int64[np.ndarray, " held"]) -> Float64[np.ndarray, "held held"]:
    return np.asarray(labels.targets[rows] @ labels.targets[rows].T)


def _held_out_precision(
    codes: UInt8[np.ndarray, "n bytes"], shared: Float64[np.ndarray, "n n"]
) -> Float64[np.ndarray, " answerable"]:
    """Return the average precision of every sample ranked against the others, where some share a label with it."""
    others = ~np.eye(len(codes), dtype=bool)
    n = len(codes)
    distances = hamming_distances(codes, codes)[others].reshape(n, n - 1)
    precision = average_precision(distances, shared[others].reshape(n, n - 1) > 0)
    return np.asarray(precision[~np.isnan(precision)])
