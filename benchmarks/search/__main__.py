"""`python -m benchmarks.search`: searches of ours beside bare FAISS, in process and over gRPC, and beside other stores.

In: sizes, kinds of codes, parts. Out: one JSON file per part with every raw number, and from all files that are there a page of
tables and a picture. A part is measured again alone with `--parts`, `--sizes` and `--kinds`; the page then holds old and new.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

# Must be said before NumPy is loaded, and holds for the server, too.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import faiss  # noqa: E402

from benchmarks.search import galleries, lengths, searches, stores  # noqa: E402
from benchmarks.search.codes import KINDS, CodeSet, make_codes  # noqa: E402
from benchmarks.search.plot import draw  # noqa: E402
from benchmarks.search.results import Part, read_all, write  # noqa: E402
from benchmarks.search.tables import PLOT, page  # noqa: E402

PARTS = ("filtered", "batch", "table", "strategies", "stores")
BITS = (64, 128)
SIZES = (100_000, 1_000_000)
LARGEST = 10_000_000
STORES = (100_000, 64)  # codes and bits of the comparison with other stores
MAX_GALLERY = 1_000_000  # filters and gRPC are measured up to here


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the page."""
    options = _options(arguments)
    faiss.omp_set_num_threads(1)
    sizes = [*options.sizes, *([LARGEST] if options.largest else [])]
    for kind in options.kinds:
        codes = make_codes(kind, max(sizes), name=options.set, data=options.data, keep=options.cache)
        for n in sizes:
            for part in _measure(codes.first(n), options):
                write(part, options.out)
                print(f"{part.name:>10}  {part.n:>10,} {part.kind}, {part.bits} bits", flush=True)
    parts = read_all(options.out)
    if shown := [part for part in parts if part.name == "strategies"]:
        for suffix, picture in draw(shown).items():
            (options.out / PLOT).with_suffix(f".{suffix}").write_bytes(picture)
    largest = " --largest" if any(part.n == LARGEST for part in parts) else ""
    text = page(parts, command=f"python -m benchmarks.search{largest}", plotted=bool(shown))
    (options.out / "search.md").write_text(text, encoding="utf-8")
    print(text)


def _measure(codes: CodeSet, options: argparse.Namespace) -> Iterator[Part]:
    n, chosen = len(codes.records), set(options.parts)
    amount = {"rounds": options.rounds, "calls": options.calls}
    if "table" in chosen:
        yield lengths.measure_table(codes, **amount)
    if "strategies" in chosen:
        yield lengths.measure_strategies(codes, keep=options.cache, **amount)
    if n > MAX_GALLERY or not chosen & {"filtered", "batch", "stores"}:
        return
    snapshot = galleries.new_snapshot(codes.records)
    with ExitStack() as stack:
        wire = None if options.no_grpc else stack.enter_context(searches.connected(codes.records))
        for bits in BITS:
            if "filtered" in chosen:
                yield searches.measure_filtered(codes, bits, snapshot, wire, **amount)
            if "batch" in chosen:
                few = {"rounds": options.rounds, "calls": max(1, options.calls // 4)}
                yield searches.measure_batch(codes, bits, snapshot, wire, **few)
        if "stores" in chosen and n == min(STORES[0], *options.sizes):
            part = stores.measure_stores(
                codes, STORES[1], snapshot, wire, python=options.milvus_python, **amount
            )
            if part:
                yield part
            else:
                print(
                    f"Milvus Lite and LanceDB are left out: {options.milvus_python} has neither. Install them with "
                    f"`{stores.INSTALL}` into an environment of their own and give its interpreter with --milvus-python."
                )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description="Time searches beside FAISS."
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of codes")
    parser.add_argument(
        "--largest", action="store_true", help=f"also {LARGEST:,} codes, without gallery and gRPC"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of codes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (again)")
    parser.add_argument("--set", default="cifar10", help="image set whose codes are enlarged")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder of image sets and weights"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(".bench-cache"), help="where embeddings, codes, graphs are kept"
    )
    parser.add_argument("--out", type=Path, default=Path("bench-out/search"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=10, help="of each side in a row, per round")
    parser.add_argument("--no-grpc", action="store_true", help="leave out the served gallery")
    parser.add_argument(
        "--milvus-python", default="python3", help="interpreter that has milvus-lite, pymilvus or lancedb"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
