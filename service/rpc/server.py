"""The gRPC server: one application on one address, with health and reflection.

In: an `Application` and settings. Out: a served port. The store's opening and closing stay with the caller.

Threads: every call holds one worker of a pool for as long as it runs. The pool has room for all allowed calls, all
allowed waits and streams and a few more, so that one too many is answered (RESOURCE_EXHAUSTED) and never waits in a queue.
"""

from concurrent.futures import ThreadPoolExecutor

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from polyhash.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    gallery_service_pb2,
    gallery_service_pb2_grpc,
    index_service_pb2,
    index_service_pb2_grpc,
    search_service_pb2,
    search_service_pb2_grpc,
)

from service.application import Application
from service.errors import ConflictError
from service.rpc.analysis_servicer import AnalysisServicer
from service.rpc.gallery_servicer import GalleryServicer
from service.rpc.generation_messages import OPERATION_FORMS
from service.rpc.health import HealthServicer
from service.rpc.index_servicer import IndexServicer
from service.rpc.interceptors import GuardInterceptor
from service.rpc.operations_servicer import OperationsServicer
from service.rpc.search_servicer import SearchServicer
from service.rpc.settings import MAX_MESSAGE_BYTES, ServerSettings
from service.rpc.streams import OpenStreams

SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (analysis_service_pb2, "AnalysisService"),
        (gallery_service_pb2, "GalleryService"),
        (index_service_pb2, "IndexService"),
        (search_service_pb2, "SearchService"),
        (operations_pb2, "Operations"),
    )
)
_SPARE_WORKERS = 8  # for refusals, health and reflection
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a coin toss
    ("grpc.keepalive_time_ms", 60_000),  # finds clients that vanished without a word
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients may ping this often
    ("grpc.keepalive_permit_without_calls", 1),
)


class Server:
    """Serves one application from `start` to `stop`."""

    def __init__(self, application: Application, settings: ServerSettings | None = None) -> None:
        settings = settings or ServerSettings()
        workers = settings.max_calls + settings.max_waits + _SPARE_WORKERS
        workers += settings.max_ingest_streams + settings.max_search_streams
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="rpc")
        self._server = grpc.server(self._workers, interceptors=[GuardInterceptor(settings)], options=_OPTIONS)
        self._streams = OpenStreams(settings)
        self._operations = application.operations
        self._health = HealthServicer()
        self._add_services(application, settings)
        self._health.set(("", *SERVICES), health_pb2.HealthCheckResponse.NOT_SERVING)

    def start(self, address: str) -> int:
        """Listen on `HOST:PORT` (port 0 for any free one) and serve; returns the port.

        Raises:
            ConflictError: The address cannot be listened on.
        """
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConflictError(
                f"Cannot listen on {address}: it is in use, not of this machine, or no HOST:PORT. Choose another address.",
                reason="ADDRESS_UNAVAILABLE",
                address=address,
            ) from error
        self._server.start()
        self._health.set(("", *SERVICES), health_pb2.HealthCheckResponse.SERVING)
        return port

    def stop(self, grace_s: float = 10.0) -> None:
        """Say NOT_SERVING, cancel operations, take no new calls, let those under way finish for `grace_s` seconds, end all threads."""
        self._health.stop()
        self._streams.stop()
        self._operations.close()
        self._server.stop(grace_s).wait()
        self._workers.shutdown()
        self._health.close()

    def _add_services(self, application: Application, settings: ServerSettings) -> None:
        server = self._server
        analysis_service_pb2_grpc.add_AnalysisServiceServicer_to_server(
            AnalysisServicer(application, settings), server
        )
        gallery_service_pb2_grpc.add_GalleryServiceServicer_to_server(
            GalleryServicer(application, settings, self._streams), server
        )
        index_service_pb2_grpc.add_IndexServiceServicer_to_server(
            IndexServicer(application, settings), server
        )
        search_service_pb2_grpc.add_SearchServiceServicer_to_server(
            SearchServicer(application.searcher, settings, self._streams), server
        )
        operations_pb2_grpc.add_OperationsServicer_to_server(
            OperationsServicer(application.operations, OPERATION_FORMS, settings), server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
