"""The flat index: the contract at every length, and that it scans in one thread."""

import faiss
import numpy as np
import pytest

from hashing.index_flat import FlatIndex
from tests.contracts.code_index import CodeIndexContract
from tests.contracts.code_index_threads import CodeIndexThreadsContract


class TestFlatIndex(CodeIndexContract, CodeIndexThreadsContract):
    make_index = FlatIndex

    @pytest.fixture(params=[8, 16, 24, 32, 64, 128, 256, 1024])
    def bits(self, request):
        return request.param


class _CountingScan:
    """A FAISS index that notes how many threads OpenMP would use in its searches."""

    def __init__(self, index: FlatIndex) -> None:
        (segment,) = index._segments
        self.scan = segment._index
        self.n_threads = []
        segment._index = self

    def search(self, *args, **kwargs):
        self.n_threads.append(faiss.omp_get_max_threads())
        return self.scan.search(*args, **kwargs)


def test_a_search_scans_in_one_thread_and_leaves_openmp_as_it_was():
    index = FlatIndex(64)
    index.add(np.zeros((3, 8), dtype=np.uint8))
    scan = _CountingScan(index)
    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(3)
        index.search(np.zeros((2, 8), dtype=np.uint8), k=1)
        assert (scan.n_threads, faiss.omp_get_max_threads()) == ([1], 3)
    finally:
        faiss.omp_set_num_threads(before)


class _RemovingScan:
    """A FAISS index behind whose first scan a row is removed."""

    def __init__(self, index: FlatIndex, row: int) -> None:
        (segment,) = index._segments
        self.scan = segment._index
        self.remove_row = lambda: index.remove(np.array([row]))
        self.n_scans = 0
        segment._index = self

    def search(self, *args, **kwargs):
        found = self.scan.search(*args, **kwargs)
        self.n_scans += 1
        if self.n_scans == 1:
            self.remove_row()
        return found


def test_a_hit_removed_during_the_scan_is_made_up_for():
    index = FlatIndex(8)
    index.add(np.zeros((5, 1), dtype=np.uint8))
    index.remove(np.array([0]))
    scan = _RemovingScan(index, row=1)
    (hits,) = index.search(np.zeros((1, 1), dtype=np.uint8), k=2)
    assert (hits.rows.tolist(), scan.n_scans) == ([2, 3], 2)
