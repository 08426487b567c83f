"""What the service needs of its catalog, the only truth of a store.

In: new images, records, embeddings, models, generations. Out: rows and changes. An image's id is the sequence number of the change
that added it (docs/decisions/0004), so ids ascend with ingestion and are never reused: (distance, image_id) is a total order.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from service.records import (
    Acknowledgement,
    CatalogCounts,
    Change,
    ColumnChunk,
    EmbeddingChunk,
    GenerationRow,
    ImageRow,
    ModelKind,
    ModelRow,
    NewImage,
    RecordChunk,
)


@runtime_checkable
class Catalog(Protocol):
    """The only truth of a store. Every method is one transaction; a returned acknowledgement is durable."""

    def add_images(
        self, images: Sequence[NewImage], *, backbone: str, hasher: str | None
    ) -> list[Acknowledgement]:
        """Write images, embeddings, code records and ops in one transaction; repeats (also within) are recognised.

        Labels keep their order, each once.

        Raises:
            InvalidArgumentError: An embedding does not fit float16; nothing of the batch is kept.
            ModelMismatchError: `hasher` is not the active one.
        """
        ...

    def update_image(
        self,
        image_id: int,
        *,
        labels: Sequence[str] | None = None,
        attributes: Mapping[str, str] | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> int:
        """Replace an image's labels, attributes or scores, those that are given; returns the sequence.

        Raises:
            NotFoundError: No such image.
            InvalidArgumentError: A score is not finite.
        """
        ...

    def delete_image(self, image_id: int) -> int:
        """Delete an image and what was computed from it; returns the sequence. Raises NotFoundError."""
        ...

    def find_by_sha256(self, digests: Sequence[bytes]) -> dict[bytes, Acknowledgement]:
        """Return what is known of these digests (with duplicate=True); unknown ones are absent."""
        ...

    def get_images(self, image_ids: Sequence[int]) -> dict[int, ImageRow]:
        """Return rows by id; unknown ids are absent."""
        ...

    def list_images(self, *, after_id: int, limit: int, label: str | None = None) -> list[ImageRow]:
        """Return up to `limit` rows with id above `after_id`, ascending, optionally only those with a label."""
        ...

    def get_record(self, image_id: int, *, hasher: str) -> UInt8[np.ndarray, " record_bytes"] | None:
        """Return one image's code record, or None when there is none of this hasher."""
        ...

    def embeddings(
        self, *, backbone: str, chunk: int = 4096, lacking: str | None = None
    ) -> Iterator[EmbeddingChunk]:
        """Yield all embeddings of a backbone in ascending id order.

        Args:
            backbone: Whose.
            chunk: Images at a time.
            lacking: Only those of images that have no code record of this hasher.
        """
        ...

    def records(self, *, hasher: str, chunk: int = 65536) -> Iterator[RecordChunk]:
        """Yield all code records of a hasher in ascending id order."""
        ...

    def columns(self, *, image_ids: Sequence[int] | None = None, chunk: int = 65536) -> Iterator[ColumnChunk]:
        """Yield what filters look at, in ascending id order: of all images, or of those given that exist."""
        ...

    def changes(self, *, after: int, limit: int = 65536) -> list[Change]:
        """Return up to `limit` changes with a sequence above `after`, ascending."""
        ...

    def get_records(
        self, image_ids: Sequence[int], *, hasher: str
    ) -> dict[int, UInt8[np.ndarray, " record_bytes"]]:
        """Return code records by image id; images that have none of this hasher are absent."""
        ...

    def write_records(self, chunk: RecordChunk, *, hasher: str) -> int:
        """Write or replace code records of a registered hasher; returns the count.

        Images deleted meanwhile are passed over. Records of other hashers stay, so a model can be built beside the one in use.

        Raises:
            NotFoundError: The hasher is not registered.
        """
        ...

    def write_embeddings(self, chunk: EmbeddingChunk, *, backbone: str) -> int:
        """Write or replace embeddings of a registered backbone, as `write_records` does; labels of the chunk are ignored."""
        ...

    def images_lacking_embedding(self, *, backbone: str, after_id: int, limit: int) -> list[int]:
        """Return up to `limit` ids above `after_id`, ascending, of images that have no embedding of this backbone."""
        ...

    def count_lacking_embedding(self, *, backbone: str) -> int:
        """Return how many images have no embedding of this backbone."""
        ...

    def delete_embeddings(self, *, backbone: str) -> int:
        """Delete all embeddings of a backbone that is not active; returns the count."""
        ...

    def count_lacking(self, *, hasher: str) -> int:
        """Return how many images have no code record of this hasher."""
        ...

    def delete_records(self, *, hasher: str) -> int:
        """Delete all code records of a hasher that is not active; returns the count."""
        ...

    def register_model(
        self, identity: str, kind: ModelKind, *, path: str, metadata: Mapping[str, Any]
    ) -> None:
        """Record a model; repeating the same identity only moves its path.

        The first backbone becomes active; others and hashers by `activate_model`.
        """
        ...

    def activate_model(self, identity: str) -> None:
        """Use this model from now on, and no other of its kind. Raises NotFoundError."""
        ...

    def active_model(self, kind: ModelKind) -> ModelRow | None:
        """Return the model of this kind in use, or None."""
        ...

    def models(self) -> list[ModelRow]:
        """Return all registered models, oldest first."""
        ...

    def register_generation(
        self, number: int, *, hasher: str, built_to: int, images: int, manifest_sha256: str, note: str
    ) -> None:
        """Record a generation whose files are complete; it is ready, and not active yet."""
        ...

    def activate_generation(self, number: int) -> None:
        """Make a ready generation the one in use, with its hasher and the backbone that the hasher's metadata names.

        All in one transaction; the one before becomes ready.

        Raises:
            NotFoundError: There is none of this number.
            PreconditionError: It is quarantined.
        """
        ...

    def quarantine_generation(self, number: int, *, note: str) -> None:
        """Record what was found damaged; it is never activated again."""
        ...

    def forget_generation(self, number: int) -> None:
        """Delete the row of a generation that is not active. Raises NotFoundError, PreconditionError."""
        ...

    def generations(self) -> list[GenerationRow]:
        """Return all generations that are known, oldest first."""
        ...

    def check(self) -> list[str]:
        """Return what is wrong inside the catalog: damaged pages, rows without their image, gaps in the log of changes."""
        ...

    def last_sequence(self) -> int:
        """Return the number of the last change, 0 before the first; quick, unlike `counts`."""
        ...

    def counts(self) -> CatalogCounts:
        """Return how much the catalog holds."""
        ...

    def close(self) -> None:
        """Release all connections."""
        ...
