# ruff: noqa: N802 - the protocol names the methods
"""SearchService: from a picture, an image of the gallery or a code to ranked hits.

In: checked messages. Out: responses, or PolyhashErrors that the interceptor turns into statuses.
"""

import grpc
from polyhash.v1 import search_service_pb2, search_service_pb2_grpc

from service.errors import ImageError, InvalidArgumentError
from service.rpc.messages import blaming, read_search, write_answer
from service.rpc.settings import MAX_MESSAGE_BYTES, ServerSettings
from service.usecases.search import Searcher


class SearchServicer(search_service_pb2_grpc.SearchServiceServicer):
    """Serves searches over one gallery."""

    def __init__(self, searcher: Searcher, settings: ServerSettings) -> None:
        self._searcher = searcher
        self._max_image_bytes = settings.max_image_bytes

    def Search(
        self, request: search_service_pb2.SearchRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.SearchResponse:
        """Answer one search."""
        del context
        with blaming("image", ImageError):
            answer = self._searcher.search(read_search(request, max_image_bytes=self._max_image_bytes))
        response = write_answer(answer)
        if response.ByteSize() > MAX_MESSAGE_BYTES:
            raise InvalidArgumentError(
                f"The answer has {response.ByteSize()} bytes, a message holds {MAX_MESSAGE_BYTES}. Ask for fewer hits "
                "(k), or for ids alone (SEARCH_VIEW_BASIC).",
                reason="ANSWER_TOO_LARGE",
                field="k",
                answer_bytes=response.ByteSize(),
                max_bytes=MAX_MESSAGE_BYTES,
            )
        return response
