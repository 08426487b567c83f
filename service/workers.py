"""The heavy part of rebuilds, in processes of their own: embedding, fitting, encoding, building and checking generations.

In: a store's folder; images, embeddings, identities of models. Out: futures of what was computed. These processes read the store
beside the one that serves it and write nothing but files of hashers and generations that no one knows yet.
"""

import datetime as dt
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TypeVar, final

import numpy as np
from jaxtyping import Float16, UInt8

from hashing.errors import HasherFileError
from hashing.fitted_hasher import Estimator, FittedHasher, Provenance
from hashing.hasher_file import load_hasher, save_hasher
from hashing.index_records import RecordIndex
from hashing.joint import JointHasher
from service.errors import DataLossError, ModelMismatchError, NotFoundError
from service.ports import Backbone, Hasher
from service.records import BuiltGeneration, Extraction, FittedModel, ModelKind
from service.storage.store import Store
from service.usecases.extraction import extract_images
from service.usecases.learn import read_training_set
from service.usecases.loading import read_snapshot
from service.usecases.snapshot import Snapshot
from service.usecases.verify import compare_hits
from service.vision.backbones import load_backbone
from service.vision.images import decode_image
from service.vision.sources import read_source

T = TypeVar("T")

PURPOSE = "rebuild"


@final
class StoreWorkers:
    """`Workers` over one store, by any executor that can run functions of this module."""

    def __init__(self, folder: Path, executor: Executor | None = None) -> None:
        """Use an executor, or one new process, which starts with the first work it gets."""
        self._folder = folder
        self._executor = executor or _new_process()

    def encode(
        self, embeddings: Float16[np.ndarray, "n d"], *, hasher: str
    ) -> "Future[UInt8[np.ndarray, 'n record_bytes']]":
        """See `Workers.encode`."""
        return self._submit(_encode, self._folder, hasher, embeddings)

    def extract(self, image_ids: Sequence[int], *, backbone: str) -> Future[Extraction]:
        """See `Workers.extract`."""
        return self._submit(_extract, self._folder, backbone, list(image_ids))

    def fit(self, *, backbone: str, lengths: tuple[int, ...], nested: bool, seed: int) -> Future[FittedModel]:
        """See `Workers.fit`."""
        return self._submit(_fit, self._folder, backbone, lengths=lengths, nested=nested, seed=seed)

    def build_generation(self, number: int, *, hasher: str) -> Future[BuiltGeneration]:
        """See `Workers.build_generation`."""
        return self._submit(_build_generation, self._folder, hasher, number)

    def _submit(self, work: Callable[..., T], *arguments: object, **options: object) -> Future[T]:
        try:
            return self._executor.submit(work, *arguments, **options)
        except BrokenExecutor:  # its process was ended, as by a system short of memory
            self._executor = _new_process()
            return self._executor.submit(work, *arguments, **options)

    def close(self) -> None:
        """See `Workers.close`."""
        self._executor.shutdown(cancel_futures=True)


def _new_process() -> Executor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin)


def find_hasher(store: Store, identity: str) -> FittedHasher:
    """Return a registered hasher.

    Raises:
        NotFoundError: It is not registered.
        HasherFileError: Its file is missing or damaged.
    """
    for model in store.catalog.models():
        if model.identity == identity and model.kind is ModelKind.HASHER:
            estimator, provenance = load_hasher(store.folder / model.path)
            found = FittedHasher(hasher=estimator, provenance=provenance)
            if found.identity != identity:
                raise HasherFileError(
                    f"{store.folder / model.path} holds hasher {found.identity}, the catalog says {identity}. Restore "
                    "the store from a backup, or train the hasher again."
                )
            return found
    raise NotFoundError(
        f"No hasher {identity} in the store. `polyhash stats` lists its models; `polyhash train hasher` makes one.",
        reason="MODEL_NOT_FOUND",
        field="hasher",
    )


def find_backbone(store: Store, identity: str) -> Backbone:
    """Return a registered backbone.

    Raises:
        NotFoundError: It is not registered, or its files are gone.
        ModelMismatchError: What is there now is another one.
    """
    for model in store.catalog.models():
        if model.identity == identity and model.kind is ModelKind.BACKBONE:
            found = load_backbone(model.path)
            if found.identity != identity:
                raise ModelMismatchError(
                    f"{model.path} gives backbone {found.identity}, the store knows it as {identity}. Bring its files back.",
                    expected=identity,
                    found=found.identity,
                )
            return found
    raise NotFoundError(
        f"No backbone {identity} in the store. `polyhash stats` lists its models.",
        reason="MODEL_NOT_FOUND",
        field="backbone",
    )


