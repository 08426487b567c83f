"""How deep the funnel must look: how many candidates a short code has to propose, so that the longest code's answer is kept.

In: an index of records. Out: a `FunnelPlan`, measured on its own codes; as JSON values and back.
Leaves searching to `index_records`, and knows no FAISS.

Theory of operation. The k nearest by the longest code are all found if each is among the candidates, so the candidates needed
are a high quantile of their ranks by the short code. Half of the sampled images set it, the other half check it. What was
measured holds for queries whose neighbours are as near as those of the sample; `reach` tells a search when they are not
(a stranger's query, a filter that leaves only distant images), so that it looks at all codes instead.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from hashing.index import Neighbours
from hashing.index_bucket import MAX_BUCKET_BITS
from hashing.index_nearest import take_nearest
from hashing.layout import CodeLayout

MEASURED_K = (10, 100, 1000)  # one neighbour of each image is too few to measure by
FIRST_LOOK = 16  # images that may show that no funnel pays
GROWTH = 1.5  # of the candidates, where the check finds them too few

# Costs in rows of 8 bytes that FAISS scans in the same time (1.3 to 1.7 ns at a million rows).
COST_PER_BIT = 1 / 256  # of a longer row; up to 128 bits they hardly differ
COST_PER_CANDIDATE = 25.0  # proposed by a table, sorted, gathered and counted
COST_PER_WALK = 30_000.0  # the table's rings, whatever they hold
COST_OF_DEPTH = 2.0  # a scan that returns thousands takes twice as long as one that returns ten


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelDepth:
    """What k neighbours need.

    Attributes:
        candidates: How many the short code proposes.
        reach: Largest distance in bits of the k-th neighbour by the longest code for which that was measured.
        recall: Share of the k nearest by the longest code that were found, over images that did not set `candidates`.
    """

    candidates: int
    reach: int
    recall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelPlan:
    """Which length proposes how many, measured on one gallery.

    Attributes:
        short_bits: Length that proposes, or None where looking at all longest codes is cheaper for every k.
        long_bits: Length that ranks them.
        n_rows: How many live images it was measured on.
        depths: What k neighbours need, for those k of `MEASURED_K` where it pays.
    """

    short_bits: int | None
    long_bits: int
    n_rows: int
    depths: Mapping[int, FunnelDepth]

    def depth(self, k: int, n_rows: int) -> FunnelDepth | None:
        """Return what k neighbours among `n_rows` live images need; None where looking at all of them is cheaper.

        As many images in the same space lie around a query in proportion, so candidates scale with the gallery.
        """
        measured_k = min((known for known in self.depths if known >= k), default=None)
        if self.short_bits is None or measured_k is None:
            return None
        depth = self.depths[measured_k]
        candidates = max(k, math.ceil(depth.candidates * n_rows / self.n_rows))
        if _cost(self.short_bits, n_rows, candidates) >= _flat_cost(self.long_bits, n_rows):
            return None
        return FunnelDepth(candidates=candidates, reach=depth.reach, recall=depth.recall)

    def candidates(self, k: int, n_rows: int) -> int | None:
        """Return how many candidates k neighbours among `n_rows` live images need; None for all."""
        depth = self.depth(k, n_rows)
        return None if depth is None else depth.candidates

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self) | {"depths": [{"k": k, **asdict(depth)} for k, depth in self.depths.items()]}

    @classmethod
    def from_json(cls, plan: Mapping[str, Any]) -> "FunnelPlan":
        """Return the plan of `to_json`'s values."""
        depths = {
            depth["k"]: FunnelDepth(
                candidates=depth["candidates"], reach=depth["reach"], recall=depth["recall"]
            )
            for depth in plan["depths"]
        }
        return cls(**{**plan, "depths": depths})


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelAnswer:
    """Answer to one query by two lengths.

    Attributes:
        neighbours: Hits with their distances by the longest length.
        lengths: Lengths in bits that were used, the one that proposed first.
        n_candidates: How many rows the short length proposed; 0 if it was not asked.
        exact: Whether these are surely the nearest by the longest length: every selected row was ranked by it.
    """

    neighbours: Neighbours
    lengths: tuple[int, ...]
    n_candidates: int
    exact: bool


