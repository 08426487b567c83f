"""The client's side of an upload: images turned into requests, responses matched with the images they answer.

In: files and contents, and the server's responses. Out: requests to send, and one outcome per image in order. An image
that cannot even be sent is refused here, in its turn. Sending is the client's business.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from polyhash.v1 import gallery_service_pb2

from service.rpc.api_error import ApiError
from service.rpc.results import Ingested, Refused, read_outcome
from service.rpc.settings import MAX_MESSAGE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """One image to take in: its encoded bytes under a name, with labels, further facts and named numbers."""

    name: str
    content: bytes
    labels: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


class Outbox:
    """One upload, seen from its client."""

    def __init__(self, images: Iterable[NewImage | Path]) -> None:
        self._images = images
        self._waiting: deque[tuple[str, Refused | None]] = deque()  # names, and why it was not sent
        self._error: Exception | None = None

    def requests(self) -> Iterator[gallery_service_pb2.IngestImagesRequest]:
        """Yield the requests. An error of the images' own iterator ends them and is raised by `rest`."""
        try:
            for image in self._images:
                request = _request(image)
                if isinstance(request, Refused):
                    self._waiting.append((request.name, request))
                else:
                    self._waiting.append((request.name, None))
                    yield request
        except Exception as error:  # noqa: BLE001 - gRPC would hide it; raised again in `rest`
            self._error = error

    async def requests_async(self) -> AsyncIterator[gallery_service_pb2.IngestImagesRequest]:
        """Yield the same, made in threads, so that reading files does not hold up the event loop."""
        requests = self.requests()
        while (request := await asyncio.to_thread(next, requests, None)) is not None:
            yield request

    def outcomes(self, response: gallery_service_pb2.IngestImagesResponse) -> Iterator[Ingested | Refused]:
        """Yield what a response tells, after the images before it that were not sent."""
        yield from self._unsent()
        name, _ = self._waiting.popleft()
        yield read_outcome(name, response)

    def rest(self) -> Iterator[Ingested | Refused]:
        """Yield what was not sent after the last response."""
        yield from self._unsent()
        if self._error:
            raise self._error

    def _unsent(self) -> Iterator[Refused]:
        while self._waiting and (refused := self._waiting[0][1]):
            self._waiting.popleft()
            yield refused


def _request(image: NewImage | Path) -> gallery_service_pb2.IngestImagesRequest | Refused:
    if isinstance(image, Path):
        name = os.fsencode(image).decode(
            errors="replace"
        )  # protobuf takes UTF-8 alone, file systems any bytes
        try:
            image = NewImage(name=name, content=image.read_bytes())
        except OSError as error:
            return _refused(name, "FILE_UNREADABLE", f"{name} cannot be read: {error.strerror}.")
    try:
        request = gallery_service_pb2.IngestImagesRequest(
            name=image.name,
            content=image.content,
            labels=image.labels,
            attributes=image.attributes,
            scores=image.scores,
        )
    except UnicodeEncodeError as error:
        return _refused(
            image.name, "TEXT_NOT_UNICODE", f"Names, labels and attributes must be valid Unicode: {error}."
        )
    if request.ByteSize() > MAX_MESSAGE_BYTES:
        message = f"{image.name} has {len(image.content)} bytes, a message holds {MAX_MESSAGE_BYTES}."
        return _refused(image.name, "IMAGE_TOO_LARGE", message)
    return request


def _refused(name: str, reason: str, message: str) -> Refused:
    error = ApiError(code=grpc.StatusCode.INVALID_ARGUMENT, message=message, reason=reason)
    return Refused(name=name, error=error)
