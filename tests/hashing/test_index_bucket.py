"""The bucket index: the contract at both lengths, and the lengths it refuses."""

import numpy as np
import pytest

from hashing.errors import CodeLengthError
from hashing.index_bucket import BucketIndex
from tests.contracts.code_index import CodeIndexContract
from tests.contracts.code_index_threads import CodeIndexThreadsContract


class TestBucketIndex(CodeIndexContract, CodeIndexThreadsContract):
    make_index = BucketIndex

    @pytest.fixture(params=[8, 16])
    def bits(self, request):
        return request.param


def test_longer_codes_are_refused():
    with pytest.raises(CodeLengthError, match=r"holds codes of 8 or 16 bits, got 32\. Use a flat index"):
        BucketIndex(32)


def test_rows_removed_after_a_rebuild_of_the_table_are_made_up_for_in_a_search_that_began_before():
    index = BucketIndex(8)
    for _ in range(2):  # the second time makes room for more
        index.add(np.zeros((5000, 1), dtype=np.uint8))
    index.remove(np.array([4000]))
    began = index._state
    index.add(np.zeros((5000, 1), dtype=np.uint8))
    assert index._state.table.n_rows == 15_000
    index.remove(np.arange(100))
    hits = index._walk(began, np.uint8(0), k=20, reach=8, among=None)
    assert len(hits.rows) == 20
    assert index.search(np.zeros((1, 1), dtype=np.uint8), k=1)[0].rows.tolist() == [100]
