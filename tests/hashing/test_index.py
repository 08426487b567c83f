"""What indexes accept, and which index a length gets."""

import time

import numpy as np
import pytest

from hashing.errors import CodeLengthError, CodeShapeError, HashingError
from hashing.index import Selection, check_codes
from hashing.index_bucket import BucketIndex
from hashing.index_build import build_index
from hashing.index_flat import FlatIndex


@pytest.mark.parametrize(
    ("bits", "kind"), [(8, BucketIndex), (16, BucketIndex), (24, FlatIndex), (1024, FlatIndex)]
)
def test_short_codes_get_buckets_and_long_ones_a_scan(bits, kind):
    index = build_index(bits)
    assert (type(index), index.bits) == (kind, bits)


@pytest.mark.parametrize("bits", [0, 12, 20, 2048])
def test_a_length_no_code_can_have_is_refused(bits):
    with pytest.raises(CodeLengthError, match=f"multiples of 8 from 8 to 1024, got {bits}"):
        build_index(bits)


def test_codes_must_be_bytes():
    with pytest.raises(
        CodeShapeError, match=r"packed bytes \(uint8\), got int64. Pack signs with pack_codes"
    ):
        check_codes(np.zeros((2, 4), dtype=np.int64), bits=32)


def test_codes_must_be_rows():
    with pytest.raises(CodeShapeError, match=r"two-dimensional \(n, 4\), got shape \(4,\)"):
        check_codes(np.zeros(4, dtype=np.uint8), bits=32)


def test_a_view_of_records_becomes_contiguous():
    records = np.arange(24, dtype=np.uint8).reshape(2, 12)
    codes = check_codes(records[:, 4:8], bits=32)
    assert codes.flags.c_contiguous
    np.testing.assert_array_equal(codes, [[4, 5, 6, 7], [16, 17, 18, 19]])


def test_a_selection_knows_its_rows_and_its_mask():
    mask = np.array([True, False, True, False])
    for selection in (Selection(mask=mask, n_rows=4), Selection(rows=np.array([0, 2]), n_rows=4)):
        assert (len(selection), selection.share, selection.rows.tolist()) == (2, 0.5, [0, 2])
        np.testing.assert_array_equal(selection.mask, mask)
    assert Selection(mask=mask[:0], n_rows=0).share == 0


@pytest.mark.parametrize(
    "given", [{}, {"mask": np.ones(3, dtype=bool)}, {"mask": np.ones(4, dtype=bool), "rows": np.arange(4)}]
)
def test_a_selection_takes_either_a_mask_of_all_rows_or_rows(given):
    with pytest.raises(HashingError, match="takes either a mask as long as n_rows, or rows"):
        Selection(n_rows=4, **given)


@pytest.mark.parametrize("bits", [16, 64])
def test_single_adds_and_removes_cost_little_in_an_index_of_a_million(bits):
    codes = np.random.default_rng(0).integers(0, 256, (1_000_000, bits // 8), dtype=np.uint8)
    index = build_index(bits)
    index.add(codes)
    start = time.process_time()
    for row in range(500_000, 501_000):
        index.add(codes[:1])
        index.remove(np.array([row]))
    assert (
        time.process_time() - start < 2.0
    )  # 0.1 s here; copying or sorting a million rows each time takes 5 s
