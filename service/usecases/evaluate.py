"""Comparing hashing methods by retrieval: every method learns on one set and is measured with queries on another.

In: embeddings with labels, and methods as factories. Out: one row per setting, method, code length and seed, beside exact
cosine search on the embeddings and a random order. Draws are left to `protocols`, means to `comparison`.

Convention: an image is relevant to a query if it shares a label. Codes of database and queries alike come from the
encoder, also for images that were trained on.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from hashing.metrics import RankingScores, Scorer
from service.errors import InvalidArgumentError
from service.usecases.protocols import LabelledEmbeddings, Setting, Trial, draw_trial

COSINE = "cosine"
CHANCE = "chance"
HAMMING = "hamming"  # scoring by Hamming distance between codes
ASYMMETRIC = "asymmetric"  # scoring by the product of a query's scores with stored signs
NO_CODES = "none"  # scoring of the references
RANKS = 10  # of precision_at_10
RECALL_RANKS = 100  # of recall_at_100


@runtime_checkable
class CodeLearner(Protocol):
    """A hashing method: codes of several lengths, and the scores whose signs they are."""

    def fit(self, X: Float32[np.ndarray, "n d"], y: Sequence[tuple[str, ...]]) -> "CodeLearner":
        """Learn from embeddings and their labels; an empty tuple is unlabelled."""
        ...

    def encode(self, X: Float32[np.ndarray, "n d"]) -> Mapping[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the packed codes of every length."""
        ...

    def project(self, X: Float32[np.ndarray, "n d"]) -> Mapping[int, Float[np.ndarray, "n _bits"]]:
        """Return the real-valued scores of every length."""
        ...


LearnerFactory = Callable[[tuple[int, ...], int], CodeLearner]  # from ascending lengths and a seed


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRow:
    """What one method reached with codes of one length.

    Attributes:
        setting: What was done to the sets, a value of `Setting`.
        method: Its name; `cosine` and `chance` are the references, with 0 bits.
        scoring: `hamming`, `asymmetric`, or `none` for the references.
        bits: Code length.
        seed: What made its random choices, and the draws of the setting; 0 for references that depend on no draw.
        map: Tie-aware mean average precision over the whole ranked database.
        precision_at_10: Tie-aware mean precision of the first ten.
        recall_at_100: Tie-aware mean recall of the first hundred.
        precision_radius_2: Mean precision within Hamming radius 2, an empty ball counting 0; NaN without such.
        fit_s: Seconds to learn all lengths.
        encode_s: Seconds to encode database and queries in all lengths.
    """

    setting: str
    method: str
    scoring: str
    bits: int
    seed: int
    map: float
    precision_at_10: float
    recall_at_100: float
    precision_radius_2: float
    fit_s: float
    encode_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrCurve:
    """Precision over recall within Hamming radius 0 to bits, as `metrics.RadiusCurve` has them."""

    setting: str
    method: str
    bits: int
    seed: int
    recall: Float64[np.ndarray, " radii"]
    precision: Float64[np.ndarray, " radii"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalFailure:
    """Why one method has no rows in one setting with one seed."""

    setting: str
    method: str
    seed: int
    reason: str


def evaluate_hashing(
    *,
    train: LabelledEmbeddings,
    database: LabelledEmbeddings,
    query: LabelledEmbeddings,
    methods: Mapping[str, LearnerFactory],
    lengths: tuple[int, ...],
    seeds: Sequence[int],
    settings: Sequence[Setting] = (Setting.CLEAN,),
    asymmetric: bool = False,
    train_per_label: int | None = None,
    noise: float = 0.4,
    labelled: float = 0.1,
    unseen: float = 0.3,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[int, int], None] | None = None,
    on_curve: Callable[[PrCurve], None] | None = None,
    on_failure: Callable[[EvalFailure], None] | None = None,
) -> list[EvalRow]:
    """Return, for every setting, the rows of the references and those of every seed, method and length.

    Args:
        train: What the methods learn from; may be the database.
        database: What is searched.
        query: What is searched for; those without a relevant image in the database are left out.
        methods: Factories by the name that the rows carry.
        lengths: Code lengths in bits, ascending.
        seeds: One draw, and one fit of every method on it, for each.
        settings: What is done to the sets.
        asymmetric: Score also real-valued queries against codes, in rows of their own.
        train_per_label: As in `draw_trial`; so are `noise`, `labelled` and `unseen`.
        noise: Share of wrong labels.
        labelled: Share of labels kept.
        unseen: Share of classes held out.
        clock: Seconds, for timing.
        on_progress: Called with fits done and fits in all.
        on_curve: Called with every precision-recall curve; None computes none.
        on_failure: Called with every fit that a method refuses, which then has no rows; None lets its error through.

    Raises:
        ValueError: A method refuses what it is given, and nobody is told on_failure.
        InvalidArgumentError: No query shares a label with any image of the database, or a setting cannot be drawn.
    """
    _check_answerable(query, database)
    rows: list[EvalRow] = []
    n_fits, done = len(settings) * len(seeds) * len(methods), 0
    for setting in settings:
        bench: _Bench | None = None
        for seed in seeds:
            trial = draw_trial(
                setting,
                train=train,
                database=database,
                query=query,
                seed=seed,
                train_per_label=train_per_label,
                noise=noise,
                labelled=labelled,
                unseen=unseen,
            )
            if bench is None or setting is Setting.UNSEEN:  # only there, what is searched depends on the seed
                bench = _Bench(setting, trial, asymmetric=asymmetric, clock=clock, on_curve=on_curve)
                rows += bench.references(seed if setting is Setting.UNSEEN else 0)
            for name, factory in methods.items():
                try:
                    rows += bench.measure(name, factory, trial.train, lengths=lengths, seed=seed)
                except (
                    ValueError
                ) as error:  # what a method cannot learn from must not cost the others' figures
                    if on_failure is None:
                        raise
                    on_failure(EvalFailure(setting=setting.value, method=name, seed=seed, reason=str(error)))
                done += 1
                if on_progress:
                    on_progress(done, n_fits)
    return rows


