"""Changing images and getting several at once over a real connection, and scores and near duplicates of new ones."""

import math
from types import MappingProxyType

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from polyhash.v1 import filter_pb2, gallery_service_pb2, image_pb2, search_service_pb2

from service.errors import NearDuplicateError
from service.records import Acknowledgement, NearDuplicate
from service.rpc import checks
from service.rpc.api_error import read_status
from service.rpc.calls import Stubs
from service.rpc.image_messages import write_outcome
from service.usecases.ingest import Accepted
from service.usecases.reading import Rejected
from tests.contracts.fakes import FIRST_ID, FakeHasher, new_application, png, served
from tests.service.search_stack import TIMEOUT_S, error_of, named

pb = gallery_service_pb2
N = 4
MISSING = 999
SCORES = MappingProxyType({"valence": 0.25, "arousal": -1e9})


@pytest.fixture
def stubs():
    with served(new_application(hasher=FakeHasher())) as address, grpc.insecure_channel(address) as channel:
        stubs = Stubs(channel)
        requests = (
            pb.IngestImagesRequest(
                name=f"{seed}.png",
                content=png(seed),
                labels=["old"],
                attributes={"camera": "A7"},
                scores=SCORES,
            )
            for seed in range(N)
        )
        assert len(list(stubs.gallery.IngestImages(requests, timeout=TIMEOUT_S))) == N
        yield stubs


def update(stubs, paths, **image):
    request = pb.UpdateImageRequest(image=image_pb2.Image(**image), update_mask=FieldMask(paths=paths))
    return stubs.gallery.UpdateImage(request, timeout=TIMEOUT_S)


def test_only_the_fields_that_are_named_are_replaced_as_a_whole(stubs):
    image_id = FIRST_ID + 1
    response = update(
        stubs,
        ["labels", "scores"],
        image_id=image_id,
        labels=["new", "newer"],
        attributes={"camera": "not named"},
        scores={"dominance": 3},
        name="not named",
    )
    image = response.image
    assert response.sequence == N + 1
    assert (list(image.labels), dict(image.attributes), dict(image.scores), image.name) == (
        ["new", "newer"],
        {"camera": "A7"},
        {"dominance": 3.0},
        "1.png",
    )
    got = stubs.gallery.GetImage(pb.GetImageRequest(image_id=image_id), timeout=TIMEOUT_S).image
    assert got == image


def test_a_field_may_be_replaced_by_nothing(stubs):
    image = update(stubs, ["labels", "attributes", "scores"], image_id=FIRST_ID).image
    assert (list(image.labels), dict(image.attributes), dict(image.scores)) == ([], {}, {})


def test_searches_see_a_change_once_it_is_acknowledged(stubs):
    wanted = filter_pb2.ImageFilter(labels_any=["new"])
    for label, expected in (("new", [FIRST_ID + 2]), ("other", [])):
        sequence = update(stubs, ["labels"], image_id=FIRST_ID + 2, labels=[label]).sequence
        request = search_service_pb2.SearchRequest(image=png(0), filter=wanted, min_sequence=sequence)
        answer = stubs.search.Search(request, timeout=TIMEOUT_S)
        assert [hit.image_id for hit in answer.hits] == expected


@pytest.mark.parametrize(
    ("paths", "image", "error"),
    [
        ([], {}, ("INVALID_ARGUMENT", "UPDATE_MASK_INVALID", "update_mask")),
        (["name"], {}, ("INVALID_ARGUMENT", "UPDATE_MASK_INVALID", "update_mask")),
        (["labels", "attributes.camera"], {}, ("INVALID_ARGUMENT", "UPDATE_MASK_INVALID", "update_mask")),
        (["labels"], {"image_id": 0}, ("INVALID_ARGUMENT", "IMAGE_ID_OUT_OF_RANGE", "image.image_id")),
        (["labels"], {"image_id": MISSING}, ("NOT_FOUND", "IMAGE_NOT_FOUND", "image.image_id")),
        (["labels"], {"labels": [""]}, ("INVALID_ARGUMENT", "TEXT_LENGTH", "image.labels")),
        (
            ["attributes"],
            {"attributes": {str(n): "" for n in range(65)}},
            ("INVALID_ARGUMENT", "TOO_MANY_WORDS", "image.attributes"),
        ),
        (
            ["scores"],
            {"scores": {"x": math.nan}},
            ("INVALID_ARGUMENT", "SCORE_NOT_FINITE", "image.scores"),
        ),
    ],
)
def test_bad_changes_are_refused_by_reason_and_field(stubs, paths, image, error):
    request = pb.UpdateImageRequest(
        image=image_pb2.Image(**({"image_id": FIRST_ID} | image)), update_mask=FieldMask(paths=paths)
    )
    assert named(error_of(stubs.gallery.UpdateImage, request)) == error
    got = stubs.gallery.GetImage(pb.GetImageRequest(image_id=FIRST_ID), timeout=TIMEOUT_S).image
    assert (list(got.labels), dict(got.scores), got.sequence) == (["old"], dict(SCORES), 1)


