"""The seams of the service: what its use cases need from vision, hashing and storage, and the records that cross.

In and out: frozen records of plain values and NumPy arrays. No gRPC, torch, FAISS or SQLAlchemy here, so use cases can
be read and tested without them. Each Protocol has a contract suite in tests/contracts/.

Convention: images are RGB uint8 (h, w, 3); codes are uint8 with bit 0 the low bit of byte 0; image ids ascend with
ingestion and are never reused, so (distance, image_id) is a total order.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float16, Float32, Int64, UInt8

from hashing.index import CodeIndex, Neighbours
from hashing.layout import CodeLayout

__all__ = [
    "Acknowledgement",
    "Backbone",
    "Catalog",
    "CatalogCounts",
    "CodeIndex",  # owned by hashing, whose indexes implement it
    "DecodedImage",
    "EmbeddingChunk",
    "Features",
    "Hasher",
    "ImageRow",
    "ModelKind",
    "ModelRow",
    "Neighbours",
    "NewImage",
    "Originals",
    "Preprocessing",
    "RecordChunk",
    "SourceImage",
]

# ---------------------------------------------------------------- vision


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a backbone turns an image into its input square.

    Attributes:
        resize_px: Shorter side after resizing, before cropping.
        crop_px: Side of the centre crop, which is what the network sees.
        mean: Per-channel mean subtracted after scaling to [0, 1].
        std: Per-channel divisor after that.
        keep_aspect: True resizes the shorter side and crops the middle; False squashes the whole image into the square.
    """

    resize_px: int
    crop_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    keep_aspect: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What one backbone pass gives for n images: pooled embeddings and spatial maps."""

    embeddings: Float32[np.ndarray, "n d"]
    feature_maps: Float32[np.ndarray, "n c h w"]


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


# ---------------------------------------------------------------- hashing


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


# ---------------------------------------------------------------- image sets and ingest


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """One entry of an image set or upload, before decoding.

    Attributes:
        name: What reports call it: a path relative to its set, or the uploader's name.
        source: Where its bytes can be read again (`file path`, `archive path!member`), or empty if nowhere.
        read: Reads the encoded bytes; raises OSError or PolyhashError.
        labels: Class names; empty when unlabelled.
        attributes: Further columns, as strings.
    """

    name: str
    read: Callable[[], bytes]
    source: str = ""
    labels: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """Pixels of an image, upright (EXIF applied), with what the catalog keeps of its file."""

    pixels: UInt8[np.ndarray, "h w 3"]
    width: int
    height: int
    format: str  # Pillow's name, for example "JPEG"


# ---------------------------------------------------------------- catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """One image on its way into the catalog."""

    sha256: bytes  # 32 bytes
    name: str
    source: str  # readable again from here; empty if only the store's copy exists
    stored: bool  # the store holds a copy of the original
    byte_size: int
    width: int
    height: int
    format: str
    labels: tuple[str, ...]
    attributes: Mapping[str, str]
    embedding: Float32[np.ndarray, " d"]
    record: UInt8[np.ndarray, " record_bytes"] | None  # None while no hasher is active


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What became of one NewImage: its id and the sequence of its commit, or the image it repeats.

    Attributes:
        image_id: The new image's id, or that of the image with the same sha256.
        sequence: Sequence number of the commit that made it durable (of the earlier one for a duplicate).
        duplicate: True when the same bytes were in the catalog already; nothing was written then.
    """

    image_id: int
    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """One image as the catalog knows it."""

    image_id: int
    sha256: bytes
    name: str
    source: str
    stored: bool
    byte_size: int
    width: int
    height: int
    format: str
    labels: tuple[str, ...]
    attributes: Mapping[str, str]
    created_at: dt.datetime  # UTC
    sequence: int


class ModelKind(Enum):
    """What a registered model computes."""

    BACKBONE = "backbone"
    HASHER = "hasher"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One registered model with its provenance.

    Attributes:
        identity: `NAME@HEX12`.
        kind: What it computes.
        path: File relative to the store folder, or for a backbone the spec that loads it again.
        metadata: Provenance (versions, lengths, training set hash, ...), JSON values.
        active: Whether the store uses it now; one per kind.
    """

    identity: str
    kind: ModelKind
    path: str
    metadata: Mapping[str, Any]
    created_at: dt.datetime
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogCounts:
    """How much the catalog holds."""

    images: int
    labelled_images: int
    labels: Mapping[str, int]
    embeddings: int
    code_records: int
    original_bytes: int
    last_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingChunk:
    """Consecutive embeddings with the labels of their images, ids ascending."""

    image_ids: Int64[np.ndarray, " n"]
    embeddings: Float16[np.ndarray, "n d"]
    labels: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChunk:
    """Consecutive code records, ids ascending."""

    image_ids: Int64[np.ndarray, " n"]
    records: UInt8[np.ndarray, "n record_bytes"]


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