def hasher_path(store: Store, identity: str) -> Path:
    """Return the file of a hasher of a store."""
    return store.models / f"{identity}.safetensors"


def save_fitted(store: Store, estimator: Estimator, provenance: Provenance) -> FittedModel:
    """Put a fitted hasher into the store's folder; returns what its catalog shall say of it."""
    hasher = FittedHasher(hasher=estimator, provenance=provenance)
    path = hasher_path(store, hasher.identity)
    save_hasher(path, estimator, provenance, disk=store.disk)
    return FittedModel(
        identity=hasher.identity,
        path=str(path.relative_to(store.folder)),
        metadata={
            "lengths": list(hasher.lengths),
            "nested": hasher.layout.nested,
            "nu": estimator.encoder_.weights.nu,
            "beta": estimator.encoder_.weights.beta,
            "backbone": provenance.backbone_identity,
            "training_hash": provenance.training_hash,
            "polyhash_version": provenance.polyhash_version,
            "objective": [float(sum(losses)) for losses in estimator.objective_trace_],
        },
    )


def provenance_now(name: str, *, backbone: str, training_hash: str) -> Provenance:
    """Return the origin of a hasher that is fitted now."""
    return Provenance(
        name=name,
        backbone_identity=backbone,
        training_hash=training_hash,
        created_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        polyhash_version=version("polyhash"),
    )


def end_with_parent() -> None:
    """End this process when the one that started it was killed, which nothing else would tell it."""

    def wait() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that decides
    end_with_parent()


@lru_cache(maxsize=2)
def _hasher(folder: Path, identity: str) -> Hasher:
    with Store.open(folder, purpose=PURPOSE, writable=False) as store:
        return find_hasher(store, identity)


@lru_cache(maxsize=1)
def _backbone(folder: Path, identity: str) -> Backbone:
    with Store.open(folder, purpose=PURPOSE, writable=False) as store:
        return find_backbone(store, identity)


def _extract(folder: Path, identity: str, image_ids: Sequence[int]) -> Extraction:
    backbone = _backbone(folder, identity)
    with Store.open(folder, purpose=PURPOSE, writable=False) as store:
        return extract_images(
            store.catalog,
            store.originals,
            image_ids,
            backbone=backbone,
            read_source=read_source,
            decode=decode_image,
        )


def _fit(folder: Path, backbone: str, *, lengths: tuple[int, ...], nested: bool, seed: int) -> FittedModel:
    with Store.open(folder, purpose=PURPOSE, writable=False) as store:
        training = read_training_set(store.catalog, backbone=backbone)
        learner = JointHasher(lengths=lengths, nested=nested, random_state=seed)
        estimator = learner.fit(training.embeddings, training.labels)
        provenance = provenance_now("joint", backbone=backbone, training_hash=training.digest)
        return save_fitted(store, estimator, provenance)


def _encode(folder: Path, identity: str, embeddings: np.ndarray) -> np.ndarray:
    return _hasher(folder, identity).encode(embeddings.astype(np.float32))


def _build_generation(folder: Path, identity: str, number: int) -> BuiltGeneration:
    hasher = _hasher(folder, identity)
    with Store.open(folder, purpose=PURPOSE, writable=False) as store:
        snapshot = read_snapshot(store.catalog, hasher, index_factory=RecordIndex, complete=True)
        digest = store.generations.write(number, snapshot.to_files())
        written = Snapshot.from_files(
            store.generations.read(number, manifest_sha256=digest),
            hasher,
            index_factory=RecordIndex,
            generation=number,
        )
        rows = np.arange(snapshot.n_rows)
        if wrong := compare_hits(written, snapshot.image_ids(rows), snapshot.index.records(rows)):
            store.generations.delete(number)
            raise DataLossError(
                f"Generation {number}, as read back from disk, misses hits of {wrong} searches; it was deleted. Check the "
                "disk and the memory of this machine.",
                reason="GENERATION_WRONG",
            )
    return BuiltGeneration(
        number=number, built_to=snapshot.sequence, images=len(written), manifest_sha256=digest
    )
