"""What any `Catalog` must do, said in plain values.

In: a fixture `catalog`, empty, given by a subclass of `CatalogContract` in a test module; its clock stands at `noon`.
Out: tests. Durability and damage are left to the tests of the real one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from service.errors import InvalidArgumentError, ModelMismatchError, NotFoundError, PreconditionError
from service.ports import Catalog
from service.records import Acknowledgement, ImageRow, ModelKind, NewImage
from tests.contracts.memory_models import noon

BACKBONE = "backbone@0123456789ab"
HASHER = "hasher@0123456789ab"
OTHER_HASHER = "hasher@ba9876543210"
DIM = 5


def new_image(
    seed: int, *, labels: tuple[str, ...] = (), embedding: np.ndarray | None = None, coded: bool = True
) -> NewImage:
    """Return an image whose every field follows from its seed."""
    rng = np.random.default_rng(seed)
    return NewImage(
        sha256=hashlib.sha256(str(seed).encode()).digest(),
        name=f"pictures/ü {seed}.jpg",
        source=f"/pictures/{seed}.jpg",
        stored=bool(seed % 2),
        byte_size=1000 + seed,
        width=20 + seed,
        height=10,
        format="JPEG",
        labels=labels,
        attributes={"season": "winter", "seed": str(seed)},
        embedding=rng.normal(size=DIM).astype(np.float32) if embedding is None else embedding,
        record=rng.integers(0, 256, size=6, dtype=np.uint8) if coded else None,
        scores={"joy": seed / 8, "calm": -0.1},
    )


def add(catalog: Catalog, images: Sequence[NewImage], *, hasher: str | None = HASHER) -> list[int]:
    """Add images and return their ids."""
    return [ack.image_id for ack in catalog.add_images(images, backbone=BACKBONE, hasher=hasher)]


def records_of(catalog: Catalog, hasher: str, *, chunk: int = 3) -> dict[int, bytes]:
    """Return all code records by image id, checking their order."""
    found = [
        (image_id, bytes(record))
        for part in catalog.records(hasher=hasher, chunk=chunk)
        for image_id, record in zip(part.image_ids.tolist(), part.records, strict=True)
    ]
    assert found == sorted(found)
    return dict(found)


def embeddings_of(catalog: Catalog, *, chunk: int = 3) -> dict[int, tuple[list[float], tuple[str, ...]]]:
    """Return all embeddings and labels by image id, checking their order."""
    found = [
        (image_id, (embedding.tolist(), labels))
        for part in catalog.embeddings(backbone=BACKBONE, chunk=chunk)
        for image_id, embedding, labels in zip(
            part.image_ids.tolist(), part.embeddings, part.labels, strict=True
        )
    ]
    assert [image_id for image_id, _ in found] == sorted(image_id for image_id, _ in found)
    return dict(found)


class CatalogContract:
    """Subclasses give a fixture `catalog`."""

    def test_an_empty_catalog_holds_nothing(self, catalog):
        counts = catalog.counts()
        assert (counts.images, counts.labelled_images, counts.embeddings, counts.code_records) == (0, 0, 0, 0)
        assert (dict(counts.labels), counts.original_bytes, counts.last_sequence) == ({}, 0, 0)
        assert catalog.list_images(after_id=0, limit=10) == []
        assert records_of(catalog, HASHER) == embeddings_of(catalog) == {}
        assert add(catalog, []) == []

    def test_an_image_comes_back_as_it_was_given(self, catalog):
        image = new_image(1, labels=("sea", "beach"))
        (ack,) = catalog.add_images([image], backbone=BACKBONE, hasher=HASHER)
        expected = ImageRow(
            image_id=ack.image_id,
            sha256=image.sha256,
            name="pictures/ü 1.jpg",
            source="/pictures/1.jpg",
            stored=True,
            byte_size=1001,
            width=21,
            height=10,
            format="JPEG",
            labels=("sea", "beach"),
            attributes={"season": "winter", "seed": "1"},
            created_at=noon(),
            sequence=ack.sequence,
            scores={"joy": 0.125, "calm": -0.1},
        )
        assert catalog.get_images([ack.image_id]) == {ack.image_id: expected}
        assert catalog.list_images(after_id=0, limit=1) == [expected]
        assert (
            expected.created_at.utcoffset()
            == catalog.list_images(after_id=0, limit=1)[0].created_at.utcoffset()
        )

    def test_ids_are_the_sequences_of_their_additions_and_ascend_in_the_order_given(self, catalog):
        acks = [
            ack
            for seeds in ([3, 1, 2], [9], [5, 4])
            for ack in catalog.add_images([new_image(s) for s in seeds], backbone=BACKBONE, hasher=HASHER)
        ]
        assert [ack.image_id for ack in acks] == [ack.sequence for ack in acks] == list(range(1, 7))
        assert catalog.last_sequence() == acks[-1].sequence
        assert [row.width - 20 for row in catalog.list_images(after_id=0, limit=9)] == [3, 1, 2, 9, 5, 4]

    def test_the_same_bytes_are_recognised_across_and_within_batches(self, catalog):
        (first,) = catalog.add_images([new_image(1)], backbone=BACKBONE, hasher=HASHER)
        again = NewImage(
            **{name: getattr(new_image(1), name) for name in NewImage.__slots__} | {"name": "copy"}
        )
        acks = catalog.add_images([again, new_image(2), new_image(2)], backbone=BACKBONE, hasher=HASHER)
        assert acks[0] == Acknowledgement(image_id=first.image_id, sequence=first.sequence, duplicate=True)
        assert [ack.duplicate for ack in acks] == [True, False, True]
        assert (acks[1].image_id, acks[1].sequence) == (acks[2].image_id, acks[2].sequence)
        assert [row.name for row in catalog.list_images(after_id=0, limit=9)] == [
            "pictures/ü 1.jpg",
            "pictures/ü 2.jpg",
        ]
        assert catalog.last_sequence() == acks[1].sequence

    def test_digests_are_found_and_unknown_ones_absent(self, catalog):
        acks = catalog.add_images([new_image(1), new_image(2)], backbone=BACKBONE, hasher=HASHER)
        wanted = [new_image(seed).sha256 for seed in (2, 1, 7, 2)]
        assert catalog.find_by_sha256(wanted) == {
            new_image(seed).sha256: Acknowledgement(
                image_id=acks[seed - 1].image_id, sequence=acks[seed - 1].sequence, duplicate=True
            )
            for seed in (1, 2)
        }
        assert catalog.find_by_sha256([]) == {}

    def test_a_label_given_twice_counts_once(self, catalog):
        (image_id,) = add(catalog, [new_image(1, labels=("sea", "beach", "sea"))])
        assert catalog.get_images([image_id])[image_id].labels == ("sea", "beach")
        assert dict(catalog.counts().labels) == {"sea": 1, "beach": 1}

    def test_thousands_of_images_are_found_by_id_and_by_digest(self, catalog):
        images = [new_image(seed, labels=(str(seed % 3),)) for seed in range(2500)]
        image_ids = add(catalog, images)
        rows = catalog.get_images([*reversed(image_ids), max(image_ids) + 1])
        assert [rows[image_id].sha256 for image_id in image_ids] == [image.sha256 for image in images]
        assert [rows[image_id].labels for image_id in image_ids] == [image.labels for image in images]
        assert len(rows) == 2500
        found = catalog.find_by_sha256([image.sha256 for image in images])
        assert [found[image.sha256].image_id for image in images] == image_ids
        assert [row.image_id for row in catalog.list_images(after_id=0, limit=5000)] == image_ids

    def test_pages_follow_each_other_and_keep_to_a_label(self, catalog):
        image_ids = add(
            catalog, [new_image(seed, labels=("even",) if seed % 2 == 0 else ()) for seed in range(7)]
        )
        assert [row.image_id for row in catalog.list_images(after_id=0, limit=3)] == image_ids[:3]
        page = catalog.list_images(after_id=image_ids[2], limit=3)
        assert [row.image_id for row in page] == image_ids[3:6]
        even = catalog.list_images(after_id=image_ids[0], limit=2, label="even")
        assert [row.image_id for row in even] == [image_ids[2], image_ids[4]]
        assert catalog.list_images(after_id=0, limit=9, label="odd") == []

    def test_a_deleted_image_is_gone_with_all_that_was_computed_from_it(self, catalog):
        kept, gone = add(catalog, [new_image(1, labels=("a",)), new_image(2, labels=("b",))])
        before = catalog.last_sequence()
        sequence = catalog.delete_image(gone)
        assert sequence > before
        assert catalog.last_sequence() == sequence
        assert list(catalog.get_images([kept, gone])) == [kept]
        assert catalog.find_by_sha256([new_image(2).sha256]) == {}
        assert catalog.get_record(gone, hasher=HASHER) is None
        assert list(records_of(catalog, HASHER)) == list(embeddings_of(catalog)) == [kept]
        assert dict(catalog.counts().labels) == {"a": 1}

    def test_deleting_what_is_not_there_is_an_error(self, catalog):
        with pytest.raises(NotFoundError, match="No image 77 in the catalog") as caught:
            catalog.delete_image(77)
        assert caught.value.reason == "IMAGE_NOT_FOUND"
        assert catalog.last_sequence() == 0

    def test_deleted_bytes_come_back_under_a_new_id(self, catalog):
        (first,) = add(catalog, [new_image(1)])
        catalog.delete_image(first)
        (second,) = catalog.add_images([new_image(1)], backbone=BACKBONE, hasher=HASHER)
        assert second.image_id > first
        assert not second.duplicate

    def test_embeddings_come_back_rounded_to_float16(self, catalog):
        images = [new_image(seed, labels=("x",) * (seed % 2)) for seed in range(7)]
        image_ids = add(catalog, images)
        chunks = list(catalog.embeddings(backbone=BACKBONE, chunk=3))
        assert [len(chunk.image_ids) for chunk in chunks] == [3, 3, 1]
        assert {chunk.embeddings.dtype for chunk in chunks} == {np.dtype(np.float16)}
        assert {chunk.image_ids.dtype for chunk in chunks} == {np.dtype(np.int64)}
        assert embeddings_of(catalog) == {
            image_id: (image.embedding.astype(np.float16).tolist(), image.labels)
            for image_id, image in zip(image_ids, images, strict=True)
        }
        assert list(catalog.embeddings(backbone="another")) == []

    @pytest.mark.parametrize("value", [1e5, -65520.0, np.inf, np.nan])
    def test_an_embedding_that_float16_cannot_hold_is_refused_with_its_batch(self, catalog, value):
        broken = new_image(2, embedding=np.array([0, value, 0, 0, 0], dtype=np.float32))
        with pytest.raises(InvalidArgumentError, match=r"embedding of pictures/ü 2.jpg does not fit float16"):
            add(catalog, [new_image(1), broken])
        assert catalog.counts().images == 0

    def test_the_largest_float16_is_kept(self, catalog):
        (image_id,) = add(catalog, [new_image(1, embedding=np.full(DIM, -65504, dtype=np.float32))])
        assert embeddings_of(catalog) == {image_id: ([-65504.0] * DIM, ())}

    def test_code_records_come_back_bit_for_bit(self, catalog):
        images = [new_image(seed) for seed in range(7)]
        image_ids = add(catalog, images)
        expected = {i: bytes(image.record) for i, image in zip(image_ids, images, strict=True)}
        assert records_of(catalog, HASHER) == expected
        assert [len(part.image_ids) for part in catalog.records(hasher=HASHER, chunk=3)] == [3, 3, 1]
        assert bytes(catalog.get_record(image_ids[4], hasher=HASHER)) == expected[image_ids[4]]
        assert catalog.get_record(image_ids[4], hasher=OTHER_HASHER) is None
        assert catalog.get_record(image_ids[-1] + 1, hasher=HASHER) is None
        assert records_of(catalog, OTHER_HASHER) == {}

    def test_without_a_hasher_no_record_is_written(self, catalog):
        (image_id,) = add(catalog, [new_image(1, coded=False)], hasher=None)
        assert catalog.get_record(image_id, hasher=HASHER) is None
        assert (catalog.counts().embeddings, catalog.counts().code_records) == (1, 0)

    def test_an_image_without_a_record_is_refused_where_a_hasher_is_in_use(self, catalog):
        with pytest.raises(PreconditionError, match=r"ü 2.jpg comes without a code record"):
            add(catalog, [new_image(1), new_image(2, coded=False)])
        assert catalog.counts().images == 0

    @pytest.mark.parametrize("hasher", [OTHER_HASHER, None])
    def test_images_of_another_hasher_than_the_active_one_are_refused(self, catalog, hasher):
        catalog.register_model(HASHER, ModelKind.HASHER, path="models/x", metadata={})
        catalog.activate_model(HASHER)
        with pytest.raises(ModelMismatchError, match=f"The store uses hasher {HASHER}, the images come with"):
            add(catalog, [new_image(1)], hasher=hasher)
        assert catalog.counts().images == 0

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_score_that_is_not_finite_is_refused_with_its_batch(self, catalog, value):
        broken = replace(new_image(2), scores={"calm": 0.5, "joy": value})
        with pytest.raises(InvalidArgumentError, match=rf'Score "joy" of pictures/ü 2.jpg is {value}, but'):
            add(catalog, [new_image(1), broken])
        assert catalog.counts().images == catalog.last_sequence() == 0

    def test_counts_add_up(self, catalog):
        add(catalog, [new_image(1, labels=("a", "b")), new_image(2, labels=("a",)), new_image(3)])
        counts = catalog.counts()
        assert (counts.images, counts.labelled_images, dict(counts.labels)) == (3, 2, {"a": 2, "b": 1})
        assert (counts.embeddings, counts.code_records, counts.original_bytes) == (3, 3, 3006)
