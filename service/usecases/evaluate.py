"""Comparing hashing methods by retrieval: every method learns on one set and is measured with queries on another.

In: embeddings with labels, and methods as factories. Out: one row per method, code length and seed, beside exact cosine
search on the embeddings and a random order. Embedding, printing and plotting are left to others.

Convention: an image is relevant to a query if it shares a label. Codes of database and queries alike come from the
encoder, also for images that were trained on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from hashing.codes import split_records
from hashing.metrics import RankingScores, score_codes, score_embeddings
from service.errors import InvalidArgumentError

COSINE = "cosine"
CHANCE = "chance"
RANKS = 10  # of precision_at_10


@runtime_checkable
class CodeLearner(Protocol):
    """A hashing method, as a scikit-learn transformer."""

    def fit(self, X: Float32[np.ndarray, "n d"], y: Sequence[tuple[str, ...]]) -> "CodeLearner":
        """Learn from embeddings and their labels."""
        ...

    def transform(self, X: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records."""
        ...


LearnerFactory = Callable[[tuple[int, ...], int], CodeLearner]  # from ascending lengths and a seed


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledEmbeddings:
    """Embeddings with the class names of their images; empty where unlabelled."""

    embeddings: Float32[np.ndarray, "n d"]
    labels: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRow:
    """What one method reached with codes of one length.

    Attributes:
        method: Its name; `cosine` and `chance` are the references, with bits and seed 0.
        bits: Code length.
        seed: What made its random choices, and drew the training images if only some are used.
        map: Tie-aware mean average precision over the whole ranked database.
        precision_at_10: Tie-aware mean precision of the first ten.
        fit_s: Seconds to learn all lengths.
        encode_s: Seconds to encode database and queries in all lengths.
    """

    method: str
    bits: int
    seed: int
    map: float
    precision_at_10: float
    fit_s: float
    encode_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSummary:
    """Mean and sample standard deviation over the seeds of one method and length; the deviation of one seed is 0."""

    method: str
    bits: int
    seeds: int
    map_mean: float
    map_std: float
    precision_at_10_mean: float
    precision_at_10_std: float


