"""Going back to earlier generations, and keeping a few: nothing is lost on the way, damage is put aside, codes nobody uses go."""

import pytest

from service.errors import DataLossError, NotFoundError, PreconditionError
from tests.contracts.fakes import FIRST_ID
from tests.service.rebuild_place import ACTIVE, ONE, QUARANTINED, READY, TWO, new_place, silent


@pytest.fixture
def place():
    return new_place()


@pytest.mark.parametrize("other", [ONE, TWO])
def test_an_earlier_generation_comes_back_with_its_model_and_all_changes_since(place, other):
    place.rebuilder.rebuild(report=silent)
    place.add(2)
    place.rebuilder.rebuild(hasher=other, report=silent)
    place.gallery.delete(FIRST_ID)
    place.add(3)
    row = place.rebuilder.activate(1, report=silent)
    assert (row.number, row.state) == (1, ACTIVE)
    assert place.states() == {1: ACTIVE, 2: READY}
    assert (place.gallery.snapshot.generation, place.gallery.hasher_identity) == (1, ONE)
    place.check_answers()
    assert place.rebuilder.rebuild(report=silent).number == 3


def test_damaged_files_are_put_aside_at_activation_and_nothing_is_swapped(place):
    place.rebuilder.rebuild(report=silent)
    place.rebuilder.rebuild(report=silent)
    before = place.gallery.snapshot
    place.generations.damaged.add(1)
    with pytest.raises(DataLossError, match="Generation 1 is damaged"):
        place.rebuilder.activate(1, report=silent)
    assert place.states() == {1: QUARANTINED, 2: ACTIVE}
    assert place.generations.aside == [1]
    assert place.gallery.snapshot is before
    with pytest.raises(
        PreconditionError, match=r"Generation 1 was found damaged \(.*Activate another"
    ) as caught:
        place.rebuilder.activate(1, report=silent)
    assert caught.value.reason == "GENERATION_QUARANTINED"


def test_files_that_are_gone_at_activation_are_recorded_as_damage(place):
    place.rebuilder.rebuild(report=silent)
    place.rebuilder.rebuild(report=silent)
    place.generations.delete(1)
    with pytest.raises(NotFoundError, match="No generation 1"):
        place.rebuilder.activate(1, report=silent)
    assert place.states() == {1: QUARANTINED, 2: ACTIVE}


def test_only_a_few_generations_are_kept_and_codes_that_none_uses_go(place):
    for hasher in (ONE, TWO, TWO, TWO):
        place.rebuilder.rebuild(hasher=hasher, report=silent)
    assert place.states() == {2: READY, 3: READY, 4: ACTIVE}
    assert place.generations.numbers() == [2, 3, 4]
    catalog = place.gallery.catalog
    assert (catalog.count_lacking(hasher=ONE), catalog.count_lacking(hasher=TWO)) == (7, 0)


def test_pruning_keeps_the_active_generation_and_the_newest(place):
    for _ in range(3):
        place.rebuilder.rebuild(report=silent)
    place.rebuilder.activate(1, report=silent)
    assert place.rebuilder.prune(1) == [2]
    assert place.states() == {1: ACTIVE, 3: READY}
    assert place.rebuilder.prune(0) == [], "the highest number stays, so that it is never given again"
    assert place.gallery.catalog.count_lacking(hasher=ONE) == 0
    assert place.rebuilder.rebuild(report=silent).number == 4, "a number is never given twice"


def test_what_an_interruption_left_behind_is_deleted_by_the_next_rebuild(place):
    place.rebuilder.rebuild(report=silent)
    place.workers.build_generation(2, hasher=ONE)
    assert place.rebuilder.rebuild(report=silent).number == 2
    place.generations.delete(2)
    assert place.rebuilder.rebuild(report=silent).number == 3
