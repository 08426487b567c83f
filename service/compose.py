"""The one place where the objects of the service are built and joined.

In: paths and settings. Out: an `Application` over one store, and what is made from it: a learned hasher, a server, a
contact sheet. Everything else receives what it needs from here.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hashing.fitted_hasher import Estimator, FittedHasher
from hashing.index_records import RecordIndex
from hashing.joint import JointHasher
from hashing.joint_cv import JointHasherCV
from hashing.methods import HASHING_METHODS
from service.application import Application
from service.errors import InvalidArgumentError
from service.ports import Backbone, Hasher, Workers
from service.records import DecodedImage, GenerationRow
from service.rpc.server import Server
from service.storage.store import Store
from service.store_models import (
    active_hasher,
    active_identity,
    choose_backbone,
    find_or_register_backbone,
    given_hasher,
    register_hasher,
)
from service.usecases.duplicates import DuplicateRule
from service.usecases.evaluate import LearnerFactory
from service.usecases.gallery import NOBODY_LOOKS, Gallery
from service.usecases.ingest import CopyPolicy, Ingestor
from service.usecases.learn import read_training_set
from service.usecases.loading import load_snapshot
from service.usecases.operations import Operations
from service.usecases.pictures import Pictures
from service.usecases.query_encoder import QueryEncoder
from service.usecases.rebuild import Rebuilder
from service.usecases.search import Searcher
from service.usecases.snapshot import Snapshot
from service.usecases.verify import Verification, verify_store
from service.usecases.waiting import Report
from service.vision.images import decode_image
from service.vision.images import thumbnail_jpeg as jpeg_of_pixels
from service.vision.sources import read_source
from service.workers import StoreWorkers, find_hasher, provenance_now

# However many calls there are, so many pictures are decoded at a time: a single one may take more than a gigabyte.
DECODE_PLACES = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open store and the application over it."""

    store: Store
    application: Application


def _say_nothing(stage: str, done: int, total: int) -> None:
    del stage, done, total


@contextmanager
def open_session(
    folder: Path,
    *,
    purpose: str,
    create: bool = False,
    writable: bool = True,
    backbone: str | None = None,
    hasher_file: Path | None = None,
    relearn: bool = False,
    copy_all: bool = False,
    serving: bool = False,
    synchronous: str = "full",
    duplicates: DuplicateRule = NOBODY_LOOKS,
    on_load: Callable[[int, int], None] | None = None,
) -> Iterator[Session]:
    """Open a store and join everything over it; closed with the context.

    Args:
        folder: The store.
        purpose: What others who want to write are told.
        create: Make the store if it is missing.
        writable: Hold the store's lock; only readers do without.
        backbone: Spec of the backbone; None for the store's own, or the default in a new store.
        hasher_file: A hasher for a store that has none yet.
        relearn: Leave the store's hasher unread, which may be damaged, as `fit_hasher` will replace it.
        copy_all: Keep a copy of every original.
        serving: Do the heavy part of rebuilds in a process of its own, so that searches go on.
        duplicates: What becomes of new images that nearly repeat others.
        synchronous: What a commit survives: "full" a power cut, "normal" the end of the process only.
        on_load: Called with (codes loaded, codes in all).

    Raises:
        ModelMismatchError: The backbone or hasher is not the one that the store was built with.
        HasherFileError: The file of the store's hasher is missing or damaged.
        PolyhashError: The store or backbone cannot be opened.
    """
    store = (
        Store.create_or_open(folder, purpose=purpose, synchronous=synchronous.upper())
        if create
        else Store.open(folder, purpose=purpose, writable=writable, synchronous=synchronous.upper())
    )
    with store, ExitStack() as closing:
        loaded = choose_backbone(store.catalog, backbone, register=writable)
        hasher = None
        if hasher_file:
            hasher = given_hasher(store, loaded, hasher_file)
        elif not relearn:
            hasher = active_hasher(store)
        if hasher is not None and hasher.backbone_identity != loaded.identity:
            loaded = choose_backbone(
                store.catalog, backbone, register=writable
            )  # another process went over to it
        snapshot = _snapshot(store, hasher, on_load)
        while not relearn and _identity(hasher) != active_identity(store):
            # another process has learned anew meanwhile, and what was loaded may be half of either
            hasher = active_hasher(store)
            loaded = choose_backbone(store.catalog, backbone, register=writable)
            snapshot = _snapshot(store, hasher, on_load)
        workers = StoreWorkers(folder, None if serving else ThreadPoolExecutor(1))
        closing.callback(workers.close)
        copy = CopyPolicy.ALL if copy_all else CopyPolicy.NEEDED
        application = _join(store, loaded, snapshot, workers, copy=copy, duplicates=duplicates)
        closing.callback(application.operations.close)
        yield Session(store=store, application=application)


