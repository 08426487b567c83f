"""The seams of the service: what its use cases need from vision, hashing and storage.

In and out: the frozen records of `records`. No gRPC, torch, FAISS or SQLAlchemy here, so use cases can
be read and tested without them. Each Protocol has a contract suite in tests/contracts/.

Convention: images are RGB uint8 (h, w, 3); codes are uint8 with bit 0 the low bit of byte 0; image ids ascend with
ingestion and are never reused, so (distance, image_id) is a total order.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from hashing.index import CodeIndex, Neighbours
from hashing.layout import CodeLayout
from service.records import (
    Acknowledgement,
    CatalogCounts,
    EmbeddingChunk,
    Features,
    ImageRow,
    ModelKind,
    ModelRow,
    NewImage,
    Preprocessing,
    RecordChunk,
)

__all__ = [
    "Backbone",
    "Catalog",
    "CodeIndex",  # owned by hashing, whose indexes implement it
    "Hasher",
    "Neighbours",
    "Originals",
]


@runtime_checkable  # so that shape checks in tests can tell an implementation
class Backbone(Protocol):
    """Turns images into embeddings and feature maps; one pass serves hashing and emotion."""

    @property
    def identity(self) -> str:
        """Name and weights hash, `NAME@HEX12`; travels with everything computed from it."""
        ...

    @property
    def dim(self) -> int:
        """Width d of the embeddings."""
        ...

    @property
    def stride(self) -> int:
        """Input pixels per feature map cell."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """How `prepare` makes the input square."""
        ...

    def prepare(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        """Return the input square of one image. Thread-safe and cheap; runs beside `extract`."""
        ...

    def extract(self, prepared: UInt8[np.ndarray, "n s s 3"]) -> Features:
        """Return the features of n prepared squares. Rows do not influence each other."""
        ...


@runtime_checkable
class Hasher(Protocol):
    """The learned map from embeddings to code records."""

    @property
    def identity(self) -> str:
        """Name and content hash, `NAME@HEX12`."""
        ...

    @property
    def backbone_identity(self) -> str:
        """Identity of the backbone whose embeddings it was fitted on."""
        ...

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths in bits, ascending."""
        ...

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a code record hold the code of which length."""
        ...

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths, laid out as `layout` says."""
        ...


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

    def embeddings(self, *, backbone: str, chunk: int = 4096) -> Iterator[EmbeddingChunk]:
        """Yield all embeddings of a backbone in ascending id order."""
        ...

    def records(self, *, hasher: str, chunk: int = 65536) -> Iterator[RecordChunk]:
        """Yield all code records of a hasher in ascending id order."""
        ...

    def replace_records(self, chunks: Iterator[RecordChunk], *, hasher: str) -> int:
        """Write code records of a hasher, all chunks in one transaction, and make it the active hasher.

        Records of other hashers go: later images would lack them. Returns the count.
        """
        ...

    def register_model(
        self, identity: str, kind: ModelKind, *, path: str, metadata: Mapping[str, Any]
    ) -> None:
        """Record a model; repeating the same identity only moves its path.

        The first backbone becomes active; a hasher does so with its records, in `replace_records`.
        """
        ...

    def active_model(self, kind: ModelKind) -> ModelRow | None:
        """Return the model of this kind in use, or None."""
        ...

    def models(self) -> list[ModelRow]:
        """Return all registered models, oldest first."""
        ...

    def counts(self) -> CatalogCounts:
        """Return how much the catalog holds."""
        ...

    def close(self) -> None:
        """Release all connections."""
        ...


@runtime_checkable
class Originals(Protocol):
    """Copies of original files inside a store, found by the sha256 of their bytes."""

    def put(self, digest: bytes, content: bytes) -> None:
        """Keep a copy, durable on return. Repeating it changes nothing."""
        ...

    def get(self, digest: bytes) -> bytes:
        """Return a copy's bytes. Raises NotFoundError."""
        ...

    def delete(self, digest: bytes) -> None:
        """Forget a copy; absent is fine."""
        ...
