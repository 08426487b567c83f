"""Ingest: one outcome per image in order, repeats recognised wherever they stand, and a bad image stops nothing."""

import hashlib
import threading
import time
from itertools import count

import numpy as np
import pytest

from service.errors import NotFoundError, UnavailableError, UnreadableImageError
from service.records import SourceImage
from service.usecases.ingest import Accepted, CopyPolicy, Ingestor
from service.usecases.reading import Rejected
from service.vision.images import decode_image
from tests.contracts.fakes import (
    FIRST_ID,
    FakeBackbone,
    FakeHasher,
    MemoryOriginals,
    new_application,
    new_gallery,
    png,
)
from tests.contracts.memory_catalog import MemoryCatalog


def source(seed, *, name=None, path="", **more):
    return SourceImage(name=name or f"{seed}.png", read=lambda: png(seed), source=path, **more)


def broken(error, *, name="broken.png"):
    def read():
        raise error

    return SourceImage(name=name, read=read)


def ingest(application, *chunks):
    return list(application.ingestor.run(chunks))


def summary(outcomes):
    """Return per outcome (name, id or None, duplicate or None)."""
    return [
        (one.name, one.acknowledgement.image_id, one.acknowledgement.duplicate)
        if isinstance(one, Accepted)
        else (one.name, None, None)
        for one in outcomes
    ]


def background_threads():
    return [t for t in threading.enumerate() if t.name.startswith(("read-ahead", "decode"))]


@pytest.fixture
def application():
    return new_application(hasher=FakeHasher())


def test_every_image_gets_its_outcome_in_order(application):
    text = SourceImage(name="text.jpg", read=lambda: b"hello")
    outcomes = ingest(application, [source(1), text, source(2)], [source(1, name="again.png"), source(3)])
    assert summary(outcomes) == [
        ("1.png", FIRST_ID, False),
        ("text.jpg", None, None),
        ("2.png", FIRST_ID + 1, False),
        ("again.png", FIRST_ID, True),
        ("3.png", FIRST_ID + 2, False),
    ]
    assert isinstance(outcomes[1].error, UnreadableImageError)
    assert "look like text" in outcomes[1].error.message
    assert len(application.gallery) == application.catalog.counts().images == 3


def test_repeats_are_recognised_within_a_chunk_across_chunks_and_across_runs(application):
    first = ingest(
        application, [source(1), source(1, name="b"), source(2)], [source(2, name="c")], [source(1, name="d")]
    )
    again = ingest(application, [source(2, name="e"), source(1, name="f")])
    assert summary(first + again) == [
        ("1.png", FIRST_ID, False),
        ("b", FIRST_ID, True),
        ("2.png", FIRST_ID + 1, False),
        ("c", FIRST_ID + 1, True),
        ("d", FIRST_ID, True),
        ("e", FIRST_ID + 1, True),
        ("f", FIRST_ID, True),
    ]
    sequences = {one.acknowledgement.image_id: one.acknowledgement.sequence for one in first}
    assert [one.acknowledgement.sequence for one in again] == [sequences[FIRST_ID + 1], sequences[FIRST_ID]]
    assert len(application.gallery) == 2


def test_a_known_image_is_not_computed_again():
    backbone = FakeBackbone()
    application = new_application(hasher=FakeHasher(), backbone=backbone)
    ingest(application, [source(1), source(2)])
    ingest(application, [source(2), source(1)])
    assert backbone.batch_sizes == [2]


def test_what_cannot_be_read_is_named_and_the_run_goes_on(application):
    outcomes = ingest(
        application,
        [broken(OSError(5, "Input/output error"), name="disk.png"), source(1)],
        [broken(NotFoundError("It is gone."), name="gone.png"), broken(OSError("odd"), name="odd.png")],
        [source(2)],
    )
    assert [(one.name, one.error.message) for one in outcomes if isinstance(one, Rejected)] == [
        ("disk.png", "disk.png cannot be read: Input/output error."),
        ("gone.png", "It is gone."),
        ("odd.png", "odd.png cannot be read: odd."),
    ]
    assert len(application.gallery) == 2


def test_a_run_of_nothing_and_a_run_of_refusals_only_end_quietly(application):
    assert ingest(application) == []
    assert summary(ingest(application, [broken(OSError("x"))], [])) == [("broken.png", None, None)]


def test_the_catalog_gets_what_the_image_is(application):
    image = source(5, path="/pictures/5.png", labels=("sea", "beach"), attributes={"season": "winter"})
    ingest(application, [image])
    row = application.catalog.get_images([FIRST_ID])[FIRST_ID]
    assert (row.sha256, row.byte_size) == (hashlib.sha256(png(5)).digest(), len(png(5)))
    assert (row.width, row.height, row.format) == (20, 10, "PNG")
    assert (row.name, row.source, row.labels) == ("5.png", "/pictures/5.png", ("sea", "beach"))
    assert dict(row.attributes) == {"season": "winter"}


