"""Which columns and bytes belong to which length, side by side and nested."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.codes import pack_codes
from hashing.errors import CodeLengthError, CodeShapeError
from hashing.layout import CodeLayout


def layouts():
    """Draw what makes a layout; run-time type checks inside a strategy would draw random numbers of their own."""
    lengths = st.lists(st.integers(1, 128).map(lambda k: 8 * k), min_size=1, max_size=6, unique=True)
    return st.tuples(lengths, st.booleans())


@given(layouts())
def test_blocks_split_the_columns_in_ascending_order(drawn):
    layout = CodeLayout.of(drawn[0], nested=drawn[1])
    places = [k for part in layout.blocks.values() for k in range(part.start, part.stop)]
    assert places == list(range(layout.n_columns))
    assert list(layout.blocks) == sorted(layout.lengths)


@given(layouts())
def test_every_code_has_its_bits_and_ends_with_its_block(drawn):
    layout = CodeLayout.of(drawn[0], nested=drawn[1])
    for bits, part in layout.columns.items():
        assert part.stop - part.start == bits
        assert part.stop == layout.blocks[bits].stop
        assert part.start == (0 if layout.nested else layout.blocks[bits].start)


def test_independent_codes_lie_side_by_side():
    layout = CodeLayout.of((32, 8, 16))
    assert layout.lengths == (8, 16, 32)
    assert layout.n_columns == 56
    assert layout.record_bytes == 7
    assert layout.columns == {8: slice(0, 8), 16: slice(8, 24), 32: slice(24, 56)}
    assert layout.blocks == layout.columns
    assert layout.record_slices == {8: slice(0, 1), 16: slice(1, 3), 32: slice(3, 7)}


def test_nested_codes_share_the_columns_of_the_longest():
    layout = CodeLayout.of((32, 8, 16), nested=True)
    assert layout.n_columns == 32
    assert layout.record_bytes == 4
    assert layout.columns == {8: slice(0, 8), 16: slice(0, 16), 32: slice(0, 32)}
    assert layout.blocks == {8: slice(0, 8), 16: slice(8, 16), 32: slice(16, 32)}
    assert layout.record_slices == {8: slice(0, 1), 16: slice(0, 2), 32: slice(0, 4)}


@given(layouts(), st.integers(0, 5), st.integers(0, 9))
def test_splitting_a_record_gives_the_packed_columns_of_every_length(drawn, n, seed):
    layout = CodeLayout.of(drawn[0], nested=drawn[1])
    signs = np.random.default_rng(seed).choice((-1, 1), size=(n, layout.n_columns))
    for bits, codes in layout.split(pack_codes(signs)).items():
        assert codes.flags.c_contiguous
        assert (codes == pack_codes(signs[:, layout.columns[bits]])).all()


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        (False, r"Code records of lengths \[8, 16\] have 3 bytes, got 2\."),
        (True, r"Code records of nested lengths \[8, 16\] have 2 bytes, got 3\."),
    ],
)
def test_records_of_another_width_are_refused(nested, message):
    layout = CodeLayout.of((8, 16), nested=nested)
    with pytest.raises(CodeShapeError, match=message):
        layout.split(np.zeros((1, 2 + nested), dtype=np.uint8))


def test_lengths_that_are_no_whole_bytes_are_refused():
    with pytest.raises(CodeLengthError, match="multiples of 8 from 8 to 1024, got 12"):
        CodeLayout.of((8, 12))
