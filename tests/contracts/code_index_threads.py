"""What searches of any `CodeIndex` must find while another thread adds or removes rows.

In: `make_index(bits)` and the lengths, given by a subclass of `CodeIndexThreadsContract` in a test module. Out: tests.
Leaves to `code_index` what one thread sees.
"""

import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from hashing.index import CodeIndex
from tests.contracts.code_index import few_codes, pairs, scattered_codes


class CodeIndexThreadsContract:
    """Subclasses give `make_index` and a fixture `bits` over the lengths they take."""

    make_index: Callable[[int], CodeIndex]

    @pytest.mark.usefixtures("hasty_threads")
    def test_searches_beside_an_add_see_whole_batches(self, bits, rng):
        n_batches, batch, k = 60, 150, 20
        xb, query = few_codes(rng, n_batches * batch, bits, distinct=40), scattered_codes(rng, 1, bits)
        distances = np.bitwise_count(query ^ xb).sum(axis=1, dtype=np.int64)
        answers = []
        for stop in range(0, len(xb) + 1, batch):
            order = np.lexsort((np.arange(stop), distances[:stop]))[:k]
            answers.append(list(zip(distances[order].tolist(), order.tolist(), strict=True)))
        index, added = self.make_index(bits), 0

        def look() -> bool:
            before = added
            hits = pairs(index.search(query, k=k)[0])
            return hits in answers[before : added + 2]

        def write() -> None:
            nonlocal added
            for start in range(0, len(xb), batch):
                index.add(xb[start : start + batch])
                added += 1

        assert all(self.looks_beside(write, look))
        assert pairs(index.search(query, k=k)[0]) == answers[-1]

    @pytest.mark.usefixtures("hasty_threads")
    def test_searches_beside_a_remove_miss_nothing_that_stays(self, bits, rng):
        xb, query, k = few_codes(rng, 6000, bits, distinct=40), scattered_codes(rng, 1, bits), 30
        distances = np.bitwise_count(query ^ xb).sum(axis=1, dtype=np.int64)
        order = np.lexsort((np.arange(len(xb)), distances)).tolist()
        leaving = order[0:1400:2]  # every other one of the nearest, nearest first
        staying = [row for row in order if row not in set(leaving)]
        index, removed = self.make_index(bits), 0
        index.add(xb)

        def look() -> bool:
            before = removed
            hits = [row for _, row in pairs(index.search(query, k=k)[0])]
            stayed = [row for row in hits if row not in set(leaving)]
            return (
                len(hits) == k and not set(hits) & set(leaving[:before]) and stayed == staying[: len(stayed)]
            )

        def write() -> None:
            nonlocal removed
            for row in leaving:
                index.remove(np.array([row]))
                removed += 1

        assert all(self.looks_beside(write, look))
        assert [row for _, row in pairs(index.search(query, k=k)[0])] == staying[:k]

    def looks_beside(self, write: Callable[[], None], look: Callable[[], bool]) -> list[bool]:
        """Return what two threads saw again and again while a third wrote, and once after."""
        seen: list[bool] = []
        writer = threading.Thread(target=write)

        def watch() -> None:
            while writer.is_alive():
                seen.append(look())
            seen.append(look())

        watchers = [threading.Thread(target=watch) for _ in range(2)]
        for thread in (writer, *watchers):
            thread.start()
        for thread in (writer, *watchers):
            thread.join()
        return seen

    @pytest.fixture
    def hasty_threads(self):
        """Let threads alternate a hundred times more often than usual."""
        usual = sys.getswitchinterval()
        sys.setswitchinterval(usual / 100)
        yield
        sys.setswitchinterval(usual)
