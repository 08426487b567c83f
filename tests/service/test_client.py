"""Both clients against a real server: typed answers, typed errors, uploads, and what importing them costs."""

import contextlib
import datetime as dt
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest

from service.client import (
    ApiError,
    AsyncClient,
    Client,
    Ingested,
    NewImage,
    Refused,
)
from service.rpc import calls
from service.rpc.settings import MAX_MESSAGE_BYTES, ServerSettings
from tests.contracts.fakes import FIRST_ID, FakeBackbone, FakeHasher, new_application, png, served
from tests.contracts.memory_models import noon
from tests.service.clients import KINDS, images

ATTEMPTS = 100
SECOND_ID = FIRST_ID + 1
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def connect(request):
    return request.param


@pytest.fixture
def address():
    with served(new_application(hasher=FakeHasher())) as address:
        yield address


def test_a_whole_session_answers_in_plain_records(connect, address, tmp_path):
    query = tmp_path / "query.png"
    query.write_bytes(png(1))
    with connect(address) as client:
        outcomes = list(client.ingest([*images(3), query]))
        assert outcomes[:3] == [
            Ingested(name=f"{seed}.png", image_id=FIRST_ID + seed, sequence=seed + 1, duplicate_of=None)
            for seed in range(3)
        ]
        assert outcomes[3] == Ingested(
            name=str(query), image_id=SECOND_ID, sequence=2, duplicate_of=SECOND_ID
        )

        found = client.search(image=query, k=2)
        first = found.hits[0]
        assert (first.rank, first.image_id, first.distance) == (1, SECOND_ID, 0)
        image = first.image
        assert image == client.get_image(SECOND_ID)
        assert (image.name, image.labels, dict(image.attributes)) == ("1.png", ("x",), {"seed": "1"})
        assert (image.created_at, image.created_at.tzinfo) == (noon(), dt.UTC)

        encoding = client.encode(png(1))
        assert encoding.codes[32] == found.code
        assert encoding.record == encoding.codes[16] + encoding.codes[32]
        assert client.search(code=encoding.record, bits=16, full=False).hits[0].image is None
        assert SECOND_ID not in {hit.image_id for hit in client.search(image_id=SECOND_ID).hits}
        assert client.search(image_id=SECOND_ID, max_distance=0).hits == ()

        assert [image.image_id for image in client.list_images(page_size=2)] == [
            FIRST_ID,
            SECOND_ID,
            SECOND_ID + 1,
        ]
        assert list(client.list_images(label="y")) == []
        assert client.thumbnail(FIRST_ID, side_px=16)[:2] == b"\xff\xd8"
        assert client.delete_image(SECOND_ID + 1) == 4
        stats = client.stats()
        assert (stats.images, stats.indexed_images, dict(stats.labels), stats.sequence) == (2, 2, {"x": 2}, 4)
        assert (stats.lengths, stats.hasher) == ((16, 32), FakeHasher.identity)


def test_the_record_of_nested_codes_is_searched_at_every_length(connect):
    with served(new_application(hasher=FakeHasher(nested=True))) as address, connect(address) as client:
        list(client.ingest(images(3)))
        encoding = client.encode(png(1))
        assert encoding.codes == {16: encoding.record[:2], 32: encoding.record}
        for bits in (16, 32):
            found = client.search(code=encoding.record, bits=bits)
            assert found.hits == client.search(image=png(1), bits=bits).hits


def test_refused_calls_raise_all_that_the_server_said(connect, address):
    with (
        connect(address) as client,
        pytest.raises(ApiError, match="k must be from 1 to 10000, got 0") as caught,
    ):
        client.search(image_id=1, k=0)
    error = caught.value
    assert str(error).startswith("INVALID_ARGUMENT (K_OUT_OF_RANGE): k must be")
    assert (error.code, error.metadata) == (grpc.StatusCode.INVALID_ARGUMENT, {"k": "0"})
    assert error.violations == {"k": error.message}
    assert error.retry_after_s is None


def test_a_search_needs_exactly_one_query(connect, address):
    with connect(address) as client:
        with pytest.raises(ValueError, match="exactly one of image, image_id, code, got none"):
            client.search()
        with pytest.raises(ValueError, match="exactly one of image, image_id, code, got image_id, code"):
            client.search(image_id=1, code=b"12")


