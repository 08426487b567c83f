"""Codes of any length from selected bits: which bits are chosen, and what codes of them are worth."""

import math

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from hashing.codes import pack_codes, unpack_codes
from hashing.errors import CodeLengthError, LabelError
from hashing.fusion import FusedHasher, select_bits
from hashing.joint import JointHasher
from hashing.metrics import score_codes


@pytest.fixture(scope="module")
def records():
    """Records of 32 random bits, each as telling as chance makes it, of 60 samples of five classes."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 5
    share = rng.random((5, 32))
    return pack_codes(np.where(rng.random((60, 32)) < share[y], 1.0, -1.0)), y


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order].astype(np.float32), y[order]


@pytest.fixture(scope="module")
def source():
    return JointHasher(lengths=(16, 32), random_state=0)


@pytest.fixture(scope="module")
def fused(digits, source):
    x, y = digits
    return FusedHasher(lengths=(24, 8), estimator=source).fit(x[1000:1400], y[1000:1400])


def codebook_cost(means, chosen):
    """Return the sum over i != j of exp(<m_i, m_j> / 2T), T = max(bits / 16, 1/2), entry by entry."""
    temperature = max(len(chosen) / 16, 0.5)
    cost = 0.0
    for i, mine in enumerate(means):
        for j, other in enumerate(means):
            if i != j:
                cost += math.exp(sum(mine[k] * other[k] for k in chosen) / (2 * temperature))
    return cost


def greedy_columns(signs, members, bits):
    """Return the columns that a plain loop chooses, given the rows of each class."""
    means = [[sum(signs[i][k] for i in rows) / len(rows) for k in range(len(signs[0]))] for rows in members]
    chosen = []
    for _ in range(bits):
        free = [k for k in range(len(signs[0])) if k not in chosen]
        chosen.append(min(free, key=lambda k: codebook_cost(means, [*chosen, k])))
    return chosen


def test_every_bit_is_the_one_that_costs_least_with_those_before(records):
    codes, y = records
    members = [np.flatnonzero(y == k).tolist() for k in range(5)]
    expected = greedy_columns(unpack_codes(codes).tolist(), members, 24)
    assert select_bits(codes, y, 24).columns.tolist() == expected


def test_samples_of_several_classes_count_for_each_and_unlabelled_ones_for_none(records):
    codes, y = records
    labels = [() if i < 10 else ("ab"[i % 2], "cde"[k % 3]) for i, k in enumerate(y.tolist())]
    members = [[i for i, names in enumerate(labels) if name in names] for name in "abcde"]
    expected = greedy_columns(unpack_codes(codes).tolist(), members, 16)
    assert select_bits(codes, labels, 16).columns.tolist() == expected


def test_fewer_bits_are_the_first_of_more_and_all_bits_are_each_taken_once(records):
    codes, y = records
    every = select_bits(codes, y, 32).columns.tolist()
    assert sorted(every) == list(range(32))
    for bits in (8, 16, 24):
        assert select_bits(codes, y, bits).columns.tolist() == every[:bits]


def test_codes_hold_the_selected_bits_in_their_order(records):
    codes, y = records
    selection = select_bits(codes, y, 16)
    signs = unpack_codes(codes)
    for row, found in enumerate(unpack_codes(selection.codes(codes))):
        assert found.tolist() == [signs[row, k] for k in selection.columns]


@pytest.mark.parametrize("bits", [0, 12, 40])
def test_more_bits_than_there_are_or_parts_of_bytes_are_refused(records, bits):
    with pytest.raises(
        CodeLengthError, match=f"multiples of 8 from 8 to the 32 of these records, got {bits}"
    ):
        select_bits(*records, bits)


@pytest.mark.parametrize(
    ("labels", "got"),
    [(None, "0 labelled samples of 0 classes"), (np.zeros(60, dtype=int), "60 labelled samples of 1 class")],
)
def test_labels_that_tell_nothing_apart_select_nothing(records, labels, got):
    with pytest.raises(
        LabelError,
        match=f"got {got}. Label samples of at least two classes, or use a nested hasher",
    ):
        select_bits(records[0], labels, 8)


def test_a_fused_code_is_made_of_bits_of_the_hasher_it_was_given(fused, digits, source):
    x, y = digits
    by_hand = clone(source).fit(x[1000:1400], y[1000:1400])
    selection = select_bits(by_hand.transform(x[1000:1400]), y[1000:1400], 24)
    expected = unpack_codes(by_hand.transform(x[:50]))[:, selection.columns]
    codes = fused.encode(x[:50])
    assert fused.lengths_ == tuple(codes) == (8, 24)
    for bits in (8, 24):
        np.testing.assert_array_equal(unpack_codes(codes[bits]), expected[:, :bits])
    np.testing.assert_array_equal(fused.transform(x[:50]), codes[24])
    assert fused.get_feature_names_out().tolist() == ["fusedhasher0", "fusedhasher1", "fusedhasher2"]


@pytest.mark.parametrize("nested", [False, True])
def test_scores_belong_to_the_selected_bits(digits, nested):
    x, y = digits
    apart = JointHasher(lengths=(8, 24), nested=nested, joint_encoding=False, n_anchors=50, random_state=0)
    hasher = FusedHasher(lengths=(8, 16), estimator=apart).fit(x[1000:1200], y[1000:1200])
    assert hasher.selection_.columns.max() < (24 if nested else 32)
    codes, scores = hasher.encode(x[:50]), hasher.project(x[:50])
    assert list(scores) == [8, 16]
    for bits in (8, 16):
        np.testing.assert_array_equal(codes[bits], pack_codes(scores[bits]))


def test_a_length_beyond_the_sum_of_the_hashers_is_refused(digits):
    x, y = digits
    source = JointHasher(lengths=(8, 16), n_anchors=50, random_state=0)
    with pytest.raises(CodeLengthError, match="from 8 to the 24 of these records, got 32"):
        FusedHasher(lengths=(32,), estimator=source).fit(x[1000:1200], y[1000:1200])


def test_selected_bits_find_nearly_what_learned_ones_do_and_more_than_others_of_the_same_record(
    digits, source
):
    """Mean over splits: on one of them the first 24 bits, all of the shortest code among them, may well win."""
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        order = rng.permutation(1797)
        (x, y), training = (part[order] for part in digits), slice(1000, 1060)
        hasher = clone(source).fit(x[training], y[training])
        selection = select_bits(hasher.transform(x[training]), y[training], 24)
        learned = JointHasher(lengths=(24,), random_state=0).fit(x[training], y[training])
        signs = unpack_codes(hasher.transform(x[:1000]))
        every = {
            "selected": pack_codes(signs[:, selection.columns]),
            "learned": learned.transform(x[:1000]),
            "first": pack_codes(signs[:, :24]),
            "random": pack_codes(signs[:, rng.permutation(48)[:24]]),
        }
        rows = {
            name: score_codes(codes[:200], codes[200:], y[:200].tolist(), y[200:1000].tolist())
            for name, codes in every.items()
        }
        found.append({name: score.mean_average_precision for name, score in rows.items()})
    mean = {name: np.mean([row[name] for row in found]) for name in found[0]}
    assert mean["selected"] > mean["learned"] - 0.03
    assert mean["selected"] > max(mean["first"], mean["random"]) + 0.002