def evaluation_document(
    rows: Sequence[EvalRow],
    failures: Sequence[EvalFailure],
    *,
    command: str,
    commit: str,
    date: str,
    hardware: str,
) -> dict[str, Any]:
    """Return what `--json` of an evaluation writes: where the figures come from, one object per row and per failure."""
    return {
        "command": command,
        "commit": commit,
        "date": date,
        "hardware": hardware,
        "results": [
            {  # JSON has no NaN
                key: None if isinstance(value, float) and math.isnan(value) else value
                for key, value in asdict(row).items()
            }
            for row in rows
        ],
        "failures": [asdict(failure) for failure in failures],
    }


class _Bench:
    """One database with its queries, in one setting, on which method after method is measured."""

    def __init__(
        self,
        setting: Setting,
        trial: Trial,
        *,
        asymmetric: bool,
        clock: Callable[[], float],
        on_curve: Callable[[PrCurve], None] | None,
    ) -> None:
        self._setting, self._database, self._query = setting.value, trial.database, trial.query
        self._asymmetric, self._clock, self._on_curve = asymmetric, clock, on_curve
        self._scorer = Scorer(trial.query.labels, trial.database.labels, k=RANKS, recall_k=RECALL_RANKS)

    def references(self, seed: int) -> list[EvalRow]:
        """Return the rows of exact cosine search and of a random order."""
        cosine = self._scorer.embeddings(self._query.embeddings, self._database.embeddings)
        chance = self._scorer.asymmetric(  # all equal: every order alike
            np.zeros((len(self._query), 8)), np.zeros((len(self._database), 1), dtype=np.uint8)
        )
        return [
            self._row(name, scores, scoring=NO_CODES, seed=seed)
            for name, scores in ((COSINE, cosine), (CHANCE, chance))
        ]

    def measure(
        self,
        name: str,
        factory: LearnerFactory,
        train: LabelledEmbeddings,
        *,
        lengths: tuple[int, ...],
        seed: int,
    ) -> list[EvalRow]:
        """Return the rows of one method and seed."""
        started = self._clock()
        learner = factory(lengths, seed).fit(train.embeddings, train.labels)
        fitted = self._clock()
        database, query = learner.encode(self._database.embeddings), learner.encode(self._query.embeddings)
        times = {"fit_s": fitted - started, "encode_s": self._clock() - fitted}
        rows = [
            self._row(
                name,
                self._scorer.codes(query[bits], database[bits]),
                scoring=HAMMING,
                bits=bits,
                seed=seed,
                **times,
            )
            for bits in lengths
        ]
        if self._asymmetric:
            scores = learner.project(self._query.embeddings)
            rows += [
                self._row(
                    name,
                    self._scorer.asymmetric(scores[bits], database[bits]),
                    scoring=ASYMMETRIC,
                    bits=bits,
                    seed=seed,
                    **times,
                )
                for bits in lengths
            ]
        if self._on_curve:
            for bits in lengths:
                curve = self._scorer.curve(query[bits], database[bits])
                self._on_curve(
                    PrCurve(
                        setting=self._setting,
                        method=name,
                        bits=bits,
                        seed=seed,
                        recall=curve.recall,
                        precision=curve.precision,
                    )
                )
        return rows

    def _row(
        self,
        method: str,
        scores: RankingScores,
        *,
        scoring: str,
        seed: int,
        bits: int = 0,
        fit_s: float = 0.0,
        encode_s: float = 0.0,
    ) -> EvalRow:
        return EvalRow(
            setting=self._setting,
            method=method,
            scoring=scoring,
            bits=bits,
            seed=seed,
            map=scores.mean_average_precision,
            precision_at_10=scores.precision_at_k,
            recall_at_100=scores.recall_at_k,
            precision_radius_2=scores.precision_radius_2,
            fit_s=fit_s,
            encode_s=encode_s,
        )


def _check_answerable(query: LabelledEmbeddings, database: LabelledEmbeddings) -> None:
    there = {name for names in database.labels for name in names}
    if not any(there.intersection(names) for names in query.labels):
        raise InvalidArgumentError(
            f"None of the {len(query)} queries shares a label with any of the {len(database)} images of "
            "the database, so nothing is relevant. Choose the label column of both sets with --label.",
            field="query",
        )
