"""Encoding new samples: scores, signs, joint agreement, and independence of rows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.codes import split_records, unpack_codes
from hashing.encoder import CHUNK
from hashing.joint import JointHasher

LENGTHS = (8, 16, 24)


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 12
    return (np.eye(12)[y] + 0.4 * rng.normal(size=(n, 12))).astype(np.float32), y


@pytest.fixture(scope="module")
def encoder():
    return JointHasher(lengths=LENGTHS, nu=0.3, beta=0.3, random_state=0).fit(*sample(200)).encoder_


@pytest.fixture(scope="module")
def fresh():
    return sample(90, seed=1)[0]


def test_scores_are_features_times_projections(encoder, fresh):
    features = encoder.feature_map(fresh)
    for bits, scores in encoder.project(fresh).items():
        np.testing.assert_allclose(scores, features @ encoder.projections[bits], atol=1e-9)


def test_codes_are_the_signs_of_the_scores_without_joint_encoding(encoder, fresh):
    separate = dataclasses.replace(encoder, joint=False)
    for bits, codes in separate.encode(fresh).items():
        assert (unpack_codes(codes) == np.where(encoder.project(fresh)[bits] > 0, 1, -1)).all()


def label_free_energy(encoder, scores, codes):
    """Return per sample the part of J that a new sample has: L-loss and Q-loss without ridges."""
    pairs = encoder.weights.associations(encoder.lengths)
    energy = sum(
        encoder.weights.nu * ((codes[bits] - scores[bits]) ** 2).sum(axis=1) for bits in encoder.lengths
    )
    for (s, t), beta in pairs.items():
        energy = energy + beta * ((codes[t] - codes[s] @ encoder.associations[s, t]) ** 2).sum(axis=1)
    return energy


def test_joint_encoding_never_raises_and_sometimes_lowers_the_energy_of_a_sample(encoder, fresh):
    scores = encoder.project(fresh)
    signs = {bits: np.where(f > 0, 1.0, -1.0) for bits, f in scores.items()}
    joint = {bits: unpack_codes(codes).astype(float) for bits, codes in encoder.encode(fresh).items()}
    before, after = (label_free_energy(encoder, scores, codes) for codes in (signs, joint))
    assert (after <= before + 1e-9).all()
    assert (after < before - 1e-9).any()


@given(st.lists(st.integers(0, 89), min_size=1, max_size=20))
@settings(deadline=None)
def test_rows_do_not_influence_each_other(encoder, fresh, rows):
    assert (encoder.records(fresh[rows]) == encoder.records(fresh)[rows]).all()


def test_chunks_leave_no_seam(encoder, fresh):
    many = fresh[np.arange(CHUNK + 5) % 90]
    assert (encoder.records(many) == encoder.records(fresh)[np.arange(CHUNK + 5) % 90]).all()


def test_records_hold_the_codes_shortest_first(encoder, fresh):
    records = encoder.records(fresh)
    assert records.shape == (90, sum(LENGTHS) // 8)
    codes = encoder.encode(fresh)
    for bits, part in split_records(records, LENGTHS).items():
        assert (part == codes[bits]).all()


def test_no_embeddings_give_no_records(encoder):
    records = encoder.records(np.empty((0, 12), dtype=np.float32))
    assert records.shape == (0, 6)
    assert records.dtype == np.uint8
