"""Every way to find the nearest by the longest code: ours by one length or two, FAISS's own indexes; recall, time, memory.

In: codes. Out: parts of the result. Recall is against the exact answer by the longest code, and a hit counts if it is as near as
the k-th of that answer, since which of many equally near images comes first says nothing about an index.
"""

import ctypes
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
from jaxtyping import Int64, UInt8

from benchmarks.search.codes import LAYOUT, CodeSet
from benchmarks.search.results import Part, circumstances, make_row, raw_of
from benchmarks.search.timing import Name, take_turns
from hashing.index_nearest import count_differing_bits
from hashing.index_records import RecordIndex
from hashing.layout import CodeLayout
from service.circumstances import usable_cores

K = 10
LONG = LAYOUT.lengths[-1]
SHORT = LAYOUT.lengths[0]
N_ASKED = 200  # queries by which recall is measured
LISTS = 1024  # of IVF
TRAINED = 40 * LISTS  # codes that its centroids are learned from
MAX_HNSW = 1_000_000  # building one of ten million takes most of an hour
FLAT = ("flat", f"FAISS flat {LONG}")
AUTO = ("ours", "AUTO")
TABLE = (f"{SHORT} bits", "our table")

Codes = UInt8[np.ndarray, "_n bytes"]
Rows = Int64[np.ndarray, " _hits"]
Find = Callable[[int], Rows]  # the rows of the i-th query's hits


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One way to search, ready to be asked.

    Attributes:
        bytes_per_code: Memory that building its index took, over the number of codes.
    """

    find: Find
    bytes_per_code: float
    note: str = ""


def measure_table(codes: CodeSet, *, rounds: int, calls: int) -> Part:
    """Measure the table of the shortest codes beside FAISS's scan of them."""
    database, queries = codes.of(SHORT)
    bare = faiss.IndexBinaryFlat(SHORT)
    bare.add(database)
    ours = RecordIndex(CodeLayout.of([SHORT]))
    ours.add(database)
    base = (f"{SHORT} bits", "FAISS flat")
    turns = take_turns(
        {
            base: lambda call: bare.search(_one(queries, call), K),
            TABLE: lambda call: ours.search(_one(queries, call), bits=SHORT, k=K),
        },
        rounds=rounds,
        calls=calls,
    )
    return Part(
        name="table",
        kind=codes.kind,
        n=len(database),
        bits=SHORT,
        base=", ".join(base),
        how=codes.how,
        rows=[make_row(name, turns, base) for name in turns],
        circumstances=circumstances(),
        raw_us=raw_of(turns),
    )


def measure_strategies(codes: CodeSet, *, keep: Path, rounds: int, calls: int) -> Part:
    """Measure all strategies; ratios refer to FAISS's scan of the longest codes."""
    strategies = dict(_strategies(codes, keep))
    turns = take_turns({name: each.find for name, each in strategies.items()}, rounds=rounds, calls=calls)
    exact = [strategies[FLAT].find(call) for call in range(N_ASKED)]
    rows = []
    for name, strategy in strategies.items():
        found = [strategy.find(call) for call in range(N_ASKED)]
        same = np.mean([len(np.intersect1d(*both)) / K for both in zip(found, exact, strict=True)])
        note = f"the same images: {same:.3f}"
        rows.append(
            make_row(
                name,
                turns,
                FLAT,
                recall=_recall(codes, found, exact),
                bytes_per_code=strategy.bytes_per_code,
                note=f"{note}; {strategy.note}" if strategy.note else note,
            )
        )
    return Part(
        name="strategies",
        kind=codes.kind,
        n=len(codes.records),
        bits=LONG,
        base=", ".join(FLAT),
        how=codes.how,
        rows=rows,
        circumstances=circumstances(),
        raw_us=raw_of(turns),
    )


# ---------------------------------------------------------------- strategies


def _strategies(codes: CodeSet, keep: Path) -> Iterator[tuple[Name, Strategy]]:
    yield from _faiss_strategies(codes, keep)
    yield from _our_strategies(codes)


def _our_strategies(codes: CodeSet) -> Iterator[tuple[Name, Strategy]]:
    for bits in LAYOUT.lengths:
        database, queries = codes.of(bits)
        one = RecordIndex(CodeLayout.of([bits]))
        with _building(len(database)) as cost:
            one.add(database)
        yield (
            ("ours", f"flat {bits}" if bits > SHORT else f"table {bits}"),
            cost.strategy(partial(_ours, one, queries, bits)),
        )
    whole = RecordIndex(LAYOUT)
    with _building(len(codes.records)) as cost:
        whole.add(codes.records)
        whole.settle()
    yield AUTO, cost.strategy(partial(_funnel, whole, codes.queries), note=_describe(whole, codes))


def _describe(index: RecordIndex, codes: CodeSet) -> str:
    answers = index.search_funnel(codes.queries[:N_ASKED], k=K)
    through = [answer.n_compared for answer in answers if len(answer.lengths) > 1]
    if not through:
        return f"all {LONG}-bit codes are looked at"
    share = np.mean(through) / len(codes.records)
    return f"{len(through)} of {N_ASKED} queries look at {share:.2%} of the codes, the others at all"


