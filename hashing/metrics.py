"""Retrieval metrics that take ties as they are: expected values over random order among equal distances.

In: distances with relevance, or codes or embeddings with labels. Out: average precision, precision and recall at k, their
means, precision-recall curves. Leaves protocols (which images are queries, which database) to the caller.

Convention: the whole database is ranked, nearest first; what shares a label with the query is relevant to it. Items at
equal distance form a group whose order nobody knows, so every order counts alike. Any other treatment can be moved by
shuffling the database, with short codes by points.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64, Real, Shaped, UInt8, UInt16
from sklearn.preprocessing import normalize

from hashing.codes import unpack_codes
from hashing.errors import CodeShapeError, HashingError, LabelError
from hashing.labels import read_labels
from hashing.tied_groups import TiedGroups, groups_of_counts, groups_of_distances, harmonic_numbers

LabelEntries = Sequence[Any] | Shaped[np.ndarray, "..."]  # one entry per row, in any form read_labels takes
CHUNK_CELLS = 4_000_000  # queries x database of which real distances or shared labels are held at once
RADIUS = 2  # of precision_radius_2


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingScores:
    """Scores of a set of queries against a database.

    Attributes:
        mean_average_precision: Mean over the queries that have a relevant item; 0 to 1.
        precision_at_k: Mean over the same queries; 0 to 1.
        recall_at_k: Mean over the same queries, at `recall_k`; 0 to 1.
        precision_radius_2: Mean over the same queries of the share of relevant items among those at Hamming distance 2
            or less, 0 where there are none; NaN if not ranked by Hamming distance.
        k: Of `precision_at_k`.
        recall_k: Of `recall_at_k`.
        n_queries: How many queries the means are over.
        n_without_relevant: How many queries have no relevant item; they are in no mean.
    """

    mean_average_precision: float
    precision_at_k: float
    recall_at_k: float
    precision_radius_2: float
    k: int
    recall_k: int
    n_queries: int
    n_without_relevant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiusCurve:
    """Precision and recall of everything within each Hamming radius, means over the queries with a relevant item.

    Attributes:
        recall: By radius 0 to bits; the last is 1.
        precision: By radius, over the queries with an item that near; NaN where no query has one.
    """

    recall: Float64[np.ndarray, " radii"]
    precision: Float64[np.ndarray, " radii"]


def average_precision(
    distances: Real[np.ndarray, "nq nb"], relevant: Bool[np.ndarray, "nq nb"]
) -> Float64[np.ndarray, " nq"]:
    """Return the expected average precision of every query; NaN where nothing is relevant.

    Source: 01-hashing 1.9; the formula is at `TiedGroups.average_precision`.
    """
    harmonic = harmonic_numbers(distances.shape[1])
    rows = map(groups_of_distances, distances, relevant)
    return np.concatenate([np.empty(0), *(groups.average_precision(harmonic) for groups in rows)])


def mean_average_precision(
    distances: Real[np.ndarray, "nq nb"], relevant: Bool[np.ndarray, "nq nb"]
) -> float:
    """Return the mean expected average precision over the queries that have a relevant item.

    Raises:
        LabelError: No query has one.
    """
    precision = average_precision(distances, relevant)
    return float(precision[_answerable(precision)].mean())


def precision_at_k(
    distances: Real[np.ndarray, "nq nb"], relevant: Bool[np.ndarray, "nq nb"], *, k: int
) -> Float64[np.ndarray, " nq"]:
    """Return the expected share of relevant items among the k nearest; among all if the database has fewer.

    Raises:
        HashingError: k is below 1.
    """
    _check_k(k)
    rows = map(groups_of_distances, distances, relevant)
    hits = np.concatenate([np.empty(0), *(groups.hits(k) for groups in rows)])
    return np.asarray(hits / max(1, min(k, distances.shape[1])))


@final
class Scorer:
    """Scores rankings of one database for one set of queries, whose labels are read once.

    Args:
        query_labels: Labels of the queries, in any form `read_labels` takes. Without label, nothing is relevant.
        database_labels: The same for the database. An item without label is relevant to no query.
        k: Of precision at k.
        recall_k: Of recall at k.

    Raises:
        HashingError: A k is below 1.
        LabelError: The labels cannot be read. Every method also: they do not fit what is ranked, or no query has a
            relevant item.
    """

    def __init__(
        self, query_labels: LabelEntries, database_labels: LabelEntries, *, k: int = 10, recall_k: int = 100
    ) -> None:
        _check_k(k)
        _check_k(recall_k)
        self._k, self._recall_k = k, recall_k
        self._nq, self._nb = len(query_labels), len(database_labels)
        targets = read_labels([*query_labels, *database_labels], self._nq + self._nb).targets
        self._shared = _shared_labels(targets[: self._nq], targets[self._nq :])

    def codes(
        self, query: UInt8[np.ndarray, "nq bytes_q"], database: UInt8[np.ndarray, "nb bytes_b"]
    ) -> RankingScores:
        """Return how well Hamming distance between packed codes ranks the database.

        Raises:
            CodeShapeError: The codes differ in length.
        """
        n, r = self._histograms(query, database)
        inside, hits = n[:, : RADIUS + 1].sum(axis=1), r[:, : RADIUS + 1].sum(axis=1)
        return self._scores([groups_of_counts(n, r)], radius_precision=hits / np.maximum(inside, 1))

    def curve(
        self, query: UInt8[np.ndarray, "nq bytes_q"], database: UInt8[np.ndarray, "nb bytes_b"]
    ) -> RadiusCurve:
        """Return precision and recall within every Hamming radius; raises as `codes` does."""
        n, r = (np.cumsum(counts, axis=1) for counts in self._histograms(query, database))
        answerable = _answerable(np.where(r[:, -1] > 0, 0.0, np.nan))
        n, r = n[answerable], r[answerable]
        there = (n > 0).sum(axis=0)
        sums = (r / np.maximum(n, 1)).sum(axis=0)
        return RadiusCurve(
            recall=(r / r[:, -1:]).mean(axis=0),
            precision=np.where(there > 0, sums / np.maximum(there, 1), np.nan),
        )

    def asymmetric(
        self, query_scores: Float[np.ndarray, "nq bits"], database: UInt8[np.ndarray, "nb bytes"]
    ) -> RankingScores:
        """Return how well the products of real-valued query scores with stored signs rank the database, largest first.

        Raises:
            CodeShapeError: The scores are not as many as the bits of a code.

        Source: 01-hashing 1.6, asymmetric scoring.
        """
        if query_scores.shape[1] != 8 * database.shape[1]:
            raise CodeShapeError(
                f"Cannot compare {query_scores.shape[1]} scores with codes of {8 * database.shape[1]} bits."
            )
        distinct, places = np.unique(database, axis=0, return_inverse=True)  # equal codes must tie exactly
        signs, scores = unpack_codes(distinct).astype(np.float32).T, -query_scores.astype(np.float32)
        return self._ranked(
            lambda rows: (scores[rows] @ signs)[:, places.ravel()], nq=len(scores), nb=len(places)
        )

    def embeddings(
        self, query: Float[np.ndarray, "nq d"], database: Float[np.ndarray, "nb d"]
    ) -> RankingScores:
        """Return how well cosine similarity ranks the database: the reference without codes."""
        xq, xb = normalize(query.astype(float)), normalize(database.astype(float))
        # Single precision, as the last bits of a product depend on where in the matrix a row lies: equal rows must tie.
        return self._ranked(lambda rows: -(xq[rows] @ xb.T).astype(np.float32), nq=len(xq), nb=len(xb))

    def _ranked(
        self, distances_of: Callable[[slice], Float32[np.ndarray, "chunk nb"]], *, nq: int, nb: int
    ) -> RankingScores:
        self._check_sizes(nq, nb)
        groups = (
            groups_of_distances(distances, relevant)
            for rows in _chunks(nq, nb)
            for distances, relevant in zip(distances_of(rows), self._shared(rows), strict=True)
        )
        return self._scores(groups, radius_precision=np.full(nq, np.nan))

    def _histograms(
        self, query: UInt8[np.ndarray, "nq bytes_q"], database: UInt8[np.ndarray, "nb bytes_b"]
    ) -> tuple[Int64[np.ndarray, "nq radii"], Int64[np.ndarray, "nq radii"]]:
        """Return how many items and how many relevant ones lie at each Hamming distance 0 to bits."""
        self._check_sizes(len(query), len(database))
        if query.shape[1] != database.shape[1]:
            raise CodeShapeError(
                f"Cannot compare codes of {8 * query.shape[1]} bits with codes of {8 * database.shape[1]} bits."
            )
        n = np.zeros((len(query), 8 * query.shape[1] + 1), dtype=np.int64)
        r = np.zeros_like(n)
        distances = _hamming_rows(query, database)
        relevance = (row for rows in _chunks(self._nq, self._nb) for row in self._shared(rows))
        for i, (row, relevant) in enumerate(zip(distances, relevance, strict=True)):
            n[i] = np.bincount(row, minlength=n.shape[1])
            r[i] = np.bincount(row[relevant], minlength=n.shape[1])
        return n, r

    def _scores(
        self, groups: Iterable[TiedGroups], *, radius_precision: Float64[np.ndarray, " nq"]
    ) -> RankingScores:
        harmonic = harmonic_numbers(self._nb)
        figures = [
            (
                part.average_precision(harmonic),
                part.hits(self._k),
                part.hits(self._recall_k),
                part.r.sum(axis=1),
            )
            for part in groups
        ]
        precision, hits, recalled, there = map(np.concatenate, zip(*figures, strict=True))
        answerable = _answerable(precision)
        return RankingScores(
            mean_average_precision=float(precision[answerable].mean()),
            precision_at_k=float(hits[answerable].mean() / max(1, min(self._k, self._nb))),
            recall_at_k=float((recalled[answerable] / there[answerable]).mean()),
            precision_radius_2=float(radius_precision[answerable].mean()),
            k=self._k,
            recall_k=self._recall_k,
            n_queries=int(answerable.sum()),
            n_without_relevant=int((~answerable).sum()),
        )

    def _check_sizes(self, nq: int, nb: int) -> None:
        for side, expected, n in (("query", nq, self._nq), ("database", nb, self._nb)):
            if n != expected:
                raise LabelError(f"Expected {expected} {side} labels, one per {side} code, got {n}.")


def score_codes(
    query_codes: UInt8[np.ndarray, "nq bytes_q"],
    database_codes: UInt8[np.ndarray, "nb bytes_b"],
    query_labels: LabelEntries,
    database_labels: LabelEntries,
    *,
    k: int = 10,
) -> RankingScores:
    """Return how well Hamming distance ranks the database: `Scorer.codes` for labels that are used once."""
    return Scorer(query_labels, database_labels, k=k).codes(query_codes, database_codes)


def _shared_labels(
    query: Float64[np.ndarray, "nq c"], database: Float64[np.ndarray, "nb c"]
) -> Callable[[slice], Bool[np.ndarray, "chunk nb"]]:
    """Return what tells, for a slice of the queries, which items share a label with them."""
    if max(query.sum(axis=1).max(initial=0), database.sum(axis=1).max(initial=0)) <= 1:
        numbers = np.arange(1, query.shape[1] + 1)
        class_q, class_b = (query @ numbers).astype(np.int32), (database @ numbers).astype(np.int32)
        class_b[class_b == 0] = -1  # unlabelled equals nothing
        return lambda rows: class_q[rows, None] == class_b[None, :]
    tq, tb = query.astype(np.float32), database.astype(np.float32).T  # counts of labels: exact
    return lambda rows: tq[rows] @ tb > 0


def _hamming_rows(
    query: UInt8[np.ndarray, "nq bytes_q"], database: UInt8[np.ndarray, "nb bytes_b"]
) -> Iterator[UInt8[np.ndarray, " nb"] | UInt16[np.ndarray, " nb"]]:
    """Yield the Hamming distances of one query after the other, in the smallest type that holds them."""
    n_bytes = query.shape[1]
    width = next(size for size in (8, 4, 2, 1) if n_bytes % size == 0)
    words_q = np.ascontiguousarray(query).view(f"u{width}")
    words_b = np.ascontiguousarray(np.ascontiguousarray(database).view(f"u{width}").T)
    dtype = np.uint8 if 8 * n_bytes <= 255 else np.uint16
    for words in words_q:
        distances = np.zeros(len(database), dtype=dtype)
        for word, column in zip(words, words_b, strict=True):
            np.add(distances, np.bitwise_count(column ^ word), out=distances)
        yield distances


def _chunks(nq: int, nb: int) -> Iterator[slice]:
    n_rows = max(1, CHUNK_CELLS // max(1, nb))
    return (slice(start, start + n_rows) for start in range(0, nq, n_rows))


def _answerable(precision: Float64[np.ndarray, " nq"]) -> Bool[np.ndarray, " nq"]:
    there: Bool[np.ndarray, " nq"] = ~np.isnan(precision)
    if not there.any():
        raise LabelError(
            f"None of the {len(precision)} queries shares a label with the database, so there is nothing to score. "
            "Check that both are labelled in the same way."
        )
    return there


def _check_k(k: int) -> None:
    if k < 1:
        raise HashingError(f"k must be at least 1, got {k}.")
