"""A gallery keeps its catalog and its snapshot in step: what is acknowledged is found, what is deleted is gone, at once."""

import numpy as np
import pytest

from service.errors import NotFoundError, PreconditionError, UnavailableError
from service.usecases.filters import ImageFilter, ScoreRange
from tests.contracts.echoes import (
    RECORD_BYTES,
    EchoHasher,
    echo_image,
    named_images,
    random_records,
)
from tests.contracts.fakes import (
    FIRST_ID,
    FakeBackbone,
    MemoryOriginals,
    new_gallery,
)
from tests.contracts.memory_catalog import MemoryCatalog
from tests.service.echo_gallery import ONES, ZEROS, empty_catalog, found


@pytest.fixture(params=["memory", "sql"])
def catalog(request, tmp_path):
    """An empty catalog that uses the echo hasher."""
    with empty_catalog(request.param, tmp_path) as empty:
        yield empty


def ids(gallery, **conditions):
    """Return the ids of all images that meet a filter."""
    return sorted(image_id for _, image_id in found(gallery, ZEROS, image_filter=ImageFilter(**conditions)))


# ------------------------------------------------------------ one change after the other


def test_what_is_acknowledged_is_found_at_every_length(catalog):
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog)
    (first,), (second,) = gallery.add([echo_image(ZEROS)]), gallery.add([echo_image(ONES)])
    assert found(gallery, ZEROS, bits=16) == [(0, first.image_id), (16, second.image_id)]
    assert found(gallery, ZEROS, bits=32) == [(0, first.image_id), (32, second.image_id)]
    assert gallery.sequence == gallery.snapshot.sequence == second.sequence
    assert len(gallery) == 2
    assert catalog.get_record(second.image_id, hasher=EchoHasher().identity).tobytes() == ONES


def test_a_repeat_is_not_indexed_again(catalog):
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog)
    first, repeat = gallery.add([echo_image(ONES), echo_image(ONES)])
    (later,) = gallery.add([echo_image(ONES)])
    assert [first.duplicate, repeat.duplicate, later.duplicate] == [False, True, True]
    assert {repeat.image_id, later.image_id} == {first.image_id}
    assert (len(gallery), gallery.sequence) == (1, first.sequence)


def test_nothing_to_add_is_acknowledged_with_nothing(catalog):
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog)
    assert gallery.add([]) == []
    assert (len(gallery), gallery.sequence) == (0, 0)


def test_a_deleted_image_is_gone_with_its_copy(catalog):
    originals = MemoryOriginals()
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog, originals=originals)
    image = echo_image(ONES, stored=True)
    gallery.add([image, echo_image(ZEROS)], {image.sha256: b"bytes"})
    assert originals.get(image.sha256) == b"bytes"
    assert gallery.delete(FIRST_ID) == gallery.sequence == 3
    assert found(gallery, ONES) == [(32, FIRST_ID + 1)]
    assert len(gallery) == 1
    with pytest.raises(NotFoundError):
        originals.get(image.sha256)


def test_an_original_that_cannot_be_deleted_does_not_keep_its_image(caplog):
    class Stubborn(MemoryOriginals):
        def delete(self, digest):
            raise UnavailableError(f"The disk refuses to delete {digest!r}.")

    gallery = new_gallery(hasher=EchoHasher(), originals=Stubborn())
    gallery.add([echo_image(ONES, stored=True)])
    gallery.delete(FIRST_ID)
    assert len(gallery) == 0
    assert "could not be deleted" in caplog.text


def test_changing_or_deleting_an_unknown_image_changes_nothing(catalog):
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog)
    gallery.add([echo_image(ONES)])
    for change in (gallery.delete, gallery.update):
        with pytest.raises(NotFoundError, match="No image 77"):
            change(77)
    assert (len(gallery), gallery.sequence) == (1, 1)


def test_changed_labels_attributes_and_scores_are_filtered_by_at_once(catalog):
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog)
    cat = {"labels": ("cat",), "attributes": {"camera": "A7"}, "scores": {"joy": 0.5}}
    gallery.add([echo_image(ZEROS, **cat), echo_image(ONES, **cat)])
    assert gallery.update(FIRST_ID, labels=["dog"]) == gallery.sequence == 3
    assert (ids(gallery, labels_any=("cat",)), ids(gallery, labels_any=("dog",))) == (
        [FIRST_ID + 1],
        [FIRST_ID],
    )
    gallery.update(FIRST_ID + 1, attributes={"camera": "Z6"}, scores={"joy": 0.75})
    assert ids(gallery, attributes={"camera": ("A7",)}) == [FIRST_ID]
    assert ids(gallery, scores={"joy": ScoreRange(minimum=0.6)}) == [FIRST_ID + 1]
    gallery.delete(FIRST_ID)
    assert ids(gallery, labels_any=("dog",)) == []


def test_a_gallery_read_anew_answers_as_before(catalog):
    gallery = new_gallery(hasher=EchoHasher(), catalog=catalog)
    gallery.add(named_images(random_records(50)))
    gallery.delete(FIRST_ID + 7)
    gallery.update(FIRST_ID + 8, labels=["dog"])
    again = new_gallery(hasher=EchoHasher(), catalog=catalog)
    assert (len(again), again.sequence) == (49, gallery.sequence)
    for bits in (16, 32):
        assert found(again, ONES, bits=bits) == found(gallery, ONES, bits=bits)
    assert ids(again, labels_any=("dog",)) == [FIRST_ID + 8]


def test_a_failed_commit_leaves_everything_as_it_was():
    class Full(MemoryCatalog):
        def add_images(self, *_, **__):
            raise UnavailableError("The disk is full.")

    gallery = new_gallery(hasher=EchoHasher(), catalog=Full())
    with pytest.raises(UnavailableError, match="disk is full"):
        gallery.add([echo_image(ONES)])
    assert (len(gallery), gallery.sequence, gallery.snapshot.n_rows) == (0, 0, 0)


def test_embeddings_are_rounded_as_the_catalog_keeps_them_before_they_are_encoded():
    class FineHasher(EchoHasher):
        """Sets every bit if the embedding is a float16 number, none otherwise."""

        def encode(self, embeddings):
            exact = (embeddings == embeddings.astype(np.float16)).all(axis=1)
            return np.where(exact[:, np.newaxis], 255, 0).astype(np.uint8).repeat(RECORD_BYTES, axis=1)

    fine = np.full((1, FakeBackbone.dim), 1 + 2**-20, dtype=np.float32)
    assert FineHasher().encode(fine).max() == 0
    snapshot = new_gallery(hasher=FineHasher()).snapshot
    np.testing.assert_array_equal(snapshot.encode(fine), [[255] * RECORD_BYTES])


def test_without_a_hasher_images_are_kept_and_searches_say_what_is_missing():
    gallery = new_gallery(hasher=None)
    (ack,) = gallery.add([echo_image(ONES)])
    assert gallery.catalog.counts().images == 1
    assert (len(gallery), gallery.lengths, gallery.hasher, gallery.hasher_identity) == (0, (), None, "")
    assert gallery.sequence == ack.sequence
    assert gallery.update(ack.image_id, labels=["dog"]) == 2
    assert gallery.delete(ack.image_id) == gallery.sequence == 3
    with pytest.raises(PreconditionError, match=r"no hasher yet.*polyhash train hasher") as caught:
        _ = gallery.snapshot
    assert caught.value.reason == "NO_HASHER"