def _faiss_strategies(codes: CodeSet, keep: Path) -> Iterator[tuple[Name, Strategy]]:
    database, queries = codes.of(LONG)
    n = len(database)
    flat = faiss.IndexBinaryFlat(LONG)
    with _building(n) as cost:
        flat.add(database)
    yield FLAT, cost.strategy(partial(_faiss, flat, queries, {}))
    ivf, cost = _kept("ivf", codes.kind, database, keep, _build_ivf)
    for nprobe in (1, 4, 16, 64):
        yield (
            (f"FAISS IVF {ivf.nlist}", f"nprobe {nprobe}"),
            cost.strategy(partial(_faiss, ivf, queries, {"nprobe": nprobe})),
        )
    multi = faiss.IndexBinaryMultiHash(LONG, 8, 16)
    with _building(n) as cost:
        multi.add(database)
    for nflip in (0, 1, 2):
        yield (
            ("FAISS MultiHash 8 x 16", f"nflip {nflip}"),
            cost.strategy(partial(_faiss, multi, queries, {"nflip": nflip})),
        )
    if n <= MAX_HNSW:
        hnsw, cost = _kept("hnsw", codes.kind, database, keep, _build_hnsw)
        for ef in (16, 64, 256):
            yield ("FAISS HNSW 16", f"efSearch {ef}"), cost.strategy(partial(_hnsw_search, hnsw, queries, ef))


def _build_ivf(database: Codes) -> faiss.IndexBinary:
    ivf = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(LONG), LONG, min(LISTS, len(database) // 40))
    ivf.train(database[:TRAINED])
    ivf.add(database)
    return ivf


def _build_hnsw(database: Codes) -> faiss.IndexBinary:
    hnsw = faiss.IndexBinaryHNSW(LONG, 16)
    hnsw.add(database)
    return hnsw


def _kept(
    name: str, kind: str, database: Codes, keep: Path, build: Callable[[Codes], faiss.IndexBinary]
) -> tuple[Any, "_Cost"]:
    """Return a FAISS index that is slow to build, read from its file, and what it takes in memory."""
    digest = hashlib.sha256(database.data).hexdigest()[:12]
    file = keep / f"faiss-{name}-{kind}-{len(database)}-{digest}.index"
    if not file.is_file():
        keep.mkdir(parents=True, exist_ok=True)
        faiss.omp_set_num_threads(usable_cores())
        faiss.write_index_binary(build(database), str(file))
        faiss.omp_set_num_threads(1)
    with _building(len(database)) as cost:
        index = faiss.read_index_binary(str(file))
    return index, cost


@dataclass(slots=True, kw_only=True)
class _Cost:
    bytes_per_code: float = 0.0

    def strategy(self, find: Find, *, note: str = "") -> Strategy:
        return Strategy(find=find, bytes_per_code=self.bytes_per_code, note=note)


@contextmanager
def _building(n: int) -> Iterator[_Cost]:
    """Measure what the block adds to the resident memory."""
    cost, process = _Cost(), psutil.Process()
    _release()
    before = process.memory_info().rss
    yield cost
    _release()
    cost.bytes_per_code = (process.memory_info().rss - before) / n


def _release() -> None:
    """Give freed memory back, so that the next index does not use it unseen."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # of glibc alone
        libc.malloc_trim(0)


# ---------------------------------------------------------------- asking


def _one(queries: Codes, call: int) -> UInt8[np.ndarray, "1 bytes"]:
    one: UInt8[np.ndarray, "1 bytes"] = queries[call % len(queries)][None]
    return one


def _ours(index: RecordIndex, queries: Codes, bits: int, call: int) -> Rows:
    return index.search(_one(queries, call), bits=bits, k=K)[0].rows


def _funnel(index: RecordIndex, queries: Codes, call: int) -> Rows:
    return index.search_funnel(_one(queries, call), k=K)[0].neighbours.rows


def _faiss(index: faiss.IndexBinary, queries: Codes, settings: Mapping[str, int], call: int) -> Rows:
    for name, value in settings.items():
        setattr(index, name, value)
    found = index.search(_one(queries, call), K)[1][0]
    known: Rows = found[found >= 0]
    return known


def _hnsw_search(index: faiss.IndexBinaryHNSW, queries: Codes, ef: int, call: int) -> Rows:
    index.hnsw.efSearch = ef
    return _faiss(index, queries, {}, call)


def _recall(codes: CodeSet, found: list[Rows], exact: list[Rows]) -> float:
    """Return the share of hits that are as near as the k-th of the exact answer."""
    part = LAYOUT.record_slices[LONG]
    near = 0
    for call, (hits, right) in enumerate(zip(found, exact, strict=True)):
        query = np.ascontiguousarray(_one(codes.queries[:, part], call))
        distances, limits = (
            count_differing_bits(query, np.ascontiguousarray(codes.records[rows, part]))[0]
            for rows in (hits, right)
        )
        near += int(np.count_nonzero(distances <= limits.max()))
    return near / sum(map(len, exact))
