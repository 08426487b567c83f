"""One fit of one method, measured: the rows of every length.

In: a cell of the benchmark, that is a set, a backbone, a setting, a seed and a method. Out: rows as `polyhash eval hashing`
has them. Which cells there are, where rows are kept and what is printed is left to others.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from benchmarks.hashing.methods import REFERENCES
from benchmarks.hashing.sets import find_set, read_set
from hashing.methods import HASHING_METHODS
from hashing.metrics import RankingScores, Scorer
from service.usecases.evaluate import (
    ASYMMETRIC,
    CHANCE,
    COSINE,
    HAMMING,
    NO_CODES,
    RANKS,
    RECALL_RANKS,
    EvalRow,
    evaluate_hashing,
)
from service.usecases.protocols import Setting, Trial, draw_trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one fit is of, in plain values as the results file has them; `REFERENCES` stands for no fit."""

    set_name: str
    backbone: str
    setting: str
    seed: int
    method: str

    def row_keys(self, lengths: tuple[int, ...], *, asymmetric: bool) -> set[tuple[str, str, int]]:
        """Return the method, scoring and length of every row that the cell gives."""
        if self.method == REFERENCES:
            return {(COSINE, NO_CODES, 0), (CHANCE, NO_CODES, 0)}
        scorings = (HAMMING, ASYMMETRIC) if asymmetric else (HAMMING,)
        return {(self.method, scoring, bits) for scoring in scorings for bits in lengths}


def measure(cell: Cell, file: Path, *, lengths: tuple[int, ...], asymmetric: bool) -> list[EvalRow]:
    """Return the rows of one cell.

    Args:
        cell: What is fitted.
        file: Embeddings of its set and backbone.
        lengths: Code lengths in bits, ascending.
        asymmetric: Score also real-valued queries against stored codes, in rows of their own.
    """
    trial, scorer = _trial(file, cell.set_name, cell.setting, cell.seed)
    if cell.method == REFERENCES:
        rows = evaluate_hashing(
            train=trial.train,
            database=trial.database,
            query=trial.query,
            methods={},
            lengths=lengths,
            seeds=(cell.seed,),
        )
        return [replace(row, setting=cell.setting, seed=cell.seed) for row in rows]
    started = time.perf_counter()
    hasher = HASHING_METHODS[cell.method](lengths, cell.seed).fit(trial.train.embeddings, trial.train.labels)
    fitted = time.perf_counter()
    database, query = hasher.encode(trial.database.embeddings), hasher.encode(trial.query.embeddings)
    times = (fitted - started, time.perf_counter() - fitted)
    rows = [_row(cell, HAMMING, bits, scorer.codes(query[bits], database[bits]), times) for bits in lengths]
    if asymmetric:
        rows += _asymmetric(cell, scorer, hasher.project(trial.query.embeddings), database, times)
    return rows


def _asymmetric(
    cell: Cell,
    scorer: Scorer,
    query: Mapping[int, Float[np.ndarray, "nq _bits"]],
    database: Mapping[int, UInt8[np.ndarray, "nb _bytes"]],
    times: tuple[float, float],
) -> list[EvalRow]:
    return [
        _row(cell, ASYMMETRIC, bits, scorer.asymmetric(query[bits], database[bits]), times)
        for bits in database
    ]


@lru_cache(maxsize=1)  # the methods of one trial are measured one after the other
def _trial(file: Path, name: str, setting: str, seed: int) -> tuple[Trial, Scorer]:
    chosen = find_set(name)
    whole = read_set(file, chosen, seed=seed)
    trial = draw_trial(
        Setting(setting),
        train=whole.train,
        database=whole.database,
        query=whole.query,
        seed=seed,
    )
    return trial, Scorer(trial.query.labels, trial.database.labels, k=RANKS, recall_k=RECALL_RANKS)


def _row(cell: Cell, scoring: str, bits: int, scores: RankingScores, times: tuple[float, float]) -> EvalRow:
    fit_s, encode_s = times
    return EvalRow(
        setting=cell.setting,
        method=cell.method,
        scoring=scoring,
        bits=bits,
        seed=cell.seed,
        map=scores.mean_average_precision,
        precision_at_10=scores.precision_at_k,
        recall_at_100=scores.recall_at_k,
        precision_radius_2=scores.precision_radius_2,
        fit_s=fit_s,
        encode_s=encode_s,
    )
