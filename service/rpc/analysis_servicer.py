# ruff: noqa: N802 - the protocol names the methods
"""AnalysisService: what the gallery would compute for a picture.

In: checked messages. Out: responses, or PolyhashErrors that the interceptor turns into statuses.
"""

import grpc
from polyhash.v1 import analysis_service_pb2, analysis_service_pb2_grpc

from service.application import Application
from service.errors import ImageError
from service.rpc.messages import blaming, check_content, write_codes
from service.rpc.settings import ServerSettings


class AnalysisServicer(analysis_service_pb2_grpc.AnalysisServiceServicer):
    """Serves the models of one application."""

    def __init__(self, application: Application, settings: ServerSettings) -> None:
        self._application = application
        self._max_image_bytes = settings.max_image_bytes

    def Encode(
        self, request: analysis_service_pb2.EncodeRequest, context: grpc.ServicerContext
    ) -> analysis_service_pb2.EncodeResponse:
        """Return the codes of a picture."""
        del context
        with blaming("image", ImageError):
            content = check_content(request.image, field="image", max_bytes=self._max_image_bytes)
            record = self._application.searcher.encode(content)
        return write_codes(record, self._application.gallery)
