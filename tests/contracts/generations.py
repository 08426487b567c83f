"""What any `Generations` must do, said in arrays and facts.

In: fixtures of a test module that subclasses `GenerationsContract`: `generations`, empty, and `generations_of_one`, of module
scope. Out: tests. Damage and faults are left to the tests of the real one.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import ConflictError, NotFoundError
from service.ports import Generations
from service.records import GenerationFiles

ARRAYS = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="?"),
        hnp.unsigned_integer_dtypes(endianness="?"),
        hnp.floating_dtypes(endianness="?"),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
FACTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=4,
    ),
    max_size=3,
)


def generation(seed: int = 0) -> GenerationFiles:
    """Return files whose content follows from the seed."""
    rng = np.random.default_rng(seed)
    return GenerationFiles(
        arrays={
            "codes/16": rng.integers(0, 256, size=(30, 2), dtype=np.uint8),
            "image_ids": np.cumsum(rng.integers(1, 9, size=30)),
            "dead": np.zeros(30, dtype=np.bool_),
            "score calm": rng.normal(size=30).astype(np.float32),
            "nothing": np.empty((0, 8), dtype=np.uint8),
        },
        facts={"seed": seed, "labels": ["ü", "sky"], "share": 0.1},
    )


def check_equal(found: GenerationFiles, expected: GenerationFiles) -> None:
    """Assert that both hold the same names in the same order, shapes, kinds and values."""
    assert list(found.arrays) == list(expected.arrays)
    assert found.facts == expected.facts
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(found.arrays[name], array, strict=array.dtype.isnative)


class GenerationsContract:
    """Tests of what has been promised."""

    def test_what_was_written_is_read(self, generations: Generations):
        digests = {number: generations.write(number, generation(number)) for number in (2, 1, 30)}
        for number, digest in digests.items():
            check_equal(generations.read(number, manifest_sha256=digest), generation(number))
        assert generations.numbers() == [1, 2, 30]

    @settings(max_examples=50)  # each is synced to the disk
    @given(
        arrays=st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4), facts=FACTS, transposed=st.booleans()
    )
    def test_any_arrays_and_facts_come_back(self, generations_of_one, arrays, facts, transposed):
        files = GenerationFiles(
            arrays={name: array.T if transposed else array for name, array in arrays.items()}, facts=facts
        )
        generations_of_one.delete(1)
        digest = generations_of_one.write(1, files)
        check_equal(generations_of_one.read(1, manifest_sha256=digest), files)

    def test_the_same_files_have_the_same_manifest_and_others_another(self, generations: Generations):
        first = generations.write(1, generation(0))
        generations.delete(1)
        assert generations.write(1, generation(0)) == first
        assert generations.write(2, generation(0)) != first
        generations.delete(1)
        assert generations.write(1, generation(1)) != first

    def test_a_number_is_used_once(self, generations: Generations):
        digest = generations.write(7, generation(0))
        with pytest.raises(ConflictError, match=r"a generation 7 already .* Take a number above all others"):
            generations.write(7, generation(1))
        check_equal(generations.read(7, manifest_sha256=digest), generation(0))

    def test_none_of_this_number_is_told(self, generations: Generations):
        assert generations.numbers() == []
        with pytest.raises(NotFoundError, match=r"no generation 3 in .* make one with `polyhash rebuild`"):
            generations.read(3, manifest_sha256="00" * 32)
        with pytest.raises(NotFoundError, match="no generation 3 in"):
            generations.quarantine(3)

    def test_a_deleted_one_is_gone_and_deleting_twice_is_fine(self, generations: Generations):
        generations.write(1, generation(0))
        generations.write(2, generation(0))
        generations.delete(1)
        generations.delete(1)
        assert generations.numbers() == [2]

    def test_quarantine_puts_aside_for_good_and_under_a_name_of_its_own(self, generations: Generations):
        names = []
        for seed in range(3):
            generations.write(7, generation(seed))
            names.append(generations.quarantine(7))
            assert generations.numbers() == []
        assert names == [f"quarantine-gen-000007{end}" for end in ("", "-2", "-3")]
        assert generations.clean([]) == []

    def test_cleaning_keeps_what_shall_be_kept(self, generations: Generations):
        digests = {number: generations.write(number, generation(number)) for number in range(1, 6)}
        assert generations.clean({2, 5, 99}) == ["gen-000001", "gen-000003", "gen-000004"]
        assert generations.numbers() == [2, 5]
        for number in (2, 5):
            check_equal(generations.read(number, manifest_sha256=digests[number]), generation(number))
        assert generations.clean({2, 5}) == []
