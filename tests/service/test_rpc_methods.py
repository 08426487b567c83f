"""Every unary method over a real connection: what it answers, and what bad input gets."""

import hashlib
from io import BytesIO

import grpc
import numpy as np
import pytest
from PIL import Image
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

from service.rpc.api_error import read_rpc_error
from service.rpc.settings import ServerSettings
from tests.contracts.fakes import FIRST_ID, FakeHasher, new_application, png, served

TIMEOUT_S = 20
MAX_IMAGE_BYTES = 100_000
IMAGES = 6
THIRD_ID = FIRST_ID + 2  # of png(2)
ALL_IDS = [FIRST_ID + seed for seed in range(IMAGES)]


class Stubs:
    def __init__(self, channel) -> None:
        self.gallery = gallery_service_pb2_grpc.GalleryServiceStub(channel)
        self.search = search_service_pb2_grpc.SearchServiceStub(channel)
        self.analysis = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
        self.index = index_service_pb2_grpc.IndexServiceStub(channel)

    def fill(self):
        requests = (
            gallery_service_pb2.IngestImagesRequest(
                tag=str(seed),
                name=f"{seed}.png",
                content=png(seed),
                labels=["even" if seed % 2 == 0 else "odd"],
                attributes={"seed": str(seed)},
            )
            for seed in range(IMAGES)
        )
        return list(self.gallery.IngestImages(requests, timeout=TIMEOUT_S))


def connected(hasher):
    settings = ServerSettings(max_image_bytes=MAX_IMAGE_BYTES)
    with (
        served(new_application(hasher=hasher), settings) as address,
        grpc.insecure_channel(address) as channel,
    ):
        stubs = Stubs(channel)
        stubs.fill()
        yield stubs


@pytest.fixture(scope="module")
def stubs():
    yield from connected(FakeHasher())


@pytest.fixture(scope="module")
def nested():
    yield from connected(FakeHasher(nested=True))


@pytest.fixture(scope="module")
def untrained():
    yield from connected(None)


def error_of(method, request):
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=TIMEOUT_S)
    return read_rpc_error(caught.value)


def search_error(stubs, **arguments):
    error = error_of(stubs.search.Search, search_service_pb2.SearchRequest(**arguments))
    return error.code.name, error.reason, *error.violations


def search(stubs, **arguments):
    return stubs.search.Search(search_service_pb2.SearchRequest(**arguments), timeout=TIMEOUT_S)


def expected_hits(seed, *, bits):
    """Ids and distances that brute force over the fake hasher's codes gives for image `seed`, in total order."""
    squares = np.stack(
        [np.asarray(Image.open(BytesIO(png(s))))[np.linspace(0, 9, 8).astype(int)] for s in range(IMAGES)]
    )[:, :, np.linspace(0, 19, 8).astype(int)]
    embeddings = (
        (squares.transpose(0, 3, 1, 2) / 255).reshape(IMAGES, -1).astype(np.float16).astype(np.float32)
    )
    records = np.unpackbits(FakeHasher().encode(embeddings), axis=1, bitorder="little")
    part = slice(0, 16) if bits == 16 else slice(16, 48)
    distances = (records[:, part] != records[seed, part]).sum(axis=1)
    return sorted((int(distance), FIRST_ID + s) for s, distance in enumerate(distances))


# ---------------------------------------------------------------- search