def evaluate_hashing(
    *,
    train: LabelledEmbeddings,
    database: LabelledEmbeddings,
    query: LabelledEmbeddings,
    methods: Mapping[str, LearnerFactory],
    lengths: tuple[int, ...],
    seeds: Sequence[int],
    train_per_label: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[EvalRow]:
    """Return the rows of the references, then those of every seed, method and length.

    Args:
        train: What the methods learn from; may be the database.
        database: What is searched.
        query: What is searched for; those without a relevant image in the database are left out.
        methods: Factories by the name that the rows carry.
        lengths: Code lengths in bits, ascending.
        seeds: One fit of every method for each.
        train_per_label: Learn only from this many images of every label, drawn anew for each seed and the same for all
            methods, so that the deviation covers the draw; None learns from all.
        clock: Seconds, for timing.
        on_progress: Called with fits done and fits in all.

    Raises:
        InvalidArgumentError: No query shares a label with any image of the database.
    """
    _check_answerable(query, database)
    rows = _references(database, query)
    for done, (seed, name) in enumerate(product(seeds, methods), start=1):
        sample = train if train_per_label is None else _sample(train, train_per_label, seed=seed)
        rows += _measure(
            name, methods[name], sample, database, query, lengths=lengths, seed=seed, clock=clock
        )
        if on_progress:
            on_progress(done, len(seeds) * len(methods))
    return rows


def sample_per_label(
    labels: Sequence[tuple[str, ...]], per_label: int, *, rng: np.random.Generator
) -> Int64[np.ndarray, " m"]:
    """Return the rows, ascending, of a random sample that has `per_label` images of every label, or all there are.

    An image of several labels may be drawn for any of them, so that a label can come to more. Unlabelled images are
    left out.

    Raises:
        InvalidArgumentError: per_label is below 1.
    """
    if per_label < 1:
        raise InvalidArgumentError(
            f"A sample needs at least 1 training image per label, got {per_label}.", field="train_per_label"
        )
    members: dict[str, list[int]] = {}
    for i, names in enumerate(labels):
        for name in names:
            members.setdefault(name, []).append(i)
    picked = {i for name in sorted(members) for i in rng.permutation(members[name])[:per_label].tolist()}
    return np.array(sorted(picked), dtype=np.int64)


def summarise(rows: Sequence[EvalRow]) -> list[EvalSummary]:
    """Return one summary per method and length, in the order of their first rows."""
    groups: dict[tuple[str, int], list[EvalRow]] = {}
    for row in rows:
        groups.setdefault((row.method, row.bits), []).append(row)
    return [_summary(group) for group in groups.values()]


def evaluation_document(
    rows: Sequence[EvalRow], *, command: str, commit: str, date: str, hardware: str
) -> dict[str, Any]:
    """Return what `--json` of an evaluation writes: where the figures come from, and one object per row."""
    return {
        "command": command,
        "commit": commit,
        "date": date,
        "hardware": hardware,
        "results": [asdict(row) for row in rows],
    }


def _check_answerable(query: LabelledEmbeddings, database: LabelledEmbeddings) -> None:
    there = {name for names in database.labels for name in names}
    if not any(there.intersection(names) for names in query.labels):
        raise InvalidArgumentError(
            f"None of the {len(query.labels)} queries shares a label with any of the {len(database.labels)} images of "
            "the database, so nothing is relevant. Choose the label column of both sets with --label.",
            field="query",
        )


def _sample(train: LabelledEmbeddings, per_label: int, *, seed: int) -> LabelledEmbeddings:
    picked = sample_per_label(train.labels, per_label, rng=np.random.default_rng(seed))
    return LabelledEmbeddings(
        embeddings=train.embeddings[picked], labels=[train.labels[i] for i in picked.tolist()]
    )


def _references(database: LabelledEmbeddings, query: LabelledEmbeddings) -> list[EvalRow]:
    cosine = score_embeddings(query.embeddings, database.embeddings, query.labels, database.labels, k=RANKS)
    equal_codes = np.zeros((len(query.labels) + len(database.labels), 1), dtype=np.uint8)  # all orders alike
    chance = score_codes(
        equal_codes[: len(query.labels)],
        equal_codes[len(query.labels) :],
        query.labels,
        database.labels,
        k=RANKS,
    )
    return [_row(COSINE, cosine), _row(CHANCE, chance)]


def _measure(
    name: str,
    factory: LearnerFactory,
    train: LabelledEmbeddings,
    database: LabelledEmbeddings,
    query: LabelledEmbeddings,
    *,
    lengths: tuple[int, ...],
    seed: int,
    clock: Callable[[], float],
) -> list[EvalRow]:
    started = clock()
    learner = factory(lengths, seed).fit(train.embeddings, train.labels)
    fitted = clock()
    database_codes = split_records(learner.transform(database.embeddings), lengths)
    query_codes = split_records(learner.transform(query.embeddings), lengths)
    times = {"fit_s": fitted - started, "encode_s": clock() - fitted}
    return [
        _row(
            name,
            score_codes(query_codes[bits], database_codes[bits], query.labels, database.labels, k=RANKS),
            bits=bits,
            seed=seed,
            **times,
        )
        for bits in lengths
    ]


def _row(
    method: str,
    scores: RankingScores,
    *,
    bits: int = 0,
    seed: int = 0,
    fit_s: float = 0.0,
    encode_s: float = 0.0,
) -> EvalRow:
    return EvalRow(
        method=method,
        bits=bits,
        seed=seed,
        map=scores.mean_average_precision,
        precision_at_10=scores.precision_at_k,
        fit_s=fit_s,
        encode_s=encode_s,
    )


def _summary(group: Sequence[EvalRow]) -> EvalSummary:
    maps = np.array([row.map for row in group])
    precisions = np.array([row.precision_at_10 for row in group])
    ddof = min(1, len(group) - 1)
    return EvalSummary(
        method=group[0].method,
        bits=group[0].bits,
        seeds=len(group),
        map_mean=float(maps.mean()),
        map_std=float(maps.std(ddof=ddof)),
        precision_at_10_mean=float(precisions.mean()),
        precision_at_10_std=float(precisions.std(ddof=ddof)),
    )
