"""IngestImages over a real connection: order, refusals, batches, back-pressure, and every way a stream can end."""

import queue
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import pytest
from polyhash.v1 import gallery_service_pb2, gallery_service_pb2_grpc

from service.application import Application
from service.errors import ResourceExhaustedError
from service.rpc.api_error import read_rpc_error, read_status
from service.rpc.settings import ServerSettings
from tests.contracts.fakes import FIRST_ID, FakeBackbone, FakeHasher, new_application, png, served

TIMEOUT_S = 20


def request(seed, **changes):
    fields = {"tag": f"t{seed}", "name": f"{seed}.png", "content": png(seed)} | changes
    return gallery_service_pb2.IngestImagesRequest(**fields)


@dataclass
class Uploads:
    """Uploads to a served gallery, with its fake backbone in reach."""

    application: Application
    backbone: FakeBackbone
    channel: grpc.Channel

    def ingest(self, requests):
        stub = gallery_service_pb2_grpc.GalleryServiceStub(self.channel)
        return stub.IngestImages(iter(requests), timeout=TIMEOUT_S)


@contextmanager
def gallery_with(**settings):
    backbone = FakeBackbone()
    application = new_application(hasher=FakeHasher(), backbone=backbone)
    with (
        served(application, ServerSettings(**settings)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        try:
            yield Uploads(application, backbone, channel)
        finally:
            backbone.gate.set()


def wait_until(fact):
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline, "the fact did not come about within 10 s"
        time.sleep(0.01)


def upload_threads():
    names = ("stream-feeder", "read-ahead", "decode")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]


def end_of(stream):
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    return read_rpc_error(caught.value)


def test_every_image_is_answered_in_order_with_its_tag():
    with gallery_with() as gallery:
        responses = list(gallery.ingest(request(seed) for seed in range(70)))
        assert [response.tag for response in responses] == [f"t{seed}" for seed in range(70)]
        assert [response.ingested.image_id for response in responses] == [FIRST_ID + n for n in range(70)]
        assert [response.ingested.sequence for response in responses] == list(range(1, 71))
        assert not any(response.ingested.HasField("duplicate_of") for response in responses)


def test_the_same_bytes_are_kept_once():
    with gallery_with() as gallery:
        first, second, third = gallery.ingest([request(1), request(2), request(1, tag="again")])
        assert (third.tag, third.ingested.image_id) == ("again", first.ingested.image_id)
        assert third.ingested.duplicate_of == first.ingested.image_id
        assert third.ingested.sequence == first.ingested.sequence
        assert not second.ingested.HasField("duplicate_of")


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"content": b""}, "IMAGE_UNREADABLE", "content"),
        ({"content": b"words"}, "IMAGE_UNREADABLE", "content"),
        ({"content": b"\xff\xd8\xff words"}, "IMAGE_UNREADABLE", "content"),
        ({"content": png(1)[:300]}, "IMAGE_UNREADABLE", "content"),
        ({"content": bytes(50_001)}, "IMAGE_TOO_LARGE", "content"),
        ({"name": ""}, "TEXT_LENGTH", "name"),
        ({"name": "é" * 1025}, "TEXT_LENGTH", "name"),
        ({"tag": "x" * 257}, "TEXT_LENGTH", "tag"),
        ({"labels": [""]}, "TEXT_LENGTH", "labels"),
        ({"labels": ["x" * 257]}, "TEXT_LENGTH", "labels"),
        ({"labels": ["x"] * 65}, "TOO_MANY_WORDS", "labels"),
        ({"attributes": {"": "x"}}, "TEXT_LENGTH", "attributes"),
        ({"attributes": {"x": "x" * 1025}}, "TEXT_LENGTH", "attributes"),
        ({"attributes": {str(n): "x" for n in range(65)}}, "TOO_MANY_WORDS", "attributes"),
        ({"scores": {"": 1.0}}, "TEXT_LENGTH", "scores"),
        ({"scores": {"x": float("inf")}}, "SCORE_NOT_FINITE", "scores"),
        ({"scores": {str(n): 1.0 for n in range(65)}}, "TOO_MANY_WORDS", "scores"),
    ],
)
def test_a_bad_image_is_refused_and_the_stream_goes_on(changes, reason, field):
    with gallery_with(max_image_bytes=50_000) as gallery:
        before, bad, after = gallery.ingest([request(1), request(2, **changes), request(3)])
        assert (before.ingested.image_id, after.ingested.image_id) == (FIRST_ID, FIRST_ID + 1)
        assert bad.tag == changes.get("tag", "t2")
        error = read_status(bad.error)
        assert (error.code.name, error.reason, set(error.violations)) == ("INVALID_ARGUMENT", reason, {field})


