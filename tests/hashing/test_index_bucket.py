"""The bucket index: the contract at both lengths, and the lengths it refuses."""

import pytest

from hashing.errors import CodeLengthError
from hashing.index_bucket import BucketIndex
from tests.contracts.code_index import CodeIndexContract


class TestBucketIndex(CodeIndexContract):
    make_index = BucketIndex

    @pytest.fixture(params=[8, 16])
    def bits(self, request):
        return request.param


def test_longer_codes_are_refused():
    with pytest.raises(CodeLengthError, match=r"holds codes of 8 or 16 bits, got 32\. Use a flat index"):
        BucketIndex(32)
