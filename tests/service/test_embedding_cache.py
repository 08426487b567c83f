"""The embedding cache: what was added is found again, and nothing that is damaged or of another backbone."""

import hashlib
import logging

import numpy as np
import pytest

from service.vision.embedding_cache import EmbeddingCache

DIM = 5


def open_cache(folder, *, backbone="net@0123456789ab", dim=DIM):
    return EmbeddingCache(folder, backbone_identity=backbone, dim=dim)


@pytest.fixture
def digests():
    return [hashlib.sha256(bytes([number])).digest() for number in range(6)]


@pytest.fixture
def embeddings():
    return np.random.default_rng(0).normal(size=(6, DIM)).astype(np.float16)


@pytest.fixture
def filled(tmp_path, digests, embeddings):
    cache = open_cache(tmp_path)
    cache.add(digests[:4], embeddings[:4])
    cache.add(digests[4:], embeddings[4:])
    return tmp_path


def parts(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_new_cache_finds_what_an_earlier_one_kept(filled, digests, embeddings):
    cache = open_cache(filled)
    found = cache.find([*digests, b"x" * 32])
    assert len(found) == 6
    for digest, embedding in zip(digests, embeddings, strict=True):
        np.testing.assert_array_equal(found[digest], embedding)


def test_the_same_cache_finds_what_it_was_given(tmp_path, digests, embeddings):
    cache = open_cache(tmp_path)
    cache.add(digests, embeddings)
    np.testing.assert_array_equal(cache.find([digests[3]])[digests[3]], embeddings[3])


@pytest.mark.parametrize(
    "other", [{"backbone": "net@ffffffffffff"}, {"backbone": "net/0123456789ab"}, {"dim": 4}]
)
def test_embeddings_of_another_backbone_are_never_found(filled, digests, other):
    assert open_cache(filled, **other).find(digests) == {}


def test_a_damaged_part_is_dropped_and_the_others_stay(filled, digests, caplog):
    damaged = parts(filled)[0]
    whole = damaged.read_bytes()
    kept = 6 - (len(whole) - 32) // (32 + 2 * DIM)
    for position in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        damaged.write_bytes(flipped)
        with caplog.at_level(logging.WARNING):
            assert len(open_cache(filled).find(digests)) == kept
        assert not damaged.exists()
    assert "is damaged and dropped; its embeddings will be computed again" in caplog.text


@pytest.mark.parametrize("length", [0, 10, 40])
def test_a_truncated_part_is_dropped(filled, digests, length):
    for path in parts(filled):
        path.write_bytes(path.read_bytes()[:length])
    assert open_cache(filled).find(digests) == {}
    assert parts(filled) == []


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, digests, embeddings, monkeypatch):
    def interrupt(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr("hashing.durable_file.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path).add(digests, embeddings)
    assert parts(tmp_path) == []