@pytest.mark.parametrize("bits", [16, 32])
def test_search_by_image_ranks_as_brute_force(stubs, bits):
    answer = search(stubs, image=png(2), bits=bits)
    assert [(hit.distance, hit.image_id) for hit in answer.hits] == expected_hits(2, bits=bits)
    assert [hit.rank for hit in answer.hits] == list(range(1, IMAGES + 1))
    assert (answer.bits, len(answer.code), answer.hasher) == (bits, bits // 8, FakeHasher.identity)
    assert answer.sequence == IMAGES
    assert set(answer.timings_ms) == {"encode", "index", "rows"}


def test_search_by_id_leaves_out_the_query_and_by_code_keeps_it(stubs):
    by_image = search(stubs, image=png(2))
    by_id = search(stubs, image_id=THIRD_ID)
    by_code = search(stubs, code=by_image.code)
    assert by_code.hits == by_image.hits
    assert [hit.image_id for hit in by_id.hits] == [
        hit.image_id for hit in by_image.hits if hit.image_id != THIRD_ID
    ]


@pytest.mark.parametrize("kind", ["stubs", "nested"])
def test_search_by_whole_record_equals_search_by_image(kind, request):
    stubs = request.getfixturevalue(kind)
    encode = analysis_service_pb2.EncodeRequest(image=png(2))
    record = stubs.analysis.Encode(encode, timeout=TIMEOUT_S).record
    for bits in (16, 32):
        assert search(stubs, code=record, bits=bits).hits == search(stubs, image=png(2), bits=bits).hits


def test_search_takes_the_longest_code_and_ten_hits_when_not_told(stubs):
    assert search(stubs, image=png(0)).bits == 32


def test_search_for_more_than_there_is_returns_all(stubs):
    assert len(search(stubs, image=png(0), k=10_000).hits) == IMAGES


def test_max_distance_is_inclusive_and_may_be_zero(stubs):
    distances = [hit.distance for hit in search(stubs, image=png(2)).hits]
    near = search(stubs, image=png(2), max_distance=distances[2])
    assert [hit.distance for hit in near.hits] == [d for d in distances if d <= distances[2]]
    assert [hit.image_id for hit in search(stubs, image=png(2), max_distance=0).hits] == [THIRD_ID]


def test_basic_view_leaves_out_the_images_and_both_others_carry_them(stubs):
    basic, full, unspecified = (
        search(stubs, image=png(1), view=view).hits[0] for view in ("SEARCH_VIEW_BASIC", 2, 0)
    )
    assert not basic.HasField("image")
    assert full.image.name == "1.png"
    assert full == unspecified


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, ("INVALID_ARGUMENT", "QUERY_MISSING", "query")),
        ({"image": b""}, ("INVALID_ARGUMENT", "IMAGE_UNREADABLE", "image")),
        ({"image": b"just words"}, ("INVALID_ARGUMENT", "IMAGE_UNREADABLE", "image")),
        ({"image": b"\xff\xd8\xff just words"}, ("INVALID_ARGUMENT", "IMAGE_UNREADABLE", "image")),
        ({"image": png(0)[:200]}, ("INVALID_ARGUMENT", "IMAGE_UNREADABLE", "image")),
        ({"image": bytes(MAX_IMAGE_BYTES + 1)}, ("INVALID_ARGUMENT", "IMAGE_TOO_LARGE", "image")),
        ({"image_id": 1, "k": 0}, ("INVALID_ARGUMENT", "K_OUT_OF_RANGE", "k")),
        ({"image_id": 1, "k": -1}, ("INVALID_ARGUMENT", "K_OUT_OF_RANGE", "k")),
        ({"image_id": 1, "k": 10_001}, ("INVALID_ARGUMENT", "K_OUT_OF_RANGE", "k")),
        ({"image_id": 1, "bits": 64}, ("INVALID_ARGUMENT", "BITS_NOT_IN_MODEL", "bits")),
        ({"image_id": 1, "bits": -16}, ("INVALID_ARGUMENT", "BITS_NOT_IN_MODEL", "bits")),
        (
            {"image_id": 1, "max_distance": -1},
            ("INVALID_ARGUMENT", "MAX_DISTANCE_OUT_OF_RANGE", "max_distance"),
        ),
        ({"image_id": 1, "view": 7}, ("INVALID_ARGUMENT", "VIEW_UNKNOWN", "view")),
        ({"image_id": 0}, ("INVALID_ARGUMENT", "IMAGE_ID_OUT_OF_RANGE", "image_id")),
        ({"image_id": 999}, ("NOT_FOUND", "IMAGE_NOT_FOUND", "image_id")),
        ({"code": b""}, ("INVALID_ARGUMENT", "CODE_SIZE", "code")),
        ({"code": b"123"}, ("INVALID_ARGUMENT", "CODE_SIZE", "code")),
        ({"code": b"12", "bits": 32}, ("INVALID_ARGUMENT", "CODE_SIZE", "code")),
    ],
)
def test_bad_searches_are_refused_by_reason_and_field(stubs, arguments, error):
    assert search_error(stubs, **arguments) == error


