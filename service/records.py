"""The records that cross the seams of the service: images on their way in, and what the catalog knows.

In and out: frozen records of plain values and NumPy arrays. No gRPC, torch, FAISS or SQLAlchemy here, as in `ports`, whose
Protocols pass them on.

Convention: images are RGB uint8 (h, w, 3); codes are uint8 with bit 0 the low bit of byte 0.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32, Int64, UInt8

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
        scores: Named numbers, such as emotion scores.
    """

    name: str
    read: Callable[[], bytes]
    source: str = ""
    labels: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


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
    record: UInt8[np.ndarray, " record_bytes"] | None = (
        None  # the gallery's work; None while no hasher is active
    )
    scores: Mapping[str, float] = field(default_factory=dict)  # named numbers, such as emotion scores
    backbone: str = ""  # identity of what made the embedding; empty leaves it to who commits the image


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicate:
    """The earlier image that a new one nearly repeats, and the distance of their longest codes in bits."""

    image_id: int
    distance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What became of one NewImage: its id and the sequence of its commit, or the image it repeats.

    Attributes:
        image_id: The new image's id, or that of the image with the same sha256.
        sequence: Sequence number of the commit that made it durable (of the earlier one for a duplicate).
        duplicate: True when the same bytes were in the catalog already; nothing was written then.
        near: The nearest earlier image that it nearly repeats, where somebody looked and there is one.
    """

    image_id: int
    sequence: int
    duplicate: bool
    near: NearDuplicate | None = None


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
    scores: Mapping[str, float] = field(default_factory=dict)


class ChangeKind(Enum):
    """What a change of the catalog did to its image."""

    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of the catalog, as its log keeps it."""

    sequence: int
    kind: ChangeKind
    image_id: int


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
class Extraction:
    """Embeddings made again from originals, and why there is none of others. Images deleted meanwhile are in neither."""

    chunk: EmbeddingChunk
    failures: Mapping[int, str]  # by image id


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """A hasher whose file is in the store, which does not know it yet; the arguments of `Catalog.register_model`."""

    identity: str
    path: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChunk:
    """Consecutive code records, ids ascending."""

    image_ids: Int64[np.ndarray, " n"]
    records: UInt8[np.ndarray, "n record_bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChunk:
    """What filters look at, of consecutive images, ids ascending."""

    image_ids: Int64[np.ndarray, " n"]
    created_us: Int64[np.ndarray, " n"]  # microseconds since 1970-01-01 UTC
    labels: Sequence[tuple[str, ...]]
    attributes: Sequence[Mapping[str, str]]
    scores: Sequence[Mapping[str, float]]


# ---------------------------------------------------------------- generations


class GenerationState(Enum):
    """What may be done with a generation."""

    READY = "ready"  # complete on disk; may be activated
    ACTIVE = "active"  # what a start loads
    QUARANTINED = "quarantined"  # found damaged; kept aside for a look, never served


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRow:
    """One generation as the catalog knows it.

    Attributes:
        number: 1, 2, ... in the order of building, never used twice.
        hasher: Identity of the model whose codes it holds.
        built_to: Sequence number of the last change that it contains.
        images: How many live images it holds.
        manifest_sha256: Of its manifest file, in hexadecimal; what its files are verified against.
        state: What may be done with it.
        note: Why it was built, or what was found damaged.
    """

    number: int
    hasher: str
    built_to: int
    images: int
    manifest_sha256: str
    state: GenerationState
    note: str
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationFiles:
    """What a generation's folder holds: arrays by name, and facts as JSON values."""

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltGeneration:
    """A generation whose files are complete on disk and were compared with the catalog, which does not know it yet."""

    number: int
    built_to: int
    images: int
    manifest_sha256: str