def test_long_and_unicode_names_within_the_limit_are_kept():
    with gallery_with() as gallery:
        name = "日本語/🖼" * 170
        (response,) = gallery.ingest([request(1, name=name, labels=["größe"], attributes={"ключ": ""})])
        row = gallery.application.pictures.row(response.ingested.image_id)
        assert (row.name, row.labels, dict(row.attributes)) == (name, ("größe",), {"ключ": ""})


def test_an_empty_stream_is_answered_with_nothing():
    with gallery_with() as gallery:
        assert list(gallery.ingest([])) == []


def test_a_client_that_waits_for_each_answer_gets_it():
    with gallery_with() as gallery:
        to_send: queue.Queue = queue.Queue()
        stream = gallery.ingest(iter(to_send.get, None))
        for seed in range(3):
            to_send.put(request(seed))
            assert next(stream).tag == f"t{seed}"
        to_send.put(None)
        assert list(stream) == []
        assert gallery.backbone.batch_sizes == [1, 1, 1]


def test_a_client_that_sends_ahead_is_served_in_batches():
    with gallery_with() as gallery:
        gallery.backbone.gate.clear()
        stream = gallery.ingest(request(seed) for seed in range(100))
        wait_until(lambda: gallery.backbone.passes_begun)
        time.sleep(0.3)  # the images arrive while the backbone is busy
        gallery.backbone.gate.set()
        assert len(list(stream)) == 100
        assert max(gallery.backbone.batch_sizes) == 32


def test_a_slow_server_slows_its_client_down():
    with gallery_with(stream_buffer_bytes=200_000) as gallery:
        gallery.backbone.gate.clear()
        sent = []

        def requests():
            yield request(0)  # holds up all behind it
            for seed in range(1, 400):
                sent.append(seed)
                yield request(seed, content=bytes(200_000))

        stream = gallery.ingest(requests())
        wait_until(lambda: gallery.backbone.passes_begun)
        time.sleep(0.5)  # time enough to send all, were nobody to stop it
        assert len(sent) < 300
        gallery.backbone.gate.set()
        assert len(list(stream)) == 400


def test_a_cancelled_upload_keeps_what_was_acknowledged_and_leaves_no_thread():
    with gallery_with() as gallery:
        to_send: queue.Queue = queue.Queue()
        stream = gallery.ingest(iter(to_send.get, None))
        to_send.put(request(1))
        assert next(stream).ingested.image_id == FIRST_ID
        stream.cancel()
        to_send.put(None)
        wait_until(lambda: not upload_threads())
        assert gallery.application.catalog.counts().images == 1


def test_an_upload_cancelled_while_the_backbone_works_leaves_no_thread():
    with gallery_with() as gallery:
        gallery.backbone.gate.clear()
        stream = gallery.ingest(request(seed) for seed in range(200))
        wait_until(lambda: gallery.backbone.passes_begun)
        stream.cancel()
        gallery.backbone.gate.set()
        wait_until(lambda: not upload_threads())


def test_a_silent_client_is_sent_away_after_its_images_are_answered():
    with gallery_with(stream_idle_s=0.3) as gallery:
        to_send: queue.Queue = queue.Queue()
        stream = gallery.ingest(iter(to_send.get, None))
        to_send.put(request(1))
        assert next(stream).ingested.image_id == FIRST_ID
        error = end_of(stream)
        to_send.put(None)
        assert (error.code.name, error.reason) == ("DEADLINE_EXCEEDED", "STREAM_IDLE")
        wait_until(lambda: not upload_threads())


def test_a_failing_store_ends_the_stream_with_its_status():
    with gallery_with() as gallery:
        gallery.backbone.failure = ResourceExhaustedError("The disk is full.", reason="DISK_FULL")
        error = end_of(gallery.ingest([request(1)]))
        assert (error.code.name, error.reason, error.retry_after_s) == ("RESOURCE_EXHAUSTED", "DISK_FULL", 1)
        wait_until(lambda: not upload_threads())


def test_one_upload_too_many_is_told_to_come_back_while_the_others_go_on():
    with gallery_with(max_ingest_streams=1) as gallery:
        to_send: queue.Queue = queue.Queue()
        first = gallery.ingest(iter(to_send.get, None))
        to_send.put(request(1))
        assert next(first).tag == "t1"
        error = end_of(gallery.ingest([request(2)]))
        assert (error.code.name, error.reason, error.retry_after_s) == (
            "RESOURCE_EXHAUSTED",
            "TOO_MANY_UPLOADS",
            1,
        )
        to_send.put(None)
        assert list(first) == []
        assert len(list(gallery.ingest([request(2)]))) == 1


def test_a_malformed_message_ends_the_stream_as_the_clients_fault():
    with gallery_with() as gallery:
        send_raw = gallery.channel.stream_stream("/polyhash.v1.GalleryService/IngestImages")
        error = end_of(send_raw(iter([request(1).SerializeToString(), b"\xff\xff"]), timeout=TIMEOUT_S))
        assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
