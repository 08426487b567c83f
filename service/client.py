"""Clients of a polyhash server, synchronous and asynchronous.

In: an address and plain arguments. Out: the records of `service.rpc.results`, or ApiError. Light to import: no torch,
FAISS or SQLAlchemy.

    with Client("localhost:50051") as client:
        for outcome in client.ingest(Path("photos").glob("*.jpg")):
            print(outcome)
        for hit in client.search(image=Path("query.jpg"), k=5).hits:
            print(hit.distance, hit.image.name)
"""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import grpc

from service.rpc import calls
from service.rpc.api_error import ApiError, read_rpc_error
from service.rpc.calls import Call, Picture, Stubs
from service.rpc.outbox import NewImage, Outbox
from service.rpc.results import (
    Encoding,
    Hit,
    Image,
    Ingested,
    Refused,
    SearchResult,
    Stats,
)

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Encoding",
    "Hit",
    "Image",
    "Ingested",
    "NewImage",
    "Refused",
    "SearchResult",
    "Stats",
]

T = TypeVar("T")


class Client:
    """A synchronous client. All methods raise ApiError; thread-safe.

    Attributes:
        timeout_s: Deadline of every call but `ingest`, in seconds.
    """

    def __init__(self, address: str, *, timeout_s: float = 30.0) -> None:
        self.timeout_s = timeout_s
        self._channel = grpc.insecure_channel(address, options=calls.channel_options())
        self._stubs = Stubs(self._channel)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def search(
        self,
        *,
        image: Picture | None = None,
        image_id: int | None = None,
        code: bytes | None = None,
        bits: int | None = None,
        k: int = 10,
        max_distance: int | None = None,
        full: bool = True,
    ) -> SearchResult:
        """Return the nearest images of a picture (bytes or file), an image of the gallery, or a code.

        Args:
            image: An encoded picture or its path. Give exactly one of `image`, `image_id` and `code`.
            image_id: An image of the gallery; it is left out of its own answer.
            code: A code of the compared length, or a whole code record.
            bits: Code length to compare, one of the model's; None for the longest.
            k: How many hits at most, 1 to 10,000.
            max_distance: Largest distance in bits that still counts (inclusive).
            full: Whether hits carry their images, not only their ids.
        """
        return self._make(
            calls.search(
                image=image,
                image_id=image_id,
                code=code,
                bits=bits,
                k=k,
                max_distance=max_distance,
                full=full,
            )
        )

    def get_image(self, image_id: int) -> Image:
        """Return one image."""
        return self._make(calls.get_image(image_id))

    def list_images(self, *, label: str = "", page_size: int = 0) -> Iterator[Image]:
        """Yield all images, or all with a label, in ascending order of their ids, fetching page by page."""
        token = ""
        while True:
            page = self._make(calls.list_page(label=label, page_size=page_size, token=token))
            yield from page.images
            token = page.next_token
            if not token:
                return

    def delete_image(self, image_id: int) -> int:
        """Delete one image; returns the sequence number of that change."""
        return self._make(calls.delete_image(image_id))

    def thumbnail(self, image_id: int, *, side_px: int = 256) -> bytes:
        """Return a JPEG of one image, its longer side at most `side_px` (16 to 1,024)."""
        return self._make(calls.thumbnail(image_id, side_px=side_px))

    def encode(self, image: Picture) -> Encoding:
        """Return the codes of a picture in all lengths; nothing is kept."""
        return self._make(calls.encode(image))

    def stats(self) -> Stats:
        """Return how much the gallery holds and which models it uses."""
        return self._make(calls.stats())

    def ingest(
        self, images: Iterable[NewImage | Path], *, timeout_s: float | None = None
    ) -> Generator[Ingested | Refused, None, None]:
        """Send images in and yield what became of each, in order, as soon as it is known.

        Closing the iterator early cancels the upload; what was acknowledged stays.

        Args:
            images: Files or contents, read as they are sent.
            timeout_s: Deadline of the whole upload, or None.
        """
        outbox = Outbox(images)
        stream = self._stubs.gallery.IngestImages(outbox.requests(), timeout=timeout_s)
        try:
            for response in stream:
                yield from outbox.outcomes(response)
            yield from outbox.rest()
        except grpc.RpcError as error:
            raise read_rpc_error(error) from error
        finally:
            stream.cancel()

    def _make(self, call: Call[T]) -> T:
        try:
            return call.read(call.method(self._stubs)(call.request, timeout=self.timeout_s))
        except grpc.RpcError as error:
            raise read_rpc_error(error) from error


class AsyncClient:
    """The same for asyncio; make it inside a running event loop. Arguments and results are those of `Client`.

    Attributes:
        timeout_s: Deadline of every call but `ingest`, in seconds.
    """

    def __init__(self, address: str, *, timeout_s: float = 30.0) -> None:
        self.timeout_s = timeout_s
        self._channel = grpc.aio.insecure_channel(address, options=calls.channel_options())
        self._stubs = Stubs(self._channel)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._channel.close()

    async def search(
        self,
        *,
        image: Picture | None = None,
        image_id: int | None = None,
        code: bytes | None = None,
        bits: int | None = None,
        k: int = 10,
        max_distance: int | None = None,
        full: bool = True,
    ) -> SearchResult:
        """See `Client.search`."""
        return await self._make(
            calls.search(
                image=image,
                image_id=image_id,
                code=code,
                bits=bits,
                k=k,
                max_distance=max_distance,
                full=full,
            )
        )

    async def get_image(self, image_id: int) -> Image:
        """See `Client.get_image`."""
        return await self._make(calls.get_image(image_id))

    async def list_images(self, *, label: str = "", page_size: int = 0) -> AsyncIterator[Image]:
        """See `Client.list_images`."""
        token = ""
        while True:
            page = await self._make(calls.list_page(label=label, page_size=page_size, token=token))
            for image in page.images:
                yield image
            token = page.next_token
            if not token:
                return

    async def delete_image(self, image_id: int) -> int:
        """See `Client.delete_image`."""
        return await self._make(calls.delete_image(image_id))

    async def thumbnail(self, image_id: int, *, side_px: int = 256) -> bytes:
        """See `Client.thumbnail`."""
        return await self._make(calls.thumbnail(image_id, side_px=side_px))

    async def encode(self, image: Picture) -> Encoding:
        """See `Client.encode`."""
        return await self._make(calls.encode(image))

    async def stats(self) -> Stats:
        """See `Client.stats`."""
        return await self._make(calls.stats())

    async def ingest(
        self, images: Iterable[NewImage | Path], *, timeout_s: float | None = None
    ) -> AsyncGenerator[Ingested | Refused, None]:
        """See `Client.ingest`. Files are read beside the event loop."""
        outbox = Outbox(images)
        stream = self._stubs.gallery.IngestImages(outbox.requests_async(), timeout=timeout_s)
        try:
            async for response in stream:
                for outcome in outbox.outcomes(response):
                    yield outcome
            for outcome in outbox.rest():
                yield outcome
        except grpc.RpcError as error:
            raise read_rpc_error(error) from error
        finally:
            stream.cancel()  # grpc.aio keeps a stream alive that nobody reads any more

    async def _make(self, call: Call[T]) -> T:
        try:
            return call.read(await call.method(self._stubs)(call.request, timeout=self.timeout_s))
        except grpc.RpcError as error:
            raise read_rpc_error(error) from error
