"""Conditions and their losses against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_aug.conditioning import (
    InfoCode,
    attribute_difference,
    attribute_loss,
    class_loss,
    join,
    matching_aware_loss,
    mismatched,
    one_hot,
    signed,
)
from gan_aug.errors import BatchError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_labels_and_attributes_become_vectors():
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert signed(torch.tensor([[0.0, 1.0]])).tolist() == [[-1, 1]]
    with pytest.raises(BatchError, match=r"Labels must be 0 \.\.\. 2, got 0 \.\.\. 3"):
        one_hot(torch.tensor([0, 3]), 3)


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_the_difference_of_equal_attributes_is_zero_and_of_opposite_ones_is_a_sign(values):
    a = torch.tensor([values]).float()
    assert not attribute_difference(a, a).any()
    assert attribute_difference(a, 1 - a).equal(signed(a))


def test_a_condition_joins_points_as_numbers_and_images_as_constant_planes():
    y = torch.tensor([[1.0, 2.0]])
    assert join(torch.zeros(1, 1), y).tolist() == [[0, 1, 2]]
    assert join(torch.zeros(1, 1, 1, 2), y).tolist() == [[[[0, 0]], [[1, 1]], [[2, 2]]]]
    x = torch.zeros(1, 3)
    assert join(x, None) is x


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 9))
@settings(deadline=None)
def test_mismatched_conditions_come_from_the_batch_and_differ_wherever_they_can(labels, seed):
    y = one_hot(torch.tensor(labels), 4)
    wrong = mismatched(y, generator(seed))
    assert set(wrong.argmax(1).tolist()) <= set(labels)
    assert bool((wrong != y).any(1).all()) is (len(set(labels)) > 1)


def test_matching_aware_loss_halves_the_two_kinds_of_negatives():
    right, wrong, fake = torch.randn(3, 4, 1, generator=generator()).double()

    def softplus(values):
        return sum(math.log1p(math.exp(v)) for v in values.flatten().tolist()) / 4

    expected = softplus(-right) + 0.5 * softplus(wrong) + 0.5 * softplus(fake)
    assert matching_aware_loss([right], [wrong], [fake]).item() == pytest.approx(expected)


def test_class_and_attribute_losses_are_cross_entropies():
    logits = torch.randn(3, 4, generator=generator()).double()
    labels = [1, 3, 0]
    by_loop = -sum(math.log(logits[i].exp()[k] / logits[i].exp().sum()) for i, k in enumerate(labels)) / 3
    assert class_loss(logits, one_hot(torch.tensor(labels), 4).double()).item() == pytest.approx(by_loop)
    bits = torch.tensor([[0.0, 1.0, 1.0, 0.0]] * 3).double()
    p = logits.sigmoid()
    by_loop = -sum(math.log(q if b else 1 - q) for b, q in zip(bits.flatten(), p.flatten(), strict=True)) / 12
    assert attribute_loss(logits, bits).item() == pytest.approx(by_loop)


def test_codes_hold_one_class_per_category_and_numbers_between_minus_one_and_one():
    code = InfoCode(categories=(3, 2), continuous=2)
    drawn = code.draw(50, generator())
    assert code.width == drawn.shape[1] == 7
    assert drawn[:, :3].sum(1).eq(1).all()
    assert drawn[:, 3:5].sum(1).eq(1).all()
    assert drawn[:, 5:].abs().max() <= 1
    assert drawn[:, 5:].min() < 0
    assert drawn.equal(code.draw(50, generator()))


def test_code_loss_is_cross_entropy_plus_half_squared_error():
    code = InfoCode(categories=(3,), continuous=2)
    predicted = torch.randn(4, 5, generator=generator()).double()
    wanted = code.draw(4, generator()).double()
    expected = 0.0
    for p, c in zip(predicted, wanted, strict=True):
        expected -= math.log(p[:3].exp()[c[:3].argmax()] / p[:3].exp().sum())
        expected += sum(0.5 * (p[k] - c[k]).item() ** 2 for k in (3, 4))
    assert code.loss(predicted, wanted).item() == pytest.approx(expected / 4)
