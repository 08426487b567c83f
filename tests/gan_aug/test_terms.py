"""Terms against their parts, on a critic small enough to follow by hand."""

import pytest
import torch
from torch import nn

from gan_aug import terms
from gan_aug.conditioning import attribute_loss, class_loss, one_hot
from gan_aug.critics import CriticOutput, Head
from gan_aug.errors import RecipeError
from gan_aug.objectives import HINGE
from gan_aug.penalties import R1

REAL, FAKE = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [0.0]])
REAL_Y, FAKE_Y = one_hot(torch.tensor([0, 1]), 2), one_hot(torch.tensor([1, 0]), 2)


def judge(x, y):
    """Score = (1 + class) x^2 / 2: its gradient is (1 + class) x."""
    weight = 1.0 if y is None else 1.0 + y[:, 1:]
    return CriticOutput(
        scores=(weight * x.square() / 2,),
        aux={Head.CLASS: torch.cat([x, -x], 1), Head.ATTRIBUTES: torch.cat([x, 2 * x], 1)},
        feats=(),
    )


def step(**changes):
    options = {
        "nets": {"generator": nn.Identity()}, "judge": judge, "real": REAL, "fake": FAKE, "real_y": REAL_Y,
        "fake_y": FAKE_Y, "generator": torch.Generator().manual_seed(0), **changes,
    }  # fmt: skip
    return terms.Step(**options)


def test_both_sides_of_a_game_see_scores_under_their_own_conditions():
    # Real scores 1 * 2 and 2 * 0.5; fake scores 2 * 0.125 and 0.
    assert terms.judge_apart(HINGE).value(step()).item() == pytest.approx(0 + (1.25 + 1) / 2)
    assert terms.fool(HINGE).value(step()).item() == pytest.approx(-0.25 / 2)
    assert terms.drift().value(step()).item() == pytest.approx((4 + 1) / 2)
    assert terms.drift().weight == 1e-3


def test_a_penalty_takes_the_gradient_under_the_real_condition():
    assert terms.smooth(R1).value(step()).item() == pytest.approx(10 / 2 * ((1 * 2) ** 2 + (2 * 1) ** 2) / 2)


def test_scores_are_computed_once_and_only_when_asked_for():
    calls = []

    def counting(x, y):
        calls.append(x)
        return judge(x, y)

    counted = step(judge=counting)
    terms.fool(HINGE).value(counted)
    terms.name_class(of="fake").value(counted)
    assert len(calls) == 1
    assert calls[0] is FAKE


def test_class_and_attribute_terms_read_their_own_heads():
    for of, x, y in (("real", REAL, REAL_Y), ("fake", FAKE, FAKE_Y)):
        value = terms.name_class(of=of).value(step())
        torch.testing.assert_close(value, class_loss(torch.cat([x, -x], 1), y))
        value = terms.name_class(of=of, head=Head.ATTRIBUTES, weight=0.1).value(step())
        torch.testing.assert_close(value, attribute_loss(torch.cat([x, 2 * x], 1), y))
    with pytest.raises(RecipeError, match="named of real or fake images, got 'wrong'"):
        terms.name_class(of="wrong")


def test_matching_aware_term_judges_real_images_under_the_other_condition():
    # Two samples of two classes: each one's wrong condition is the other's.
    softplus = nn.functional.softplus
    right, wrong, fake = torch.tensor([2.0, 1.0]), torch.tensor([4.0, 0.5]), torch.tensor([0.25, 0.0])
    expected = softplus(-right).mean() + 0.5 * (softplus(wrong).mean() + softplus(fake).mean())
    torch.testing.assert_close(terms.matching_aware().value(step()), expected)


def test_terms_of_conditions_need_conditions():
    for term in (terms.matching_aware(), terms.name_class(of="real")):
        with pytest.raises(RecipeError, match="A term needs conditions, and the batch has none"):
            term.value(step(real_y=None))