def get_batch(stubs, image_ids):
    return stubs.gallery.BatchGetImages(pb.BatchGetImagesRequest(image_ids=image_ids), timeout=TIMEOUT_S)


def test_several_images_come_in_the_order_of_the_request_each_once(stubs):
    response = get_batch(stubs, [FIRST_ID + 3, MISSING, FIRST_ID, FIRST_ID + 3, MISSING, MISSING + 1])
    assert [image.image_id for image in response.images] == [FIRST_ID + 3, FIRST_ID]
    assert list(response.missing_image_ids) == [MISSING, MISSING + 1]
    single = stubs.gallery.GetImage(pb.GetImageRequest(image_id=FIRST_ID), timeout=TIMEOUT_S).image
    assert response.images[1] == single


@pytest.mark.parametrize(
    ("image_ids", "reason"),
    [
        ([], "COUNT_OUT_OF_RANGE"),
        ([FIRST_ID] * 1001, "COUNT_OUT_OF_RANGE"),
        ([FIRST_ID, 0], "IMAGE_ID_OUT_OF_RANGE"),
    ],
)
def test_bad_lists_of_ids_are_refused(stubs, image_ids, reason):
    error = error_of(stubs.gallery.BatchGetImages, pb.BatchGetImagesRequest(image_ids=image_ids))
    assert named(error) == ("INVALID_ARGUMENT", reason, "image_ids")


def test_images_that_no_message_holds_are_refused_with_advice(stubs, monkeypatch):
    monkeypatch.setattr(checks, "MAX_MESSAGE_BYTES", 200)
    error = error_of(
        stubs.gallery.BatchGetImages, pb.BatchGetImagesRequest(image_ids=[FIRST_ID, FIRST_ID + 1])
    )
    assert named(error) == ("INVALID_ARGUMENT", "ANSWER_TOO_LARGE", "image_ids")


def test_scores_are_kept_with_the_image(stubs):
    assert [dict(image.scores) for image in get_batch(stubs, [FIRST_ID]).images] == [dict(SCORES)]


# ---------------------------------------------------------------- near duplicates


def outcome_of(**more):
    acknowledgement = Acknowledgement(image_id=7, sequence=9, duplicate=False, **more)
    return write_outcome("t", Accepted(name="a.png", acknowledgement=acknowledgement)).ingested


def test_a_near_duplicate_that_is_taken_names_the_other():
    ingested = outcome_of(near=NearDuplicate(image_id=3, distance=0))
    assert (ingested.near_duplicate_of, ingested.near_duplicate_distance) == (3, 0)
    assert ingested.HasField("near_duplicate_distance")
    assert not ingested.HasField("duplicate_of")


def test_an_image_without_near_duplicate_names_none():
    ingested = outcome_of()
    assert not ingested.HasField("near_duplicate_of")
    assert not ingested.HasField("near_duplicate_distance")


def test_a_near_duplicate_that_is_refused_names_the_other_in_its_error():
    error = NearDuplicateError("nearly the same as image 3.", image_id=3, distance=2)
    read = read_status(write_outcome("t", Rejected(name="a.png", error=error)).error)
    assert named(read) == ("ABORTED", "NEAR_DUPLICATE")
    assert read.metadata == {"image_id": "3", "distance": "2"}
