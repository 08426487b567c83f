"""Rebuilds: every image is in the new generation, codes are made once, and whatever goes wrong leaves the gallery as it was."""

from concurrent.futures import Future

import pytest

from hashing.index_records import RecordIndex
from service.errors import NotFoundError, PreconditionError, UnavailableError
from service.records import ModelKind
from service.usecases import waiting
from service.usecases.rebuild import Rebuilder
from tests.contracts.fakes import FIRST_ID, MemoryGenerations, MemoryWorkers, new_gallery
from tests.service.rebuild_place import ACTIVE, ONE, STRANGE, TWO, new_place, silent
from tests.service.sql_catalog import opened


class Cancelled(Exception):  # noqa: N818 - what a user does is no error
    """The user has seen enough."""


@pytest.fixture
def place():
    return new_place()


# ------------------------------------------------------------ building


def test_a_generation_holds_all_images_without_the_removed_rows(place):
    place.gallery.delete(FIRST_ID + 1)
    row = place.rebuilder.rebuild(report=silent, note="because")
    assert (row.number, row.hasher, row.images, row.built_to) == (1, ONE, 6, 8)
    assert (row.state, row.note) == (ACTIVE, "because")
    snapshot = place.gallery.snapshot
    assert (snapshot.generation, snapshot.n_rows, len(snapshot)) == (1, 6, 6)
    place.check_answers()


def test_a_writer_that_never_rests_does_not_hold_up_a_rebuild(tmp_path):
    with opened(tmp_path / "catalog.sqlite") as catalog:
        place = new_place(catalog=catalog)

        def write(_work):
            assert place.n_added < 20, "the rebuild runs after the writer"
            place.add(1)

        place.workers.after = write
        place.rebuilder.rebuild(hasher=TWO, report=silent)
        place.check_answers()


def test_the_report_tells_stages_in_order_and_counts_up(place):
    told = []
    place.rebuilder.rebuild(hasher=TWO, report=lambda *progress: told.append(progress))
    encoding = [progress for progress in told if progress[0] == "encoding"]
    assert encoding[:5] == [("encoding", done, 7) for done in (0, 2, 4, 6, 7)]
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == ["encoding", "building", "loading"]
    assert told[-1] == ("loading", 1, 1)


def test_another_hasher_s_codes_are_made_once_and_take_over(place):
    place.rebuilder.rebuild(hasher=TWO, report=silent)
    assert place.gallery.hasher_identity == TWO
    assert place.gallery.catalog.active_model(ModelKind.HASHER).identity == TWO
    assert place.hashers[TWO].embeddings_coded == 7
    place.check_answers()
    place.add(3)
    place.check_answers()
    place.rebuilder.rebuild(report=silent)
    place.check_answers()


