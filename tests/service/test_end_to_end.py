"""The whole of it, as a demanding user meets it: odd and bad pictures, wrong arguments, odd names, heavy answers.

Real store, real backbone, real server, real client. Who dies, and many at once: `test_endurance`.
"""

import asyncio
import os
import shutil
import time
import weakref
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from PIL import Image
from polyhash.v1 import analysis_service_pb2 as analysis
from polyhash.v1 import gallery_service_pb2 as gallery
from polyhash.v1 import search_service_pb2 as search

from service import compose
from service.client import ApiError, AsyncClient, Client, Ingested, NewImage, Refused
from service.records import SourceImage
from service.rpc import pages
from service.rpc.calls import Stubs, channel_options
from service.rpc.settings import ServerSettings
from service.rpc.streams import RequestStream
from service.rpc.upload import Upload
from service.usecases.ingest import Ingestor
from service.usecases.reading import in_chunks
from tests.service.odd_pictures import bad_pictures, encoded, odd_pictures, picture
from tests.service.stack import (
    ALL,
    COUNT,
    LENGTHS,
    TIMEOUT_S,
    alike,
    make_store,
    named,
    read_error,
    serving,
    wait_until,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("template"))


@pytest.fixture
def store(template, tmp_path):
    return shutil.copytree(template, tmp_path / "store")


@pytest.fixture
def address(store):
    with serving(store) as (address, _):
        yield address


@pytest.fixture
def client(address):
    with Client(address) as client:
        yield client


@pytest.fixture
def stubs(address):
    with grpc.insecure_channel(address, options=channel_options()) as channel:
        yield Stubs(channel)


def test_bad_pictures_are_refused_in_their_turn_and_odd_ones_equal_their_plain_twins(store):
    bad, odd = bad_pictures(), odd_pictures()
    contents = {name: content for name, (content, *_) in (*odd.items(), *bad.items())}
    order = sorted(contents, key=lambda name: zlib.crc32(name.encode()))  # good among bad
    images = [NewImage(name=name, content=contents[name]) for name in order]
    with serving(store) as (address, application), Client(address) as client:
        outcomes = list(client.ingest(images))
        assert [outcome.name for outcome in outcomes] == order
        refused = {o.name: o.error for o in outcomes if isinstance(o, Refused)}
        assert {name: error.reason for name, error in refused.items()} == {
            n: why for n, (_, why) in bad.items()
        }
        assert all(error.code.name == "INVALID_ARGUMENT" and error.violations for error in refused.values())
        ids = {o.name: o.image_id for o in outcomes if isinstance(o, Ingested)}
        identity = application.backbone.identity
        (chunk,) = application.catalog.embeddings(backbone=identity)
        embeddings = dict(zip(chunk.image_ids.tolist(), chunk.embeddings, strict=True))
        for name, (content, plain) in odd.items():
            square = application.backbone.prepare(np.asarray(plain))
            expected = application.backbone.extract(square[None]).embeddings[0].astype(np.float16)
            # A network's sums depend in the last digits on what is beside a picture in its batch.
            np.testing.assert_allclose(embeddings[ids[name]], expected, rtol=2e-3, atol=1e-5, err_msg=name)
            row = client.get_image(ids[name])
            assert (row.name, row.width_px, row.height_px) == (name, 120, 90)
            assert Image.open(BytesIO(client.thumbnail(row.image_id, side_px=60))).size == (60, 45)
            assert all(row.image_id in alike(client, content, bits) for bits in LENGTHS)
            assert row.image_id in alike(client, encoded(plain))


def token(position):
    """Return a page token as someone forges it who has read our code."""
    return pages._seal(position, b"list")


