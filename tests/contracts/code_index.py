"""What any `CodeIndex` must do, compared by value with a plain sort of everything it holds.

In: `make_index(bits)` and the lengths, given by a subclass of `CodeIndexContract` in a test module. Out: tests.
Leaves to the test modules what only one kind of index can do or refuse, and searches beside writes to
`code_index_threads`.
"""

import gc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashing.codes import hamming_distances
from hashing.errors import CodeShapeError, HashingError
from hashing.index import REMOVED, CodeIndex, Neighbours, Selection

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 30), st.none()),
        st.tuples(st.just("select"), st.floats(0, 1), st.none()),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 120), max_size=20), st.none()),
        st.tuples(st.just("search"), st.integers(1, 60), st.one_of(st.none(), st.integers(0, 20))),
    ),
    max_size=25,
)


def nearest(
    held: dict[int, bytes], query: bytes, *, k: int, max_distance: int | None = None
) -> list[tuple[int, int]]:
    """Return the k first (distance, row) by sorting all of them."""
    ranked = sorted(
        ((int.from_bytes(query) ^ int.from_bytes(code)).bit_count(), row) for row, code in held.items()
    )
    return [hit for hit in ranked if max_distance is None or hit[0] <= max_distance][:k]


def pairs(hits: Neighbours) -> list[tuple[int, int]]:
    assert hits.distances.dtype == np.int32
    assert hits.rows.dtype == np.int64
    return list(zip(hits.distances.tolist(), hits.rows.tolist(), strict=True))


