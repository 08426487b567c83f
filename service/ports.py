"""The seams of the service: what its use cases need from vision, hashing and storage.

In and out: the frozen records of `records`. No gRPC, torch, FAISS or SQLAlchemy here, so use cases can
be read and tested without them. Each Protocol has a contract suite in tests/contracts/.

Convention: images are RGB uint8 (h, w, 3); codes are uint8 with bit 0 the low bit of byte 0; an image's id is the
sequence number of the change that added it (docs/decisions/0004), so ids ascend with ingestion, are never reused, and
(distance, image_id) is a total order.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float16, Float32, Int32, Int64, UInt8

from hashing.funnel import FunnelAnswer
from hashing.index import CodeIndex, Neighbours, Selection
from hashing.layout import CodeLayout
from service.records import (
    Acknowledgement,
    BuiltGeneration,
    CatalogCounts,
    Change,
    ColumnChunk,
    DecodedImage,
    EmbeddingChunk,
    Extraction,
    Features,
    FittedModel,
    GenerationFiles,
    GenerationRow,
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
    "Decode",
    "Generations",
    "Hasher",
    "Neighbours",
    "Originals",
    "RecordIndex",
    "Workers",
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
class Decode(Protocol):
    """Turns encoded bytes into pixels; a JPEG is not decoded larger than its use needs."""

    def __call__(self, content: bytes, *, target_px: int) -> DecodedImage:
        """Return the picture, whose shorter side will be looked at in `target_px`. Raises ImageError."""
        ...


@runtime_checkable
class RecordIndex(Protocol):
    """Exact search in the codes of all lengths of one layout, by row; see `hashing.index` for what rows are.

    One thread may add and remove while any number search; a batch appears in all lengths at once.
    """

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a code record hold the code of which length."""
        ...

    @property
    def n_rows(self) -> int:
        """How many rows it has, removed ones included: the row that the next record gets."""
        ...

    def __len__(self) -> int:
        """Return how many live records it holds."""
        ...

    def add(self, records: UInt8[np.ndarray, "n record_bytes"]) -> None:
        """Append n records as the next rows."""
        ...

    def remove(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Hide these rows from every later search; returns how many were live."""
        ...

    def records(self, rows: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m record_bytes"]:
        """Return the records of these rows, removed ones included."""
        ...

    def search(
        self,
        codes: UInt8[np.ndarray, "nq bytes"],
        *,
        bits: int,
        k: int,
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[Neighbours]:
        """Return the nearest codes of one length per query; see `CodeIndex.search`."""
        ...

    def scan(
        self, code: UInt8[np.ndarray, " bytes"], *, bits: int, among: Selection | None = None
    ) -> tuple[Int64[np.ndarray, " m"], Int32[np.ndarray, " m"]]:
        """Return the rows of all live codes of one length among those selected, ascending, and their distances."""
        ...

    def search_funnel(
        self,
        records: UInt8[np.ndarray, "nq record_bytes"],
        *,
        k: int,
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[FunnelAnswer]:
        """Return exactly the nearest by the longest length per query; the shortest length says where to look where that pays."""
        ...

    def settle(self) -> None:
        """Prepare `search_funnel` for what was added and removed. Called when a gallery was loaded, and after changes."""
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


@runtime_checkable
class Generations(Protocol):
    """Folders of index files, each written once, verified whenever it is read, and deletable: SQL can make them anew."""

    def write(self, number: int, files: GenerationFiles) -> str:
        """Write a generation aside, make it durable and give it its name; returns the sha256 of its manifest.

        Raises:
            ConflictError: There is one of this number.
            UnavailableError: The disk is full or refuses; nothing is left behind.
        """
        ...

    def read(self, number: int, *, manifest_sha256: str) -> GenerationFiles:
        """Return a generation after verifying every byte of it.

        Raises:
            NotFoundError: There is none of this number.
            DataLossError: A file is missing, cut off or changed; the message names it.
            StoreFormatError: It was written in another format version.
        """
        ...

    def numbers(self) -> list[int]:
        """Return the numbers of the generations that are there, ascending."""
        ...

    def quarantine(self, number: int) -> str:
        """Put a damaged generation aside, where it is neither read nor counted; returns the name it has there."""
        ...

    def delete(self, number: int) -> None:
        """Delete a generation; absent is fine."""
        ...

    def clean(self, keep: Collection[int]) -> list[str]:
        """Delete what an interruption left behind and every generation but these; returns the names. Quarantine stays."""
        ...


@runtime_checkable
class Workers(Protocol):
    """Does heavy work for a store in other processes, so that serving goes on; another machine could implement it too."""

    def encode(
        self, embeddings: Float16[np.ndarray, "n d"], *, hasher: str
    ) -> "Future[UInt8[np.ndarray, 'n record_bytes']]":
        """Return code records of embeddings by a registered hasher."""
        ...

    def extract(self, image_ids: Sequence[int], *, backbone: str) -> Future[Extraction]:
        """Return embeddings of images by a registered backbone, from their originals as they were indexed."""
        ...

    def fit(self, *, backbone: str, lengths: tuple[int, ...], nested: bool, seed: int) -> Future[FittedModel]:
        """Fit a hasher on the embeddings that the catalog has of a backbone, and put its file into the store."""
        ...

    def build_generation(self, number: int, *, hasher: str) -> Future[BuiltGeneration]:
        """Write the files of a generation with everything that the catalog holds of a hasher, and check them.

        What is written is read again, verified, searched with sampled queries and compared with a plain scan of the catalog's
        codes; DataLossError if that differs.
        """
        ...

    def close(self) -> None:
        """End the processes; work that was not begun is given up."""
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
