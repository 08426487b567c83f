"""The unary calls of the API as values: which method, with which request, and how its response is read.

In: plain arguments. Out: a `Call`, which either kind of client makes. So both say the same, and differ in `await` alone. Here are
those on images; `search_calls` and `index_calls` have the others.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from polyhash.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    gallery_service_pb2,
    gallery_service_pb2_grpc,
    image_pb2,
    index_service_pb2,
    index_service_pb2_grpc,
    search_service_pb2,
    search_service_pb2_grpc,
)

from service.rpc import results
from service.rpc.settings import MAX_MESSAGE_BYTES

T = TypeVar("T")
Picture = bytes | Path

# Done twice, these answer otherwise than done once, or do more; or they are streams.
_UNREPEATABLE = frozenset(
    {
        "ActivateGeneration",
        "DeleteImage",
        "DeleteOperation",
        "IngestImages",
        "PruneGenerations",
        "RebuildIndex",
        "StreamSearch",
        "VerifyIndex",
    }
)
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def channel_options() -> list[tuple[str, Any]]:
    """Return the options of a client's channel: message limit, keepalive, and retries of UNAVAILABLE alone."""
    modules = (
        analysis_service_pb2,
        gallery_service_pb2,
        index_service_pb2,
        search_service_pb2,
        operations_pb2,
    )
    names = [
        {"service": service.full_name, "method": method}
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods_by_name
        if method not in _UNREPEATABLE
    ]
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 60_000),
        (
            "grpc.service_config",
            json.dumps({"methodConfig": [{"name": names, "retryPolicy": _RETRY_POLICY}]}),
        ),
    ]


class Stubs:
    """The methods of the API on one channel, synchronous or not."""

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        on: Any = channel  # the stubs take either, with different types
        self.analysis: Any = analysis_service_pb2_grpc.AnalysisServiceStub(on)
        self.gallery: Any = gallery_service_pb2_grpc.GalleryServiceStub(on)
        self.index: Any = index_service_pb2_grpc.IndexServiceStub(on)
        self.operations: Any = operations_pb2_grpc.OperationsStub(on)
        self.search: Any = search_service_pb2_grpc.SearchServiceStub(on)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One unary call to be made."""

    method: Callable[[Stubs], Any]
    request: Message
    read: Callable[[Any], T]


def get_image(image_id: int) -> Call[results.Image]:
    """Return the call of GalleryService.GetImage."""
    request = gallery_service_pb2.GetImageRequest(image_id=image_id)
    return Call(lambda stubs: stubs.gallery.GetImage, request, lambda found: results.read_image(found.image))


def get_images(image_ids: Iterable[int]) -> Call[dict[int, results.Image]]:
    """Return the call of GalleryService.BatchGetImages."""
    request = gallery_service_pb2.BatchGetImagesRequest(image_ids=image_ids)
    return Call(lambda stubs: stubs.gallery.BatchGetImages, request, results.read_images)


def list_page(*, label: str, page_size: int, token: str) -> Call[results.ImagePage]:
    """Return the call of GalleryService.ListImages."""
    request = gallery_service_pb2.ListImagesRequest(label=label, page_size=page_size, page_token=token)
    return Call(lambda stubs: stubs.gallery.ListImages, request, results.read_page)


def update_image(
    image_id: int,
    *,
    labels: Sequence[str] | None,
    attributes: Mapping[str, str] | None,
    scores: Mapping[str, float] | None,
) -> Call[results.Updated]:
    """Return the call of GalleryService.UpdateImage."""
    values = {"labels": labels, "attributes": attributes, "scores": scores}
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    request = gallery_service_pb2.UpdateImageRequest(
        image=image_pb2.Image(image_id=image_id, **given), update_mask=FieldMask(paths=list(given))
    )
    return Call(lambda stubs: stubs.gallery.UpdateImage, request, results.read_updated)


def delete_image(image_id: int) -> Call[int]:
    """Return the call of GalleryService.DeleteImage."""
    request = gallery_service_pb2.DeleteImageRequest(image_id=image_id)
    return Call(lambda stubs: stubs.gallery.DeleteImage, request, lambda deleted: int(deleted.sequence))


def thumbnail(image_id: int, *, side_px: int) -> Call[bytes]:
    """Return the call of GalleryService.GetThumbnail."""
    request = gallery_service_pb2.GetThumbnailRequest(image_id=image_id, side_px=side_px)
    return Call(lambda stubs: stubs.gallery.GetThumbnail, request, lambda small: bytes(small.jpeg))


def encode(image: Picture) -> Call[results.Encoding]:
    """Return the call of AnalysisService.Encode."""
    request = analysis_service_pb2.EncodeRequest(image=content_of(image))
    return Call(lambda stubs: stubs.analysis.Encode, request, results.read_encoding)


def content_of(image: Picture) -> bytes:
    """Return the encoded bytes of a picture. Raises OSError where its file cannot be read."""
    return image.read_bytes() if isinstance(image, Path) else image
