"""Searches page by page over a real connection: together the whole ranking, also while others add and delete."""

import threading

import pytest
from polyhash.v1 import filter_pb2, search_service_pb2

from service.rpc import pages
from service.usecases.queries import Cursor
from tests.contracts.fakes import FakeHasher
from tests.service.search_stack import TIMEOUT_S, error_of, hits_of, named, new_images, searched

N = 300
pb = search_service_pb2
BASIC = pb.SEARCH_VIEW_BASIC


@pytest.fixture(scope="module")
def gallery():
    with searched(N) as gallery:
        yield gallery


def all_pages(gallery, between=lambda: None, **arguments):
    token, found = "", []
    while True:
        page = gallery.ask(page_token=token, **arguments)
        found.append(page)
        token = page.next_page_token
        if not token:
            return found
        between()


@pytest.mark.parametrize("page_size", [1, 7, 100, 300, 5000])
def test_pages_put_together_are_the_ranking(gallery, page_size):
    code = gallery.code(17, 16)  # ties at every distance
    answers = all_pages(gallery, code=code, bits=16, page_size=page_size, view=BASIC)
    assert [hit for page in answers for hit in hits_of(page)] == gallery.ranking(code)
    assert [hit.rank for hit in answers[-1].hits] == list(range(1, len(answers[-1].hits) + 1))
    assert all(len(page.hits) == page_size for page in answers[:-1])


def test_pages_keep_filter_cut_off_and_the_query_itself_apart(gallery):
    wanted = filter_pb2.ImageFilter(labels_any=["every 2"])
    answers = all_pages(gallery, image_id=17, max_distance=15, filter=wanted, page_size=9)
    expected = gallery.ranking(gallery.code(17, 32), keep=lambda row: "every 2" in row.labels)
    assert [hit for page in answers for hit in hits_of(page)] == [
        (distance, image_id) for distance, image_id in expected if distance <= 15 and image_id != 17
    ]


def test_a_page_without_hits_is_the_last(gallery):
    (page,) = all_pages(
        gallery, image_id=17, filter=filter_pb2.ImageFilter(labels_any=["nobody"]), page_size=9
    )
    assert list(page.hits) == []


def test_page_size_view_and_min_sequence_may_change_from_page_to_page(gallery):
    first = gallery.ask(image_id=17, page_size=5, view=BASIC)
    token = first.next_page_token
    second = gallery.ask(image_id=17, page_token=token, min_sequence=3)
    assert len(second.hits) == 100
    assert second.hits[0].HasField("image")
    expected = [hit for hit in gallery.ranking(gallery.code(17, 32)) if hit[1] != 17]
    assert hits_of(first) + hits_of(second) == expected[:105]


@pytest.mark.parametrize(
    "changed",
    [
        {"image_id": 18},
        {"bits": 16},
        {"max_distance": 3},
        {"filter": filter_pb2.ImageFilter(labels_any=["x"])},
        {"filter": filter_pb2.ImageFilter()},
    ],
)
def test_a_token_of_another_request_is_refused(gallery, changed):
    token = gallery.ask(image_id=17, page_size=5).next_page_token
    request = pb.SearchRequest(**({"image_id": 17} | changed), page_token=token)
    assert named(error_of(gallery.search.Search, request)) == (
        "INVALID_ARGUMENT",
        "PAGE_TOKEN_INVALID",
        "page_token",
    )


def test_pages_end_where_a_message_is_full_and_go_on_from_there(gallery, monkeypatch):
    whole = [hit for page in all_pages(gallery, image_id=17, page_size=40) for hit in hits_of(page)]
    monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 1000)
    answers = all_pages(gallery, image_id=17, page_size=40)
    assert [hit for page in answers for hit in hits_of(page)] == whole
    assert max(len(page.hits) for page in answers) < 40


def test_paging_while_others_add_and_delete_gives_every_image_that_stays_exactly_once_and_in_order():
    with searched(200) as gallery:
        code = gallery.code(17, 16)
        stable = set(range(1, 201, 2))
        leaving = iter(range(2, 201, 2))
        changes, stopped, failures = threading.Semaphore(0), threading.Event(), []

        def change():
            seeds = iter(range(1000, 10_000))
            try:
                while not stopped.is_set():
                    gallery.application.gallery.add(new_images([next(seeds)]))
                    if image_id := next(leaving, None):
                        gallery.application.gallery.delete(image_id)
                    changes.release()
            except Exception as error:  # noqa: BLE001 - shown by the test
                failures.append(error)

        def wait_for_a_change():
            assert changes.acquire(timeout=TIMEOUT_S)

        writer = threading.Thread(target=change)
        writer.start()
        try:
            for page_size in (3, 10):
                last = gallery.application.gallery.sequence + 1
                answers = all_pages(
                    gallery, wait_for_a_change, code=code, bits=16, page_size=page_size, view=BASIC
                )
                found = [hit for page in answers for hit in hits_of(page)]
                ids = [image_id for _, image_id in found]
                assert found == sorted(found)
                assert len(ids) == len(set(ids))
                assert stable <= set(ids)
                assert max(ids) <= answers[0].sequence
                assert answers[0].sequence + 1 >= last
        finally:
            stopped.set()
            writer.join()
        assert failures == []


def test_pages_that_a_message_cuts_short_show_nothing_that_was_added_after_the_first(monkeypatch):
    with searched(40) as gallery:
        seeds = iter(range(1000, 2000))
        monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 1000)
        answers = all_pages(
            gallery,
            lambda: gallery.application.gallery.add(new_images([next(seeds)])),
            code=gallery.code(17, 16),
            bits=16,
            page_size=30,
        )
        ids = [image_id for page in answers for _, image_id in hits_of(page)]
        assert len(answers) > 2
        assert sorted(ids) == list(range(1, 41))


EXTREMES = [-(2**31), -1, 2**31 - 1]


@pytest.mark.parametrize("distance", EXTREMES)
@pytest.mark.parametrize("number", [-(2**63), -1, 0, 2**63 - 1])
def test_a_forged_position_is_no_failure_of_the_server(gallery, distance, number):
    forged = Cursor(distance=distance, image_id=number, sequence=number, hasher=FakeHasher.identity)
    arguments = pb.SearchRequest(image_id=17).SerializeToString(deterministic=True)
    answer = gallery.ask(image_id=17, page_token=pages.write_cursor(forged, arguments=arguments))
    assert len(answer.hits) <= 100
