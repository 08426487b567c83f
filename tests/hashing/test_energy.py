"""The bit rule against a plain loop over samples and bits, for every curvature and for their sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing.energy import CodeEnergy, EntryCurvature, ScaledCurvature, SharedCurvature, descend_bits_, merge

BITS, N, CLASSES = 7, 12, 3
ALL = slice(0, BITS)
KINDS = ["shared", "scaled", "entries"]


def curvature(kind, rng):
    """Return a curvature and, written out, the matrix of every sample."""
    root = rng.normal(size=(BITS, BITS))
    A = root @ root.T
    match kind:
        case "shared":
            return SharedCurvature(A), [A] * N
        case "scaled":
            w = rng.random(N)
            return ScaledCurvature(A, w), [each * A for each in w]
        case _:
            W, w = rng.normal(size=(BITS, CLASSES)), rng.random((CLASSES, N))
            return EntryCurvature(W, w), [W @ np.diag(each) @ W.T for each in w.T]


def case(kinds, seed):
    """Return an energy, its matrix of every sample, and codes."""
    rng = np.random.default_rng(seed)
    parts = [curvature(kind, rng) for kind in kinds]
    energy = CodeEnergy(linear=3 * rng.normal(size=(BITS, N)), curvatures=[part for part, _ in parts])
    matrices = np.sum([matrix for _, matrix in parts], axis=0)
    return energy, matrices, rng.choice((-1.0, 1.0), size=(BITS, N))


def kinds():
    return st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)


def loop_descend(codes, linear, matrices, blocks, passes):
    """Return codes after the bit rule, one sample and one bit after the other, and the flips of each bit."""
    codes, flips = codes.copy(), [0] * len(codes)
    for i in range(codes.shape[1]):
        for block in blocks:
            for _ in range(passes):
                for k in range(block.start, block.stop):
                    others = sum(matrices[i][k, j] * codes[j, i] for j in range(len(codes)) if j != k)
                    wanted = np.sign(linear[k, i] - others)
                    flips[k] += wanted != codes[k, i]
                    codes[k, i] = wanted
    return codes, flips


def energies(codes, linear, matrices):
    return np.array([b @ A @ b - 2 * b @ c for b, A, c in zip(codes.T, matrices, linear.T, strict=True)])


@given(
    kinds(),
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.sampled_from([[ALL], [slice(3, 7), slice(0, 3)]]),
)
@settings(max_examples=40)
def test_bit_rule_follows_the_plain_loop_over_samples_and_bits(kinds, seed, passes, blocks):
    energy, matrices, codes = case(kinds, seed)
    expected, expected_flips = loop_descend(codes, energy.linear, matrices, blocks, passes)
    flips = descend_bits_(codes, energy, blocks=blocks, passes=passes)
    assert (codes == expected).all()
    assert flips.tolist() == expected_flips


@given(kinds(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_fields_are_what_the_other_bits_want(kinds, seed):
    energy, matrices, codes = case(kinds, seed)
    fields = energy.fields(codes, slice(2, 6))
    for k in range(2, 6):
        for i in range(N):
            others = sum(matrices[i][k, j] * codes[j, i] for j in range(BITS) if j != k)
            assert fields[k - 2, i] == pytest.approx(energy.linear[k, i] - others)


@given(kinds(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_columns_are_those_of_the_matrix_of_each_sample(kinds, seed):
    energy, matrices, _ = case(kinds, seed)
    some = np.array([0, 5, 11])
    expected = np.stack([matrices[i][2:6, 3] for i in some], axis=1)
    np.testing.assert_allclose(energy.column(3, slice(2, 6), some), expected)


@given(kinds(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_no_sample_ends_with_more_energy_and_at_the_end_no_flip_lowers_it(kinds, seed):
    energy, matrices, codes = case(kinds, seed)
    before = energies(codes, energy.linear, matrices)
    descend_bits_(codes, energy, blocks=[ALL], passes=100)
    after = energies(codes, energy.linear, matrices)
    assert (after <= before + 1e-9).all()
    for k in range(BITS):
        codes[k] *= -1
        assert (energies(codes, energy.linear, matrices) >= after - 1e-9).all()
        codes[k] *= -1


@given(kinds(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_a_flip_lowers_the_energy_by_four_times_its_field(kinds, seed):
    energy, matrices, codes = case(kinds, seed)
    before, field = energies(codes, energy.linear, matrices), energy.fields(codes, slice(2, 3))[0]
    wrong = field * codes[2] < 0
    flips = descend_bits_(codes, energy, blocks=[slice(2, 3)], passes=1)
    fall = before - energies(codes, energy.linear, matrices)
    np.testing.assert_allclose(fall, np.where(wrong, 4 * np.abs(field), 0), atol=1e-9)
    assert flips.tolist() == [0, 0, wrong.sum(), 0, 0, 0, 0]


@given(kinds(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_bits_outside_the_blocks_stay(kinds, seed):
    energy, _, codes = case(kinds, seed)
    start = codes.copy()
    descend_bits_(codes, energy, blocks=[slice(2, 4)], passes=3)
    assert (codes[:2] == start[:2]).all()
    assert (codes[4:] == start[4:]).all()


@given(kinds(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_single_precision_decides_alike(kinds, seed):
    energy, _, codes = case(kinds, seed)
    short = codes.astype(np.float32)
    single = CodeEnergy(
        linear=energy.linear.astype(np.float32),
        curvatures=[
            type(part)(*(getattr(part, name).astype(np.float32) for name in part.__slots__))
            for part in energy.curvatures
        ],
    )
    descend_bits_(short, single, blocks=[ALL], passes=2)
    descend_bits_(codes, energy, blocks=[ALL], passes=2)
    assert short.dtype == np.float32
    assert (short == codes).mean() > 0.97  # fields close to 0 may go either way


def test_a_bit_without_a_field_stays():
    energy = CodeEnergy(linear=np.zeros((1, 2)), curvatures=[SharedCurvature(np.ones((1, 1)))])
    codes = np.array([[1.0, -1.0]])
    assert descend_bits_(codes, energy, blocks=[slice(0, 1)], passes=3).sum() == 0
    assert codes.tolist() == [[1, -1]]


def test_a_field_that_is_rounding_noise_beside_the_others_flips_nothing():
    energy = CodeEnergy(linear=np.array([[1e-15], [1.0]]), curvatures=[SharedCurvature(np.eye(2))])
    codes = np.array([[-1.0], [-1.0]])
    assert descend_bits_(codes, energy, blocks=[slice(0, 2)], passes=3).tolist() == [0, 1]
    assert codes.tolist() == [[-1], [1]]


def test_a_sample_with_a_large_energy_keeps_no_other_from_flipping():
    energy = CodeEnergy(linear=np.array([[1e20, -1.0]]), curvatures=[SharedCurvature(np.zeros((1, 1)))])
    codes = np.array([[-1.0, 1.0]])
    assert descend_bits_(codes, energy, blocks=[slice(0, 1)], passes=1).tolist() == [2]
    assert codes.tolist() == [[1, -1]]


def test_no_samples_have_no_flips():
    energy = CodeEnergy(linear=np.zeros((3, 0)), curvatures=[SharedCurvature(np.eye(3))])
    assert descend_bits_(np.zeros((3, 0)), energy, blocks=[slice(0, 3)], passes=1).tolist() == [0, 0, 0]


def test_merged_curvatures_sum_to_the_same():
    rng = np.random.default_rng(0)
    matrices = [root @ root.T for root in rng.normal(size=(3, 5, 5))]
    curvatures = [
        SharedCurvature(matrices[0]),
        ScaledCurvature(matrices[1], rng.random(7)),
        SharedCurvature(matrices[2]),
    ]
    codes, block = rng.choice((-1.0, 1.0), size=(5, 7)), slice(1, 4)
    merged = merge(curvatures)
    assert len(merged) == 2
    np.testing.assert_allclose(
        sum(curvature.product(codes, block) for curvature in merged),
        sum(curvature.product(codes, block) for curvature in curvatures),
    )
