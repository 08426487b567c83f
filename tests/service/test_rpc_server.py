"""The server as a whole: limits, deadlines, unexpected failures, health, reflection, shutdown."""

import logging
import queue
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from polyhash.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    gallery_service_pb2,
    gallery_service_pb2_grpc,
    index_service_pb2,
    index_service_pb2_grpc,
)

from service.errors import ConflictError
from service.rpc.api_error import read_rpc_error
from service.rpc.server import SERVICES, Server
from service.rpc.settings import MAX_MESSAGE_BYTES, ServerSettings
from tests.contracts.fakes import FIRST_ID, FakeBackbone, FakeHasher, new_application, png, served

TIMEOUT_S = 20
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def backbone():
    backbone = FakeBackbone()
    yield backbone
    backbone.gate.set()


@contextmanager
def connected(backbone, **settings):
    application = new_application(hasher=FakeHasher(), backbone=backbone)
    options = [("grpc.max_send_message_length", -1)]
    with (
        served(application, ServerSettings(**settings)) as address,
        grpc.insecure_channel(address, options=options) as channel,
    ):
        try:
            yield channel
        finally:
            backbone.gate.set()


def encode(channel, *, timeout_s=TIMEOUT_S, image=None):
    stub = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
    return stub.Encode.future(analysis_service_pb2.EncodeRequest(image=image or png(0)), timeout=timeout_s)


def is_refused(channel):
    stub = index_service_pb2_grpc.IndexServiceStub(channel)
    call = stub.GetIndexStats.future(index_service_pb2.GetIndexStatsRequest(), timeout=TIMEOUT_S)
    return call.exception() is not None


def error_of(call):
    with pytest.raises(grpc.RpcError) as caught:
        call.result()
    return read_rpc_error(caught.value)


def wait_until(fact):
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline, "the fact did not come about within 10 s"
        time.sleep(0.01)


# ---------------------------------------------------------------- limits


def test_one_call_too_many_is_refused_at_once_and_the_others_are_answered(backbone):
    with connected(backbone, max_calls=2) as channel:
        backbone.gate.clear()
        calls = [encode(channel) for _ in range(5)]
        wait_until(lambda: sum(call.done() for call in calls) == 3)
        refused = [error_of(call) for call in calls if call.done()]
        backbone.gate.set()
        assert {(e.code.name, e.reason, e.retry_after_s) for e in refused} == {
            ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS", 1)
        }
        assert sum(call.exception() is None for call in calls) == 2
        assert encode(channel).result().codes


def test_open_uploads_do_not_hold_back_calls(backbone):
    with connected(backbone, max_calls=1, max_ingest_streams=3) as channel, ThreadPoolExecutor() as pool:
        ends = [queue.Queue() for _ in range(3)]
        ingest = gallery_service_pb2_grpc.GalleryServiceStub(channel).IngestImages
        uploads = [pool.submit(list, ingest(iter(end.get, None), timeout=TIMEOUT_S)) for end in ends]
        assert encode(channel).result().codes
        for end in ends:
            end.put(None)
        assert [upload.result() for upload in uploads] == [[], [], []]


def test_a_message_over_the_limit_is_refused_and_the_connection_goes_on(backbone):
    with connected(backbone) as channel:
        error = error_of(encode(channel, image=bytes(MAX_MESSAGE_BYTES)))
        assert error.code.name == "RESOURCE_EXHAUSTED"
        assert str(MAX_MESSAGE_BYTES) in error.message
        assert encode(channel).result().codes


def test_an_image_over_its_own_limit_is_refused_with_the_reason(backbone):
    with connected(backbone) as channel:
        error = error_of(encode(channel, image=bytes(24 * 2**20 + 1)))
        assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "IMAGE_TOO_LARGE")
        assert error.metadata == {"image_bytes": "25165825", "max_image_bytes": "25165824"}


def test_a_malformed_message_is_the_clients_fault(backbone):
    with connected(backbone) as channel:
        call = channel.unary_unary("/polyhash.v1.AnalysisService/Encode").future(
            b"\xff\xff", timeout=TIMEOUT_S
        )
        error = error_of(call)
        assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")


