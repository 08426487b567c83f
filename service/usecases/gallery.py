"""The searchable state of one store: its catalog and the code indexes in memory, changed together.

In: new images and deletions, queries as codes. Out: acknowledgements and neighbours. It leaves pixels, embeddings and
the choice of index to others. The catalog is the truth; the indexes are rebuilt from it at `load`.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from hashing.layout import CodeLayout
from service.errors import InvalidArgumentError, PolyhashError, PreconditionError
from service.ports import Catalog, CodeIndex, Hasher, Neighbours, Originals
from service.records import Acknowledgement, NewImage

_LOG = logging.getLogger(__name__)


class Gallery:
    """Catalog and indexes of one store, kept in step.

    Writes are serialised: an image is committed to the catalog first and becomes visible to searches before its
    acknowledgement is returned, so a caller that has the acknowledgement finds the image.
    """

    def __init__(
        self,
        catalog: Catalog,
        originals: Originals,
        *,
        backbone_identity: str,
        hasher: Hasher | None,
        index_factory: Callable[[int], CodeIndex],
    ) -> None:
        """Start empty; call `load` before the first search."""
        self.catalog = catalog
        self.originals = originals
        self.backbone_identity = backbone_identity
        self.hasher = hasher
        self.hasher_identity = hasher.identity if hasher else ""
        self._indexes = {bits: index_factory(bits) for bits in hasher.lengths} if hasher else {}
        self._writing = threading.Lock()
        self._sequence = 0

    @property
    def sequence(self) -> int:
        """Sequence number of the last change that searches see."""
        return self._sequence

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths that can be searched, ascending; empty while the store has no hasher."""
        return self.hasher.lengths if self.hasher else ()

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a code record hold the code of which length.

        Raises:
            PreconditionError: The store has no hasher yet.
        """
        return self._require_hasher().layout

    def __len__(self) -> int:
        return len(next(iter(self._indexes.values()))) if self._indexes else 0

    def load(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Fill the indexes from the catalog.

        Args:
            on_progress: Called with (code records loaded, code records in all).
        """
        with self._writing:
            loaded, counts = 0, self.catalog.counts()
            if self.hasher:
                for chunk in self.catalog.records(hasher=self.hasher.identity):
                    self._index(chunk.image_ids, chunk.records)
                    loaded += len(chunk.image_ids)
                    if on_progress:
                        on_progress(loaded, counts.code_records)
            self._sequence = counts.last_sequence

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records of embeddings, rounded to float16 first as the catalog keeps them.

        So a picture gets the same codes as a query, at ingest, and when its stored embedding is encoded again.

        Raises:
            PreconditionError: The store has no hasher yet.
        """
        return self._require_hasher().encode(embeddings.astype(np.float16).astype(np.float32))

    def add(
        self, images: Sequence[NewImage], contents: Mapping[bytes, bytes] | None = None
    ) -> list[Acknowledgement]:
        """Commit images and make them searchable; returns one acknowledgement each, in order.

        Args:
            images: What the catalog keeps.
            contents: Encoded bytes by sha256, of those images whose original the store keeps.
        """
        with self._writing:
            for digest, content in (
                contents or {}
            ).items():  # before the commit: no image without its original
                self.originals.put(digest, content)
            acknowledgements = self.catalog.add_images(
                images, backbone=self.backbone_identity, hasher=self.hasher_identity or None
            )
            fresh = {
                ack.image_id: image.record
                for image, ack in zip(images, acknowledgements, strict=True)
                if not ack.duplicate and image.record is not None
            }
            if fresh:
                image_ids = np.array(sorted(fresh), dtype=np.int64)
                self._index(image_ids, np.stack([fresh[image_id] for image_id in image_ids.tolist()]))
            self._sequence = max([self._sequence, *(ack.sequence for ack in acknowledgements)])
        return acknowledgements

    def delete(self, image_id: int) -> int:
        """Delete an image from catalog, indexes and kept originals; returns the sequence.

        Raises:
            NotFoundError: No such image.
        """
        with self._writing:
            row = self.catalog.get_images([image_id]).get(image_id)
            sequence = self.catalog.delete_image(image_id)
            for index in self._indexes.values():
                index.remove(np.array([image_id], dtype=np.int64))
            self._sequence = sequence
            if row and row.stored:
                self._forget_original(row.sha256)
        return sequence

    def check_bits(self, bits: int | None) -> int:
        """Return the length to search with: `bits`, or the longest there is.

        Raises:
            PreconditionError: The store has no hasher yet.
            InvalidArgumentError: The model has no codes of this length.
        """
        self._require_hasher()
        if bits is None:
            return self.lengths[-1]
        if bits not in self._indexes:
            known = ", ".join(map(str, self.lengths))
            raise InvalidArgumentError(
                f"The model has codes of {known} bits, got bits = {bits}. Choose one of them.",
                reason="BITS_NOT_IN_MODEL",
                field="bits",
                bits=bits,
                lengths=known,
            )
        return bits

    def search(
        self, codes: UInt8[np.ndarray, "nq bytes"], *, bits: int, k: int, max_distance: int | None
    ) -> list[Neighbours]:
        """Return the nearest images of each query code of `bits` bits, in total order (distance, image_id)."""
        return self._indexes[bits].search(codes, k=k, max_distance=max_distance)

    def code_of(self, image_id: int, *, bits: int) -> UInt8[np.ndarray, " bytes"] | None:
        """Return the stored code of one image, or None when the catalog has none."""
        if not self.hasher:
            return None
        record = self.catalog.get_record(image_id, hasher=self.hasher.identity)
        return None if record is None else record[self.layout.record_slices[bits]]

    def _forget_original(self, digest: bytes) -> None:
        try:
            self.originals.delete(digest)
        except PolyhashError:  # the image is gone all the same; a copy left behind harms nobody
            _LOG.exception("The copy of original %s could not be deleted.", digest.hex())

    def _require_hasher(self) -> Hasher:
        if not self.hasher:
            raise PreconditionError(
                "The store has no hasher yet, so its images have no codes. Run `polyhash train hasher` on the store.",
                reason="NO_HASHER",
            )
        return self.hasher

    def _index(self, image_ids: np.ndarray, records: np.ndarray) -> None:
        for bits, codes in self.layout.split(records).items():
            self._indexes[bits].add(image_ids, codes)
