"""Exact search by one length: bare FAISS beside the index, the searcher in process, and gRPC; filtered, and in batches.

In: codes. Out: parts of the result. All sides answer the same queries in turns; their hits are compared with each other first.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import faiss
import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jaxtyping import UInt8
from polyhash.v1 import filter_pb2, search_service_pb2, search_service_pb2_grpc

from benchmarks.search import galleries
from benchmarks.search.codes import LAYOUT, CodeSet
from benchmarks.search.results import Part, circumstances, make_row, raw_of
from benchmarks.search.timing import Name, Side, take_turns
from hashing.index import Selection
from service.usecases.filters import ImageFilter
from service.usecases.queries import CodeQuery, SearchAnswer, SearchRequest
from service.usecases.search import Searcher
from service.usecases.snapshot import Snapshot

K = 10
BATCH = 32
ALL = "all"
FAISS, INDEX, SEARCHER, GRPC, GRPC_AUTO, EMPTY_CALL = (
    "FAISS flat",
    "our index",
    "our searcher",
    "gRPC",
    "gRPC, AUTO",
    "gRPC, empty call",
)
BY_SCORE = "1 % by score"
FILTERS: Mapping[str, ImageFilter | None] = {
    ALL: None,
    **{case: galleries.label_filter(case) for case in galleries.SHARES},
    BY_SCORE: galleries.score_filter("1 %"),
}
MAX_MESSAGE = 32 * 2**20

Codes = UInt8[np.ndarray, "_n bytes"]
Distances = Callable[[int], list[list[int]]]  # of the i-th call's hits, per query


@dataclass(frozen=True, slots=True)
class Wire:
    """The stubs of one connection."""

    search: search_service_pb2_grpc.SearchServiceStub
    health: health_pb2_grpc.HealthStub


@contextmanager
def connected(records: UInt8[np.ndarray, "n record_bytes"]) -> Iterator[Wire]:
    """Serve records from another process and connect to it."""
    with ExitStack() as stack:
        address = stack.enter_context(galleries.serving(records))
        options = [("grpc.max_receive_message_length", MAX_MESSAGE)]
        channel = stack.enter_context(grpc.insecure_channel(address, options=options))
        yield Wire(search_service_pb2_grpc.SearchServiceStub(channel), health_pb2_grpc.HealthStub(channel))


def measure_filtered(
    codes: CodeSet, bits: int, snapshot: Snapshot, wire: Wire | None, *, rounds: int, calls: int
) -> Part:
    """Measure single searches with and without a filter; ratios refer to bare FAISS without one."""
    sides = filtered_sides(codes, bits, snapshot, wire)
    for case in FILTERS:
        _check_agree({name: call for name, call in sides.items() if name[0] == case})
    return _part("filtered", codes, bits, sides, wire, base=(ALL, FAISS), rounds=rounds, calls=calls)


def filtered_sides(codes: CodeSet, bits: int, snapshot: Snapshot, wire: Wire | None) -> dict[Name, Distances]:
    """Return who answers a single query with each of `FILTERS`."""
    database, queries = codes.of(bits)
    bare = faiss.IndexBinaryFlat(bits)
    bare.add(database)
    searcher = galleries.new_searcher(snapshot)
    sides: dict[Name, Distances] = {}
    for case, image_filter in FILTERS.items():
        selected = snapshot.columns.select(image_filter).selection
        ask = partial(_single, queries, bits, image_filter)
        sides[case, FAISS] = partial(_faiss, bare, queries, 1, _bitmap(selected))
        sides[case, INDEX] = partial(_index, snapshot, queries, 1, selected)
        sides[case, SEARCHER] = partial(_searcher, searcher, ask)
        if wire:
            sides[case, GRPC] = partial(_grpc, wire, queries, bits, image_filter)
    return sides


def measure_batch(
    codes: CodeSet, bits: int, snapshot: Snapshot, wire: Wire | None, *, rounds: int, calls: int
) -> Part:
    """Measure calls of `BATCH` queries; ratios refer to bare FAISS."""
    database, queries = codes.of(bits)
    bare = faiss.IndexBinaryFlat(bits)
    bare.add(database)
    searcher = galleries.new_searcher(snapshot)
    case = f"{BATCH} queries"
    sides: dict[Name, Distances] = {
        (case, FAISS): partial(_faiss, bare, queries, BATCH, None),
        (case, INDEX): partial(_index, snapshot, queries, BATCH, None),
        (case, SEARCHER): partial(_searcher, searcher, partial(_batch, queries, bits)),
    }
    if wire:
        sides[(case, GRPC)] = partial(_grpc_batch, wire, queries, {"bits": bits})
        if bits == LAYOUT.lengths[-1]:
            auto = {"strategy": search_service_pb2.SEARCH_STRATEGY_AUTO}
            sides[(case, GRPC_AUTO)] = partial(_grpc_batch, wire, codes.queries, auto)
    _check_agree(sides)
    return _part("batch", codes, bits, sides, wire, base=(case, FAISS), rounds=rounds, calls=calls)


def _part(
    name: str,
    codes: CodeSet,
    bits: int,
    sides: Mapping[Name, Side],
    wire: Wire | None,
    *,
    base: Name,
    rounds: int,
    calls: int,
) -> Part:
    if wire:
        check = wire.health.Check
        sides = {**sides, ("nothing", EMPTY_CALL): lambda _: check(health_pb2.HealthCheckRequest())}
    turns = take_turns(sides, rounds=rounds, calls=calls)
    return Part(
        name=name,
        kind=codes.kind,
        n=len(codes.records),
        bits=bits,
        base=", ".join(base),
        how=codes.how,
        rows=[make_row(side, turns, base) for side in turns],
        circumstances=circumstances(),
        raw_us=raw_of(turns),
    )


def _check_agree(sides: Mapping[Name, Distances]) -> None:
    """Stop if the sides find neighbours at other distances."""
    for call in range(3):
        answers = {side: ask(call) for side, ask in sides.items()}
        first = next(iter(answers.values()))
        for side, answer in answers.items():
            if answer != first:
                raise SystemExit(
                    f"{side} finds other distances than {next(iter(answers))}: {answer} and {first}."
                )


# ---------------------------------------------------------------- sides


def _rows(queries: Codes, call: int, size: int) -> Codes:
    return queries[np.arange(call * size, (call + 1) * size) % len(queries)]


def _bitmap(selected: Selection | None) -> UInt8[np.ndarray, " m"] | None:
    return None if selected is None else np.packbits(selected.mask, bitorder="little")


def _faiss(
    bare: faiss.IndexBinaryFlat, queries: Codes, size: int, bitmap: UInt8[np.ndarray, " m"] | None, call: int
) -> list[list[int]]:
    only = (
        None if bitmap is None else faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))  # type: ignore[call-arg,arg-type]  # FAISS's stub lacks its own wrapper
    )
    distances, rows = bare.search(_rows(queries, call, size), K, params=only)
    return [found[known >= 0].tolist() for found, known in zip(distances, rows, strict=True)]


def _index(
    snapshot: Snapshot, queries: Codes, size: int, selected: Selection | None, call: int
) -> list[list[int]]:
    bits = 8 * queries.shape[1]
    found = snapshot.index.search(_rows(queries, call, size), bits=bits, k=K, among=selected)
    return [hits.distances.tolist() for hits in found]


def _single(queries: Codes, bits: int, image_filter: ImageFilter | None, call: int) -> list[SearchRequest]:
    query = CodeQuery(code=queries[call % len(queries)].tobytes())
    return [SearchRequest(query=query, bits=bits, k=K, image_filter=image_filter, full=False)]


def _batch(queries: Codes, bits: int, call: int) -> list[SearchRequest]:
    asked = _rows(queries, call, BATCH)
    return [SearchRequest(query=CodeQuery(code=code.tobytes()), bits=bits, k=K, full=False) for code in asked]


def _searcher(searcher: Searcher, ask: Callable[[int], list[SearchRequest]], call: int) -> list[list[int]]:
    answers = searcher.search_batch(ask(call))
    return [[hit.distance for hit in answer.hits] for answer in answers if isinstance(answer, SearchAnswer)]


def _grpc(
    wire: Wire, queries: Codes, bits: int, image_filter: ImageFilter | None, call: int
) -> list[list[int]]:
    request = search_service_pb2.SearchRequest(
        code=queries[call % len(queries)].tobytes(),
        bits=bits,
        k=K,
        view=search_service_pb2.SEARCH_VIEW_BASIC,
        filter=_filter_message(image_filter),
    )
    return [[hit.distance for hit in wire.search.Search(request).hits]]


def _grpc_batch(wire: Wire, queries: Codes, how: dict[str, Any], call: int) -> list[list[int]]:
    request = search_service_pb2.BatchSearchRequest(
        queries=[search_service_pb2.SearchQuery(code=code.tobytes()) for code in _rows(queries, call, BATCH)],
        k=K,
        view=search_service_pb2.SEARCH_VIEW_BASIC,
        **how,
    )
    results = wire.search.BatchSearch(request).results
    return [[hit.distance for hit in result.answer.hits] for result in results]


def _filter_message(image_filter: ImageFilter | None) -> filter_pb2.ImageFilter | None:
    if image_filter is None:
        return None
    message = filter_pb2.ImageFilter(labels_any=image_filter.labels_any)
    for name, wanted in image_filter.scores.items():
        message.scores[name].maximum = wanted.maximum if wanted.maximum is not None else 1.0
    return message