def test_refused_images_keep_their_place_also_those_that_cannot_be_sent(connect, address, tmp_path):
    missing = tmp_path / "missing.png"
    sent = [missing, *images(1), NewImage(name="words", content=b"words"), missing]
    huge = NewImage(name="huge", content=bytes(MAX_MESSAGE_BYTES))
    with connect(address) as client:
        outcomes = list(client.ingest([*sent, huge, *images(2)[1:], missing]))
    assert [outcome.name for outcome in outcomes] == [
        str(missing),
        "0.png",
        "words",
        str(missing),
        "huge",
        "1.png",
        str(missing),
    ]
    reasons = [
        outcome.error.reason if isinstance(outcome, Refused) else outcome.image_id for outcome in outcomes
    ]
    unreadable = "FILE_UNREADABLE"
    assert reasons == [
        unreadable,
        FIRST_ID,
        "IMAGE_UNREADABLE",
        unreadable,
        "IMAGE_TOO_LARGE",
        SECOND_ID,
        unreadable,
    ]
    assert outcomes[0].error.message == f"{missing} cannot be read: No such file or directory."


def test_an_error_of_the_callers_own_images_reaches_the_caller(connect, address):
    def failing():
        yield from images(1)
        raise KeyError("mine")

    with connect(address) as client, pytest.raises(KeyError, match="mine"):
        list(client.ingest(failing()))


def test_a_failed_upload_raises_what_the_server_said(connect):
    settings = ServerSettings(stream_idle_s=0.2)
    backbone = FakeBackbone()
    backbone.failure = ZeroDivisionError()
    with (
        served(new_application(hasher=None, backbone=backbone), settings) as address,
        connect(address) as client,
        pytest.raises(ApiError, match="The server failed unexpectedly"),
    ):
        list(client.ingest(images(1)))


def test_nobody_there_is_unavailable_after_retries(connect):
    with connect("127.0.0.1:1", timeout_s=20.0) as client, pytest.raises(ApiError) as caught:
        client.stats()
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")


def test_the_deadline_is_the_clients_own(connect):
    backbone = FakeBackbone()
    with (
        served(new_application(hasher=FakeHasher(), backbone=backbone)) as address,
        connect(address, timeout_s=0.2) as client,
    ):
        backbone.gate.clear()
        with pytest.raises(ApiError) as caught:
            client.encode(png(0))
        backbone.gate.set()
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_outcomes_come_while_images_are_still_being_made(address):
    known = threading.Semaphore(0)

    def making():
        for image in images(3):
            yield image
            assert known.acquire(timeout=10)  # until the outcome of this image has come

    with Client(address) as client:
        for outcome in client.ingest(making()):
            assert isinstance(outcome, Ingested)
            known.release()


@pytest.fixture
def narrow_address():
    """A server that takes one upload at a time."""
    with served(new_application(hasher=None), ServerSettings(max_ingest_streams=1)) as address:
        yield address


def stalling_images(released):
    """Images of which the second is not made before `released` is set."""
    yield from images(1)
    released.wait(timeout=30)


def test_an_abandoned_upload_frees_its_place(narrow_address):
    released = threading.Event()
    with Client(narrow_address) as client:
        outcomes = client.ingest(stalling_images(released))
        next(outcomes)
        outcomes.close()
        try:
            assert any(map(place_is_free, [client] * ATTEMPTS))
        finally:
            released.set()


def place_is_free(client):
    with contextlib.suppress(ApiError):
        return bool(list(client.ingest(images(1))))
    return time.sleep(0.05)  # the server hears of the abandoned upload a moment later


async def test_an_abandoned_asynchronous_upload_frees_its_place(narrow_address):
    released = threading.Event()
    async with AsyncClient(narrow_address) as client:
        outcomes = client.ingest(stalling_images(released))
        await anext(outcomes)
        await outcomes.aclose()
        try:
            with Client(narrow_address) as other:
                assert any(map(place_is_free, [other] * ATTEMPTS))
        finally:
            released.set()


def test_only_repeatable_calls_are_tried_again_and_only_when_unavailable():
    options = dict(calls.channel_options())
    (config,) = json.loads(options["grpc.service_config"])["methodConfig"]
    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert {entry["method"] for entry in config["name"]} == {
        "BatchGetImages",
        "BatchSearch",
        "CancelOperation",
        "CountMatches",
        "Encode",
        "Facets",
        "GetImage",
        "GetIndexStats",
        "GetOperation",
        "GetThumbnail",
        "ListGenerations",
        "ListImages",
        "ListOperations",
        "Search",
        "UpdateImage",
        "WaitOperation",
    }


def test_importing_the_client_loads_no_heavy_library():
    program = "import sys, service.client; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    path = f"{REPOSITORY}:{REPOSITORY / 'proto'}"
    loaded = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", program], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "faiss", "sqlalchemy", "numpy", "PIL"} & set(loaded)
