"""Retrieval metrics that take ties as they are: expected values over random order among equal distances.

In: distances with relevance, or codes or embeddings with labels. Out: average precision, precision at k, their means.
Leaves protocols (which images are queries, which database) to the caller.

Convention: the whole database is ranked, nearest first; what shares a label with the query is relevant to it. Items at
equal distance form a group whose order nobody knows, so every order counts alike. Any other treatment can be moved by
shuffling the database, with short codes by points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Real, Shaped, UInt8
from sklearn.preprocessing import normalize

from hashing.codes import hamming_distances
from hashing.errors import HashingError, LabelError
from hashing.labels import read_labels

LabelEntries = Sequence[Any] | Shaped[np.ndarray, "..."]  # one entry per row, in any form read_labels takes
CHUNK_CELLS = 4_000_000  # queries x database ranked at once, some 150 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingScores:
    """Scores of a set of queries against a database.

    Attributes:
        mean_average_precision: Mean over the queries that have a relevant item; 0 to 1.
        precision_at_k: Mean over the same queries; 0 to 1.
        k: Of `precision_at_k`.
        n_queries: How many queries the means are over.
        n_without_relevant: How many queries have no relevant item; they are in no mean.
    """

    mean_average_precision: float
    precision_at_k: float
    k: int
    n_queries: int
    n_without_relevant: int


def average_precision(
    distances: Real[np.ndarray, "nq nb"], relevant: Bool[np.ndarray, "nq nb"]
) -> Float64[np.ndarray, " nq"]:
    """Return the expected average precision of every query; NaN where nothing is relevant.

    A group of n items, r of them relevant, after N items, K of them relevant, contributes
    (r/n) sum_{j=1..n} (K + 1 + (j-1) b) / (N + j), b = (r-1)/(n-1), where (j-1) b is the expected number of relevant
    items before the j-th if that is relevant. With H the harmonic numbers the sum is n b + (K + 1 - b (N+1)) (H(N+n) - H(N)).

    Source: 01-hashing 1.9, checked there and here against random orders.
    """
    n, r = _group(distances, relevant)
    before, relevant_before = np.cumsum(n, axis=1) - n, np.cumsum(r, axis=1) - r
    b = np.maximum(r - 1, 0) / np.maximum(n - 1, 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, distances.shape[1] + 1))])
    sums = n * b + (relevant_before + 1 - b * (before + 1)) * (harmonic[before + n] - harmonic[before])
    with np.errstate(invalid="ignore"):  # 0/0 where nothing is relevant
        precisions: Float64[np.ndarray, " nq"] = (r / np.maximum(n, 1) * sums).sum(axis=1) / r.sum(axis=1)
    return precisions


def mean_average_precision(
    distances: Real[np.ndarray, "nq nb"], relevant: Bool[np.ndarray, "nq nb"]
) -> float:
    """Return the mean expected average precision over the queries that have a relevant item.

    Raises:
        LabelError: No query has one.
    """
    return float(_mean(average_precision(distances, relevant)))


def precision_at_k(
    distances: Real[np.ndarray, "nq nb"], relevant: Bool[np.ndarray, "nq nb"], *, k: int
) -> Float64[np.ndarray, " nq"]:
    """Return the expected share of relevant items among the k nearest; among all if the database has fewer.

    Raises:
        HashingError: k is below 1.
    """
    if k < 1:
        raise HashingError(f"k must be at least 1, got {k}.")
    n, r = _group(distances, relevant)
    before = np.cumsum(n, axis=1) - n
    seen = np.clip((k - before) / np.maximum(n, 1), 0, 1)  # share of each group among the k nearest
    hits: Float64[np.ndarray, " nq"] = (seen * r).sum(axis=1)
    hits /= max(1, min(k, distances.shape[1]))
    return hits


def score_codes(
    query_codes: UInt8[np.ndarray, "nq bytes"],
    database_codes: UInt8[np.ndarray, "nb bytes"],
    query_labels: LabelEntries,
    database_labels: LabelEntries,
    *,
    k: int = 10,
) -> RankingScores:
    """Return how well Hamming distance ranks the database.

    Args:
        query_codes: Packed codes.
        database_codes: Packed codes of the same length.
        query_labels: Labels of the queries, in any form `read_labels` takes. Without label, nothing is relevant.
        database_labels: The same for the database. An item without label is relevant to no query.
        k: Of precision at k.

    Raises:
        CodeShapeError: The codes differ in length.
        LabelError: Labels do not fit the codes, or no query has a relevant item.
    """
    return _score(
        lambda rows: hamming_distances(query_codes[rows], database_codes),
        *_targets(query_labels, database_labels, nq=len(query_codes), nb=len(database_codes)),
        k=k,
    )


def score_embeddings(
    query_embeddings: Float[np.ndarray, "nq d"],
    database_embeddings: Float[np.ndarray, "nb d"],
    query_labels: LabelEntries,
    database_labels: LabelEntries,
    *,
    k: int = 10,
) -> RankingScores:
    """Return how well cosine similarity ranks the database, as `score_codes` does for codes: the reference without codes."""
    xq, xb = normalize(query_embeddings.astype(float)), normalize(database_embeddings.astype(float))
    return _score(
        # Single precision, as the last bits of a product depend on where in the matrix a row lies: equal rows must tie.
        lambda rows: -(xq[rows] @ xb.T).astype(np.float32),
        *_targets(query_labels, database_labels, nq=len(xq), nb=len(xb)),
        k=k,
    )


def _score(
    distances_of: Callable[[slice], Real[np.ndarray, "chunk nb"]],
    query_targets: Float64[np.ndarray, "nq c"],
    database_targets: Float64[np.ndarray, "nb c"],
    *,
    k: int,
) -> RankingScores:
    n_rows = max(1, CHUNK_CELLS // max(1, len(database_targets)))
    precisions, shares = [], []
    for start in range(0, len(query_targets), n_rows):
        rows = slice(start, start + n_rows)
        distances, relevant = distances_of(rows), query_targets[rows] @ database_targets.T > 0
        precisions.append(average_precision(distances, relevant))
        shares.append(precision_at_k(distances, relevant, k=k))
    precision = np.concatenate([np.empty(0), *precisions])
    answerable = ~np.isnan(precision)
    return RankingScores(
        mean_average_precision=_mean(precision),
        precision_at_k=float(np.concatenate(shares)[answerable].mean()),
        k=k,
        n_queries=int(answerable.sum()),
        n_without_relevant=int((~answerable).sum()),
    )


def _mean(precision: Float64[np.ndarray, " nq"]) -> float:
    answerable = ~np.isnan(precision)
    if not answerable.any():
        raise LabelError(
            f"None of the {len(precision)} queries shares a label with the database, so there is nothing to score. "
            "Check that both are labelled in the same way."
        )
    return float(precision[answerable].mean())


def _targets(
    query_labels: LabelEntries, database_labels: LabelEntries, *, nq: int, nb: int
) -> tuple[Float64[np.ndarray, "nq c"], Float64[np.ndarray, "nb c"]]:
    """Return the labels of both sides over the classes of both."""
    for side, labels, n in (("query", query_labels, nq), ("database", database_labels, nb)):
        if len(labels) != n:
            raise LabelError(f"Expected {n} {side} labels, one per {side} code, got {len(labels)}.")
    targets = read_labels([*query_labels, *database_labels], nq + nb).targets
    return targets[:nq], targets[nq:]


def _group(
    distances: Real[np.ndarray, "nq nb"], relevant: Bool[np.ndarray, "nq nb"]
) -> tuple[Int64[np.ndarray, "nq groups"], Int64[np.ndarray, "nq groups"]]:
    """Return, per query, how many items and how many relevant ones lie at each distance, nearest first."""
    nq = len(distances)
    ranks = distances - distances.min(initial=0) if distances.dtype.kind in "iu" else _dense_ranks(distances)
    n_groups = int(ranks.max(initial=0)) + 1
    cells = ranks + n_groups * np.arange(nq)[:, None]
    n_items = np.bincount(cells.ravel(), minlength=nq * n_groups).reshape(nq, n_groups)
    n_relevant = np.bincount(cells[relevant], minlength=nq * n_groups).reshape(nq, n_groups)
    return n_items, n_relevant


def _dense_ranks(distances: Float[np.ndarray, "nq nb"]) -> Int64[np.ndarray, "nq nb"]:
    """Return the number of distinct smaller values in the same row."""
    order = np.argsort(distances, axis=1)
    ascending = np.take_along_axis(distances, order, axis=1)
    steps = np.zeros(distances.shape, dtype=np.int64)
    np.cumsum(ascending[:, 1:] != ascending[:, :-1], axis=1, out=steps[:, 1:])
    ranks = np.empty_like(steps)
    np.put_along_axis(ranks, order, steps, axis=1)
    return ranks
