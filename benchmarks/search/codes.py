"""The codes that searches are measured on: uniformly random ones, and real ones enlarged to any number.

In: a kind, a number, a data folder. Out: code records of all lengths, records of queries, and a sentence that says what they are.
Made codes are kept in the cache folder, as encoding ten million images takes minutes.

Real codes are enlarged in embedding space: an image is drawn with replacement, moved towards one of its ten nearest
neighbours by a random share below one half, and encoded.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Float32, UInt8

from benchmarks.hashing.embeddings import embed
from benchmarks.hashing.sets import SetError, find_set, read_set
from hashing.index_nearest import count_differing_bits
from hashing.joint import JointHasher
from hashing.layout import CodeLayout
from service.errors import PolyhashError

LAYOUT = CodeLayout.of((16, 32, 64, 128))
KINDS = ("uniform", "enlarged")
N_QUERIES = 500
MAX_IMAGES = 16_384  # whose neighbours are looked for
FEW_NEIGHBOURS = 10
MOST_MOVED = 0.5  # of the way to a neighbour
N_PROTOTYPES, CLUSTER_FLIP = 1000, (0.02, 0.2)  # of the stand-in where there is no data
CHUNK = 8192
VERSION = 1  # of the recipe; kept codes of another are made anew


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSet:
    """Codes to search in and to search for."""

    kind: str
    records: UInt8[np.ndarray, "n record_bytes"]
    queries: UInt8[np.ndarray, "nq record_bytes"]
    how: str  # what they are, in a sentence

    def of(self, bits: int) -> tuple[UInt8[np.ndarray, "n _b"], UInt8[np.ndarray, "nq _b"]]:
        """Return the contiguous codes and queries of one length."""
        part = LAYOUT.record_slices[bits]
        return np.ascontiguousarray(self.records[:, part]), np.ascontiguousarray(self.queries[:, part])

    def first(self, n: int) -> "CodeSet":
        """Return the first n records under the same queries; records are independent draws."""
        return CodeSet(kind=self.kind, records=self.records[:n], queries=self.queries, how=self.how)


def make_codes(kind: str, n: int, *, name: str, data: Path, keep: Path) -> CodeSet:
    """Return n records and the queries; seeds are fixed.

    Args:
        kind: One of `KINDS`.
        n: How many records.
        name: Image set of the enlarged ones, as `benchmarks.hashing` knows it.
        data: Folder of the image sets and weights.
        keep: Cache folder.
    """
    if kind == "uniform":
        rng = np.random.default_rng(0)
        draw = [rng.integers(0, 256, (size, LAYOUT.record_bytes), dtype=np.uint8) for size in (N_QUERIES, n)]
        return CodeSet(kind=kind, queries=draw[0], records=draw[1], how="uniformly random codes, seed 0")
    try:
        file = embed(name, "mobilenet_v2", data=data, keep=keep)
    except (SetError, PolyhashError) as error:
        return clustered(n, why=str(error))
    return _enlarged(name, file, n, keep)


def clustered(n: int, *, why: str = "") -> CodeSet:
    """Return codes of clusters: prototypes whose bits flip with a probability of their own per record, alike in all lengths."""
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 2, (N_PROTOTYPES, LAYOUT.n_columns), dtype=np.uint8)

    def draw(size: int) -> UInt8[np.ndarray, "n record_bytes"]:
        noise = rng.uniform(*CLUSTER_FLIP, (size, 1)).astype(np.float32)
        flipped = rng.random((size, LAYOUT.n_columns), dtype=np.float32) < noise
        signs = prototypes[rng.integers(0, N_PROTOTYPES, size)] ^ flipped
        return np.packbits(signs, axis=1, bitorder="little")

    queries, records = draw(N_QUERIES), _in_chunks(n, draw)
    how = f"{N_PROTOTYPES:,} random codes with {CLUSTER_FLIP[0]:.0%} to {CLUSTER_FLIP[1]:.0%} of their bits flipped, seed 0"
    return CodeSet(
        kind="clustered",
        queries=queries,
        records=records,
        how=f"{how} (no real codes: {why})" if why else how,
    )


def _enlarged(name: str, file: Path, n: int, keep: Path) -> CodeSet:
    key = hashlib.sha256(repr((VERSION, name, file.name, N_QUERIES, MAX_IMAGES)).encode()).hexdigest()[:12]
    for kept in sorted(keep.glob(f"codes-{key}-*.npz")):
        if int(kept.stem.rpartition("-")[2]) >= n:  # more of the same draws
            break
    else:
        kept = keep / f"codes-{key}-{n}.npz"
        _encode_enlarged(name, file, n, kept)
    with np.load(kept) as arrays:
        base, queries, records = arrays["base"], arrays["queries"], arrays["records"][:n]
        n_train = int(arrays["n_train"])
    how = (
        f"{name} by a JointHasher fitted on {n_train:,} images: {len(base):,} others, drawn with replacement and "
        f"moved towards one of their {FEW_NEIGHBOURS} nearest by 0 to {MOST_MOVED:.0%} of the way before encoding; queries are "
        f"{len(queries)} held-out pictures; {_nearness(base, records, queries)}"
    )
    return CodeSet(kind="enlarged", records=records, queries=queries, how=how)


def _encode_enlarged(name: str, file: Path, n: int, kept: Path) -> None:
    trial = read_set(file, find_set(name), seed=0)
    hasher = JointHasher(lengths=LAYOUT.lengths, random_state=0)
    hasher.fit(trial.train.embeddings, trial.train.labels)
    images = trial.database.embeddings[:MAX_IMAGES]
    search = faiss.IndexFlatL2(images.shape[1])
    search.add(images)
    nearest = search.search(images, FEW_NEIGHBOURS + 1)[1][:, 1:]
    rng = np.random.default_rng(0)

    def draw(size: int) -> UInt8[np.ndarray, "n record_bytes"]:
        drawn = rng.integers(0, len(images), size)
        other = nearest[drawn, rng.integers(0, nearest.shape[1], size)]
        share = rng.uniform(0, MOST_MOVED, (size, 1)).astype(np.float32)
        moved: Float32[np.ndarray, "n d"] = images[drawn] + share * (images[other] - images[drawn])
        return hasher.transform(moved)

    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        kept,
        base=hasher.transform(images),
        queries=hasher.transform(trial.query.embeddings[:N_QUERIES]),
        records=_in_chunks(n, draw),
        n_train=np.array(len(trial.train)),
    )


def _in_chunks(
    n: int, draw: Callable[[int], UInt8[np.ndarray, "m record_bytes"]]
) -> UInt8[np.ndarray, "n record_bytes"]:
    """Return n drawn records; the first ones are the same for every n."""
    return np.concatenate([draw(CHUNK) for _ in range(0, n, CHUNK)])[:n]


def _nearness(
    base: UInt8[np.ndarray, "b record_bytes"],
    records: UInt8[np.ndarray, "n record_bytes"],
    queries: UInt8[np.ndarray, "nq record_bytes"],
) -> str:
    """Say how near the tenth neighbour is among the real codes, and among as many enlarged ones."""
    bits = LAYOUT.lengths[-1]
    part = LAYOUT.record_slices[bits]
    asked = np.ascontiguousarray(queries[:100, part])
    medians = []
    for searched in (base, records[: len(base)], records):
        distances = count_differing_bits(asked, np.ascontiguousarray(searched[:, part]))
        k = min(FEW_NEIGHBOURS, len(searched)) - 1
        medians.append(float(np.median(np.partition(distances, k, axis=1)[:, k])))
    real, alike, all_of_them = medians
    return (
        f"distance to the 10th neighbour at {bits} bits, median: {real:g} among the real codes, {alike:g} among as many "
        f"enlarged, {all_of_them:g} among all"
    )
