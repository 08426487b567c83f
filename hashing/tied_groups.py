"""Items at equal distance to a query: how many there are, how many of them are relevant, and what that is worth.

In: counts by distance, or distances with relevance. Out: expected values over every order inside the groups. Which items
are relevant, and means over queries, are left to `metrics`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real


@dataclass(frozen=True, slots=True, kw_only=True)
class TiedGroups:
    """Items of equal distance to each query, nearest first. Groups without a relevant item may be missing.

    Attributes:
        before: How many items are nearer.
        n: How many items are in the group.
        r: How many of them are relevant.
    """

    before: Int64[np.ndarray, "nq groups"]
    n: Int64[np.ndarray, "nq groups"]
    r: Int64[np.ndarray, "nq groups"]

    def average_precision(self, harmonic: Float64[np.ndarray, " _"]) -> Float64[np.ndarray, " nq"]:
        """Return the expected average precision; NaN where nothing is relevant.

        A group of n items, r of them relevant, after N items, K of them relevant, contributes
        (r/n) sum_{j=1..n} (K + 1 + (j-1) b) / (N + j), b = (r-1)/(n-1), where (j-1) b is the expected number of
        relevant items before the j-th if that is relevant. With H the harmonic numbers the sum is
        n b + (K + 1 - b (N+1)) (H(N+n) - H(N)).

        Args:
            harmonic: H(0), H(1), ... up to the size of the database.

        Source: 01-hashing 1.9, checked there and here against random orders.
        """
        relevant_before = np.cumsum(self.r, axis=1) - self.r
        b = np.maximum(self.r - 1, 0) / np.maximum(self.n - 1, 1)
        tails = harmonic[self.before + self.n] - harmonic[self.before]
        sums = self.n * b + (relevant_before + 1 - b * (self.before + 1)) * tails
        total = (self.r / np.maximum(self.n, 1) * sums).sum(axis=1)
        with np.errstate(invalid="ignore"):  # 0/0 where nothing is relevant
            precisions: Float64[np.ndarray, " nq"] = total / self.r.sum(axis=1)
        return precisions

    def hits(self, k: int) -> Float64[np.ndarray, " nq"]:
        """Return the expected number of relevant items among the k nearest."""
        seen = np.clip((k - self.before) / np.maximum(self.n, 1), 0, 1)  # share of each group among them
        found: Float64[np.ndarray, " nq"] = (seen * self.r).sum(axis=1)
        return found


def groups_of_counts(n: Int64[np.ndarray, "nq groups"], r: Int64[np.ndarray, "nq groups"]) -> TiedGroups:
    """Return the groups of items, and of relevant items, counted by ascending distance."""
    return TiedGroups(before=np.cumsum(n, axis=1) - n, n=n, r=r)


def groups_of_distances(distances: Real[np.ndarray, " nb"], relevant: Bool[np.ndarray, " nb"]) -> TiedGroups:
    """Return the groups of one query that hold a relevant item."""
    ranked = np.sort(distances)
    values, r = np.unique(distances[relevant], return_counts=True)
    before = np.searchsorted(ranked, values, side="left")
    n = np.searchsorted(ranked, values, side="right") - before
    return TiedGroups(before=before[None], n=n[None], r=r[None])


def harmonic_numbers(n: int) -> Float64[np.ndarray, " _"]:
    """Return H(0) to H(n)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])
