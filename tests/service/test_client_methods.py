"""Both clients against a real server: searches of all kinds, changes of images, generations and operations."""

import datetime as dt
import threading

import grpc
import pytest

from service.client import (
    ApiError,
    AttributeFacet,
    Bucket,
    CreatedFacet,
    FilterCounts,
    ImageFilter,
    LabelFacet,
    Neighbourhood,
    Rebuilt,
    ScoreFacet,
    ScoreRange,
    SearchQuery,
    Verified,
)
from service.errors import DataLossError
from service.records import ModelKind
from tests.contracts.fakes import FIRST_ID, FakeHasher, new_application, png, served
from tests.contracts.memory_models import noon
from tests.service.clients import KINDS, images


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def connect(request):
    return request.param


@pytest.fixture
def filled(connect):
    application = new_application(hasher=FakeHasher())
    application.catalog.register_model(FakeHasher.identity, ModelKind.HASHER, path="", metadata={})
    with served(application) as address, connect(address) as client:
        assert len(list(client.ingest(images(12)))) == 12
        yield client


def in_order(pages):
    return [hit.image_id for page in pages for hit in page.hits]


FEW = ImageFilter(
    labels_any=("x",),
    labels_all=("x",),
    labels_none=("y",),
    attributes={"seed": ("1", "2", "3", "4")},
    created_from=noon(),
    created_before=noon() + dt.timedelta(seconds=1),
    scores={"half": ScoreRange(minimum=1.0, maximum=2.0), "absent": ScoreRange()},
    keep_missing=True,
)


def test_every_condition_of_a_filter_reaches_the_server(filled):
    found = filled.search(image=png(0), image_filter=FEW)
    assert sorted(hit.image.name for hit in found.hits) == ["2.png", "3.png", "4.png"]
    assert found.counts == FilterCounts(matched=3, hidden=9, missing=12)
    assert dict(found.hits[0].image.scores) == {"half": int(found.hits[0].image.name[0]) / 2}
    assert (found.bits, found.lengths, found.candidates) == (32, (32,), 3)
    assert filled.search(image=png(0), image_filter=ImageFilter(labels_none=("x",))).hits == ()


def test_pages_put_together_are_the_whole_ranking(filled):
    whole = [hit.image_id for hit in filled.search(image=png(0), k=100, full=False).hits]
    pages = list(filled.search_pages(image=png(0), page_size=5, full=False, min_sequence=12))
    assert [len(page.hits) for page in pages] == [5, 5, 2]
    assert in_order(pages) == whole
    assert pages[0].hits[0].image is None
    assert in_order(filled.search_pages(image_id=FIRST_ID, max_distance=0)) == []


def test_the_automatic_strategy_and_the_sequence_to_be_seen_reach_the_server(filled):
    found = filled.search(image_id=FIRST_ID, auto=True, min_sequence=12)
    assert (found.sequence, found.generation) == (12, 0)
    with pytest.raises(ApiError, match="The gallery has come to change 12, the search asks for 13"):
        filled.search(image_id=FIRST_ID, min_sequence=13)


def test_a_batch_answers_in_order_with_errors_in_their_places(filled, tmp_path):
    file = tmp_path / "query.png"
    file.write_bytes(png(1))
    queries = [SearchQuery(image=file), SearchQuery(image_id=999), SearchQuery(image_id=FIRST_ID)]
    first, error, third = filled.search_batch(queries, bits=16, k=3)
    assert first.hits == filled.search(image=png(1), bits=16, k=3).hits
    assert third.hits == filled.search(image_id=FIRST_ID, bits=16, k=3).hits
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND")


def test_matches_are_counted_by_distance(filled):
    distances = [hit.distance for hit in filled.search(image_id=FIRST_ID, k=100).hits]
    found = filled.count_matches(SearchQuery(image_id=FIRST_ID), max_distance=20, min_sequence=12)
    assert found.by_distance == tuple(distances.count(distance) for distance in range(21))
    assert (found.total, found.bits) == (sum(distance <= 20 for distance in distances), 32)
    few = filled.count_matches(SearchQuery(image_id=FIRST_ID), bits=16, image_filter=FEW)
    assert (few.total, few.counts.hidden, len(few.by_distance)) == (3, 9, 17)


