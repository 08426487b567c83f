"""One open IngestImages stream: its requests gathered into batches, its outcomes given back their tags.

In: the requests of one client, as they come. Out: one response each, in order. The work on the images is `Ingestor`'s.

Theory of operation: a feeder thread moves requests from gRPC, whose iterator blocks, to an inbox. The ingestor takes
from it the first request as soon as it is there, with all others that have come by then: a client that waits for each
response gets it at once, one that sends ahead is served in batches of up to CHUNK_IMAGES. The feeder ends with the
stream, however that ends.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing

import grpc
from polyhash.v1 import gallery_service_pb2

from service.errors import UnavailableError
from service.records import SourceImage
from service.rpc.inbox import Inbox
from service.rpc.messages import read_source_image, write_outcome
from service.rpc.settings import ServerSettings
from service.usecases.ingest import Ingestor
from service.usecases.reading import CHUNK_IMAGES

_MIN_SIZE_BYTES = 64 * 2**10  # what a request counts as at least: tiny ones would pile up for minutes of work


class Upload:
    """One open stream of images."""

    def __init__(self, ingestor: Ingestor, settings: ServerSettings) -> None:
        self._ingestor = ingestor
        self._settings = settings
        self._inbox: Inbox[gallery_service_pb2.IngestImagesRequest] = Inbox(
            max_bytes=settings.ingest_buffer_bytes
        )
        self._tags: deque[str] = deque()

    def responses(
        self, requests: Iterator[gallery_service_pb2.IngestImagesRequest]
    ) -> Iterator[gallery_service_pb2.IngestImagesResponse]:
        """Yield one response per request, in order.

        Raises:
            PolyhashError: The client was idle for too long, the store failed, or the server stops.
        """
        threading.Thread(target=self._feed, args=(requests,), name="upload-feeder", daemon=True).start()
        try:
            with closing(self._ingestor.run(self._chunks())) as outcomes:
                for outcome in outcomes:
                    yield write_outcome(self._tags.popleft(), outcome)
        finally:
            self._inbox.end()

    def stop(self) -> None:
        """Take no more images; those that have arrived are answered, then the stream ends with UNAVAILABLE."""
        self._inbox.end(
            UnavailableError(
                "The server stops. What was acknowledged is kept; send the rest again in a moment.",
                reason="SERVER_STOPPING",
            )
        )

    def _feed(self, requests: Iterator[gallery_service_pb2.IngestImagesRequest]) -> None:
        try:
            for request in requests:
                if not self._inbox.put(request, max(request.ByteSize(), _MIN_SIZE_BYTES)):
                    return
        except grpc.RpcError:  # the client has gone
            self._inbox.end()
        except Exception as error:  # noqa: BLE001 - raised again where the responses are made
            self._inbox.end(error)
        else:
            self._inbox.end()

    def _chunks(self) -> Iterator[list[SourceImage]]:
        while requests := self._inbox.take(CHUNK_IMAGES, idle_s=self._settings.ingest_idle_s):
            self._tags.extend(request.tag for request in requests)
            yield [
                read_source_image(request, max_image_bytes=self._settings.max_image_bytes)
                for request in requests
            ]