@runtime_checkable  # so that shape checks in tests can tell an index
class Scannable(Protocol):
    """What planning needs of a `RecordIndex`."""

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a record hold which code."""
        ...

    def records(self, rows: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m record_bytes"]:
        """Return the records of these rows."""
        ...

    def scan(
        self, code: UInt8[np.ndarray, " bytes"], *, bits: int
    ) -> tuple[Int64[np.ndarray, " m"], Int32[np.ndarray, " m"]]:
        """Return all live rows, ascending, and their distances."""
        ...


def plan_funnel(
    index: Scannable, *, rng: np.random.Generator, recall: float = 0.99, n_queries: int = 64
) -> FunnelPlan:
    """Measure how many candidates are needed on an index that nobody writes to meanwhile.

    Args:
        index: Codes of all lengths.
        rng: Draws the images that are asked for.
        recall: Least mean share of the k nearest by the longest code that must be found.
        n_queries: How many images set the candidates, and again as many check them.
    """
    layout = index.layout
    long_bits = layout.lengths[-1]
    live, _ = index.scan(np.zeros(long_bits // 8, dtype=np.uint8), bits=long_bits)
    flat = _flat_cost(long_bits, len(live))
    worth = [bits for bits in layout.lengths[:-1] if _cost(bits, len(live), 1) < flat]
    best = FunnelPlan(short_bits=None, long_bits=long_bits, n_rows=len(live), depths={})
    if not worth:
        return best
    drawn = rng.choice(live, min(2 * n_queries, len(live)), replace=False)
    samples = [_sample(index, int(row), worth) for row in drawn[:FIRST_LOOK]]
    if not any(_may_pay(samples, bits, k, n_rows=len(live), flat=flat) for bits in worth for k in MEASURED_K):
        return best  # as for random codes; looking at all samples would take long to say the same
    samples += [_sample(index, int(row), worth) for row in drawn[FIRST_LOOK:]]
    reached = np.stack([sample.distances for sample in samples])
    least = flat * len(MEASURED_K)
    for bits in worth:
        ranks = np.stack([sample.ranks[bits] for sample in samples])
        depths, cost = {}, 0.0
        for k in MEASURED_K:
            depth = _depth(ranks[:, :k], int(reached[:, :k].max()), recall)
            cost_k = _cost(bits, len(live), max(k, depth.candidates))
            if ranks.shape[1] >= k and cost_k < flat:
                depths[k] = depth
            cost += min(cost_k, flat)
        if depths and cost < least:
            best = FunnelPlan(short_bits=bits, long_bits=long_bits, n_rows=len(live), depths=depths)
            least = cost
    return best


def _may_pay(samples: "list[_Sample]", bits: int, k: int, *, n_rows: int, flat: float) -> bool:
    """Tell whether half of the neighbours are found at less than the cost of looking at everything."""
    candidates = int(np.median([sample.ranks[bits][:k] for sample in samples]))
    return _cost(bits, n_rows, candidates) < flat


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """The nearest others of one image by the longest code: their distances, and their ranks by shorter codes."""

    distances: Int32[np.ndarray, " k"]
    ranks: Mapping[int, Int64[np.ndarray, " k"]]


def _sample(index: Scannable, row: int, lengths: list[int]) -> _Sample:
    layout = index.layout
    codes = layout.split(index.records(np.array([row])))
    rows, distances = index.scan(codes[layout.lengths[-1]][0], bits=layout.lengths[-1])
    longest = distances.astype(np.uint16)
    longest[np.searchsorted(rows, row)] = np.iinfo(np.uint16).max  # itself comes last
    nearest = take_nearest(rows, longest, k=min(max(MEASURED_K), len(rows) - 1))
    at = np.searchsorted(rows, nearest.rows)
    ranks = {}
    for bits in lengths:
        _, short = index.scan(codes[bits][0], bits=bits)
        near = np.flatnonzero(short <= short[at].max(initial=0))  # nobody beyond can come before one of them
        rank = np.empty(len(near), dtype=np.int64)
        rank[np.argsort(short[near].astype(np.uint16), kind="stable")] = np.arange(len(near))
        ranks[bits] = rank[np.searchsorted(near, at)]
    return _Sample(distances=nearest.distances, ranks=ranks)


def _depth(ranks: Int64[np.ndarray, "n k"], reach: int, recall: float) -> FunnelDepth:
    """Return the candidates that keep this share, set by one half of the images and checked by the other."""
    setting, checking = ranks[::2], ranks[1::2]
    # Half of the misses allowed, as another draw of images will miss a little more.
    candidates = 1 + int(np.quantile(setting, (1 + recall) / 2, method="higher"))
    while True:
        found = np.mean(checking < candidates, axis=1)
        if found.mean() - found.std() / math.sqrt(len(found)) >= recall:
            return FunnelDepth(candidates=candidates, reach=reach, recall=float(found.mean()))
        candidates = math.ceil(GROWTH * candidates)


def _flat_cost(bits: int, n_rows: int) -> float:
    return n_rows * (1 + bits * COST_PER_BIT)


def _cost(short_bits: int, n_rows: int, candidates: int) -> float:
    """Return the cost of proposing and ranking so many candidates."""
    if short_bits <= MAX_BUCKET_BITS:
        return COST_PER_WALK + COST_PER_CANDIDATE * candidates
    return COST_OF_DEPTH * _flat_cost(short_bits, n_rows) + COST_PER_CANDIDATE * candidates
