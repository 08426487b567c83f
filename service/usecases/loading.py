"""How a snapshot comes into memory: from the newest valid generation, or the one before, or the catalog; then what changed since.

In: the catalog and the generations. Out: a snapshot that contains every change up to a sequence number. A damaged generation is
put aside and never served (03-service, Storage truth 4).
"""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from service.errors import DataLossError, NotFoundError, StoreFormatError
from service.ports import Catalog, Generations, Hasher
from service.records import Change, ChangeKind, ColumnChunk, GenerationRow, GenerationState, RecordChunk
from service.usecases.snapshot import IndexFactory, Snapshot

_LOG = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
REPLAY_BATCH = 10_000
NO_IDS = np.empty(0, dtype=np.int64)


def load_snapshot(
    catalog: Catalog,
    generations: Generations,
    hasher: Hasher,
    *,
    index_factory: IndexFactory,
    writable: bool,
    on_progress: Progress | None = None,
) -> Snapshot:
    """Return a snapshot with every change that the catalog held when this began.

    Args:
        catalog: The truth.
        generations: Where index files are.
        hasher: The model in use; generations of others are not looked at.
        index_factory: Makes an empty index of a layout.
        writable: Put damaged generations aside; a reader only passes them over.
        on_progress: Called with (images read, images in all) while reading the catalog.
    """
    for row in _candidates(catalog, hasher):
        try:
            files = generations.read(row.number, manifest_sha256=row.manifest_sha256)
        except (DataLossError, NotFoundError, StoreFormatError) as error:
            _LOG.error("Generation %d is not used: %s", row.number, error.message)
            if writable and not isinstance(error, StoreFormatError):
                put_aside(catalog, generations, row.number, note=error.message)
            continue
        snapshot = Snapshot.from_files(files, hasher, index_factory=index_factory, generation=row.number)
        if writable and row.state is not GenerationState.ACTIVE:
            catalog.activate_generation(row.number)  # the one in its place was damaged
        break
    else:
        snapshot = read_snapshot(catalog, hasher, index_factory=index_factory, on_progress=on_progress)
    replay(catalog, snapshot)
    return snapshot


def read_snapshot(
    catalog: Catalog,
    hasher: Hasher,
    *,
    index_factory: IndexFactory,
    complete: bool = False,
    on_progress: Progress | None = None,
) -> Snapshot:
    """Return a snapshot of all images that have a code record of the hasher, from the catalog alone.

    It holds the images up to the last sequence number at its beginning. What changes meanwhile is read or not,
    and in either case replayed afterwards.

    Args:
        catalog: The truth.
        hasher: Whose codes.
        index_factory: Makes an empty index of a layout.
        complete: End before the first image that has no code record yet, as while a model is being built others may be
            added with codes of the old one alone; a replay comes to them once they are encoded.
        on_progress: Called with (number of the change that added the last image read, changes in all).
    """
    last = total = catalog.last_sequence()
    snapshot = Snapshot(hasher, index_factory=index_factory)
    for chunk, records, bare in _joined(catalog.columns(), catalog.records(hasher=hasher.identity)):
        lacking = _first_there(catalog, bare) if complete else None
        if lacking is not None:
            last = min(last, lacking - 1)
        wanted = np.flatnonzero(chunk.image_ids <= last)
        if len(wanted):
            snapshot.add(take(chunk, wanted), records[wanted])
        if on_progress:
            on_progress(int(chunk.image_ids[-1]) if len(chunk.image_ids) else 0, total)
        if lacking is not None:
            break
    snapshot.sequence = last
    if on_progress:
        on_progress(total, total)
    return snapshot


def replay(catalog: Catalog, snapshot: Snapshot, *, complete: bool = False) -> None:
    """Apply the changes that the snapshot lacks.

    Args:
        catalog: Where they are.
        snapshot: What to bring up to date.
        complete: End before the first image that has no code record of the snapshot's model yet; otherwise it stays out.
    """
    while changes := catalog.changes(after=snapshot.sequence, limit=REPLAY_BATCH):
        if complete:
            lacking = _first_lacking(catalog, snapshot.hasher, _ids_of(changes, ChangeKind.ADD))
            changes = [change for change in changes if lacking is None or change.sequence < lacking]
            if not changes:
                break
        _apply(catalog, snapshot, changes)
    snapshot.index.settle()


