"""What counts as labels, and what the solver gets of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.errors import LabelError
from hashing.labels import read_labels


def test_no_labels_are_no_classes_and_no_weight():
    labels = read_labels(None, 3)
    assert labels.targets.shape == (3, 0)
    assert labels.classes.size == 0
    assert not labels.labelled.any()
    assert not labels.informative


def test_class_numbers_become_columns_and_minus_one_is_unlabelled():
    labels = read_labels([7, -1, 2, 7], 4)
    assert labels.classes.tolist() == [2, 7]
    assert labels.targets.tolist() == [[0, 1], [0, 0], [1, 0], [0, 1]]
    assert labels.weights.tolist() == [[1], [0], [1], [1]]


def test_nan_among_numbers_is_unlabelled():
    assert read_labels(np.array([1.0, np.nan, 0.0]), 3).weights.ravel().tolist() == [1, 0, 1]


@pytest.mark.parametrize("blank", [None, ""])
def test_class_names_become_columns_and_blank_is_unlabelled(blank):
    labels = read_labels(["dog", blank, "cat"], 3)
    assert labels.classes.tolist() == ["cat", "dog"]
    assert labels.targets.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert labels.labelled.tolist() == [True, False, True]


@pytest.mark.parametrize("kind", [tuple, list, set, frozenset])
def test_label_collections_become_multi_hot_and_empty_is_unlabelled(kind):
    labels = read_labels([kind(["sea", "sky"]), kind([]), kind(["sky"])], 3)
    assert labels.classes.tolist() == ["sea", "sky"]
    assert labels.targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert labels.weights.ravel().tolist() == [1, 0, 1]


def test_complete_multi_hot_matrix_is_taken_as_it_is_with_one_weight_column():
    labels = read_labels([[1, 0], [0, 0], [1, 1]], 3)
    assert labels.targets.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert labels.weights.tolist() == [[1], [1], [1]]  # a row of zeros says: none of these classes


def test_missing_entries_weigh_nothing_and_a_row_of_them_is_unlabelled():
    labels = read_labels(np.array([[1, np.nan], [np.nan, np.nan], [0, 1]]), 3)
    assert labels.targets.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert labels.weights.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert labels.labelled.tolist() == [True, False, True]


def test_one_class_for_all_tells_nothing_apart():
    assert not read_labels(["a", "a", None], 3).informative
    assert read_labels(["a", "b"], 2).informative
    assert read_labels([[1], [0]], 2).informative


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=30).filter(lambda y: max(y) >= 0))
def test_balancing_gives_every_class_the_same_total_weight_and_keeps_the_sum(y):
    labels = read_labels(y, len(y), class_weight="balanced")
    totals = (labels.weights * labels.targets).sum(axis=0)
    np.testing.assert_allclose(totals, totals[0])
    np.testing.assert_allclose(labels.weights.sum(), sum(k >= 0 for k in y))


def test_balancing_weighs_a_sample_of_several_classes_by_their_mean():
    labels = read_labels([("a", "b"), ("a",), ("a",), ()], 4, class_weight="balanced")
    rare, common = 3 / (2 * 1), 3 / (2 * 3)
    np.testing.assert_allclose(labels.weights.ravel(), [(rare + common) / 2, common, common, 0])


def test_named_classes_count_what_is_given_and_the_others_one():
    labels = read_labels([("a", "b"), ("a",), ("c",), ()], 4, class_weight={"a": 3.0, "b": 0.5})
    assert labels.weights.ravel().tolist() == [1.75, 3, 1, 0]
    assert read_labels([5, 7, -1], 3, class_weight={7: 2.0}).weights.ravel().tolist() == [1, 2, 0]


def test_class_weights_reach_the_known_entries_of_a_sample_and_not_the_missing_ones():
    y = np.array([[1, np.nan], [0, 1], [0, 0]])
    assert read_labels(y, 3, class_weight={0: 3.0, 1: 2.0}).weights.tolist() == [[3, 0], [2, 2], [1, 1]]


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("heavy", r"class_weight must be None, 'balanced' or a weight per class, got 'heavy'\."),
        ({"dog": 2.0}, r"class_weight names 'dog', which no sample has\. Name classes of the labels\."),
        ({"a": -1.0}, r"Class weights must be finite and at least 0, got \{'a': -1\.0\}\."),
        ({"a": float("nan")}, r"Class weights must be finite and at least 0, got \{'a': nan\}\."),
    ],
)
def test_class_weights_that_say_nothing_about_the_labels_are_refused(class_weight, message):
    with pytest.raises(LabelError, match=message):
        read_labels(["a", "b", None], 3, class_weight=class_weight)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1], r"Expected labels for 3 samples, got 2\. Give one entry per row"),
        ([0.5, 1, 2], "Class numbers must be whole and not negative, or -1"),
        ([-2, 1, 2], "Class numbers must be whole and not negative, or -1"),
        ([[0, 2], [1, 0], [1, 1]], "A label matrix must hold 0, 1 or NaN, got 2"),
        (np.array([["a"], ["b"], ["c"]]), "A label matrix must hold 0, 1 or NaN: could not convert"),
        ([("a",), (object,), ()], "Unknown label type: class names must be str, got <class 'object'>"),
        (np.zeros((3, 1, 1)), r"one- or two-dimensional, got shape \(3, 1, 1\)"),
        ([[0], [1, 0], [1]], "Cannot read the labels as one array"),
        (
            np.array(["2020", "2021", "2022"], dtype="M8[Y]"),
            "must be numbers, names or None, got dtype datetime64",
        ),
    ],
)
def test_labels_of_another_number_or_kind_are_refused(y, message):
    with pytest.raises(LabelError, match=message):
        read_labels(y, 3)