def test_an_unknown_method_is_unimplemented(backbone):
    with connected(backbone) as channel:
        call = channel.unary_unary("/polyhash.v1.AnalysisService/Divine").future(b"", timeout=TIMEOUT_S)
        assert error_of(call).code.name == "UNIMPLEMENTED"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_calls": 0}, r"max_calls must be above 0, got 0\."),
        ({"max_image_bytes": MAX_MESSAGE_BYTES}, "max_image_bytes must be below the message limit"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ServerSettings(**settings)


# ---------------------------------------------------------------- deadlines and failures


def test_a_call_past_its_clients_deadline_ends(backbone):
    with connected(backbone) as channel:
        backbone.gate.clear()
        assert error_of(encode(channel, timeout_s=0.2)).code.name == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("timeout_s", [None, TIMEOUT_S])
def test_the_server_caps_the_deadline_that_a_client_leaves_out_or_sets_far_off(backbone, timeout_s):
    with connected(backbone, max_call_s=0.2) as channel:
        backbone.gate.clear()
        call = encode(channel, timeout_s=timeout_s)
        threading.Timer(0.5, backbone.gate.set).start()
        error = error_of(call)
        assert (error.code.name, error.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert error.metadata["max_call_s"] == "0.2"


def test_an_unexpected_failure_is_logged_under_an_incident_and_tells_nothing_else(backbone, caplog):
    with connected(backbone) as channel, caplog.at_level(logging.ERROR):
        backbone.failure = ZeroDivisionError("secret path /srv/x")
        error = error_of(encode(channel))
    assert (error.code.name, error.reason) == ("INTERNAL", "INTERNAL")
    assert "secret" not in error.message
    (record,) = caplog.records
    incident = re.search(r"incident (\w{12})", error.message)[1]
    assert incident in record.getMessage()
    assert error.metadata == {"incident": incident}
    assert "secret path" in str(record.exc_info[1])


# ---------------------------------------------------------------- health, reflection, life


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_is_serving_for_the_server_and_each_service(backbone, service):
    with connected(backbone) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        request = health_pb2.HealthCheckRequest(service=service)
        assert check(request, timeout=TIMEOUT_S).status == SERVING


def test_reflection_lists_all_services_and_finds_their_files(backbone):
    with connected(backbone) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="polyhash.v1.GalleryService"),
        ]
        listed, found = stub.ServerReflectionInfo(iter(requests), timeout=TIMEOUT_S)
    names = {service.name for service in listed.list_services_response.service}
    assert names == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    ours = {f"polyhash.v1.{name}Service" for name in ("Analysis", "Gallery", "Index", "Search")}
    assert set(SERVICES) == ours | {"google.longrunning.Operations"}
    assert any(b"IngestImages" in file for file in found.file_descriptor_response.file_descriptor_proto)


def test_an_address_in_use_is_a_conflict_that_names_it():
    with served(new_application(hasher=FakeHasher())) as address:
        second = Server(new_application(hasher=FakeHasher()))
        with pytest.raises(ConflictError, match=f"Cannot listen on {address}"):
            second.start(address)
        second.stop(grace_s=0.0)


def test_stopping_says_not_serving_answers_what_is_under_way_and_takes_no_more(backbone):
    application = new_application(hasher=FakeHasher(), backbone=backbone)
    server = Server(application)
    port = server.start("127.0.0.1:0")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service="polyhash.v1.SearchService"), timeout=TIMEOUT_S
        )
        assert next(watched).status == SERVING
        backbone.gate.clear()
        under_way = encode(channel)
        to_send: queue.Queue = queue.Queue()
        ingest = gallery_service_pb2_grpc.GalleryServiceStub(channel).IngestImages
        upload = ingest(iter(to_send.get, None), timeout=TIMEOUT_S)
        to_send.put(gallery_service_pb2.IngestImagesRequest(tag="t", name="n", content=png(1)))
        wait_until(lambda: backbone.passes_begun == 2)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert [health.status for health in watched] == [NOT_SERVING]
        wait_until(lambda: is_refused(channel))
        backbone.gate.set()
        assert under_way.result().codes
        assert next(upload).ingested.image_id == FIRST_ID
        with pytest.raises(grpc.RpcError) as caught:
            next(upload)
        assert read_rpc_error(caught.value).reason == "SERVER_STOPPING"
        to_send.put(None)
        stopping.join(timeout=10)
        assert not stopping.is_alive()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rpc")]


def test_calls_that_outlast_the_grace_are_cut_off(backbone):
    server = Server(new_application(hasher=FakeHasher(), backbone=backbone))
    port = server.start("127.0.0.1:0")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        backbone.gate.clear()
        call = encode(channel)
        wait_until(lambda: backbone.passes_begun == 1)
        threading.Timer(0.5, backbone.gate.set).start()
        server.stop(grace_s=0.1)
        assert error_of(call).code.name in {"CANCELLED", "UNAVAILABLE"}
