# ruff: noqa: N802 - the protocol names the methods
"""IndexService: the state of the gallery's indexes.

In: checked messages. Out: responses, or PolyhashErrors that the interceptor turns into statuses.
"""

import grpc
from polyhash.v1 import index_service_pb2, index_service_pb2_grpc

from service.application import Application
from service.rpc.messages import write_stats


class IndexServicer(index_service_pb2_grpc.IndexServiceServicer):
    """Serves the state of one application."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def GetIndexStats(
        self, request: index_service_pb2.GetIndexStatsRequest, context: grpc.ServicerContext
    ) -> index_service_pb2.GetIndexStatsResponse:
        """Return how much the gallery holds and which models it uses."""
        del request, context
        return write_stats(self._application.catalog.counts(), self._application.gallery)