WRONG_IMAGES = [
    (b"", "IMAGE_UNREADABLE"),
    (b"text", "IMAGE_UNREADABLE"),
    (bytes(25 * 2**20), "IMAGE_TOO_LARGE"),
]
WRONG_SEARCHES = [
    ({"k": 0}, "INVALID_ARGUMENT", "K_OUT_OF_RANGE", "k"),
    ({"k": -(2**31)}, "INVALID_ARGUMENT", "K_OUT_OF_RANGE", "k"),
    ({"k": 10_001}, "INVALID_ARGUMENT", "K_OUT_OF_RANGE", "k"),
    ({"max_distance": -1}, "INVALID_ARGUMENT", "MAX_DISTANCE_OUT_OF_RANGE", "max_distance"),
    ({"bits": 32}, "INVALID_ARGUMENT", "BITS_NOT_IN_MODEL", "bits"),
    ({"bits": -64}, "INVALID_ARGUMENT", "BITS_NOT_IN_MODEL", "bits"),
    ({"view": 9}, "INVALID_ARGUMENT", "VIEW_UNKNOWN", "view"),
    ({"code": b""}, "INVALID_ARGUMENT", "CODE_SIZE", "code"),
    ({"code": bytes(8)}, "INVALID_ARGUMENT", "CODE_SIZE", "code"),
    ({"code": bytes(2**20)}, "INVALID_ARGUMENT", "CODE_SIZE", "code"),
    ({"image_id": 0}, "INVALID_ARGUMENT", "IMAGE_ID_OUT_OF_RANGE", "image_id"),
    ({"image_id": 2**63 - 1}, "NOT_FOUND", "IMAGE_NOT_FOUND", "image_id"),
    *(({"image": image}, "INVALID_ARGUMENT", reason, "image") for image, reason in WRONG_IMAGES),
]


def wrong_calls(stubs):
    """Yield a call, its request, and the code, reason and field of its refusal."""
    for values, *expected in WRONG_SEARCHES:
        query = {} if values.keys() & {"code", "image", "image_id"} else {"image_id": 1}
        yield stubs.search.Search, search.SearchRequest(**values, **query), tuple(expected)
    yield stubs.search.Search, search.SearchRequest(), ("INVALID_ARGUMENT", "QUERY_MISSING", "query")
    for image, reason in WRONG_IMAGES:
        yield (
            stubs.analysis.Encode,
            analysis.EncodeRequest(image=image),
            ("INVALID_ARGUMENT", reason, "image"),
        )
    calls = stubs.gallery
    for call, request in (
        (calls.GetImage, gallery.GetImageRequest),
        (calls.DeleteImage, gallery.DeleteImageRequest),
        (calls.GetThumbnail, gallery.GetThumbnailRequest),
    ):
        for image_id in (COUNT + 1, 2**63 - 1):
            yield call, request(image_id=image_id), ("NOT_FOUND", "IMAGE_NOT_FOUND", "image_id")
        for image_id in (0, -(2**63)):
            yield call, request(image_id=image_id), ("INVALID_ARGUMENT", "IMAGE_ID_OUT_OF_RANGE", "image_id")
    for side_px in (15, 1025, -1):
        request = gallery.GetThumbnailRequest(image_id=1, side_px=side_px)
        yield calls.GetThumbnail, request, ("INVALID_ARGUMENT", "SIDE_OUT_OF_RANGE", "side_px")
    for values, reason, field in (
        ({"page_size": -1}, "PAGE_SIZE_OUT_OF_RANGE", "page_size"),
        ({"page_token": "é"}, "PAGE_TOKEN_INVALID", "page_token"),
        ({"page_token": token(b"\0" * 8), "label": "a"}, "PAGE_TOKEN_INVALID", "page_token"),
        ({"label": "a" * 257}, "TEXT_LENGTH", "label"),
    ):
        yield calls.ListImages, gallery.ListImagesRequest(**values), ("INVALID_ARGUMENT", reason, field)


def test_every_wrong_argument_of_every_method_is_named_and_changes_nothing(stubs):
    for call, request, expected in wrong_calls(stubs):
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=TIMEOUT_S)
        assert read_error(caught.value) == expected, str(request)[:80]
    everything = search.SearchRequest(image_id=1, k=ALL, max_distance=2**31 - 1)
    assert len(stubs.search.Search(everything).hits) == COUNT - 1  # k > n


def test_a_forged_page_token_is_no_failure_of_the_server(stubs):
    for position in (b"\xff" * 8, b"\x80" + bytes(7), b"\x7f" + b"\xff" * 7):
        answer = stubs.gallery.ListImages(gallery.ListImagesRequest(page_token=token(position)))
        assert len(answer.images) in {0, COUNT}


