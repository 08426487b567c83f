"""Comparing hashing methods by retrieval: every method learns on one set and is measured with queries on another.

In: embeddings with labels, and methods as factories. Out: one row per method, code length and seed, beside exact cosine
search on the embeddings and a random order. Embedding, printing and plotting are left to others.

Convention: an image is relevant to a query if it shares a label. Codes of database and queries alike come from the
encoder, also for images that were trained on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from hashing.codes import split_records
from service.errors import InvalidArgumentError

COSINE = "cosine"
CHANCE = "chance"


@runtime_checkable
class CodeLearner(Protocol):
    """A hashing method, as a scikit-learn transformer."""

    def fit(self, X: Float32[np.ndarray, "n d"], y: Sequence[tuple[str, ...]]) -> Self:
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
    bench = _Bench(database, query)
    rows = bench.references()
    fits = len(seeds) * len(methods)
    done = 0
    for seed in seeds:
        sample = train
        if train_per_label is not None:
            picked = sample_per_label(train.labels, train_per_label, rng=np.random.default_rng(seed))
            sample = LabelledEmbeddings(
                embeddings=train.embeddings[picked], labels=[train.labels[i] for i in picked]
            )
        for name, factory in methods.items():
            rows += bench.measure(name, factory(lengths, seed), sample, lengths=lengths, seed=seed, clock=clock)
            done += 1
            if on_progress:
                on_progress(done, fits)
    return rows