@pytest.mark.parametrize("work", ["encode", "build"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("hasher", [ONE, TWO])
def test_no_image_that_comes_or_goes_meanwhile_is_lost(place, work, moment, hasher):
    def interfere(now):
        if now == work and place.n_added < 30:
            place.add(2)
            place.gallery.delete(place.add(1)[0])
            place.gallery.delete(place.gallery.catalog.list_images(after_id=0, limit=1)[0].image_id)

    setattr(place.workers, moment, interfere)
    place.rebuilder.rebuild(hasher=hasher, report=silent)
    place.check_answers()


def test_no_image_is_lost_that_is_added_whenever_something_is_reported(place):
    for hasher in (TWO, ONE, TWO):
        place.rebuilder.rebuild(hasher=hasher, report=lambda *_: place.add(1) if place.n_added < 40 else None)
        place.check_answers()
    place.rebuilder.activate(1, report=lambda *_: place.add(1) if place.n_added < 60 else None)
    place.check_answers()


def test_an_interrupted_encoding_goes_on_where_it_was(place):
    def stop(stage, done, total):
        del total
        if (stage, done) == ("encoding", 4):
            raise Cancelled

    with pytest.raises(Cancelled):
        place.rebuilder.rebuild(hasher=TWO, report=stop)
    assert place.gallery.catalog.count_lacking(hasher=TWO) == 3
    assert place.gallery.hasher_identity == ONE
    place.check_answers()
    place.rebuilder.rebuild(hasher=TWO, report=silent)
    assert place.hashers[TWO].embeddings_coded == 7
    place.check_answers()


def test_cancelled_at_any_report_the_gallery_stays_and_the_next_rebuild_succeeds():
    place, reports = new_place(), []
    place.rebuilder.rebuild(hasher=TWO, report=lambda *_: reports.append(None))
    for moment in range(len(reports)):
        place = new_place()
        before, left = place.gallery.snapshot, iter(range(moment))

        def stop(*_, left=left):
            if next(left, None) is None:
                raise Cancelled

        with pytest.raises(Cancelled):
            place.rebuilder.rebuild(hasher=TWO, report=stop)
        assert place.gallery.snapshot is before
        place.check_answers()
        assert ACTIVE not in place.states().values()
        row = place.rebuilder.rebuild(hasher=TWO, report=silent)
        assert (row.state, row.images) == (ACTIVE, 7)
        assert set(place.generations.numbers()) == set(place.states())
        place.check_answers()


def test_work_that_is_cancelled_while_it_runs_does_not_stand_in_the_way_of_the_next(place, monkeypatch):
    monkeypatch.setattr(waiting, "POLL_S", 0.001)
    build, pending, begun = place.workers.build_generation, Future(), []

    def slowly(number, *, hasher):
        begun.append(number)
        if len(begun) == 1:
            assert pending.set_running_or_notify_cancel()
            return pending
        return build(number, hasher=hasher)

    def stop(stage, done, total):
        del done, total
        if stage == "building" and begun:
            raise Cancelled

    told = []

    def let_end(stage, done, total):
        del done, total
        told.append(stage)
        if len(told) == 3:  # the first work writes its files after all
            pending.set_result(build(begun[0], hasher=ONE).result())

    place.workers.build_generation = slowly
    with pytest.raises(Cancelled):
        place.rebuilder.rebuild(report=stop)
    row = place.rebuilder.rebuild(report=let_end)
    assert set(told[:3]) == {"waiting for a cancelled build"}
    assert told[3] != told[2]
    assert row.state is ACTIVE
    place.check_answers()
    assert set(place.generations.numbers()) == set(place.states())


def test_waiting_for_work_is_reported_and_its_own_timeout_is_an_error(place, monkeypatch):
    monkeypatch.setattr(waiting, "POLL_S", 0.001)
    build, told = place.workers.build_generation, []

    def later(number, *, hasher):
        future = Future()

        def report(stage, done, total):
            del done, total
            told.append(stage)
            if stage == "building" and told.count(stage) == 4:
                future.set_result(build(number, hasher=hasher).result())

        place.report = report
        return future

    place.workers.build_generation = later
    place.rebuilder.rebuild(report=lambda *progress: place.report(*progress))  # noqa: PLW0108 - it is another one meanwhile
    assert told.count("building") >= 4
    timed_out = Future()
    timed_out.set_exception(TimeoutError("The cluster did not answer."))
    place.workers.build_generation = lambda *_, **__: timed_out
    with pytest.raises(TimeoutError, match="cluster did not answer"):
        place.rebuilder.rebuild(report=silent)
    place.check_answers()


# ------------------------------------------------------------ refusals


def test_a_hasher_of_another_backbone_is_refused(place):
    with pytest.raises(
        PreconditionError, match=r"fitted on embeddings of other@.* the gallery has .*fake"
    ) as caught:
        place.rebuilder.rebuild(hasher=STRANGE, report=silent)
    assert (caught.value.reason, caught.value.field) == ("MODEL_MISMATCH", "hasher")
    assert place.states() == {}


def test_an_unknown_hasher_and_an_unknown_generation_are_refused(place):
    with pytest.raises(NotFoundError, match="No hasher none@000000000000"):
        place.rebuilder.rebuild(hasher="none@000000000000", report=silent)
    with pytest.raises(NotFoundError, match=r"There is no generation 5\. List the generations") as caught:
        place.rebuilder.activate(5, report=silent)
    assert (caught.value.reason, caught.value.field) == ("GENERATION_NOT_FOUND", "number")


def test_a_store_without_a_hasher_cannot_be_rebuilt():
    gallery, generations = new_gallery(hasher=None), MemoryGenerations()
    workers = MemoryWorkers(gallery.catalog, generations, [])
    rebuilder = Rebuilder(
        gallery,
        generations,
        workers,
        find_hasher=workers.hashers.__getitem__,
        find_backbone=workers.backbones.__getitem__,
        index_factory=RecordIndex,
    )
    with pytest.raises(PreconditionError, match="no hasher yet"):
        rebuilder.rebuild(report=silent)


def test_a_failing_worker_leaves_no_generation(place):
    failed = Future()
    failed.set_exception(UnavailableError("The disk is full."))
    place.workers.build_generation = lambda *_, **__: failed
    with pytest.raises(UnavailableError, match="disk is full"):
        place.rebuilder.rebuild(report=silent)
    assert place.states() == {}
    place.check_answers()


def test_a_rebuild_over_sql_gives_what_the_catalog_holds(tmp_path):
    with opened(tmp_path / "catalog.sqlite") as catalog:
        place = new_place(catalog=catalog)
        place.workers.after = lambda _work: place.add(2)
        for hasher in (ONE, TWO, None):
            place.rebuilder.rebuild(hasher=hasher, report=silent)
            place.check_answers()
        place.rebuilder.activate(1, report=silent)
        place.check_answers()
