"""Near duplicates: clusters over a gallery, and what the guard of ingest answers."""

import re

import numpy as np
import pytest

from hashing.errors import CodeShapeError
from service.errors import InvalidArgumentError
from service.usecases.duplicates import (
    DuplicateGuard,
    DuplicatePolicy,
    DuplicateRule,
    Near,
    find_duplicate_clusters,
)


def codes_of(*values):
    """16-bit codes with these low bytes."""
    return np.array([[value, 0] for value in values], dtype=np.uint8)


def guard_of(policy, *, max_distance=1, bits=16):
    return DuplicateGuard(bits, DuplicateRule(policy=policy, max_distance=max_distance))


def shown(clusters):
    return [(c.image_ids.tolist(), c.distances.tolist(), c.widest) for c in clusters]


def test_clusters_come_largest_first_then_by_first_image():
    codes = codes_of(0b1111_0000, 0, 0b1100, 0b1111_0001, 1, 0b1101, 3, 0xFF)
    image_ids = np.array([3, 4, 8, 9, 20, 21, 22, 30])
    clusters = find_duplicate_clusters(image_ids, codes, radius=1)
    assert shown(clusters) == [
        ([4, 20, 22], [0, 1, 2], 2),  # 22 is two bits from 4, and connected through 20
        ([3, 9], [0, 1], 1),
        ([8, 21], [0, 1], 1),
    ]
    assert [len(cluster) for cluster in clusters] == [3, 2, 2]


def test_a_gallery_without_near_duplicates_has_no_clusters():
    assert find_duplicate_clusters(np.array([1, 2]), codes_of(0, 7), radius=2) == []
    nothing = np.zeros((0, 2), dtype=np.uint8)
    assert find_duplicate_clusters(np.zeros(0, dtype=np.int64), nothing, radius=2) == []


def test_the_search_for_clusters_reports_progress():
    seen = []
    find_duplicate_clusters(
        np.arange(3), codes_of(0, 7, 7), radius=1, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (2, 2)  # of two distinct codes


def test_a_new_image_is_near_the_nearest_of_the_gallery_and_the_earliest_among_equals():
    guard = guard_of(DuplicatePolicy.FLAG, max_distance=2)
    guard.admit(codes_of(0b11, 0b1, 0b10, 0xF0))
    assert guard.check(codes_of(0)) == [Near(row=1, distance=1)]
    assert guard.check(codes_of(0b11)) == [Near(row=0, distance=0)]
    assert guard.check(codes_of(0b1111)) == [Near(row=0, distance=2)]
    assert guard.check(codes_of(0xFF)) == [None]


def test_checking_admits_nothing():
    guard = guard_of(DuplicatePolicy.REJECT)
    assert guard.check(codes_of(5)) == guard.check(codes_of(5)) == [None]


def test_a_flagged_image_is_admitted_so_later_ones_of_its_batch_may_repeat_it():
    guard = guard_of(DuplicatePolicy.FLAG)
    guard.admit(codes_of(0b1))
    assert guard.check(codes_of(0b11, 0b111, 0xF0, 0b111)) == [
        Near(row=0, distance=1),
        Near(row=1, distance=1),  # the first of this batch
        None,
        Near(row=2, distance=0),  # nearer than the first
    ]


def test_a_rejected_image_is_not_admitted_so_nothing_repeats_it():
    guard = guard_of(DuplicatePolicy.REJECT)
    guard.admit(codes_of(0b1))
    assert guard.check(codes_of(0b11, 0b111, 0b1111, 0xF0)) == [
        Near(row=0, distance=1),
        None,  # only near the rejected one; becomes row 1
        Near(row=1, distance=1),
        None,
    ]


def test_an_image_of_the_gallery_comes_before_one_of_the_batch_at_the_same_distance():
    guard = guard_of(DuplicatePolicy.FLAG)
    guard.admit(codes_of(0b100))
    assert guard.check(codes_of(0b110, 0b101)) == [Near(row=0, distance=1)] * 2


@pytest.mark.parametrize("policy", [DuplicatePolicy.FLAG, DuplicatePolicy.REJECT])
def test_a_batch_is_judged_as_if_its_images_came_one_by_one(policy):
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 4, (60, 2), dtype=np.uint8)
    at_once, one_by_one = guard_of(policy), guard_of(policy)
    for guard in (at_once, one_by_one):
        guard.admit(codes[:10])
        guard.remove(np.array([0, 3]))
    expected = []
    for code in codes[10:, None]:
        expected += one_by_one.check(code)
        if policy is DuplicatePolicy.FLAG or expected[-1] is None:
            one_by_one.admit(code)
    assert at_once.check(codes[10:]) == expected
    assert any(expected)


def test_nothing_repeats_a_removed_image():
    guard = guard_of(DuplicatePolicy.REJECT)
    guard.admit(codes_of(1, 1))
    guard.remove(np.array([0]))
    assert guard.check(codes_of(1)) == [Near(row=1, distance=0)]
    guard.remove(np.array([1]))
    assert guard.check(codes_of(1)) == [None]


def test_under_allow_nothing_is_near():
    guard = guard_of(DuplicatePolicy.ALLOW)
    guard.admit(codes_of(1, 1))
    guard.remove(np.array([0]))
    assert guard.check(codes_of(1, 1)) == [None, None]
    assert guard.check(codes_of(1)[:0]) == []


@pytest.mark.parametrize("max_distance", [15, 16, 1000])
def test_a_distance_beyond_the_code_makes_everything_near(max_distance):
    guard = guard_of(DuplicatePolicy.FLAG, max_distance=max_distance)
    guard.admit(codes_of(0))
    assert guard.check(codes_of(0xFF)) == [Near(row=0, distance=8)]


def test_a_negative_distance_and_codes_of_another_length_are_refused():
    message = re.escape("max_distance of near duplicates must be at least 0 bits, got -2. Give 0 for equal")
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        DuplicateRule(policy=DuplicatePolicy.FLAG, max_distance=-2)
    assert caught.value.field == "max_distance"
    with pytest.raises(CodeShapeError, match="Index holds 16-bit codes, got 8-bit"):
        guard_of(DuplicatePolicy.FLAG).check(np.zeros((1, 1), dtype=np.uint8))
