"""The synchronous client.

In: an address and plain arguments. Out: plain records, or ApiError. What is sent and how it is read is `service.rpc.calls`' and
its siblings'; here it is made to happen.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
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

    # ------------------------------------------------------------ searches

    def search(
        self,
        *,
        image: Picture | None = None,
        image_id: int | None = None,
        code: bytes | None = None,
        **options: Unpack[OnePassOptions],
    ) -> SearchResult:
        """Return the nearest images of a picture (bytes or file), an image of the gallery, or a code.

        Args:
            image: An encoded picture or its path. Give exactly one of `image`, `image_id` and `code`.
            image_id: An image of the gallery; it is left out of its own answer.
            code: A code of the compared length, or a whole code record.
            **options: See `OnePassOptions` and `Options`: bits, k (10), max_distance, image_filter, auto, min_sequence, full.
        """
        query = SearchQuery(image=image, image_id=image_id, code=code)
        return self._make(search_calls.search(query, **options))

    def search_pages(
        self,
        *,
        image: Picture | None = None,
        image_id: int | None = None,
        code: bytes | None = None,
        page_size: int = 100,
        **options: Unpack[Options],
    ) -> Iterator[SearchResult]:
        """Yield all images by their distance, nearest first, fetching page by page; however deep, exactly.

        Images that are there all the time come exactly once; those that come after the first page was made are left out.

        Args:
            image: As for `search`, and so are `image_id` and `code`.
            image_id: See there.
            code: See there.
            page_size: Hits per page, 1 to 1,000.
            **options: See `Options`: bits, max_distance, image_filter, min_sequence, full.
        """
        query, token = SearchQuery(image=image, image_id=image_id, code=code), ""
        while True:
            page = self._make(search_calls.search_page(query, page_size=page_size, token=token, **options))
            yield page
            token = page.next_token
            if not token:
                return

    def search_batch(
        self, queries: Sequence[SearchQuery], **options: Unpack[OnePassOptions]
    ) -> list[SearchResult | ApiError]:
        """Return the answers to many searches with the same options, from one state of the gallery.

        Args:
            queries: 1 to 1,000. One that cannot be answered gives its error and does not spoil the others.
            **options: As for `search`.
        """
        return self._make(search_calls.search_batch(queries, **options))

    def count_matches(
        self,
        query: SearchQuery,
        *,
        bits: int | None = None,
        max_distance: int | None = None,
        image_filter: ImageFilter | None = None,
        min_sequence: int = 0,
    ) -> MatchCounts:
        """Return how many images there are at each distance from a query; arguments as for `search`."""
        return self._make(
            search_calls.count_matches(
                query,
                bits=bits,
                max_distance=max_distance,
                image_filter=image_filter,
                min_sequence=min_sequence,
            )
        )

    def facets(
        self,
        wanted: Sequence[Facet],
        *,
        image_filter: ImageFilter | None = None,
        around: Neighbourhood | None = None,
        min_sequence: int = 0,
    ) -> FacetResult:
        """Return how images spread over labels, attributes, scores or time.

        Args:
            wanted: Over which columns: `LabelFacet`, `AttributeFacet`, `ScoreFacet`, `CreatedFacet`, 1 to 16.
            image_filter: Which images count; None for all.
            around: Of these, only those around a query.
            min_sequence: Change of the gallery that the answer has seen.
        """
        return self._make(
            search_calls.facets(wanted, image_filter=image_filter, around=around, min_sequence=min_sequence)
        )

    def encode(self, image: Picture) -> Encoding:
        """Return the codes of a picture in all lengths; nothing is kept."""
        return self._make(calls.encode(image))

    # ------------------------------------------------------------ images

    def get_image(self, image_id: int) -> Image:
        """Return one image."""
        return self._make(calls.get_image(image_id))

    def get_images(self, image_ids: Iterable[int]) -> dict[int, Image]:
        """Return several images by id, up to 1,000; those that are not there are left out."""
        return self._make(calls.get_images(image_ids))

    def list_images(self, *, label: str = "", page_size: int = 0) -> Iterator[Image]:
        """Yield all images, or all with a label, in ascending order of their ids, fetching page by page."""
        token = ""
        while True:
            page = self._make(calls.list_page(label=label, page_size=page_size, token=token))
            yield from page.images
            token = page.next_token
            if not token:
                return

    def update_image(
        self,
        image_id: int,
        *,
        labels: Sequence[str] | None = None,
        attributes: Mapping[str, str] | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> Updated:
        """Replace labels, attributes or scores of one image, those that are given, as a whole."""
        return self._make(calls.update_image(image_id, labels=labels, attributes=attributes, scores=scores))

    def delete_image(self, image_id: int) -> int:
        """Delete one image; returns the sequence number of that change."""
        return self._make(calls.delete_image(image_id))

    def thumbnail(self, image_id: int, *, side_px: int = 256) -> bytes:
        """Return a JPEG of one image, its longer side at most `side_px` (16 to 1,024)."""
        return self._make(calls.thumbnail(image_id, side_px=side_px))

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

    # ------------------------------------------------------------ indexes

    def stats(self) -> Stats:
        """Return how much the gallery holds and which models it uses."""
        return self._make(index_calls.stats())

    def rebuild(self, *, hasher: str = "", backbone: str = "", note: str = "") -> Operation:
        """Start to build a new generation and to go over to it; `wait_operation` tells the end.

        Args:
            hasher: Identity of a registered hasher to encode all images by; empty keeps the codes.
            backbone: What to embed all images by, from their originals: as `--backbone` takes it on the server, or the identity of
                one that the store knows. Empty keeps the embeddings. Without `hasher`, one is fitted on the new ones.
            note: Why; kept with the generation.
        """
        return self._make(index_calls.rebuild(hasher=hasher, backbone=backbone, note=note))

    def verify(self) -> Operation:
        """Start to check the indexes against the catalog; `wait_operation` tells what was found."""
        return self._make(index_calls.verify())

    def wait_operation(self, name: str, *, timeout_s: float | None = None) -> Operation:
        """Return an operation once it has ended, or as it is after `timeout_s`. Raises its error where it failed."""
        end = time.monotonic() + timeout_s if timeout_s is not None else float("inf")
        while True:
            left_s = min(end - time.monotonic(), self.timeout_s)
            operation = self._make(index_calls.wait_operation(name, timeout_s=left_s))
            if operation.error:
                raise operation.error
            if operation.done or time.monotonic() >= end:
                return operation

    def cancel_operation(self, name: str) -> None:
        """Tell an operation to end early; it may succeed all the same."""
        self._make(index_calls.cancel_operation(name))

    def generations(self) -> list[Generation]:
        """Return all generations of the indexes, oldest first."""
        return self._make(index_calls.generations())

    def activate(self, number: int) -> Generation:
        """Use another generation, and its hasher, from now on."""
        return self._make(index_calls.activate(number))

    def prune(self, keep: int) -> list[int]:
        """Delete all but the newest `keep` generations and the one in use; returns the numbers."""
        return self._make(index_calls.prune(keep))

    def _make(self, call: Call[T]) -> T:
        try:
            return call.read(call.method(self._stubs)(call.request, timeout=self.timeout_s))
        except grpc.RpcError as error:
            raise read_rpc_error(error) from error
