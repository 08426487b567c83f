# ruff: noqa: N802 - the protocol names the methods
"""AnalysisService: what the gallery would compute for a picture.

In: checked messages. Out: responses, or PolyhashErrors that the interceptor turns into statuses.
"""

import grpc
import numpy as np
from polyhash.v1 import analysis_service_pb2, analysis_service_pb2_grpc

from service.application import Application
from service.errors import ImageError
from service.rpc.checks import blaming, check_content
from service.rpc.settings import ServerSettings
from service.usecases.queries import EncodedPicture


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
            encoded = self._application.searcher.encode(content)
        return _write_codes(encoded)


def _write_codes(encoded: EncodedPicture) -> analysis_service_pb2.EncodeResponse:
    """Return a code record, whole and split by length."""
    record = encoded.record
    return analysis_service_pb2.EncodeResponse(
        codes=[
            analysis_service_pb2.Code(bits=bits, code=code.tobytes())
            for bits, code in encoded.layout.split(record[np.newaxis]).items()
        ],
        record=record.tobytes(),
        hasher=encoded.hasher_identity,
        backbone=encoded.backbone_identity,
    )
