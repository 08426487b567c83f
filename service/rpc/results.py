"""What the client returns: plain records, and how they are read from responses.

In: responses of polyhash.v1. Out: frozen dataclasses without a trace of protobuf. Errors are `api_error`'s.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from polyhash.v1 import (
    analysis_service_pb2,
    gallery_service_pb2,
    image_pb2,
    index_service_pb2,
    search_service_pb2,
)

from service.rpc.api_error import ApiError, read_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image of the gallery, without its pixels."""

    image_id: int
    name: str
    labels: tuple[str, ...]
    attributes: Mapping[str, str]
    sha256: bytes
    byte_size: int
    width_px: int
    height_px: int
    format: str
    created_at: dt.datetime  # UTC
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePage:
    """One page of images; `next_token` is empty on the last."""

    images: tuple[Image, ...]
    next_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """The image is in the gallery, durable and searchable.

    Attributes:
        name: What it was sent as.
        image_id: The image that holds these bytes.
        sequence: The change of the gallery that added that image.
        duplicate_of: The earlier image with the same bytes, or None when they were new.
    """

    name: str
    image_id: int
    sequence: int
    duplicate_of: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The image was not taken, for this reason; the others went on."""

    name: str
    error: ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found image; `distance` in bits, `rank` from 1, `image` None when only ids were asked for."""

    image_id: int
    distance: int
    rank: int
    image: Image | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Ranked hits and what produced them.

    Attributes:
        hits: In ascending order of (distance, image_id).
        bits: Code length that was compared.
        code: The query's code of that length.
        sequence: Last change of the gallery that the answer has seen.
        hasher: Identity of the model whose codes were compared.
        timings_ms: Milliseconds on the server, per stage.
    """

    hits: tuple[Hit, ...]
    bits: int
    code: bytes
    sequence: int
    hasher: str
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The codes of one picture by length in bits, shortest first, and the models that made them.

    Attributes:
        codes: The code of every length.
        record: All of them in the bytes that the gallery keeps: side by side, or only the longest if it holds the others.
        hasher: Identity of the hasher.
        backbone: Identity of the backbone.
    """

    codes: Mapping[int, bytes]
    record: bytes
    hasher: str
    backbone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How much the gallery holds and which models it uses; `hasher` is empty while there is none."""

    images: int
    indexed_images: int
    labelled_images: int
    labels: Mapping[str, int]
    original_bytes: int
    lengths: tuple[int, ...]
    hasher: str
    backbone: str
    sequence: int


def read_image(image: image_pb2.Image) -> Image:
    """Return one image."""
    return Image(
        image_id=image.image_id,
        name=image.name,
        labels=tuple(image.labels),
        attributes=dict(image.attributes),
        sha256=image.sha256,
        byte_size=image.byte_size,
        width_px=image.width_px,
        height_px=image.height_px,
        format=image.format,
        created_at=image.create_time.ToDatetime(tzinfo=dt.UTC),
        sequence=image.sequence,
    )


def read_page(response: gallery_service_pb2.ListImagesResponse) -> ImagePage:
    """Return one page of images."""
    return ImagePage(
        images=tuple(read_image(image) for image in response.images), next_token=response.next_page_token
    )


def read_outcome(name: str, response: gallery_service_pb2.IngestImagesResponse) -> Ingested | Refused:
    """Return what became of the image that was sent under this name."""
    if response.HasField("error"):
        return Refused(name=name, error=read_status(response.error))
    ingested = response.ingested
    return Ingested(
        name=name,
        image_id=ingested.image_id,
        sequence=ingested.sequence,
        duplicate_of=ingested.duplicate_of if ingested.HasField("duplicate_of") else None,
    )


def read_search_result(response: search_service_pb2.SearchResponse) -> SearchResult:
    """Return the answer to a search."""
    return SearchResult(
        hits=tuple(
            Hit(
                image_id=hit.image_id,
                distance=hit.distance,
                rank=hit.rank,
                image=read_image(hit.image) if hit.HasField("image") else None,
            )
            for hit in response.hits
        ),
        bits=response.bits,
        code=response.code,
        sequence=response.sequence,
        hasher=response.hasher,
        timings_ms=dict(response.timings_ms),
    )


def read_encoding(response: analysis_service_pb2.EncodeResponse) -> Encoding:
    """Return the codes of a picture."""
    return Encoding(
        codes={code.bits: code.code for code in response.codes},
        record=response.record,
        hasher=response.hasher,
        backbone=response.backbone,
    )


def read_stats(response: index_service_pb2.GetIndexStatsResponse) -> Stats:
    """Return the state of the gallery."""
    return Stats(
        images=response.image_count,
        indexed_images=response.indexed_image_count,
        labelled_images=response.labelled_image_count,
        labels=dict(response.image_count_by_label),
        original_bytes=response.original_bytes,
        lengths=tuple(response.lengths_bits),
        hasher=response.hasher,
        backbone=response.backbone,
        sequence=response.sequence,
    )
