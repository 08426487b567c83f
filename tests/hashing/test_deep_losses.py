"""The losses of the deep heads against plain loops, and the gradient that passes the sign."""

import math

import numpy as np
import pytest
import torch

from hashing.deep.losses import (
    conflict_weights,
    csq_loss,
    l_loss,
    m_loss,
    orthohash_loss,
    q_loss,
    similarity_distillation,
    straight_through,
)


def draw(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def signs(*shape, seed=0):
    return torch.where(draw(*shape, seed=seed) > 0, 1.0, -1.0).double()


def test_signs_are_exact_and_zero_is_negative():
    assert straight_through(torch.tensor([[0.3, -2.0, 0.0, 7.0]])).tolist() == [[1.0, -1.0, -1.0, 1.0]]


def test_the_gradient_of_the_sign_passes_within_one_and_stops_beyond():
    scores = torch.tensor([[0.3, -1.0, 0.0, 7.0, -1.01]], requires_grad=True)
    upstream = torch.tensor([[2.0, 3.0, 5.0, 7.0, 11.0]])
    (upstream * straight_through(scores)).sum().backward()
    assert scores.grad.tolist() == [[2.0, 3.0, 5.0, 0.0, 0.0]]


@pytest.mark.parametrize("columns", [1, 3], ids=["per sample", "per entry"])
def test_the_m_loss_is_the_weighted_error_of_predicted_labels(columns):
    codes, W = signs(5, 8), draw(8, 3, seed=1)
    targets = (draw(5, 3, seed=2) > 0).double()
    weights = draw(5, columns, seed=3).abs()
    expected = 0.0
    for i in range(5):
        for k in range(3):
            predicted = sum(float(codes[i, b] * W[b, k]) for b in range(8))
            expected += float(weights[i, k % columns]) * (float(targets[i, k]) - predicted) ** 2
    expected += 0.7 * sum(float(w) ** 2 for w in W.flatten())
    assert float(m_loss(codes, W, targets, weights, ridge=0.7)) == pytest.approx(expected)


def test_unknown_entries_leave_no_gradient_in_the_m_loss():
    scores = draw(2, 8).clamp(-0.9, 0.9).requires_grad_()
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).double()
    W = draw(8, 2, seed=1)
    m_loss(straight_through(scores), W, torch.zeros(2, 2).double(), weights, ridge=1.0).backward()
    predicted = float(straight_through(scores.detach())[0] @ W[:, 0])
    for b in range(8):  # d/db_b of (0 - b W)^2, only the known entry
        assert float(scores.grad[0, b]) == pytest.approx(2 * predicted * float(W[b, 0]))
    assert (scores.grad[1] == 0).all()


def test_the_l_loss_is_the_distance_of_scores_to_codes():
    B, f, P = signs(4, 8), draw(4, 8, seed=1), draw(8, 5, seed=2)
    expected = sum((float(B[i, k]) - float(f[i, k])) ** 2 for i in range(4) for k in range(8))
    expected += 0.3 * sum(float(p) ** 2 for p in P.flatten())
    assert float(l_loss(B, f, P, ridge=0.3)) == pytest.approx(expected)


def test_the_q_loss_is_the_error_of_predicted_codes_and_moves_both_sides():
    source, target = signs(4, 8).requires_grad_(), signs(4, 16, seed=1).requires_grad_()
    R = draw(8, 16, seed=2)
    loss = q_loss(source, target, R, ridge=0.5)
    expected = 0.5 * float((R**2).sum())
    B, A, value = source.detach(), target.detach(), float(loss.detach())
    for i in range(4):
        for t in range(16):
            expected += (float(A[i, t]) - sum(float(B[i, s] * R[s, t]) for s in range(8))) ** 2
    assert value == pytest.approx(expected)
    loss.backward()
    assert source.grad.abs().sum() > 0
    assert target.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["m", "q", "csq", "orthohash", "distillation"])