def test_error_details_carry_the_facts(stubs):
    request = search_service_pb2.SearchRequest(image_id=1, bits=64)
    error = error_of(stubs.search.Search, request)
    assert error.message == "The model has codes of 16, 32 bits, got bits = 64. Choose one of them."
    assert error.metadata == {"bits": "64", "lengths": "16, 32"}
    assert error.violations == {"bits": error.message}


def test_search_without_hasher_says_how_to_get_one(untrained):
    error = error_of(untrained.search.Search, search_service_pb2.SearchRequest(image=png(0)))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "NO_HASHER")
    assert "polyhash train hasher" in error.message


# ---------------------------------------------------------------- analysis and index


def test_encode_returns_every_length_of_the_record_and_the_models(stubs):
    answer = stubs.analysis.Encode(analysis_service_pb2.EncodeRequest(image=png(2)), timeout=TIMEOUT_S)
    assert [(code.bits, len(code.code)) for code in answer.codes] == [(16, 2), (32, 4)]
    assert answer.codes[1].code == search(stubs, image=png(2)).code
    assert answer.record == answer.codes[0].code + answer.codes[1].code
    assert (answer.hasher, answer.backbone) == ("fake-hasher@000000000000", "fake-backbone@000000000000")


def test_the_record_of_nested_codes_is_the_longest_which_begins_with_the_others(nested):
    answer = nested.analysis.Encode(analysis_service_pb2.EncodeRequest(image=png(2)), timeout=TIMEOUT_S)
    assert {code.bits: code.code for code in answer.codes} == {16: answer.record[:2], 32: answer.record}


@pytest.mark.parametrize("content", [b"", b"words", bytes(MAX_IMAGE_BYTES + 1)])
def test_encode_refuses_what_is_no_image(stubs, content):
    error = error_of(stubs.analysis.Encode, analysis_service_pb2.EncodeRequest(image=content))
    assert error.code.name == "INVALID_ARGUMENT"
    assert set(error.violations) == {"image"}


def test_encode_without_hasher_is_a_failed_precondition(untrained):
    error = error_of(untrained.analysis.Encode, analysis_service_pb2.EncodeRequest(image=png(0)))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "NO_HASHER")


def test_stats_count_images_labels_and_codes(stubs, untrained):
    stats = stubs.index.GetIndexStats(index_service_pb2.GetIndexStatsRequest(), timeout=TIMEOUT_S)
    assert (stats.image_count, stats.indexed_image_count, stats.labelled_image_count) == (IMAGES,) * 3
    assert dict(stats.image_count_by_label) == {"even": 3, "odd": 3}
    assert stats.original_bytes == sum(len(png(seed)) for seed in range(IMAGES))
    assert (list(stats.lengths_bits), stats.sequence) == ([16, 32], IMAGES)
    bare = untrained.index.GetIndexStats(index_service_pb2.GetIndexStatsRequest(), timeout=TIMEOUT_S)
    assert (bare.image_count, bare.indexed_image_count, bare.hasher) == (IMAGES, 0, "")


# ---------------------------------------------------------------- gallery


def test_get_image_returns_what_was_sent(stubs):
    image = stubs.gallery.GetImage(
        gallery_service_pb2.GetImageRequest(image_id=THIRD_ID), timeout=TIMEOUT_S
    ).image
    assert (image.image_id, image.name, image.format, image.sequence) == (THIRD_ID, "2.png", "PNG", 3)
    assert (image.width_px, image.height_px, image.byte_size) == (20, 10, len(png(2)))
    assert image.sha256 == hashlib.sha256(png(2)).digest()
    assert (list(image.labels), dict(image.attributes)) == (["even"], {"seed": "2"})
    assert image.create_time.seconds > 0


