"""What any `Hasher` must do: records as wide as its layout says, row by row.

In: `hasher` and `embeddings`, fixtures of a subclass of `HasherContract` in a test module. Out: tests.
Leaves to the test modules which codes are right.
"""

import re

import numpy as np

from hashing.codes import check_lengths
from service.ports import Hasher


class HasherContract:
    """Subclass it with the fixtures `hasher` and `embeddings`."""

    def test_it_is_a_hasher_with_an_identity(self, hasher):
        assert isinstance(hasher, Hasher)
        for identity in (hasher.identity, hasher.backbone_identity):
            assert re.fullmatch(r"[^@]+@[0-9a-f]{12}", identity)

    def test_the_layout_is_that_of_the_lengths(self, hasher):
        assert hasher.layout.lengths == hasher.lengths == check_lengths(hasher.lengths)

    def test_records_are_as_wide_as_the_layout_says(self, hasher, embeddings):
        records = hasher.encode(embeddings)
        assert (records.dtype, records.shape) == (np.uint8, (len(embeddings), hasher.layout.record_bytes))
        assert len(np.unique(records, axis=0)) > 1  # embeddings are told apart
        assert {bits: codes.shape[1] for bits, codes in hasher.layout.split(records).items()} == {
            bits: bits // 8 for bits in hasher.lengths
        }

    def test_a_row_has_the_same_record_alone_and_in_company(self, hasher, embeddings):
        records = hasher.encode(embeddings)
        for row, record in enumerate(records):
            np.testing.assert_array_equal(hasher.encode(embeddings[row : row + 1])[0], record)

    def test_no_embeddings_have_no_records(self, hasher, embeddings):
        assert hasher.encode(embeddings[:0]).shape == (0, hasher.layout.record_bytes)
