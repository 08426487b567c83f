"""The store that is killed: opened with everything that changes or searches it, and filled with invented pictures.

In: a folder, and files of two fitted hashers. Out: gallery, searcher and rebuilder joined as `service.compose` joins them, without
a backbone: embeddings are drawn by number, so that a thousand rounds take minutes.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hashing.durable_file import write_durably
from hashing.fitted_hasher import FittedHasher, Provenance
from hashing.hasher_file import load_hasher, save_hasher
from hashing.index_records import RecordIndex
from hashing.joint import JointHasher
from service.records import ModelKind, NewImage
from service.storage.store import Store
from service.usecases.gallery import Gallery
from service.usecases.loading import load_snapshot
from service.usecases.query_encoder import QueryEncoder
from service.usecases.rebuild import Rebuilder
from service.usecases.search import Searcher
from service.usecases.verify import Verification, verify_store
from service.vision.images import decode_image
from service.workers import StoreWorkers, find_hasher
from tests.contracts.fakes import FakeBackbone

BACKBONE, DIM = "invented@000000000000", 16
LENGTHS = ((16, 32, 64), (16, 64))  # of the two hashers
COLOURS = ("red", "green", "blue")


class DrawnBackbone(FakeBackbone):
    """Stands for what drew the embeddings; no picture is ever embedded."""

    identity = BACKBONE


class Facts(NamedTuple):
    """What can be changed of an image."""

    labels: tuple[str, ...]
    attributes: dict[str, str]
    scores: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """An open store and what works on it."""

    store: Store
    gallery: Gallery
    searcher: Searcher
    rebuilder: Rebuilder

    @property
    def hashers(self) -> list[str]:
        """Identities of the registered hashers."""
        return [model.identity for model in self.store.catalog.models() if model.kind is ModelKind.HASHER]

    def verify(self) -> Verification:
        """Return what `polyhash verify` finds."""
        return verify_store(
            self.store.catalog,
            self.store.generations,
            self.store.originals,
            hasher=self.gallery.hasher,
            index_factory=RecordIndex,
            report=say_nothing,
        )


def say_nothing(stage: str, done: int, total: int) -> None:
    """Be a report that nobody reads."""
    del stage, done, total


def fit_hashers(folder: Path) -> list[Path]:
    """Fit the two hashers and return their files."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(120, DIM)).astype(np.float32)
    labels = rng.integers(0, 4, size=120)
    files = []
    for seed, lengths in enumerate(LENGTHS):
        hasher = JointHasher(lengths=lengths, random_state=seed).fit(embeddings, labels)
        provenance = Provenance(
            name="invented",
            backbone_identity=BACKBONE,
            training_hash="0" * 64,
            created_at="2026-01-01T00:00:00+00:00",
            polyhash_version="0",
        )
        files.append(folder / f"{seed}.safetensors")
        save_hasher(files[-1], hasher, provenance)
    return files


@contextmanager
def open_stack(folder: Path, hasher_files: list[Path]) -> Iterator[Stack]:
    """Open a store for writing, made if it is missing, completed if its making was interrupted."""
    with Store.create_or_open(folder, purpose="the kill harness") as store, ExitStack() as closing:
        hasher = _hasher_in_use(store, hasher_files)
        snapshot = load_snapshot(
            store.catalog, store.generations, hasher, index_factory=RecordIndex, writable=True
        )
        workers = StoreWorkers(folder, ThreadPoolExecutor(1))
        closing.callback(workers.close)
        gallery = Gallery(store.catalog, store.originals, backbone=DrawnBackbone(), snapshot=snapshot)
        yield Stack(
            store=store,
            gallery=gallery,
            searcher=Searcher(gallery, QueryEncoder(decode=decode_image)),
            rebuilder=Rebuilder(
                gallery,
                store.generations,
                workers,
                find_hasher=partial(find_hasher, store),
                find_backbone=lambda _: DrawnBackbone(),
                index_factory=RecordIndex,
                kept=2,
            ),
        )


def content_of(number: int) -> bytes:
    """Return the bytes of an invented original."""
    return f"picture {number} ".encode() * 50


def facts_of(number: int) -> Facts:
    """Return invented facts."""
    rng = np.random.default_rng([1, number])
    return Facts(
        labels=tuple(rng.permutation(COLOURS)[: rng.integers(0, 3)].tolist()),
        attributes={"camera": f"A{rng.integers(4)}"},
        scores={"joy": float(rng.integers(8)) / 8},
    )


def new_image(number: int, *, stored: bool) -> NewImage:
    """Return an invented image on its way into the catalog."""
    content, facts = content_of(number), facts_of(number)
    return NewImage(
        sha256=hashlib.sha256(content).digest(),
        name=f"{number}.png",
        source="" if stored else f"/pictures/{number}.png",
        stored=stored,
        byte_size=len(content),
        width=1,
        height=1,
        format="PNG",
        labels=facts.labels,
        attributes=facts.attributes,
        scores=facts.scores,
        embedding=np.random.default_rng([0, number]).normal(size=DIM).astype(np.float32),
    )


def _hasher_in_use(store: Store, files: list[Path]) -> FittedHasher:
    """Return it, after registering what an interruption left unregistered."""
    catalog = store.catalog
    catalog.register_model(BACKBONE, ModelKind.BACKBONE, path="", metadata={})
    known = {model.identity for model in catalog.models()}
    for file in files:
        estimator, provenance = load_hasher(file)
        identity = FittedHasher(hasher=estimator, provenance=provenance).identity
        if identity not in known:
            path = store.models / f"{identity}.safetensors"
            write_durably(path, file.read_bytes())
            metadata = {"backbone": BACKBONE}
            catalog.register_model(identity, ModelKind.HASHER, path=f"models/{path.name}", metadata=metadata)
        if catalog.active_model(ModelKind.HASHER) is None:
            catalog.activate_model(identity)
    active = catalog.active_model(ModelKind.HASHER)
    return find_hasher(store, active.identity if active else "")