@pytest.mark.parametrize("method", ["GetImage", "DeleteImage", "GetThumbnail"])
@pytest.mark.parametrize(
    ("image_id", "code", "reason"),
    [
        (0, "INVALID_ARGUMENT", "IMAGE_ID_OUT_OF_RANGE"),
        (-5, "INVALID_ARGUMENT", "IMAGE_ID_OUT_OF_RANGE"),
        (999, "NOT_FOUND", "IMAGE_NOT_FOUND"),
    ],
)
def test_ids_that_name_no_image_are_refused(stubs, method, image_id, code, reason):
    request = getattr(gallery_service_pb2, f"{method}Request")(image_id=image_id)
    error = error_of(getattr(stubs.gallery, method), request)
    assert (error.code.name, error.reason, set(error.violations)) == (code, reason, {"image_id"})


def list_images(stubs, **arguments):
    return stubs.gallery.ListImages(gallery_service_pb2.ListImagesRequest(**arguments), timeout=TIMEOUT_S)


@pytest.mark.parametrize("label", ["", "odd"])
@pytest.mark.parametrize("page_size", [1, 2, 3, 6, 5000])
def test_pages_put_together_are_the_whole_list(stubs, label, page_size):
    found, token = [], ""
    while True:
        page = list_images(stubs, label=label, page_size=page_size, page_token=token)
        assert len(page.images) <= page_size
        found += [image.image_id for image in page.images]
        token = page.next_page_token
        if not token:
            break
        assert len(page.images) == page_size
    assert found == (ALL_IDS[1::2] if label else ALL_IDS)


def test_bad_pages_are_refused(stubs):
    token = list_images(stubs, page_size=1).next_page_token
    for arguments, field in [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "made up"}, "page_token"),
        ({"page_token": token, "label": "odd"}, "page_token"),
        ({"label": "x" * 257}, "label"),
    ]:
        error = error_of(stubs.gallery.ListImages, gallery_service_pb2.ListImagesRequest(**arguments))
        assert (error.code.name, set(error.violations)) == ("INVALID_ARGUMENT", {field})
    assert list_images(stubs, page_size=2, page_token=token).images[0].image_id == ALL_IDS[1]


@pytest.mark.parametrize(("side_px", "size"), [(0, (20, 10)), (16, (16, 8)), (1024, (20, 10))])
def test_thumbnail_is_a_jpeg_within_the_side(stubs, side_px, size):
    request = gallery_service_pb2.GetThumbnailRequest(image_id=FIRST_ID, side_px=side_px)
    image = Image.open(BytesIO(stubs.gallery.GetThumbnail(request, timeout=TIMEOUT_S).jpeg))
    assert (image.format, image.size) == ("JPEG", size)


@pytest.mark.parametrize("side_px", [-1, 1, 15, 1025])
def test_thumbnail_sides_out_of_range_are_refused(stubs, side_px):
    request = gallery_service_pb2.GetThumbnailRequest(image_id=FIRST_ID, side_px=side_px)
    error = error_of(stubs.gallery.GetThumbnail, request)
    assert (error.reason, set(error.violations)) == ("SIDE_OUT_OF_RANGE", {"side_px"})


def test_deleted_image_is_gone_everywhere_and_its_id_stays_unused():
    with served(new_application(hasher=FakeHasher())) as address, grpc.insecure_channel(address) as channel:
        stubs = Stubs(channel)
        stubs.fill()
        request = gallery_service_pb2.DeleteImageRequest(image_id=ALL_IDS[-1])
        assert stubs.gallery.DeleteImage(request, timeout=TIMEOUT_S).sequence == IMAGES + 1
        assert error_of(stubs.gallery.DeleteImage, request).reason == "IMAGE_NOT_FOUND"
        assert ALL_IDS[-1] not in {hit.image_id for hit in search(stubs, image=png(IMAGES - 1)).hits}
        assert [image.image_id for image in list_images(stubs).images] == ALL_IDS[:-1]
        refilled = [response.ingested.image_id for response in stubs.fill()]
        assert refilled[:-1] == ALL_IDS[:-1]
        assert refilled[-1] > ALL_IDS[-1]