def test_facets_of_all_kinds_come_back_as_buckets(filled):
    moments = [noon(), noon() + dt.timedelta(hours=1)]
    wanted = [
        LabelFacet(),
        AttributeFacet(name="seed", limit=2),
        ScoreFacet(name="half", edges=[0.0, 1.0, 2.0]),
        ScoreFacet(name="half", bins=1),
        CreatedFacet(edges=moments),
    ]
    found = filled.facets(wanted, min_sequence=12)
    labels, seeds, scores, one, created = found.facets
    assert (found.images, found.counts.matched, found.sequence) == (12, 12, 12)
    assert labels.buckets == (Bucket(of="x", count=12),)
    assert (seeds.buckets, seeds.distinct) == ((Bucket(of="0", count=1), Bucket(of="1", count=1)), 12)
    assert scores.buckets == (Bucket(of=(0.0, 1.0), count=2), Bucket(of=(1.0, 2.0), count=3))
    assert scores.outside == 7
    assert one.buckets == (Bucket(of=(0.0, 5.5), count=12),)
    assert created.buckets == (Bucket(of=tuple(moments), count=12),)
    around = Neighbourhood(query=SearchQuery(image_id=FIRST_ID), bits=16, k=4)
    assert filled.facets([LabelFacet(limit=1)], around=around).facets[0].buckets[0].count == 4


def test_images_are_changed_and_got_several_at_once(filled):
    updated = filled.update_image(FIRST_ID, labels=["new"], scores={})
    assert (updated.sequence, updated.image.labels, dict(updated.image.scores)) == (13, ("new",), {})
    assert dict(updated.image.attributes) == {"seed": "0"}
    assert filled.get_images([FIRST_ID, 999]) == {FIRST_ID: updated.image}
    with pytest.raises(ApiError, match="update_mask must name at least one of") as caught:
        filled.update_image(FIRST_ID)
    assert caught.value.reason == "UPDATE_MASK_INVALID"


# ---------------------------------------------------------------- indexes


def test_generations_are_built_listed_activated_and_pruned(filled):
    started = filled.rebuild(note="first")
    assert (started.result, started.error) == (None, None)
    ended = filled.wait_operation(started.name)
    assert ended.result == Rebuilt(generation=1, images=12, sequence=12, hasher=FakeHasher.identity)
    assert (ended.done, ended.progress.stage, ended.progress.done) == (True, "loading", 1)
    filled.delete_image(FIRST_ID)
    filled.wait_operation(filled.rebuild().name)
    first, second = filled.generations()
    assert (first.number, first.state, first.note, first.images) == (1, "ready", "first", 12)
    assert (second.number, second.state, second.sequence) == (2, "active", 13)
    assert first.created_at.tzinfo is dt.UTC
    assert filled.activate(1).state == "active"
    stats = filled.stats()
    assert (stats.generation, stats.tombstones, stats.changes_since_generation) == (1, 1, 1)
    assert filled.activate(2).number == 2
    assert filled.prune(1) == [1]


def test_a_check_ends_with_what_it_found(filled):
    ended = filled.wait_operation(filled.verify().name, timeout_s=30.0)
    assert ended.result == Verified(
        sound=True, findings=(), finding_count=0, checked=dict(ended.result.checked)
    )
    assert ended.result.checked["images"] == 12


def test_waiting_ends_in_time_and_raises_what_the_operation_failed_with(connect):
    application = new_application(hasher=FakeHasher())
    go = threading.Event()

    def work(handle):
        while not go.wait(0.01):
            handle.check_cancelled()
        raise DataLossError("codes.npy is cut off.")

    with served(application) as address, connect(address, timeout_s=2.0) as client:
        name = application.operations.start("verify", work).name
        assert not client.wait_operation(name, timeout_s=0.05).done
        go.set()
        with pytest.raises(ApiError, match=r"codes\.npy is cut off") as caught:
            client.wait_operation(name)
        assert caught.value.code is grpc.StatusCode.DATA_LOSS
        go.clear()
        name = application.operations.start("verify", work).name
        client.cancel_operation(name)
        with pytest.raises(ApiError, match="was cancelled"):
            client.wait_operation(name)
