"""Near duplicates: pairs, clusters and lookups against comparing everything with everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing import near_duplicates
from hashing.band_table import MIN_TAIL, BandTable
from hashing.errors import CodeLengthError, CodeShapeError, HashingError
from hashing.near_duplicates import near_clusters, near_pairs


def distance(a, b):
    return sum((int(x) ^ int(y)).bit_count() for x, y in zip(a, b, strict=True))


def brute_pairs(codes, radius):
    return sorted(
        (a, b, distance(codes[a], codes[b]))
        for b in range(len(codes))
        for a in range(b)
        if distance(codes[a], codes[b]) <= radius
    )


def brute_clusters(codes, radius):
    """Spread the smallest row along pairs until nothing changes."""
    labels = list(range(len(codes)))
    pairs = brute_pairs(codes, radius)
    changed = True
    while changed:
        changed = False
        for a, b, _ in pairs:
            if labels[a] != labels[b]:
                labels[a] = labels[b] = min(labels[a], labels[b])
                changed = True
    return labels


def noisy_codes(rng, n, bits, *, centres=4, flips=0.06):
    """Codes around a few centres, some equal: many ties at every distance."""
    signs = rng.random((centres, bits)) < 0.5
    noise = rng.random((n, bits)) < flips * rng.integers(0, 3, (n, 1))
    return np.packbits(signs[rng.integers(0, centres, n)] ^ noise, axis=1, bitorder="little")


def found_pairs(codes, radius):
    return sorted(
        triple
        for block in near_pairs(codes, radius=radius)
        for triple in zip(block.rows_a.tolist(), block.rows_b.tolist(), block.distances.tolist(), strict=True)
    )


@pytest.fixture(params=["cheapest", 0, 1, 2, 3])
def agreeing(request, monkeypatch):
    """Also force each number of agreeing bands: few codes would always be compared all with all."""
    if request.param != "cheapest":
        monkeypatch.setattr(
            near_duplicates,
            "_cheapest_banding",
            lambda codes, radius: near_duplicates._Banding.of(8 * codes.shape[1], radius, request.param),
        )


@pytest.mark.parametrize("bits", [8, 24, 64, 128])
@pytest.mark.parametrize("radius", [0, 1, 3, 8])
@pytest.mark.usefixtures("agreeing")
def test_each_pair_within_the_radius_is_found_once(bits, radius, monkeypatch):
    monkeypatch.setattr(near_duplicates, "PAIRS_AT_ONCE", 17)  # many blocks, and some larger than that
    codes = noisy_codes(np.random.default_rng(bits + radius), 40, bits)
    found = found_pairs(codes, radius)
    assert found == brute_pairs(codes, radius)
    assert found


@pytest.mark.parametrize("bits", [8, 24, 64, 128])
@pytest.mark.parametrize("radius", [0, 1, 3, 8])
@pytest.mark.usefixtures("agreeing")
def test_clusters_are_what_pairs_within_the_radius_connect(bits, radius, monkeypatch):
    monkeypatch.setattr(near_duplicates, "PAIRS_AT_ONCE", 17)
    codes = noisy_codes(np.random.default_rng(bits * radius), 40, bits)
    assert near_clusters(codes, radius=radius).tolist() == brute_clusters(codes, radius)


@pytest.mark.parametrize("bits", [16, 32])
def test_every_radius_up_to_all_bits_and_beyond_is_exact(bits):
    codes = noisy_codes(np.random.default_rng(bits), 14, bits)
    for radius in range(bits + 3):
        assert found_pairs(codes, radius) == brute_pairs(codes, radius)
        assert near_clusters(codes, radius=radius).tolist() == brute_clusters(codes, radius)


@settings(max_examples=60)
@given(
    rows=st.lists(st.binary(min_size=2, max_size=2), max_size=12),
    radius=st.integers(0, 5),
)
def test_any_few_codes_are_clustered_and_paired_exactly(rows, radius):
    codes = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, 2)
    assert found_pairs(codes, radius) == brute_pairs(codes, radius)
    assert near_clusters(codes, radius=radius).tolist() == brute_clusters(codes, radius)


@pytest.mark.parametrize("radius", [4, 8])
def test_planted_near_duplicates_among_many_random_codes_are_what_is_found(radius):
    rng = np.random.default_rng(radius)
    codes = rng.integers(0, 256, (20_000, 16), dtype=np.uint8)  # random ones lie over 20 bits apart
    rows = rng.permutation(20_000)[:600].reshape(200, 3)  # chains a - b - c of exactly the radius each
    flips = np.zeros((2, 200, 128), dtype=np.uint8)
    for chain in range(200):
        at = rng.permutation(128)[: 2 * radius]
        flips[0, chain, at[:radius]] = flips[1, chain, at] = 1
    for step in range(2):
        codes[rows[:, step + 1]] = codes[rows[:, 0]] ^ np.packbits(flips[step], axis=1)
    expected = np.arange(20_000)
    expected[rows] = rows.min(axis=1, keepdims=True)
    assert np.array_equal(near_clusters(codes, radius=radius), expected)
    links = sorted(tuple(sorted(pair)) for pair in [*rows[:, :2].tolist(), *rows[:, 1:].tolist()])
    assert found_pairs(codes, radius) == [(a, b, radius) for a, b in links]


def test_codes_that_are_connected_already_are_not_compared_again():
    noise = np.random.default_rng(0).random((25_000, 128)) < 0.015
    blocks = []
    labels = near_clusters(
        np.packbits(noise, axis=1), radius=8, on_progress=lambda done, _: blocks.append(done)
    )
    assert (labels == 0).mean() > 0.999
    assert len(blocks) < 20  # of 1,048,576 pairs at most; all pairs that share a band are some 70 blocks


def test_progress_never_falls_and_ends_at_the_whole():
    codes = np.random.default_rng(0).integers(0, 256, (20_000, 16), dtype=np.uint8)
    codes[10_000:] = codes[:10_000]
    codes[10_000:, 0] ^= 1
    seen = []
    near_clusters(codes, radius=8, on_progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {seen[-1][0]}
    assert len(seen) > 2


def test_no_code_and_one_code_have_no_pairs():
    for n in (0, 1):
        codes = np.zeros((n, 16), dtype=np.uint8)
        assert found_pairs(codes, 8) == []
        assert near_clusters(codes, radius=8).tolist() == [0][:n]


def test_a_negative_radius_is_refused():
    codes = np.zeros((2, 2), dtype=np.uint8)
    with pytest.raises(HashingError, match=r"radius must be at least 0 bits, got -1\."):
        near_clusters(codes, radius=-1)
    with pytest.raises(HashingError, match=r"radius must be at least 0 bits, got -1\."):
        next(near_pairs(codes, radius=-1))


# ---------------------------------------------------------------- lookups


def brute_nearest(codes, live, query, radius):
    """Return the live row that comes first by (distance, row), with its distance."""
    ranked = [(distance(codes[row], query), row) for row in live]
    least = min(ranked, default=(radius + 1, 0))
    return (least[1], least[0]) if least[0] <= radius else None


@pytest.mark.parametrize(("bits", "max_radius"), [(16, 0), (16, 1), (32, 3), (64, 4), (128, 8), (128, 40)])
def test_lookups_are_exact_while_codes_come_and_go(bits, max_radius, monkeypatch):
    monkeypatch.setattr("hashing.band_table.MIN_TAIL", 6)
    monkeypatch.setattr("hashing.band_table.SCAN_SHARE", 1)  # bands are used although the codes are few
    rng = np.random.default_rng(bits + max_radius)
    codes = noisy_codes(rng, 120, bits, centres=24, flips=0.04)
    table, live = BandTable(bits, max_radius=max_radius), set()
    answers = []
    for start in range(0, 120, 10):
        table.add(codes[start : start + 10])
        live |= set(range(start, start + 10))
        gone = rng.integers(0, start + 10, 3)
        assert table.remove(gone) == len(live & set(gone.tolist()))
        live -= set(gone.tolist())
        assert (table.n_rows, len(table)) == (start + 10, len(live))
        queries = noisy_codes(rng, 3, bits) if start % 20 else codes[rng.integers(0, 120, 6)]
        for radius in {0, max_radius // 2, max_radius}:
            found = table.nearest_within(queries, radius=radius)
            assert found == [brute_nearest(codes, live, query, radius) for query in queries]
            answers += found
    assert any(answers)
    assert None in answers


@pytest.mark.parametrize("spread", [True, False])
def test_lookups_in_many_codes_agree_with_comparing_all(spread):
    rng = np.random.default_rng(3)
    n = 3 * MIN_TAIL
    codes = rng.integers(0, 256, (n, 16), dtype=np.uint8) if spread else noisy_codes(rng, n, 128)
    table = BandTable(128, max_radius=8)
    for block in np.array_split(codes, 5):
        table.add(block)
    dead = rng.permutation(n)[: n // 3]
    table.remove(dead)
    queries = codes[rng.permutation(n)[:40]] ^ (rng.integers(0, 64, (40, 16), dtype=np.uint8) == 0)
    distances = np.bitwise_count(codes[None] ^ queries[:, None]).sum(axis=2)
    distances[:, dead] = 129
    first = distances.argmin(axis=1)
    expected = [
        (int(row), int(distances[at, row])) if distances[at, row] <= 8 else None
        for at, row in enumerate(first)
    ]
    assert table.nearest_within(queries, radius=8) == expected
    assert any(expected)


def test_among_equally_near_rows_the_first_live_one_is_found():
    table = BandTable(16, max_radius=2)
    table.add(np.array([[1, 0], [2, 0], [4, 0]], dtype=np.uint8))
    query = np.zeros((1, 2), dtype=np.uint8)
    assert table.nearest_within(query, radius=1) == [(0, 1)]
    assert table.remove(np.array([0, 0, 17, -1])) == 1
    assert table.nearest_within(query, radius=1) == [(1, 1)]
    assert table.remove(np.array([0])) == 0
    table.add(query)
    assert table.nearest_within(query, radius=0) == [(3, 0)]


def test_an_empty_table_and_an_empty_batch_find_nothing():
    table = BandTable(128, max_radius=8)
    assert table.nearest_within(np.zeros((2, 16), dtype=np.uint8), radius=8) == [None, None]
    assert table.nearest_within(np.zeros((0, 16), dtype=np.uint8), radius=8) == []
    table.add(np.zeros((0, 16), dtype=np.uint8))
    assert (table.n_rows, len(table)) == (0, 0)


def test_what_no_table_can_hold_or_look_up_is_refused():
    with pytest.raises(CodeLengthError, match="multiples of 8"):
        BandTable(12, max_radius=1)
    with pytest.raises(HashingError, match="max_radius must be at least 0 bits, got -1"):
        BandTable(16, max_radius=-1)
    table, codes = BandTable(16, max_radius=2), np.zeros((1, 2), dtype=np.uint8)
    for radius in (-1, 3):
        message = f"radius must be from 0 to the table's max_radius of 2 bits, got {radius}"
        with pytest.raises(HashingError, match=message):
            table.nearest_within(codes, radius=radius)
    for use in (table.add, lambda codes: table.nearest_within(codes, radius=1)):
        with pytest.raises(CodeShapeError, match="Index holds 16-bit codes, got 24-bit"):
            use(np.zeros((1, 3), dtype=np.uint8))
