"""Separate training: every length is what the joint hasher learns when it knows of no other."""

import numpy as np
import pytest
from sklearn.base import clone

from hashing.codes import pack_codes
from hashing.errors import CodeLengthError
from hashing.joint import JointHasher
from hashing.joint_cv import CANDIDATES, JointHasherCV
from hashing.layout import CodeLayout
from hashing.peers.separate import SeparateHasher

LENGTHS = (8, 16)


@pytest.fixture(scope="module")
def clusters():
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    x = 2 * rng.normal(size=(4, 12))[labels] + rng.normal(size=(160, 12))
    return x.astype(np.float32), labels


def alone(bits, **parameters):
    return JointHasher(lengths=(bits,), beta=0.0, joint_encoding=False, random_state=0, **parameters)


@pytest.mark.parametrize("labelled", [True, False])
def test_every_length_is_learned_as_if_it_were_the_only_one(clusters, labelled):
    x, y = clusters[0], clusters[1] if labelled else None
    hasher = SeparateHasher(lengths=(16, 8), estimator=JointHasher(beta=5.0, random_state=0)).fit(x, y)
    codes, scores = hasher.encode(x), hasher.project(x)
    assert tuple(codes) == tuple(scores) == hasher.lengths_ == LENGTHS
    for bits in LENGTHS:
        expected = alone(bits).fit(x, y)
        np.testing.assert_array_equal(codes[bits], expected.encode(x)[bits])
        np.testing.assert_array_equal(scores[bits], expected.project(x)[bits])


def test_other_parameters_of_the_given_hasher_hold_and_it_is_left_as_it_was(clusters):
    x, y = clusters
    given = JointHasher(nu=2.0, features="linear", random_state=0)
    before = clone(given).get_params()
    hasher = SeparateHasher(lengths=LENGTHS, estimator=given).fit(x, y)
    assert given.get_params() == before
    assert not hasattr(given, "encoder_")
    for bits in LENGTHS:
        expected = alone(bits, nu=2.0, features="linear").fit(x, y)
        np.testing.assert_array_equal(hasher.encode(x)[bits], expected.encode(x)[bits])


def test_records_hold_the_codes_side_by_side_and_codes_are_signs_of_scores(clusters):
    x, y = clusters
    hasher = SeparateHasher(lengths=LENGTHS, estimator=JointHasher(random_state=0)).fit(x, y)
    records, scores = hasher.transform(x), hasher.project(x)
    assert (records.dtype, records.shape) == (np.uint8, (160, 3))
    assert hasher.get_feature_names_out().shape == (3,)
    for bits, codes in CodeLayout(LENGTHS).split(records).items():
        np.testing.assert_array_equal(codes, pack_codes(scores[bits]))
    np.testing.assert_array_equal(hasher.transform(x[5:6]), records[5:6])


def test_tuning_validates_every_length_for_itself(clusters):
    x, y = clusters
    y = np.where(np.arange(160) % 3 > 0, y, (y + 1) % 4)  # a third are wrong, so there is something to tune
    hasher = SeparateHasher(lengths=LENGTHS, estimator=JointHasher(random_state=0), tune=True).fit(x, y)
    candidates = [{"nu": each["nu"], "joint_encoding": False} for each in CANDIDATES]
    for bits in LENGTHS:
        expected = JointHasherCV(alone(bits), candidates=candidates, per_length=False).fit(x, y)
        found = hasher.hashers_[bits]
        assert found.best_params_ == expected.best_params_
        assert found.best_estimator_.beta == 0
        np.testing.assert_array_equal(hasher.encode(x)[bits], expected.encode(x)[bits])


def test_a_length_no_code_can_have_is_refused(clusters):
    with pytest.raises(CodeLengthError, match="multiples of 8 from 8 to 1024, got 12"):
        SeparateHasher(lengths=(12,)).fit(*clusters)


def test_embeddings_of_another_width_are_refused(clusters):
    x, y = clusters
    hasher = SeparateHasher(lengths=(8,), estimator=JointHasher(random_state=0)).fit(x, y)
    with pytest.raises(ValueError, match=r"X has 11 features, but .* is expecting 12 features"):
        hasher.transform(x[:, 1:])
