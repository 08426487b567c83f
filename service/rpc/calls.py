"""The unary calls of the API as values: which method, with which request, and how its response is read.

In: plain arguments. Out: a `Call`, which either kind of client makes. So both say the same, and differ in `await` alone.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message
from polyhash.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    gallery_service_pb2,
    gallery_service_pb2_grpc,
    index_service_pb2,
    index_service_pb2_grpc,
    search_service_pb2,
    search_service_pb2_grpc,
)

from service.rpc import results
from service.rpc.settings import MAX_MESSAGE_BYTES

T = TypeVar("T")
Picture = bytes | Path

_UNREPEATABLE = ("DeleteImage", "IngestImages")  # repeated, the first says NOT_FOUND; the second is a stream
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def channel_options() -> list[tuple[str, Any]]:
    """Return the options of a client's channel: message limit, keepalive, and retries of UNAVAILABLE alone."""
    names = [
        {"service": service.full_name, "method": method}
        for module in (analysis_service_pb2, gallery_service_pb2, index_service_pb2, search_service_pb2)
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
        self.search: Any = search_service_pb2_grpc.SearchServiceStub(on)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One unary call to be made."""

    method: Callable[[Stubs], Any]
    request: Message
    read: Callable[[Any], T]


def search(
    *,
    image: Picture | None,
    image_id: int | None,
    code: bytes | None,
    bits: int | None,
    k: int,
    max_distance: int | None,
    full: bool,
) -> Call[results.SearchResult]:
    """Return the call of SearchService.Search.

    Raises:
        ValueError: Not exactly one of image, image_id and code was given.
    """
    content = _content(image) if image is not None else None
    queries: dict[str, Any] = {"image": content, "image_id": image_id, "code": code}
    given = {name: query for name, query in queries.items() if query is not None}
    if len(given) != 1:
        raise ValueError(f"Give exactly one of {', '.join(queries)}, got {', '.join(given) or 'none'}.")
    request = search_service_pb2.SearchRequest(
        **given,
        bits=bits or 0,
        k=k,
        max_distance=max_distance,
        view=search_service_pb2.SEARCH_VIEW_FULL if full else search_service_pb2.SEARCH_VIEW_BASIC,
    )
    return Call(lambda stubs: stubs.search.Search, request, results.read_search_result)


def get_image(image_id: int) -> Call[results.Image]:
    """Return the call of GalleryService.GetImage."""
    request = gallery_service_pb2.GetImageRequest(image_id=image_id)
    return Call(lambda stubs: stubs.gallery.GetImage, request, lambda found: results.read_image(found.image))


def list_page(*, label: str, page_size: int, token: str) -> Call[results.ImagePage]:
    """Return the call of GalleryService.ListImages."""
    request = gallery_service_pb2.ListImagesRequest(label=label, page_size=page_size, page_token=token)
    return Call(lambda stubs: stubs.gallery.ListImages, request, results.read_page)


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
    request = analysis_service_pb2.EncodeRequest(image=_content(image))
    return Call(lambda stubs: stubs.analysis.Encode, request, results.read_encoding)


def stats() -> Call[results.Stats]:
    """Return the call of IndexService.GetIndexStats."""
    request = index_service_pb2.GetIndexStatsRequest()
    return Call(lambda stubs: stubs.index.GetIndexStats, request, results.read_stats)


def _content(image: Picture) -> bytes:
    return image.read_bytes() if isinstance(image, Path) else image
