"""The asynchronous client.

In: an address and plain arguments. Out: plain records, or ApiError. Says and means the same as `blocking`.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, Unpack

import grpc

from service.rpc import calls, index_calls, search_calls
from service.rpc.api_error import ApiError, read_rpc_error
from service.rpc.calls import Call, Picture, Stubs
from service.rpc.index_results import Generation, Operation, Stats
from service.rpc.outbox import NewImage, Outbox
from service.rpc.results import Encoding, Image, Ingested, Refused, Updated
from service.rpc.search_calls import Facet, Neighbourhood, OnePassOptions, Options, SearchQuery
from service.rpc.search_results import FacetResult, MatchCounts, SearchResult
from service.usecases.filters import ImageFilter

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio; make it inside a running event loop. Arguments and results are the same.

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
        **options: Unpack[OnePassOptions],
    ) -> SearchResult:
        """See `Client.search`."""
        query = SearchQuery(image=image, image_id=image_id, code=code)
        return await self._make(search_calls.search(query, **options))

    async def search_pages(
        self,
        *,
        image: Picture | None = None,
        image_id: int | None = None,
        code: bytes | None = None,
        page_size: int = 100,
        **options: Unpack[Options],
    ) -> AsyncIterator[SearchResult]:
        """See `Client.search_pages`."""
        query, token = SearchQuery(image=image, image_id=image_id, code=code), ""
        while True:
            page = await self._make(
                search_calls.search_page(query, page_size=page_size, token=token, **options)
            )
            yield page
            token = page.next_token
            if not token:
                return

    async def search_batch(
        self, queries: Sequence[SearchQuery], **options: Unpack[OnePassOptions]
    ) -> list[SearchResult | ApiError]:
        """See `Client.search_batch`."""
        return await self._make(search_calls.search_batch(queries, **options))

    async def count_matches(
        self,
        query: SearchQuery,
        *,
        bits: int | None = None,
        max_distance: int | None = None,
        image_filter: ImageFilter | None = None,
        min_sequence: int = 0,
    ) -> MatchCounts:
        """See `Client.count_matches`."""
        return await self._make(
            search_calls.count_matches(
                query,
                bits=bits,
                max_distance=max_distance,
                image_filter=image_filter,
                min_sequence=min_sequence,
            )
        )

    async def facets(
        self,
        wanted: Sequence[Facet],
        *,
        image_filter: ImageFilter | None = None,
        around: Neighbourhood | None = None,
        min_sequence: int = 0,
    ) -> FacetResult:
        """See `Client.facets`."""
        return await self._make(
            search_calls.facets(wanted, image_filter=image_filter, around=around, min_sequence=min_sequence)
        )

    async def encode(self, image: Picture) -> Encoding:
        """See `Client.encode`."""
        return await self._make(calls.encode(image))

    async def get_image(self, image_id: int) -> Image:
        """See `Client.get_image`."""
        return await self._make(calls.get_image(image_id))

    async def get_images(self, image_ids: Iterable[int]) -> dict[int, Image]:
        """See `Client.get_images`."""
        return await self._make(calls.get_images(image_ids))

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

    async def update_image(
        self,
        image_id: int,
        *,
        labels: Sequence[str] | None = None,
        attributes: Mapping[str, str] | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> Updated:
        """See `Client.update_image`."""
        return await self._make(
            calls.update_image(image_id, labels=labels, attributes=attributes, scores=scores)
        )

    async def delete_image(self, image_id: int) -> int:
        """See `Client.delete_image`."""
        return await self._make(calls.delete_image(image_id))

    async def thumbnail(self, image_id: int, *, side_px: int = 256) -> bytes:
        """See `Client.thumbnail`."""
        return await self._make(calls.thumbnail(image_id, side_px=side_px))

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

    async def stats(self) -> Stats:
        """See `Client.stats`."""
        return await self._make(index_calls.stats())

    async def rebuild(self, *, hasher: str = "", backbone: str = "", note: str = "") -> Operation:
        """See `Client.rebuild`."""
        return await self._make(index_calls.rebuild(hasher=hasher, backbone=backbone, note=note))

    async def verify(self) -> Operation:
        """See `Client.verify`."""
        return await self._make(index_calls.verify())

    async def wait_operation(self, name: str, *, timeout_s: float | None = None) -> Operation:
        """See `Client.wait_operation`."""
        end = time.monotonic() + timeout_s if timeout_s is not None else float("inf")
        while True:
            left_s = min(end - time.monotonic(), self.timeout_s)
            operation = await self._make(index_calls.wait_operation(name, timeout_s=left_s))
            if operation.error:
                raise operation.error
            if operation.done or time.monotonic() >= end:
                return operation

    async def cancel_operation(self, name: str) -> None:
        """See `Client.cancel_operation`."""
        await self._make(index_calls.cancel_operation(name))

    async def generations(self) -> list[Generation]:
        """See `Client.generations`."""
        return await self._make(index_calls.generations())

    async def activate(self, number: int) -> Generation:
        """See `Client.activate`."""
        return await self._make(index_calls.activate(number))

    async def prune(self, keep: int) -> list[int]:
        """See `Client.prune`."""
        return await self._make(index_calls.prune(keep))

    async def _make(self, call: Call[T]) -> T:
        try:
            return call.read(await call.method(self._stubs)(call.request, timeout=self.timeout_s))
        except grpc.RpcError as error:
            raise read_rpc_error(error) from error
