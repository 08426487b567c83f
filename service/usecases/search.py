"""Searching: from an image, an image id or a code to ranked hits.

In: a checked request. Out: hits in the total order (distance, image_id), with the sequence and model that answered.
It leaves decoding, embedding and the index to its ports.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from service.errors import InvalidArgumentError, NotFoundError
from service.ports import Backbone, Neighbours
from service.records import DecodedImage, ImageRow
from service.usecases.gallery import Gallery

MAX_K = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """Search with a picture: its encoded bytes."""

    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IdQuery:
    """Search with an image of the gallery, which is left out of its own answer."""

    image_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeQuery:
    """Search with a code of the searched length, or with a whole code record."""

    code: bytes


Query = ImageQuery | IdQuery | CodeQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What to search for.

    Attributes:
        query: The picture, image or code.
        bits: Code length to compare; None means the longest.
        k: How many hits at most, 1..MAX_K.
        max_distance: Largest distance in bits that still counts (inclusive), or None.
        full: Whether hits carry their catalog rows.
    """

    query: Query
    bits: int | None = None
    k: int = 10
    max_distance: int | None = None
    full: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise InvalidArgumentError(
                f"k must be from 1 to {MAX_K}, got {self.k}.", reason="K_OUT_OF_RANGE", field="k", k=self.k
            )
        if self.max_distance is not None and self.max_distance < 0:
            raise InvalidArgumentError(
                f"max_distance must be 0 or more bits, got {self.max_distance}.",
                reason="MAX_DISTANCE_OUT_OF_RANGE",
                field="max_distance",
                max_distance=self.max_distance,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found image; `row` is None unless the request asked for full hits."""

    image_id: int
    distance: int
    rank: int
    row: ImageRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """Ranked hits and what produced them.

    Attributes:
        hits: In the total order (distance, image_id); rank counts from 1.
        bits: Code length that was compared.
        code: The query's code of that length.
        sequence: Last change of the gallery that this answer has seen.
        hasher_identity: Model whose codes were compared.
        timings_ms: Milliseconds per stage.
    """

    hits: tuple[Hit, ...]
    bits: int
    code: bytes
    sequence: int
    hasher_identity: str
    timings_ms: Mapping[str, float]


class Searcher:
    """Answers searches over one gallery."""

    def __init__(
        self, gallery: Gallery, backbone: Backbone, *, decode: Callable[[bytes], DecodedImage]
    ) -> None:
        self._gallery = gallery
        self._backbone = backbone
        self._decode = decode

    def encode(self, content: bytes) -> UInt8[np.ndarray, " record_bytes"]:
        """Return the code record of a picture.

        Raises:
            ImageError: The bytes are no image.
            PreconditionError: The store has no hasher yet.
        """
        square = self._backbone.prepare(self._decode(content).pixels)
        records = self._gallery.encode(self._backbone.extract(square[np.newaxis]).embeddings)
        record: UInt8[np.ndarray, " record_bytes"] = records[0]
        return record

    def search(self, request: SearchRequest) -> SearchAnswer:
        """Answer a request.

        Raises:
            ImageError: The query's bytes are no image.
            InvalidArgumentError: Length not in the model, or a code of the wrong size.
            NotFoundError: The query image id is not in the gallery.
            PreconditionError: The store has no hasher yet.
        """
        bits = self._gallery.check_bits(request.bits)
        sequence = self._gallery.sequence
        started = time.perf_counter()
        code = self._code(request.query, bits)
        encoded = time.perf_counter()
        neighbours = self._neighbours(code, request, bits)
        searched = time.perf_counter()
        hits = self._hits(neighbours, full=request.full)
        return SearchAnswer(
            hits=hits,
            bits=bits,
            code=code.tobytes(),
            sequence=sequence,
            hasher_identity=self._gallery.hasher_identity,
            timings_ms={
                "encode": 1e3 * (encoded - started),
                "index": 1e3 * (searched - encoded),
                "rows": 1e3 * (time.perf_counter() - searched),
            },
        )

    def _code(self, query: Query, bits: int) -> UInt8[np.ndarray, " bytes"]:
        match query:
            case ImageQuery(content=content):
                return self.encode(content)[self._gallery.layout.record_slices[bits]]
            case IdQuery(image_id=image_id):
                code = self._gallery.code_of(image_id, bits=bits)
                if code is None:
                    raise NotFoundError(
                        f"No image {image_id} with a code in the gallery. List the images to see which there are.",
                        reason="IMAGE_NOT_FOUND",
                        field="image_id",
                        image_id=image_id,
                    )
                return code
            case CodeQuery(code=content):
                return self._checked_code(content, bits)

    def _checked_code(self, content: bytes, bits: int) -> UInt8[np.ndarray, " bytes"]:
        layout = self._gallery.layout
        code = np.frombuffer(content, dtype=np.uint8)
        if len(code) == layout.record_bytes:
            code = code[layout.record_slices[bits]]
        elif len(code) != bits // 8:
            raise InvalidArgumentError(
                f"A code of {bits} bits has {bits // 8} bytes and a whole record {layout.record_bytes}, "
                f"got {len(code)} bytes.",
                reason="CODE_SIZE",
                field="code",
                expected_bytes=bits // 8,
                actual_bytes=len(code),
            )
        return code

    def _neighbours(self, code: np.ndarray, request: SearchRequest, bits: int) -> Neighbours:
        query = request.query
        own_id = query.image_id if isinstance(query, IdQuery) else None
        k = request.k + (own_id is not None)  # room for the query itself, which is dropped below
        found = self._gallery.search(code[np.newaxis], bits=bits, k=k, max_distance=request.max_distance)[0]
        keep = found.image_ids != own_id if own_id is not None else np.ones(len(found.image_ids), dtype=bool)
        return Neighbours(
            image_ids=found.image_ids[keep][: request.k], distances=found.distances[keep][: request.k]
        )

    def _hits(self, found: Neighbours, *, full: bool) -> tuple[Hit, ...]:
        image_ids = found.image_ids.tolist()
        rows = self._gallery.catalog.get_images(image_ids) if full else {}
        return tuple(
            Hit(image_id=image_id, distance=distance, rank=rank, row=rows.get(image_id))
            for rank, (image_id, distance) in enumerate(
                zip(image_ids, found.distances.tolist(), strict=True), start=1
            )
        )
