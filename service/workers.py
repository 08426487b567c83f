"""The heavy part of rebuilds, in processes of their own: encoding embeddings, building and checking generations.

In: a store's folder; embeddings, identities of models. Out: futures of code records and of built generations. These processes
read the store beside the one that serves it and write nothing but files of generations that no one knows yet.
"""

import os
import signal
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float16, UInt8

from hashing.errors import HasherFileError
from hashing.fitted_hasher import FittedHasher
from hashing.funnel import plan_funnel
from hashing.hasher_file import load_hasher
from hashing.index_records import RecordIndex
from service.errors import DataLossError, NotFoundError
from service.ports import Hasher
from service.records import BuiltGeneration, ModelKind
from service.storage.store import Store
from service.usecases.loading import read_snapshot
from service.usecases.snapshot import Snapshot
from service.usecases.verify import compare_hits

PURPOSE = "rebuild"
FUNNEL_SEED = 0


@final
class StoreWorkers:
    """`Workers` over one store, by any executor that can run functions of this module."""

    def __init__(self, folder: Path, executor: Executor | None = None) -> None:
        """Use an executor, or one new process, which starts with the first work it gets."""
        self._folder = folder
        self._executor = executor or ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_begin
        )

    def encode(
        self, embeddings: Float16[np.ndarray, "n d"], *, hasher: str
    ) -> "Future[UInt8[np.ndarray, 'n record_bytes']]":
        """See `Workers.encode`."""
        return self._executor.submit(_encode, self._folder, hasher, embeddings)

    def build_generation(self, number: int, *, hasher: str) -> Future[BuiltGeneration]:
        """See `Workers.build_generation`."""
        return self._executor.submit(_build_generation, self._folder, hasher, number)

    def close(self) -> None:
        """See `Workers.close`."""
        self._executor.shutdown(cancel_futures=True)


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


def _encode(folder: Path, identity: str, embeddings: np.ndarray) -> np.ndarray:
    return _hasher(folder, identity).encode(embeddings.astype(np.float32))


def _build_generation(folder: Path, identity: str, number: int) -> BuiltGeneration:
    hasher = _hasher(folder, identity)
    with Store.open(folder, purpose=PURPOSE, writable=False) as store:
        snapshot = read_snapshot(store.catalog, hasher, index_factory=RecordIndex, complete=True)
        snapshot.plan = plan_funnel(snapshot.index, rng=np.random.default_rng(FUNNEL_SEED))
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