def encode_lacking(catalog: Catalog, hasher: Hasher, *, on_progress: Progress | None = None) -> int:
    """Give every image that has an embedding a code record of this hasher, where it has none; returns how many got one.

    Chunk by chunk, each durable on its own: what an interruption leaves undone is done when this is called again.
    """
    encoded, total = 0, catalog.counts().images if on_progress else 0
    for chunk in catalog.embeddings(backbone=hasher.backbone_identity, lacking=hasher.identity):
        records = hasher.encode(chunk.embeddings.astype(np.float32))
        encoded += catalog.write_records(
            RecordChunk(image_ids=chunk.image_ids, records=records), hasher=hasher.identity
        )
        if on_progress:
            on_progress(encoded, total)
    return encoded


def _apply(catalog: Catalog, snapshot: Snapshot, changes: "list[Change]") -> None:
    """Bring a snapshot to the state that the catalog has now of all images that these changes name."""
    named = {kind: _ids_of(changes, kind) for kind in ChangeKind}
    added = [image_id for image_id in named[ChangeKind.ADD] if snapshot.row_of(image_id) is None]
    records = catalog.get_records(added, hasher=snapshot.hasher.identity)
    for chunk in catalog.columns(image_ids=[image_id for image_id in added if image_id in records]):
        snapshot.add(chunk, np.stack([records[image_id] for image_id in chunk.image_ids.tolist()]))
    for chunk in catalog.columns(image_ids=named[ChangeKind.UPDATE]):
        snapshot.update(chunk)
    snapshot.remove(np.array(named[ChangeKind.DELETE], dtype=np.int64))
    snapshot.sequence = changes[-1].sequence


def put_aside(catalog: Catalog, generations: Generations, number: int, *, note: str) -> None:
    """Quarantine a damaged generation, on disk and in the catalog."""
    try:
        generations.quarantine(number)
    except NotFoundError:
        _LOG.warning("Generation %d has no folder to put aside.", number)
    catalog.quarantine_generation(number, note=note)


def take(chunk: ColumnChunk, positions: np.ndarray) -> ColumnChunk:
    """Return some images of a chunk, or the chunk if it is all of them."""
    if len(positions) == len(chunk.image_ids):
        return chunk
    chosen = positions.tolist()
    return ColumnChunk(
        image_ids=chunk.image_ids[positions],
        created_us=chunk.created_us[positions],
        labels=[chunk.labels[i] for i in chosen],
        attributes=[chunk.attributes[i] for i in chosen],
        scores=[chunk.scores[i] for i in chosen],
    )


def _candidates(catalog: Catalog, hasher: Hasher) -> list[GenerationRow]:
    """Return the generations of a model that may be served: the active one, then the others from the newest on."""
    usable = [
        row
        for row in catalog.generations()
        if row.hasher == hasher.identity and row.state is not GenerationState.QUARANTINED
    ]
    return sorted(usable, key=lambda row: (row.state is GenerationState.ACTIVE, row.number), reverse=True)


def _first_lacking(catalog: Catalog, hasher: Hasher, image_ids: list[int]) -> int | None:
    """Return the first of these images that is there and has no code record of the hasher."""
    records = catalog.get_records(image_ids, hasher=hasher.identity)
    return _first_there(catalog, [image_id for image_id in image_ids if image_id not in records])


def _first_there(catalog: Catalog, image_ids: Sequence[int]) -> int | None:
    """Return the first of these images that was not deleted meanwhile."""
    return min(catalog.get_images(image_ids), default=None) if image_ids else None


def _ids_of(changes: "list[Change]", kind: ChangeKind) -> list[int]:
    return sorted({change.image_id for change in changes if change.kind is kind})


def _joined(
    columns: Iterator[ColumnChunk], records: Iterator[RecordChunk]
) -> Iterator[tuple[ColumnChunk, np.ndarray, list[int]]]:
    """Yield the images that both have, side by side, and those of a chunk that have columns only.

    Each side ascends by id, in chunks of its own.
    """
    held: RecordChunk | None = next(records, None)
    for chunk in columns:
        parts: list[np.ndarray] = []
        ids: list[np.ndarray] = []
        last = int(chunk.image_ids[-1])
        while held is not None and len(held.image_ids):
            end = int(np.searchsorted(held.image_ids, last, side="right"))
            ids.append(held.image_ids[:end])
            parts.append(held.records[:end])
            if end < len(held.image_ids):
                held = RecordChunk(image_ids=held.image_ids[end:], records=held.records[end:])
                break
            held = next(records, None)
        bare = np.setdiff1d(chunk.image_ids, np.concatenate([NO_IDS, *ids]), assume_unique=True)
        if not ids:
            yield take(chunk, NO_IDS), np.empty((0, 0), dtype=np.uint8), bare.tolist()
            continue
        _, at_chunk, at_record = np.intersect1d(
            chunk.image_ids, np.concatenate(ids), assume_unique=True, return_indices=True
        )
        yield take(chunk, at_chunk), np.concatenate(parts)[at_record], bare.tolist()
