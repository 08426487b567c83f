"""The methods by name: each learns, encodes every length and projects what it encodes."""

import numpy as np
import pytest

from hashing.codes import pack_codes
from hashing.methods import HASHING_METHODS

JOINTLY_ENCODED = {"jmh", "jmh-fixed", "nested", "fused", "deep", "deep-cv"}


@pytest.mark.parametrize("name", HASHING_METHODS)
def test_every_method_learns_and_encodes_every_length(name):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = (np.eye(6)[labels] * 2 + rng.normal(size=(60, 6))).astype(np.float32)
    hasher = HASHING_METHODS[name]((8, 16), 0).fit(x, [("abc"[k],) for k in labels])
    codes, scores = hasher.encode(x), hasher.project(x)
    assert list(codes) == list(scores) == [8, 16]
    for bits in (8, 16):
        assert (codes[bits].dtype, codes[bits].shape) == (np.uint8, (60, bits // 8))
        assert scores[bits].shape == (60, bits)
        if name not in JOINTLY_ENCODED:
            assert (codes[bits] == pack_codes(scores[bits])).all()
