"""Encoding new samples: scores, signs, joint agreement, and independence of rows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.codes import unpack_codes
from hashing.encoder import CHUNK
from hashing.joint import JointHasher

LENGTHS = (8, 16, 24)
NU = (0.2, 0.3, 0.4)


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 12
    return (np.eye(12)[y] + 0.4 * rng.normal(size=(n, 12))).astype(np.float32), y


def fitted(**parameters):
    return (
        JointHasher(lengths=LENGTHS, nu=NU, beta=0.3, random_state=0, **parameters).fit(*sample(200)).encoder_
    )


@pytest.fixture(scope="module", params=[False, True], ids=["independent", "nested"])
def encoder(request):
    return fitted(nested=request.param)


@pytest.fixture(scope="module")
def independent():
    return fitted()


@pytest.fixture(scope="module")
def fresh():
    return sample(90, seed=1)[0]


def columns(encoder, scores_or_codes):
    """Return what each length adds, side by side."""
    if encoder.nested:
        return np.asarray(scores_or_codes[max(LENGTHS)], dtype=float)
    return np.hstack([scores_or_codes[bits] for bits in LENGTHS]).astype(float)


def signs(encoder, embeddings):
    return {bits: unpack_codes(codes) for bits, codes in encoder.encode(embeddings).items()}


def test_scores_are_features_times_projections(encoder, fresh):
    features = encoder.feature_map(fresh)
    projection = np.hstack(list(encoder.projections.values()))
    starts = (0, 0, 0) if encoder.nested else (0, 8, 24)
    for start, (bits, scores) in zip(starts, encoder.project(fresh).items(), strict=True):
        np.testing.assert_allclose(scores, features @ projection[:, start : start + bits], atol=1e-9)


def test_codes_are_the_signs_of_the_scores_without_joint_encoding(encoder, fresh):
    separate = dataclasses.replace(encoder, joint=False)
    for bits, codes in signs(separate, fresh).items():
        assert (codes == np.where(encoder.project(fresh)[bits] > 0, 1, -1)).all()


def label_free_energy(encoder, scores, codes):
    """Return per sample the part of J that a new sample has: L-loss of every length and Q-loss, without ridges."""
    blocks = {bits: (start, bits) for start, bits in ((0, 8), (8, 16), (16, 24))}
    if not encoder.nested:
        blocks = {8: (0, 8), 16: (8, 24), 24: (24, 48)}
    code = {bits: codes[:, slice(*ends)] for bits, ends in blocks.items()}
    energy = np.zeros(len(codes))
    for nu, bits in zip(NU, LENGTHS, strict=True):
        part = slice(0, bits) if encoder.nested else slice(*blocks[bits])
        energy += nu * ((codes[:, part] - scores[:, part]) ** 2).sum(axis=1)
    for (s, t), R in encoder.associations.items():  # of all six pairs, so each target has two sources
        energy += 0.3 / 2 * ((code[t] - code[s] @ R) ** 2).sum(axis=1)
    return energy


def test_joint_encoding_never_raises_and_sometimes_lowers_the_energy_of_a_sample(encoder, fresh):
    scores = columns(encoder, encoder.project(fresh))
    joint = columns(encoder, signs(encoder, fresh))
    before = label_free_energy(encoder, scores, np.where(scores > 0, 1.0, -1.0))
    after = label_free_energy(encoder, scores, joint)
    assert (after <= before + 1e-9).all()
    assert (after < before - 1e-9).any()


@pytest.mark.parametrize("answers", [(True, False, False), (False, True, True)])
def test_lengths_that_are_not_encoded_jointly_keep_the_signs_of_their_scores(independent, fresh, answers):
    some = dataclasses.replace(independent, joint=answers)
    scores = independent.project(fresh)
    plain = {bits: np.where(f > 0, 1, -1) for bits, f in scores.items()}
    codes = signs(some, fresh)
    for bits, joint in zip(LENGTHS, answers, strict=True):
        assert joint or (codes[bits] == plain[bits]).all()
    before, after = (
        label_free_energy(some, columns(some, scores), columns(some, each)) for each in (plain, codes)
    )
    assert (after <= before + 1e-9).all()
    assert (after < before - 1e-9).any()


def test_one_answer_for_all_lengths_is_the_same_answer_for_each(independent, fresh):
    for answer in (True, False):
        one, each = (dataclasses.replace(independent, joint=joint) for joint in (answer, (answer,) * 3))
        assert (one.records(fresh) == each.records(fresh)).all()


@given(st.lists(st.integers(0, 89), min_size=1, max_size=20))
@settings(deadline=None)
def test_rows_do_not_influence_each_other(encoder, fresh, rows):
    assert (encoder.records(fresh[rows]) == encoder.records(fresh)[rows]).all()


def test_a_row_far_out_does_not_influence_others(fresh):
    """Its fields are as large as itself; what is rounding to them is a reason to flip for others."""
    encoder = fitted(features="linear", normalize=False)
    far = np.vstack([fresh, 1e16 * fresh[:1]]).astype(np.float32)
    assert (encoder.records(far)[:-1] == encoder.records(fresh)).all()


def test_chunks_leave_no_seam(encoder, fresh):
    many = fresh[np.arange(CHUNK + 5) % 90]
    assert (encoder.records(many) == encoder.records(fresh)[np.arange(CHUNK + 5) % 90]).all()


def test_records_hold_the_codes_shortest_first(independent, fresh):
    records = independent.records(fresh)
    assert records.shape == (90, sum(LENGTHS) // 8)
    codes = independent.encode(fresh)
    assert (records == np.hstack([codes[bits] for bits in LENGTHS])).all()


def test_nested_records_are_the_longest_code_and_every_other_is_its_beginning(fresh):
    encoder = fitted(nested=True)
    records = encoder.records(fresh)
    assert records.shape == (90, max(LENGTHS) // 8)
    for bits, codes in encoder.encode(fresh).items():
        assert (codes == records[:, : bits // 8]).all()


def test_no_embeddings_give_no_records(independent):
    records = independent.records(np.empty((0, 12), dtype=np.float32))
    assert records.shape == (0, 6)
    assert records.dtype == np.uint8