def test_gradients_are_those_of_finite_differences(name):
    f = draw(4, 8).requires_grad_()
    targets = (draw(4, 3, seed=2) > 0).double()
    known = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]).double()
    losses = {
        "m": lambda x: m_loss(x, draw(8, 3, seed=1), targets, known, ridge=0.1),
        "q": lambda x: q_loss(x, signs(4, 16), draw(8, 16, seed=1), ridge=0.1),
        "csq": lambda x: csq_loss(x, signs(4, 8, seed=3), known[:, 0]),
        "orthohash": lambda x: orthohash_loss(x, signs(3, 8, seed=3), targets, known),
        "distillation": lambda x: similarity_distillation(x, draw(4, 16, seed=4)),
    }
    assert torch.autograd.gradcheck(losses[name], (f,))


def test_csq_is_the_cross_entropy_of_bits_and_a_little_quantisation():
    f, centres = draw(3, 4), signs(3, 4, seed=1)
    weights = [1.0, 0.0, 2.0]
    expected = 0.0
    for i in range(3):
        for b in range(4):
            u, h = math.tanh(f[i, b]), (float(centres[i, b]) + 1) / 2
            p = (u + 1) / 2
            cross = -h * math.log(p) - (1 - h) * math.log(1 - p)
            expected += weights[i] * (cross + 1e-4 * (abs(u) - 1) ** 2) / 4 / 3
    assert float(csq_loss(f, centres, torch.tensor(weights).double())) == pytest.approx(expected)


def test_orthohash_is_a_softmax_over_cosines_with_a_margin():
    f, words = draw(3, 16), signs(4, 16, seed=1)
    targets = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]).double()
    known = torch.tensor(
        [[1.0, 1, 1, 1], [2, 2, 2, 0], [1, 1, 1, 1]]
    ).double()  # the last sample has no class
    expected = 0.0
    for i, weight in ((0, 1.0), (1, 2.0)):
        logits = {}
        for k in range(4):
            if known[i, k] > 0:
                cosine = float(f[i] @ words[k]) / float(f[i].norm() * words[k].norm())
                logits[k] = 4 * (cosine - 0.2 * float(targets[i, k]))
        total = sum(math.exp(v) for v in logits.values())
        own = [k for k in logits if targets[i, k] == 1]
        expected -= weight / 3 * sum(math.log(math.exp(logits[k]) / total) / len(own) for k in own)
    assert float(orthohash_loss(f, words, targets, known)) == pytest.approx(expected)


def test_distillation_compares_cosines_and_leaves_the_longer_code_alone():
    short, long = draw(3, 4).requires_grad_(), draw(3, 8, seed=1).requires_grad_()
    loss = similarity_distillation(short, long)
    s, t = short.detach(), long.detach()
    expected = 0.0
    for i in range(3):
        for j in range(3):
            a = float(s[i] @ s[j] / (s[i].norm() * s[j].norm()))
            b = float(t[i] @ t[j] / (t[i].norm() * t[j].norm()))
            expected += (a - b) ** 2 / 9
    assert float(loss.detach()) == pytest.approx(expected)
    loss.backward()
    assert long.grad is None


def test_a_longer_length_that_pulls_against_a_shorter_one_counts_less():
    short = torch.tensor([[1.0, 0.0]])
    agreeing = torch.tensor([[2.0, 1.0], [5.0, 5.0]])
    opposing = torch.tensor([[-4.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    # short against opposing: ||g||^2 / 2 = 1/2, conflict 4: 1/8; agreeing against opposing: 55 / 2, conflict 8 - 10 < 0.
    weights = conflict_weights([short, agreeing, opposing])
    assert weights == pytest.approx([3 / 2.125, 3 / 2.125, 3 * 0.125 / 2.125])


def test_lengths_that_agree_count_alike():
    gradients = [torch.ones(1, 2), torch.ones(2, 2), -0.2 * torch.ones(4, 2)]  # a weak conflict is let be
    assert conflict_weights(gradients) == pytest.approx([1.0, 1.0, 1.0])
