"""What the client returns of images: plain records, and how they are read from responses.

In: responses of GalleryService and AnalysisService. Out: frozen dataclasses without a trace of protobuf. Errors are `api_error`'s,
searches `search_results`', indexes `index_results`'.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from polyhash.v1 import (
    analysis_service_pb2,
    gallery_service_pb2,
    image_pb2,
)

from service.rpc.api_error import ApiError, read_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image of the gallery, without its pixels."""

    image_id: int
    name: str
    labels: tuple[str, ...]
    attributes: Mapping[str, str]
    scores: Mapping[str, float]
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
class Updated:
    """An image as it is after a change, and the sequence number of that change."""

    image: Image
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """The image is in the gallery, durable and searchable.

    Attributes:
        name: What it was sent as.
        image_id: The image that holds these bytes.
        sequence: The change of the gallery that added that image.
        duplicate_of: The earlier image with the same bytes, or None when they were new.
        near_duplicate_of: The nearest earlier image that it nearly repeats, or None when there is none or nobody looked.
        near_duplicate_distance: Distance to that image in bits, or None.
    """

    name: str
    image_id: int
    sequence: int
    duplicate_of: int | None
    near_duplicate_of: int | None = None
    near_duplicate_distance: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The image was not taken, for this reason; the others went on."""

    name: str
    error: ApiError


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


def read_image(image: image_pb2.Image) -> Image:
    """Return one image."""
    return Image(
        image_id=image.image_id,
        name=image.name,
        labels=tuple(image.labels),
        attributes=dict(image.attributes),
        scores=dict(image.scores),
        sha256=image.sha256,
        byte_size=image.byte_size,
        width_px=image.width_px,
        height_px=image.height_px,
        format=image.format,
        created_at=image.create_time.ToDatetime(tzinfo=dt.UTC),
        sequence=image.sequence,
    )


def read_images(response: gallery_service_pb2.BatchGetImagesResponse) -> dict[int, Image]:
    """Return several images by id."""
    return {image.image_id: read_image(image) for image in response.images}


def read_updated(response: gallery_service_pb2.UpdateImageResponse) -> Updated:
    """Return a changed image."""
    return Updated(image=read_image(response.image), sequence=response.sequence)


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
        near_duplicate_of=ingested.near_duplicate_of if ingested.HasField("near_duplicate_of") else None,
        near_duplicate_distance=ingested.near_duplicate_distance
        if ingested.HasField("near_duplicate_distance")
        else None,
    )


def read_encoding(response: analysis_service_pb2.EncodeResponse) -> Encoding:
    """Return the codes of a picture."""
    return Encoding(
        codes={code.bits: code.code for code in response.codes},
        record=response.record,
        hasher=response.hasher,
        backbone=response.backbone,
    )
