"""The changing state of one store: its catalog, and the snapshot that searches look at, changed together.

In: new images, changes and deletions, a snapshot to go on with. Out: acknowledgements. It leaves pixels and embeddings to others,
searching to `search`, and how a snapshot is built to `loading`. The catalog is the truth; what a snapshot lacks is replayed.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from service.errors import NearDuplicateError, PolyhashError, PreconditionError, UnavailableError
from service.ports import Backbone, Catalog, Hasher, Originals
from service.records import NearDuplicate, NewImage
from service.usecases.commit_queue import CommitQueue, Outcome
from service.usecases.duplicates import DuplicateGuard, DuplicatePolicy, DuplicateRule, Near
from service.usecases.gallery_state import GalleryState
from service.usecases.loading import encode_lacking, replay
from service.usecases.snapshot import Snapshot

_LOG = logging.getLogger(__name__)

MODELS_CHANGED = "MODELS_CHANGED"  # reason of the error for an image that must be embedded again
NOBODY_LOOKS = DuplicateRule(policy=DuplicatePolicy.ALLOW, max_distance=0)


class Gallery:
    """Catalog and snapshot of one store, kept in step.

    Writes are serialised: a change is committed to the catalog first and becomes visible to searches before its
    acknowledgement is returned, so a caller that has the acknowledgement finds the image. Images that wait
    together are committed together (group commit).
    """

    def __init__(
        self,
        catalog: Catalog,
        originals: Originals,
        *,
        backbone: Backbone,
        snapshot: Snapshot | None,
        duplicates: DuplicateRule = NOBODY_LOOKS,
    ) -> None:
        """Go on with a snapshot, or without codes while the store has no hasher.

        Args:
            catalog: The truth.
            originals: Copies of originals.
            backbone: What embeds images and queries.
            snapshot: What searches look at.
            duplicates: What becomes of new images that nearly repeat others.

        Raises:
            ModelMismatchError: The snapshot's model was fitted on another backbone.
        """
        self.catalog = catalog
        self.originals = originals
        self._state = GalleryState(backbone, snapshot)
        self._sequence = snapshot.sequence if snapshot is not None else catalog.last_sequence()
        self._writing = threading.Lock()
        self._queue = CommitQueue(self._commit, lock=self._writing)
        self._duplicates = duplicates
        self._guard = self._new_guard()

    @property
    def state(self) -> GalleryState:
        """What answers now. Take it once per piece of work: another may stand here at any time."""
        return self._state

    @property
    def snapshot(self) -> Snapshot:
        """What searches look at.

        Raises:
            PreconditionError: The store has no hasher yet.
        """
        return self._state.searchable

    @property
    def backbone_identity(self) -> str:
        """Identity of what embeds images and queries."""
        return self._state.backbone.identity

    @property
    def hasher(self) -> Hasher | None:
        """The model in use, or None."""
        snapshot = self._state.snapshot
        return snapshot.hasher if snapshot is not None else None

    @property
    def hasher_identity(self) -> str:
        """Identity of the model in use; empty while there is none."""
        hasher = self.hasher
        return hasher.identity if hasher is not None else ""

    @property
    def sequence(self) -> int:
        """Sequence number of the last change that searches see."""
        return self._sequence

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths that can be searched, ascending; empty while the store has no hasher."""
        hasher = self.hasher
        return hasher.lengths if hasher is not None else ()

    def __len__(self) -> int:
        snapshot = self._state.snapshot
        return len(snapshot) if snapshot is not None else 0

    def add(self, images: Sequence[NewImage], contents: Mapping[bytes, bytes] | None = None) -> list[Outcome]:
        """Commit images and make them searchable; returns what became of each, in order.

        An image whose embedding is of a backbone that is not in use any more is refused with an UnavailableError.

        Args:
            images: What the catalog keeps; code records are made here.
            contents: Encoded bytes by sha256, of those images whose original the store keeps.
        """
        for digest, content in (
            contents or {}
        ).items():  # syncing them takes long, and nobody need wait for that
            self.originals.put(digest, content)
        return self._queue.submit(images, contents or {})

    def update(
        self,
        image_id: int,
        *,
        labels: Sequence[str] | None = None,
        attributes: Mapping[str, str] | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> int:
        """Replace what is given of an image; returns the sequence. Raises what `Catalog.update_image` does."""
        with self._writing:
            sequence = self.catalog.update_image(
                image_id, labels=labels, attributes=attributes, scores=scores
            )
            self._catch_up(sequence)
        return sequence

    def delete(self, image_id: int) -> int:
        """Delete an image from catalog, snapshot and kept originals; returns the sequence.

        Raises:
            NotFoundError: No such image.
        """
        with self._writing:
            row = self.catalog.get_images([image_id]).get(image_id)
            sequence = self.catalog.delete_image(image_id)
            self._catch_up(sequence)
            if self._guard is not None and (place := self.snapshot.row_of(image_id)) is not None:
                self._guard.remove(np.array([place]))
            if row and row.stored:
                self._forget_original(row.sha256)
        return sequence

    def swap(
        self,
        snapshot: Snapshot,
        *,
        activate: Callable[[], None],
        backbone: Backbone | None = None,
        extract: Callable[[], None] | None = None,
    ) -> None:
        """Go on with another snapshot: bring it up to date, make it official, swap the one reference.

        Args:
            snapshot: Of any model that works on the backbone's embeddings; nearly up to date, as writers wait meanwhile.
            activate: Makes the catalog name what is swapped in; if it fails, nothing is swapped.
            backbone: To go over to with it; None keeps the one in use.
            extract: Gives images that were added meanwhile their embeddings of that backbone; if it fails, nothing is swapped.

        Raises:
            ModelMismatchError: The snapshot's model was fitted on another backbone.
            PreconditionError: An image cannot get codes of the snapshot's model.
        """
        state = GalleryState(backbone or self._state.backbone, snapshot)
        with self._writing:
            if extract is not None:
                extract()
            encode_lacking(self.catalog, snapshot.hasher)
            replay(self.catalog, snapshot, complete=True)
            if stuck := self.catalog.changes(after=snapshot.sequence, limit=1):
                raise PreconditionError(
                    f"Image {stuck[0].image_id} has no embedding of {snapshot.hasher.backbone_identity}, so it cannot get "
                    f"codes of {snapshot.hasher.identity}; nothing was changed. Run `polyhash verify`.",
                    reason="EMBEDDING_MISSING",
                )
            activate()
            self._state, self._sequence = state, snapshot.sequence
            self._guard = self._new_guard()

    def _commit(self, images: Sequence[NewImage], contents: Mapping[bytes, bytes]) -> list[Outcome]:
        for (
            digest,
            content,
        ) in contents.items():  # no image without its original, which a deletion may have taken meanwhile
            self.originals.put(digest, content)
        usable = [image.backbone in ("", self.backbone_identity) for image in images]
        committed = iter(
            self._commit_usable([image for image, use in zip(images, usable, strict=True) if use])
        )
        return [
            next(committed) if use else _outdated(image) for image, use in zip(images, usable, strict=True)
        ]

    def _commit_usable(self, images: Sequence[NewImage]) -> list[Outcome]:
        coded = [
            dataclasses.replace(image, record=record)
            for image, record in zip(images, self._encode(images), strict=True)
        ]
        near = self._look_for_repeats(coded)
        refused = set(near) if self._duplicates.policy is DuplicatePolicy.REJECT else set()
        acknowledged = iter(
            self.catalog.add_images(
                [image for position, image in enumerate(coded) if position not in refused],
                backbone=self.backbone_identity,
                hasher=self.hasher_identity or None,
            )
        )
        taken = {position: next(acknowledged) for position in range(len(coded)) if position not in refused}
        self._catch_up(max([self._sequence, *(each.sequence for each in taken.values())]))
        repeated = self._repeated_images(near)  # some may have got their ids only now
        return [
            dataclasses.replace(taken[position], near=repeated.get(position))
            if position in taken
            else _refusal(image, repeated[position])
            for position, image in enumerate(coded)
        ]

    def _look_for_repeats(self, images: Sequence[NewImage]) -> dict[int, Near]:
        """Return which images nearly repeat others, by their positions; those whose very bytes are known do not count."""
        if self._guard is None:
            return {}
        known = set(self.catalog.find_by_sha256([image.sha256 for image in images]))
        fresh = {
            image.sha256: at for at, image in reversed(list(enumerate(images))) if image.sha256 not in known
        }
        positions = sorted(fresh.values())
        if not positions:
            return {}
        records = np.stack([record for at in positions if (record := images[at].record) is not None])
        nears = dict(zip(positions, self._guard.check(self._longest(records)), strict=True))
        if self._duplicates.policy is DuplicatePolicy.REJECT:  # the same bytes once more are no better
            nears |= {
                at: nears[fresh[image.sha256]] for at, image in enumerate(images) if image.sha256 in fresh
            }
        return {position: near for position, near in nears.items() if near is not None}

    def _repeated_images(self, near: Mapping[int, Near]) -> dict[int, NearDuplicate]:
        return {
            position: NearDuplicate(
                image_id=int(self.snapshot.image_ids(np.array([each.row]))[0]), distance=each.distance
            )
            for position, each in near.items()
        }

    def _new_guard(self) -> DuplicateGuard | None:
        snapshot = self._state.snapshot
        if snapshot is None or self._duplicates.policy is DuplicatePolicy.ALLOW:
            return None
        guard = DuplicateGuard(snapshot.hasher.lengths[-1], self._duplicates)
        rows = np.arange(snapshot.n_rows)
        guard.admit(self._longest(snapshot.index.records(rows)))
        guard.remove(snapshot.columns.removed_rows())
        return guard

    def _longest(self, records: UInt8[np.ndarray, "n record_bytes"]) -> UInt8[np.ndarray, "n bytes"]:
        part = self.snapshot.layout.record_slices[self.snapshot.hasher.lengths[-1]]
        return np.ascontiguousarray(records[:, part])

    def _encode(self, images: Sequence[NewImage]) -> "Sequence[UInt8[np.ndarray, ' record_bytes'] | None]":
        if self._state.snapshot is None or not images:
            return [None] * len(images)
        return list(self._state.snapshot.encode(np.stack([image.embedding for image in images])))

    def _catch_up(self, sequence: int) -> None:
        snapshot = self._state.snapshot
        if snapshot is not None:
            replay(self.catalog, snapshot)
            if self._guard is not None:  # whatever came, in the order of its rows
                rows = np.arange(self._guard.n_rows, snapshot.n_rows)
                self._guard.admit(self._longest(snapshot.index.records(rows)))
        self._sequence = sequence

    def _forget_original(self, digest: bytes) -> None:
        try:
            self.originals.delete(digest)
        except PolyhashError:  # the image is gone all the same; a copy left behind harms nobody
            _LOG.exception("The copy of original %s could not be deleted.", digest.hex())


def _refusal(image: NewImage, near: NearDuplicate) -> NearDuplicateError:
    return NearDuplicateError(
        f"{image.name} is nearly the same as image {near.image_id} (their codes differ in {near.distance} bits), and this "
        "gallery refuses near duplicates. Delete that image first to replace it.",
        image_id=near.image_id,
        distance=near.distance,
    )


def _outdated(image: NewImage) -> UnavailableError:
    return UnavailableError(
        f"The gallery has gone over to another backbone while {image.name} was embedded by {image.backbone}. Send it again.",
        reason=MODELS_CHANGED,
        backbone=image.backbone,
    )