def few_codes(rng: np.random.Generator, n: int, bits: int, *, distinct: int = 5) -> np.ndarray:
    """Return n codes of which only some differ, so that most distances are ties."""
    pool = rng.integers(0, 256, (distinct, bits // 8), dtype=np.uint8)
    return pool[rng.integers(0, distinct, n)]


def scattered_codes(rng: np.random.Generator, n: int, bits: int) -> np.ndarray:
    return rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)


def chosen(rng: np.random.Generator, n_rows: int, share: float) -> Selection:
    """Return about this share of the rows, given as a mask or as rows."""
    mask = rng.random(n_rows) < share
    given = {"mask": mask} if rng.random() < 0.5 else {"rows": np.flatnonzero(mask)}
    return Selection(n_rows=n_rows, **given)


def scanned(index: CodeIndex, query: np.ndarray, among: Selection | None) -> list[tuple[int, int]]:
    """Return what a scan finds, as (distance, row), nearest first."""
    rows, distances = index.scan(query, among=among)
    assert (rows.dtype, distances.dtype) == (np.int64, np.int32)
    assert rows.tolist() == sorted(rows.tolist())
    return sorted(zip(distances.tolist(), rows.tolist(), strict=True))


class CodeIndexContract:
    """Subclasses give `make_index` and a fixture `bits` over the lengths they take."""

    make_index: Callable[[int], CodeIndex]

    @pytest.fixture
    def rng(self, bits) -> np.random.Generator:
        return np.random.default_rng(bits)

    def filled(self, bits: int, codes: np.ndarray) -> tuple[CodeIndex, dict[int, bytes]]:
        """Return an index of these codes, and what it holds by row."""
        index = self.make_index(bits)
        index.add(codes)
        return index, dict(enumerate(map(bytes, codes)))

    def test_an_index_tells_its_length_and_size(self, bits, rng):
        index, _ = self.filled(bits, scattered_codes(rng, 7, bits))
        assert (index.bits, index.n_rows, len(index)) == (bits, 7, 7)
        index.remove(np.array([6, 2]))
        assert (index.n_rows, len(index)) == (7, 5)

    def test_an_empty_index_finds_nothing(self, bits, rng):
        index = self.make_index(bits)
        assert len(index) == 0
        assert [pairs(hits) for hits in index.search(scattered_codes(rng, 2, bits), k=3)] == [[], []]

    @pytest.mark.parametrize("codes", [few_codes, scattered_codes])
    @pytest.mark.parametrize("k", [1, 10, 99, 100, 101, 1000])
    def test_search_returns_the_nearest_in_total_order(self, bits, rng, codes, k):
        xb, xq = codes(rng, 100, bits), codes(rng, 3, bits)
        index, held = self.filled(bits, xb)
        expected = [nearest(held, bytes(query), k=k) for query in xq]
        assert [pairs(hits) for hits in index.search(xq, k=k)] == expected

    def test_equal_codes_come_in_the_order_of_their_rows(self, bits):
        index, _ = self.filled(bits, np.full((50, bits // 8), 0b1010, dtype=np.uint8))
        (hits,) = index.search(np.zeros((1, bits // 8), dtype=np.uint8), k=4)
        assert pairs(hits) == [(2 * bits // 8, row) for row in range(4)]

    @pytest.mark.parametrize("codes", [few_codes, scattered_codes])
    def test_max_distance_is_inclusive(self, bits, rng, codes):
        xb, xq = codes(rng, 60, bits), codes(rng, 1, bits)
        index, held = self.filled(bits, xb)
        for limit in range(0, bits + 2, max(1, bits // 16)):
            for k in (1, 5, 60, 70):
                (hits,) = index.search(xq, k=k, max_distance=limit)
                assert pairs(hits) == nearest(held, bytes(xq[0]), k=k, max_distance=limit)

    def test_a_code_finds_itself_at_distance_zero(self, bits, rng):
        xb = np.unique(scattered_codes(rng, 40, bits), axis=0)
        found = [pairs(hits) for hits in self.filled(bits, xb)[0].search(xb, k=5, max_distance=0)]
        assert found == [[(0, row)] for row in range(len(xb))]

    def test_a_batch_answers_like_one_by_one(self, bits, rng):
        index, _ = self.filled(bits, few_codes(rng, 200, bits))
        index.remove(np.arange(3, 100, 4))
        xq = scattered_codes(rng, 70, bits)
        one_by_one = [pairs(index.search(xq[row : row + 1], k=9)[0]) for row in range(len(xq))]
        assert [pairs(hits) for hits in index.search(xq, k=9)] == one_by_one
        assert index.search(xq[:0], k=9) == []

    def test_distances_to_rows_come_in_their_order_and_mark_removed_ones(self, bits, rng):
        codes = scattered_codes(rng, 9000, bits)
        index, _ = self.filled(bits, codes[:6000])
        index.add(codes[6000:])
        rows = rng.permutation(9000)[:5000]
        expected = hamming_distances(codes[3:4], codes[rows])[0].astype(np.uint16)
        np.testing.assert_array_equal(index.distances(codes[3], rows), expected)
        index.remove(rows[::7])
        expected[::7] = REMOVED
        np.testing.assert_array_equal(index.distances(codes[3], rows), expected)

    def test_removed_rows_are_never_found_again(self, bits, rng):
        index, held = self.filled(bits, few_codes(rng, 80, bits))
        gone = list(held)[::3]
        assert index.remove(np.array(gone)) == len(gone)
        for row in gone:
            del held[row]
        query = scattered_codes(rng, 1, bits)
        assert len(index) == len(held)
        assert pairs(index.search(query, k=200)[0]) == nearest(held, bytes(query[0]), k=200)

    def test_remove_counts_only_what_was_live(self, bits, rng):
        index, _ = self.filled(bits, few_codes(rng, 10, bits))
        assert index.remove(np.array([5, 5, 10, 999, -1])) == 1
        assert index.remove(np.array([5, 3])) == 1
        assert index.remove(np.empty(0, dtype=np.int64)) == 0
        assert len(index) == 8

    def test_an_emptied_index_finds_nothing_and_fills_again(self, bits, rng):
        codes = few_codes(rng, 10, bits)
        index, held = self.filled(bits, codes)
        assert index.remove(np.array(list(held))) == 10
        assert (len(index), pairs(index.search(codes[:1], k=3)[0])) == (0, [])
        index.add(codes[:1])
        assert pairs(index.search(codes[:1], k=3)[0]) == [(0, 10)]

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        # `bits` is a plain number and every example builds its own index, so sharing the fixture is harmless.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(operations=OPERATIONS, seed=st.integers(0, 2**32 - 1))
    def test_any_order_of_operations_answers_like_a_plain_sort(self, bits, operations, seed):
        rng = np.random.default_rng(seed)
        pool = scattered_codes(rng, 4, bits)
        index, held, among = self.make_index(bits), {}, None
        for name, amount, limit in operations:
            if name == "add":
                codes = pool[rng.integers(0, 4, amount)]
                held |= dict(enumerate(map(bytes, codes), start=index.n_rows))
                index.add(codes)
            elif name == "remove":
                assert index.remove(np.array(amount, dtype=np.int64)) == len(held.keys() & set(amount))
                held = {row: code for row, code in held.items() if row not in amount}
            elif name == "select":
                among = chosen(rng, index.n_rows, amount)
            else:
                query = pool[:1] ^ rng.integers(0, 2, (1, bits // 8), dtype=np.uint8)
                (hits,) = index.search(query, k=amount, max_distance=limit, among=among)
                found = held if among is None else {row: held[row] for row in held.keys() & set(among.rows)}
                assert pairs(hits) == nearest(found, bytes(query[0]), k=amount, max_distance=limit)
                assert scanned(index, query[0], among) == nearest(found, bytes(query[0]), k=len(held))
            assert len(index) == len(held)

    @pytest.mark.parametrize("batch", [300, 5000])
    @pytest.mark.parametrize("codes", [few_codes, scattered_codes])
    def test_a_large_index_stays_exact_while_it_grows_and_shrinks(self, bits, rng, codes, batch):
        xb, xq = codes(rng, 15_000, bits), codes(rng, 2, bits)
        distances = np.bitwise_count(xq[:, None] ^ xb[None]).sum(axis=2, dtype=np.int64)
        live = np.zeros(len(xb), dtype=bool)
        index = self.make_index(bits)
        for start in range(0, len(xb), batch):
            new = np.arange(start, min(start + batch, len(xb)))
            gone = rng.integers(0, len(xb) if start == 5000 else start + 1, batch // 4)
            index.add(xb[new])
            live[new] = True
            assert index.remove(gone) == np.count_nonzero(live[np.unique(gone)])
            live[gone] = False
        for shrunk_to in (15_000, 14_000, 5_000, 100):
            index.remove(np.arange(shrunk_to, 15_000))
            live[shrunk_to:] = False
            assert len(index) == np.count_nonzero(live)
            for k in (1, 10, 3000):
                for hits, row in zip(index.search(xq, k=k), distances, strict=True):
                    order = np.flatnonzero(live)
                    order = order[np.lexsort((order, row[order]))][:k]
                    np.testing.assert_array_equal(hits.rows, order)
                    np.testing.assert_array_equal(hits.distances, row[order])
        assert index.n_rows == 15_000
        np.testing.assert_array_equal(index.codes(np.arange(15_000)), xb)  # removed ones included

    @pytest.mark.parametrize("codes", [few_codes, scattered_codes])
    @pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.1, 0.01, 0.001, 0.0])
    def test_a_selection_is_searched_exactly(self, bits, rng, codes, share):
        xb, xq = codes(rng, 12_000, bits), codes(rng, 3, bits)
        distances = np.bitwise_count(xq[:, None] ^ xb[None]).sum(axis=2, dtype=np.int64)
        index = self.make_index(bits)
        for part in np.split(xb[:11_000], [7000, 10_000]):
            index.add(part)
        among = chosen(rng, 11_000, share)
        live = np.append(among.mask, np.zeros(1000, dtype=bool))
        index.add(xb[11_000:])  # after the selection was made: never found in it
        for gone in (np.empty(0, dtype=np.int64), np.arange(0, 9000, 100), np.arange(0, 11_500, 3)):
            index.remove(gone)
            live[gone] = False
            order = np.flatnonzero(live)
            rows, counted = index.scan(xq[0], among=among)
            np.testing.assert_array_equal(rows, order)
            np.testing.assert_array_equal(counted, distances[0, order])
            for k, limit in ((1, None), (10, None), (10, bits // 3), (3000, None), (20_000, bits // 2)):
                found = index.search(xq, k=k, max_distance=limit, among=among)
                for hits, row in zip(found, distances, strict=True):
                    first = order[np.lexsort((order, row[order]))][:k]
                    first = first if limit is None else first[row[first] <= limit]
                    np.testing.assert_array_equal(hits.rows, first)
                    np.testing.assert_array_equal(hits.distances, row[first])

    def test_codes_come_in_the_order_asked_for(self, bits, rng):
        xb = scattered_codes(rng, 20, bits)
        index = self.make_index(bits)
        index.add(xb[:15])
        index.add(xb[15:])
        rows = np.array([19, 0, 7, 0, 16])
        np.testing.assert_array_equal(index.codes(rows), xb[rows])

    def test_codes_outlive_their_index(self, bits, rng):
        xb = scattered_codes(rng, 5000, bits)
        kept = self.filled(bits, xb)[0].codes(np.arange(5000))
        gc.collect()
        self.filled(bits, scattered_codes(rng, 5000, bits))  # would take the memory that is free again
        np.testing.assert_array_equal(kept, xb)

    def test_codes_of_another_length_are_refused(self, bits):
        index = self.make_index(bits)
        codes = np.zeros((1, bits // 8 + 1), dtype=np.uint8)
        message = f"Index holds {bits}-bit codes, got {bits + 8}-bit. Take the {bits}-bit part"
        with pytest.raises(CodeShapeError, match=message):
            index.add(codes)
        with pytest.raises(CodeShapeError, match=message):
            index.search(codes, k=1)
        with pytest.raises(CodeShapeError, match=message):
            index.scan(codes[0])

    def test_a_k_below_one_is_refused(self, bits):
        with pytest.raises(HashingError, match="k must be at least 1, got 0"):
            self.make_index(bits).search(np.zeros((1, bits // 8), dtype=np.uint8), k=0)

    def test_a_negative_max_distance_is_refused(self, bits):
        with pytest.raises(HashingError, match="max_distance must be at least 0 bits, got -1"):
            self.make_index(bits).search(np.zeros((1, bits // 8), dtype=np.uint8), k=1, max_distance=-1)
