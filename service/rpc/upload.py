"""One open IngestImages stream: its requests gathered into batches, its outcomes given back their tags.

In: the requests of one client, as they come. Out: one response each, in order. The work on the images is `Ingestor`'s, that on
the stream `streams`'.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import closing

from polyhash.v1 import gallery_service_pb2

from service.records import SourceImage
from service.rpc.image_messages import read_source_image, write_outcome
from service.rpc.streams import RequestStream
from service.usecases.ingest import Ingestor
from service.usecases.reading import CHUNK_IMAGES


class Upload:
    """One open stream of images."""

    def __init__(
        self,
        ingestor: Ingestor,
        stream: RequestStream[gallery_service_pb2.IngestImagesRequest],
        *,
        max_image_bytes: int,
    ) -> None:
        self._ingestor = ingestor
        self._stream = stream
        self._max_image_bytes = max_image_bytes
        self._tags: deque[str] = deque()

    def responses(self) -> Iterator[gallery_service_pb2.IngestImagesResponse]:
        """Yield one response per request, in order.

        Raises:
            PolyhashError: The client was idle for too long, the store failed, or the server stops.
        """
        with closing(self._ingestor.run(self._chunks())) as outcomes:
            for outcome in outcomes:
                yield write_outcome(self._tags.popleft(), outcome)

    def _chunks(self) -> Iterator[list[SourceImage]]:
        for requests in self._stream.batches(CHUNK_IMAGES):
            self._tags.extend(request.tag for request in requests)
            yield [read_source_image(request, max_image_bytes=self._max_image_bytes) for request in requests]