def test_answers_that_no_message_holds_are_paged_or_refused(client):
    facts = {f"{number:0256d}": "🦊" * 1024 for number in range(64)}
    labels = tuple(f"{'é' * 250}{number}" for number in range(64))
    heavy = [replace(image, attributes=facts, labels=labels) for image in named(range(110))]
    assert all(isinstance(outcome, Ingested) for outcome in client.ingest(heavy))
    assert len(list(client.list_images(page_size=1000))) == COUNT + 110
    with pytest.raises(ApiError, match=r"a message holds 33554432\. Ask for fewer hits") as caught:
        client.search(image_id=1, k=ALL)
    assert (caught.value.reason, list(caught.value.violations)) == ("ANSWER_TOO_LARGE", ["k"])
    assert len(client.search(image_id=1, k=ALL, full=False).hits) == COUNT + 109


def test_names_that_are_no_unicode_hold_up_no_upload(address, client, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    odd.write_bytes(picture(1))
    images = [odd, NewImage(name="\udce9", content=picture(2)), *named([3])]

    async def send():
        async with AsyncClient(address) as other:
            return [outcome async for outcome in other.ingest(images)]

    for outcomes in (list(client.ingest(images)), asyncio.run(send())):
        taken, refused, last = outcomes
        assert (taken.image_id, taken.name[-9:]) == (COUNT + 1, "/caf\ufffd.png")
        assert (refused.error.reason, last.image_id) == ("TEXT_NOT_UNICODE", COUNT + 2)
        assert "must be valid Unicode" in refused.error.message


def test_a_store_without_hasher_takes_images_and_says_what_searches_lack(tmp_path):
    with serving(tmp_path / "store", create=True) as (address, _), Client(address) as client:
        assert [outcome.image_id for outcome in client.ingest(named(range(3)))] == [1, 2, 3]
        for ask in (client.encode, lambda image: client.search(image=image)):
            with pytest.raises(ApiError, match="polyhash train hasher") as caught:
                ask(picture(0))
            assert (caught.value.code.name, caught.value.reason) == ("FAILED_PRECONDITION", "NO_HASHER")
        client.delete_image(2)
        assert (client.stats().images, client.stats().indexed_images, client.stats().lengths) == (2, 0, ())


def test_decoded_pictures_are_let_go_before_the_backbone_sees_them(store):
    pixels = []
    with serving(store) as (_, application):

        def decode(content, *, target_px):
            decoded = compose.decode_in_turn(content, target_px=target_px)
            pixels.append(weakref.ref(decoded.pixels))
            return decoded

        images = [SourceImage(name=i.name, read=partial(bytes, i.content)) for i in named(range(96))]
        run = Ingestor(application.gallery, decode=decode).run(in_chunks(images))
        held = [sum(ref() is not None for ref in pixels) for _ in run]
    assert max(held) <= 4  # two threads decode, and one more picture each may be on its way


def test_the_memory_of_large_pictures_is_given_back(address):
    large = encoded(Image.new("RGBA", (4000, 4000), (1, 2, 3, 128)), compress_level=1)
    process = psutil.Process()
    with Client(address) as client, ThreadPoolExecutor(6) as pool:
        client.encode(large)
        before = process.memory_info().rss
        assert len({codes.record for codes in pool.map(client.encode, [large] * 6)}) == 1
        wait_until(lambda: process.memory_info().rss < before + 300 * 2**20)  # six times as much was in use


def test_tiny_pictures_do_not_pile_up_before_a_busy_store(store):
    arrived = []

    def requests():
        for number in range(10**6):
            arrived.append(number)
            yield gallery.IngestImagesRequest(name="n", content=picture(0) + bytes(str(number), "ascii"))

    with serving(store) as (_, application):
        stream = RequestStream(requests(), ServerSettings())
        upload = Upload(application.ingestor, stream, max_image_bytes=ServerSettings().max_image_bytes)
        with ThreadPoolExecutor(1) as pool, application.gallery._writing:
            responses = upload.responses()
            first = pool.submit(next, responses)
            wait_until(lambda: len(arrived) > 1000)
            time.sleep(0.5)
            waiting = len(arrived)
            stream.stop()
        responses.close()
    assert waiting < 1300
    assert first.result().ingested.image_id > COUNT