def test_embedding_and_code_record_belong_to_their_image(application):
    ingest(application, [source(seed) for seed in range(5)], [source(seed) for seed in range(5, 9)])
    (chunk,) = application.catalog.embeddings(backbone=FakeBackbone.identity)
    for position, image_id in enumerate(chunk.image_ids.tolist()):
        square = FakeBackbone().prepare(decode_image(png(position)).pixels)
        expected = (square.astype(np.float32).transpose(2, 0, 1).ravel() / 255).astype(np.float16)
        np.testing.assert_array_equal(chunk.embeddings[position], expected)
        np.testing.assert_array_equal(
            application.catalog.get_record(image_id, hasher=FakeHasher.identity),
            FakeHasher().encode(expected[np.newaxis].astype(np.float32))[0],
        )


def with_policy(copy):
    originals = MemoryOriginals()
    gallery = new_gallery(hasher=FakeHasher(), originals=originals)
    ingestor = Ingestor(gallery, decode=decode_image, copy=copy)
    list(ingestor.run([[source(1), source(2, path="/2.png")]]))
    rows = gallery.catalog.get_images([FIRST_ID, FIRST_ID + 1])
    return originals, [rows[image_id].stored for image_id in sorted(rows)]


def test_only_an_image_that_cannot_be_read_again_is_copied():
    originals, stored = with_policy(CopyPolicy.NEEDED)
    assert stored == [True, False]
    assert originals.get(hashlib.sha256(png(1)).digest()) == png(1)
    with pytest.raises(NotFoundError):
        originals.get(hashlib.sha256(png(2)).digest())


def test_every_image_is_copied_on_demand():
    originals, stored = with_policy(CopyPolicy.ALL)
    assert stored == [True, True]
    assert [originals.get(hashlib.sha256(png(seed)).digest()) for seed in (1, 2)] == [png(1), png(2)]


def test_a_chunk_is_acknowledged_without_waiting_for_the_next_but_few():
    application = new_application(hasher=FakeHasher())
    read = []

    def endless():
        for seed in count():
            read.append(seed)
            yield [source(seed)]

    outcomes = application.ingestor.run(endless())
    assert summary([next(outcomes)]) == [("0.png", FIRST_ID, False)]
    time.sleep(0.05)
    assert len(read) <= 5
    outcomes.close()
    at_close = len(read)
    deadline = time.monotonic() + 5
    while background_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert background_threads() == []
    assert len(read) <= at_close + 1
    assert application.catalog.counts().images == 1


def test_without_a_hasher_images_wait_for_their_codes():
    application = new_application(hasher=None)
    assert summary(ingest(application, [source(1)])) == [("1.png", FIRST_ID, False)]
    assert application.catalog.counts().code_records == 0
    assert application.catalog.counts().embeddings == 1


def test_a_store_that_fails_ends_the_run_with_its_error():
    class FillsUp(MemoryCatalog):
        def add_images(self, images, *, backbone, hasher):
            if self.counts().images:
                raise UnavailableError("The disk is full.")
            return super().add_images(images, backbone=backbone, hasher=hasher)

    gallery = new_gallery(hasher=FakeHasher(), catalog=FillsUp())
    outcomes = Ingestor(gallery, decode=decode_image).run([[source(1)], [source(2)], []])
    assert summary([next(outcomes)]) == [("1.png", FIRST_ID, False)]
    with pytest.raises(UnavailableError, match="disk is full"):
        next(outcomes)
    assert len(gallery) == 1


def test_a_set_that_fails_to_go_on_ends_the_run_with_its_error(application):
    def chunks():
        yield [source(1)]
        raise ZeroDivisionError

    outcomes = application.ingestor.run(chunks())
    next(outcomes)
    with pytest.raises(ZeroDivisionError):
        next(outcomes)
    assert application.catalog.counts().images == 1


def test_two_runs_at_once_share_one_gallery(application):
    results = {}

    def run(name, seeds):
        results[name] = ingest(application, *([source(seed)] for seed in seeds))

    threads = [
        threading.Thread(target=run, args=("up", range(20))),
        threading.Thread(target=run, args=("down", reversed(range(20)))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {
        one.name: {other.acknowledgement.image_id for other in results["down"] if other.name == one.name}
        | {one.acknowledgement.image_id}
        for one in results["up"]
    }
    assert all(len(found) == 1 for found in ids.values())
    assert len(application.gallery) == application.catalog.counts().images == 20


def test_an_image_whose_embedding_cannot_be_kept_is_refused_alone():
    class Overflowing(FakeBackbone):
        def extract(self, prepared):
            features = super().extract(prepared)
            features.embeddings[1] = [np.nan, 1e6] + [0.0] * (features.embeddings.shape[1] - 2)
            return features

    application = new_application(hasher=FakeHasher(), backbone=Overflowing())
    outcomes = ingest(application, [source(seed) for seed in range(3)])
    assert [type(outcome) for outcome in outcomes] == [Accepted, Rejected, Accepted]
    assert outcomes[1].error.reason == "EMBEDDING_OUT_OF_RANGE"
    assert len(application.gallery) == 2
