"""Near duplicates at ingest: decided on the longest code, before the acknowledgement, also within one batch."""

import hashlib

import numpy as np
import pytest

from hashing.index_records import RecordIndex
from hashing.layout import CodeLayout
from service.errors import NearDuplicateError
from service.records import ModelKind, NearDuplicate, NewImage, SourceImage
from service.usecases.duplicates import DuplicatePolicy, DuplicateRule
from service.usecases.gallery import Gallery
from service.usecases.ingest import Ingestor
from service.usecases.loading import read_snapshot
from service.usecases.reading import Rejected
from service.vision.images import decode_image
from tests.contracts.fakes import FIRST_ID, FakeBackbone, MemoryOriginals, png
from tests.contracts.memory_catalog import MemoryCatalog


class EchoHasher:
    """A code of 16 bits and one of 32: the bytes of the embedding's first numbers."""

    identity = "echo@000000000000"
    backbone_identity = FakeBackbone.identity
    lengths = (16, 32)
    layout = CodeLayout((16, 32))

    def encode(self, embeddings):
        return embeddings[:, :6].astype(np.uint8)


def image(*record, seed=None):
    """Return an image with these six bytes as its record; the last four are its longest code."""
    embedding = np.zeros(FakeBackbone.dim, dtype=np.float32)
    embedding[:6] = record
    return NewImage(
        sha256=hashlib.sha256(repr((record, seed)).encode()).digest(),
        name=f"{record}.png",
        source="/there",
        stored=False,
        byte_size=1,
        width=1,
        height=1,
        format="PNG",
        labels=(),
        attributes={},
        embedding=embedding,
    )


def gallery_with(policy, max_distance=2, catalog=None):
    catalog = catalog or MemoryCatalog()
    return Gallery(
        catalog,
        MemoryOriginals(),
        backbone=FakeBackbone(),
        snapshot=read_snapshot(catalog, EchoHasher(), index_factory=RecordIndex),
        duplicates=DuplicateRule(policy=policy, max_distance=max_distance),
    )


def test_a_flagged_image_is_taken_and_names_the_nearest_that_it_repeats():
    gallery = gallery_with(DuplicatePolicy.FLAG)
    (first,) = gallery.add([image(0, 0, 0, 0, 0, 0)])
    assert first.near is None
    near, far = gallery.add([image(9, 9, 3, 0, 0, 0), image(0, 0, 7, 0, 0, 0)])
    assert near.near == NearDuplicate(image_id=FIRST_ID, distance=2)
    assert far.near == NearDuplicate(image_id=near.image_id, distance=1)  # of the same batch
    assert len(gallery) == 3


def test_a_refused_image_is_nowhere_and_its_error_names_the_other():
    gallery = gallery_with(DuplicatePolicy.REJECT)
    first, refused, distant = gallery.add(
        [image(0, 0, 0, 0, 0, 0), image(0, 0, 1, 0, 0, 0), image(0, 0, 255, 0, 0, 0)]
    )
    assert isinstance(refused, NearDuplicateError)
    assert refused.metadata == {"image_id": str(first.image_id), "distance": "1"}
    assert "differ in 1 bits" in str(refused)
    assert distant.near is None
    assert gallery.catalog.counts().images == len(gallery) == 2
    gallery.delete(first.image_id)  # then there is room again
    (again,) = gallery.add([image(0, 0, 1, 0, 0, 0)])
    assert again.near is None


def test_the_very_same_bytes_are_a_duplicate_and_not_a_near_one():
    gallery = gallery_with(DuplicatePolicy.REJECT)
    (first,) = gallery.add([image(1, 2, 3, 4, 5, 6)])
    repeat, twice = gallery.add([image(1, 2, 3, 4, 5, 6)] * 2)
    assert (repeat.duplicate, twice.duplicate) == (True, True)
    assert repeat.image_id == first.image_id


def test_only_the_longest_code_decides():
    gallery = gallery_with(DuplicatePolicy.REJECT)
    gallery.add([image(7, 7, 0, 0, 0, 0)])
    (other,) = gallery.add([image(7, 7, 255, 255, 0, 0)])
    assert other.near is None


def test_without_a_rule_nobody_looks():
    gallery = gallery_with(DuplicatePolicy.ALLOW)
    assert [
        each.near
        for each in gallery.add(
            [
                image(
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                ),
                image(0, 0, 0, 0, 0, 0, seed=1),
            ]
        )
    ] == [None, None]


@pytest.mark.parametrize("swapped", [False, True])
def test_images_of_before_count_after_a_start_and_after_a_swap(swapped):
    catalog = MemoryCatalog()
    before = gallery_with(DuplicatePolicy.FLAG, catalog=catalog)
    kept, deleted = before.add([image(0, 0, 0, 0, 0, 0), image(0, 0, 255, 255, 0, 0)])
    before.delete(deleted.image_id)
    gallery = before
    if swapped:  # rows are numbered anew, without the deleted image
        catalog.register_model(EchoHasher.identity, ModelKind.HASHER, path="", metadata={})
        gallery.swap(read_snapshot(catalog, EchoHasher(), index_factory=RecordIndex), activate=lambda: None)
    else:
        gallery = gallery_with(DuplicatePolicy.FLAG, catalog=catalog)
    near, free = gallery.add([image(0, 0, 1, 0, 0, 0), image(0, 0, 255, 255, 0, 1)])
    assert near.near == NearDuplicate(image_id=kept.image_id, distance=1)
    assert free.near is None


def test_an_upload_is_told_why_it_was_refused():
    catalog = MemoryCatalog()
    gallery = gallery_with(DuplicatePolicy.REJECT, max_distance=32, catalog=catalog)
    ingestor = Ingestor(gallery, decode=decode_image)
    sources = [SourceImage(name=f"{seed}.png", read=lambda seed=seed: png(seed)) for seed in (1, 2)]
    taken, refused = ingestor.run([sources])
    assert taken.acknowledgement.image_id == FIRST_ID
    assert isinstance(refused, Rejected)
    assert refused.error.reason == "NEAR_DUPLICATE"


def test_the_same_bytes_twice_are_refused_twice():
    gallery = gallery_with(DuplicatePolicy.REJECT)
    gallery.add([image(0, 0, 0, 0, 0, 0)])
    near, far = image(0, 0, 1, 0, 0, 0), image(0, 0, 255, 255, 0, 0)
    outcomes = gallery.add([near, near, far, image(0, 0, 255, 255, 0, 1)])
    assert [type(each).__name__ for each in outcomes] == [
        "NearDuplicateError",
        "NearDuplicateError",
        "Acknowledgement",
        "NearDuplicateError",
    ]
    assert outcomes[3].metadata["image_id"] == str(outcomes[2].image_id)
    assert len(gallery) == 2


def test_images_that_are_all_gone_repeat_nothing():
    gallery = gallery_with(DuplicatePolicy.REJECT)
    first, second = gallery.add([image(0, 0, 0, 0, 0, 0), image(0, 0, 255, 255, 0, 0)])
    for gone in (first, second):
        gallery.delete(gone.image_id)
    (third,) = gallery.add([image(0, 0, 0, 255, 255, 0)])
    again, refused = gallery.add([image(0, 0, 0, 0, 0, 0, seed=1), image(0, 0, 0, 255, 255, 1)])
    assert again.near is None
    assert refused.metadata["image_id"] == str(third.image_id)