def fit_hasher(
    session: Session,
    *,
    parameters: Mapping[str, Any],
    tune: bool = False,
    deep: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> FittedHasher:
    """Fit a joint hasher on a store and register it; it is used from `use_hasher` on.

    Args:
        session: A session that holds the store's lock.
        parameters: Arguments of `JointHasher`, or of `DeepJointHasher` if deep.
        tune: Choose its loss weights by validation, as `JointHasherCV` does.
        deep: Learn a network head, `DeepJointHasher`, which does not tune.
        on_step: Called with (sweeps done, sweeps at most), or with fits if it tunes, or steps if it is deep.
    """
    store, backbone = session.store, session.application.backbone
    training = read_training_set(store.catalog, backbone=backbone.identity)
    estimator: Estimator
    if deep:
        from hashing.deep.joint import DeepJointHasher  # noqa: PLC0415 - torch takes seconds

        head = DeepJointHasher(**parameters)
        estimator = head.fit(training.embeddings, training.labels, on_step=on_step)
    elif tune:
        search = JointHasherCV(JointHasher(**parameters))
        estimator = search.fit(training.embeddings, training.labels, on_step=on_step).best_estimator_
    else:
        estimator = JointHasher(**parameters).fit(training.embeddings, training.labels, on_step=on_step)
    provenance = provenance_now(
        "deep" if deep else "joint", backbone=backbone.identity, training_hash=training.digest
    )
    return register_hasher(store, estimator, provenance)


def use_hasher(session: Session, hasher: FittedHasher, *, report: Report = _say_nothing) -> GenerationRow:
    """Encode all images of a store with a registered hasher, build a generation and go on with it.

    Args:
        session: A session that holds the store's lock.
        hasher: As `fit_hasher` returns it.
        report: Told (stage, done, total).
    """
    return session.application.rebuilder.rebuild(hasher=hasher.identity, report=report, note="trained")


def describe_store(folder: Path) -> dict[str, Any]:
    """Return what a store holds, as JSON values; loads no model."""
    with Store.open(folder, purpose="polyhash stats", writable=False) as store:
        counts = store.catalog.counts()
        models = store.catalog.models()
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "images": counts.images,
        "labelled_images": counts.labelled_images,
        "embeddings": counts.embeddings,
        "code_records": counts.code_records,
        "original_bytes": counts.original_bytes,
        "store_bytes": size,
        "last_sequence": counts.last_sequence,
        "labels": dict(counts.labels),
        "models": [
            {
                "identity": model.identity,
                "kind": model.kind.value,
                "active": model.active,
                "created_at": model.created_at.isoformat(timespec="seconds"),
                "metadata": dict(model.metadata),
            }
            for model in models
        ],
    }


def list_generations(folder: Path) -> list[GenerationRow]:
    """Return the generations of a store, oldest first; loads no model."""
    with Store.open(folder, purpose="polyhash generations", writable=False) as store:
        return store.catalog.generations()


@contextmanager
def serving(application: Application, address: str, *, grace_s: float = 10.0) -> Iterator[int]:
    """Serve an application on HOST:PORT for as long as the context lasts; gives the port."""
    server = Server(application)
    port = server.start(address)
    try:
        yield port
    finally:
        server.stop(grace_s)


def hashing_methods(names: Sequence[str]) -> dict[str, LearnerFactory]:
    """Return the named hashing methods.

    Raises:
        InvalidArgumentError: There is no method of that name.
    """
    for name in names:
        if name not in HASHING_METHODS:
            raise InvalidArgumentError(
                f"There is no hashing method {name!r}. Choose from {', '.join(HASHING_METHODS)}.",
                reason="METHOD_UNKNOWN",
            )
    return {name: HASHING_METHODS[name] for name in names}


def thumbnail_jpeg(content: bytes, side_px: int) -> bytes:
    """Return a JPEG of an encoded picture, its longer side at most `side_px`."""
    return jpeg_of_pixels(decode_in_turn(content, target_px=side_px).pixels, side_px=side_px)


def decoder(backbone: Backbone) -> Callable[[bytes], DecodedImage]:
    """Return the decoding that one backbone needs."""
    return partial(decode_in_turn, target_px=backbone.preprocessing.resize_px)


def decode_in_turn(content: bytes, *, target_px: int) -> DecodedImage:
    """Return a decoded picture, once there is a place; see `Decode`."""
    with DECODE_PLACES:
        return decode_image(content, target_px=target_px)


def _snapshot(
    store: Store, hasher: FittedHasher | None, on_load: Callable[[int, int], None] | None
) -> Snapshot | None:
    if hasher is None:
        return None
    return load_snapshot(
        store.catalog,
        store.generations,
        hasher,
        index_factory=RecordIndex,
        writable=store.writable,
        on_progress=on_load,
    )


def _join(
    store: Store,
    backbone: Backbone,
    snapshot: Snapshot | None,
    workers: Workers,
    *,
    copy: CopyPolicy,
    duplicates: DuplicateRule,
) -> Application:
    gallery = Gallery(
        store.catalog,
        store.originals,
        backbone=backbone,
        snapshot=snapshot,
        duplicates=duplicates,
    )
    return Application(
        catalog=store.catalog,
        gallery=gallery,
        searcher=Searcher(gallery, QueryEncoder(decode=decode_in_turn)),
        ingestor=Ingestor(gallery, decode=decode_in_turn, copy=copy),
        pictures=Pictures(
            store.catalog, store.originals, read_source=read_source, thumbnail_jpeg=thumbnail_jpeg
        ),
        rebuilder=Rebuilder(
            gallery,
            store.generations,
            workers,
            find_hasher=partial(find_hasher, store),
            find_backbone=partial(find_or_register_backbone, store),
            index_factory=RecordIndex,
        ),
        operations=Operations(),
        verify=partial(_verify, store, gallery),
        survives_power_loss=store.synchronous == "FULL",
    )


def _verify(store: Store, gallery: Gallery, report: Report) -> Verification:
    return verify_store(
        store.catalog,
        store.generations,
        store.originals,
        hasher=gallery.hasher,
        index_factory=RecordIndex,
        report=report,
    )


def _identity(hasher: Hasher | None) -> str:
    return hasher.identity if hasher else ""
