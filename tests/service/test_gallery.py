"""A gallery keeps its catalog and its indexes in step: what is acknowledged is found, what is deleted is gone."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from hashing.index_build import build_index
from service.errors import InvalidArgumentError, NotFoundError, PreconditionError, UnavailableError
from service.records import NewImage
from service.usecases.gallery import Gallery
from tests.contracts.fakes import FIRST_ID, FakeBackbone, FakeHasher, MemoryOriginals
from tests.contracts.memory_catalog import MemoryCatalog

RECORD_BYTES = 6  # 16 and 32 bits


def new_image(seed, *, record=None, stored=False):
    """Return an image whose record is six bytes of the seed unless given."""
    if record is None:
        record = np.full(RECORD_BYTES, seed, dtype=np.uint8)
    return NewImage(
        sha256=hashlib.sha256(str(seed).encode()).digest(),
        name=f"{seed}.png",
        source="" if stored else f"/{seed}.png",
        stored=stored,
        byte_size=1,
        width=1,
        height=1,
        format="PNG",
        labels=(),
        attributes={},
        embedding=np.full(FakeBackbone.dim, seed / 256, dtype=np.float32),
        record=record,
    )


def new_gallery(*, catalog=None, originals=None, hasher=None, coded=True):
    gallery = Gallery(
        catalog or MemoryCatalog(),
        originals or MemoryOriginals(),
        backbone_identity=FakeBackbone.identity,
        hasher=(hasher or FakeHasher()) if coded else None,
        index_factory=build_index,
    )
    gallery.load()
    return gallery


def nearest(gallery, record, *, bits, k=100):
    """Return (distance, id) pairs for the part of a record with this length."""
    part = {16: slice(0, 2), 32: slice(2, 6)}[bits]
    (found,) = gallery.search(record[np.newaxis, part], bits=bits, k=k, max_distance=None)
    return list(zip(found.distances.tolist(), found.image_ids.tolist(), strict=True))


def test_what_is_acknowledged_is_found_at_every_length():
    gallery = new_gallery()
    (first,), (second,) = gallery.add([new_image(0)]), gallery.add([new_image(255)])
    zeros = np.zeros(RECORD_BYTES, dtype=np.uint8)
    assert nearest(gallery, zeros, bits=16) == [(0, first.image_id), (16, second.image_id)]
    assert nearest(gallery, zeros, bits=32) == [(0, first.image_id), (32, second.image_id)]
    assert gallery.sequence == second.sequence
    assert len(gallery) == 2


def test_a_repeat_is_not_indexed_again():
    gallery = new_gallery()
    first, repeat = gallery.add([new_image(3), new_image(3)])
    (later,) = gallery.add([new_image(3)])
    assert repeat.duplicate
    assert later.duplicate
    assert {repeat.image_id, later.image_id} == {first.image_id}
    assert len(gallery) == 1
    assert gallery.sequence == first.sequence


def test_a_gallery_loaded_anew_answers_as_before():
    catalog = MemoryCatalog()
    gallery = new_gallery(catalog=catalog)
    gallery.add([new_image(seed) for seed in range(50)])
    gallery.delete(FIRST_ID + 7)
    reloaded = Gallery(
        catalog,
        MemoryOriginals(),
        backbone_identity=FakeBackbone.identity,
        hasher=FakeHasher(),
        index_factory=build_index,
    )
    loaded = []
    reloaded.load(lambda *progress: loaded.append(progress))
    assert loaded == [(49, 49)]
    assert (len(reloaded), reloaded.sequence) == (49, gallery.sequence)
    query = np.full(RECORD_BYTES, 11, dtype=np.uint8)
    for bits in (16, 32):
        assert nearest(reloaded, query, bits=bits) == nearest(gallery, query, bits=bits)


def test_a_deleted_image_is_gone_with_its_copy():
    originals = MemoryOriginals()
    gallery = new_gallery(originals=originals)
    image = new_image(1, stored=True)
    gallery.add([image, new_image(2)], {image.sha256: b"bytes"})
    assert originals.get(image.sha256) == b"bytes"
    assert gallery.delete(FIRST_ID) == gallery.sequence == 3
    assert [found for _, found in nearest(gallery, image.record, bits=32)] == [FIRST_ID + 1]
    assert len(gallery) == 1
    with pytest.raises(NotFoundError):
        originals.get(image.sha256)


def test_deleting_an_unknown_image_changes_nothing():
    gallery = new_gallery()
    gallery.add([new_image(1)])
    with pytest.raises(NotFoundError, match="No image 77"):
        gallery.delete(77)
    assert (len(gallery), gallery.sequence) == (1, 1)


def test_a_failed_commit_leaves_the_indexes_as_they_were():
    class Full(MemoryCatalog):
        def add_images(self, *_, **__):
            raise UnavailableError("The disk is full.")

    gallery = new_gallery(catalog=Full())
    with pytest.raises(UnavailableError, match="disk is full"):
        gallery.add([new_image(1)])
    assert (len(gallery), gallery.sequence) == (0, 0)


def test_threads_that_add_at_once_lose_nothing():
    gallery = new_gallery()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda seed: gallery.add([new_image(seed)]), range(120)))
    ids = sorted(ack.image_id for (ack,) in answers)
    assert ids == list(range(FIRST_ID, FIRST_ID + 120))
    query = np.zeros(RECORD_BYTES, dtype=np.uint8)
    assert sorted(found for _, found in nearest(gallery, query, bits=16, k=200)) == ids


def test_embeddings_are_rounded_as_the_catalog_keeps_them_before_they_are_encoded():
    class FineHasher(FakeHasher):
        """Sets every bit if the embedding is a float16 number, none otherwise."""

        def encode(self, embeddings):
            exact = (embeddings == embeddings.astype(np.float16)).all(axis=1)
            return np.where(exact[:, np.newaxis], 255, 0).astype(np.uint8).repeat(RECORD_BYTES, axis=1)

    fine = np.full((1, FakeBackbone.dim), 1 + 2**-20, dtype=np.float32)
    assert FineHasher().encode(fine).max() == 0
    np.testing.assert_array_equal(new_gallery(hasher=FineHasher()).encode(fine), [[255] * RECORD_BYTES])


def test_the_longest_length_is_searched_unless_another_is_asked_for():
    gallery = new_gallery()
    assert [gallery.check_bits(bits) for bits in (None, 16, 32)] == [32, 16, 32]
    with pytest.raises(InvalidArgumentError, match="codes of 16, 32 bits, got bits = 64") as caught:
        gallery.check_bits(64)
    assert (caught.value.reason, caught.value.field) == ("BITS_NOT_IN_MODEL", "bits")


def test_the_code_of_an_image_is_its_part_of_the_record():
    gallery = new_gallery()
    gallery.add([new_image(1, record=np.arange(RECORD_BYTES, dtype=np.uint8))])
    assert gallery.code_of(FIRST_ID, bits=16).tolist() == [0, 1]
    assert gallery.code_of(FIRST_ID, bits=32).tolist() == [2, 3, 4, 5]
    assert gallery.code_of(77, bits=16) is None


def test_a_nested_record_is_its_longest_code():
    gallery = new_gallery(hasher=FakeHasher(nested=True))
    gallery.add([new_image(1, record=np.arange(4, dtype=np.uint8))])
    assert gallery.code_of(FIRST_ID, bits=16).tolist() == [0, 1]
    assert gallery.code_of(FIRST_ID, bits=32).tolist() == [0, 1, 2, 3]


def test_without_a_hasher_images_are_kept_and_searches_say_what_is_missing():
    gallery = new_gallery(coded=False)
    image = replace(new_image(1), record=None)
    (ack,) = gallery.add([image])
    assert gallery.catalog.counts().images == 1
    assert (len(gallery), gallery.lengths, gallery.hasher_identity) == (0, (), "")
    assert gallery.code_of(ack.image_id, bits=16) is None
    for refused in (
        lambda: gallery.check_bits(None),
        lambda: gallery.layout,
        lambda: gallery.encode(image.embedding[np.newaxis]),
    ):
        with pytest.raises(PreconditionError, match=r"no hasher yet.*polyhash train hasher") as caught:
            refused()
        assert caught.value.reason == "NO_HASHER"
