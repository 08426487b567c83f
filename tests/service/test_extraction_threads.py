"""A swap of backbones among searches and uploads: answers agree with the models they name, and no acknowledged image is lost."""

import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from hashing.index_records import RecordIndex
from service.errors import UnavailableError
from service.records import SourceImage
from service.usecases.ingest import Accepted, Ingestor
from service.usecases.loading import read_snapshot
from service.usecases.queries import ImageQuery, SearchRequest
from service.vision.images import decode_image
from tests.contracts.echoes import echo_image
from tests.contracts.fakes import FakeBackbone, FakeHasher, new_gallery, png
from tests.service.extraction_place import (
    COUNT,
    Pixels,
    check_answer,
    check_embeddings,
    check_searches,
    check_sound,
    copies,
    make_store,
    opened,
    use_pixels,
)
from tests.service.odd_pictures import picture

K = 6
CHECKED = 200  # answers that are compared by hand, spread over all


class Crowd:
    """Searches and uploads from threads for as long as `busy` lasts."""

    def __init__(self, application) -> None:
        self.answers, self.acknowledged, self.errors = [], [], []
        self._application = application
        self._done = threading.Event()

    @contextmanager
    def busy(self):
        works = [(self._search, 0), (self._search, 1), (self._upload, 1000), (self._upload, 2000)]
        threads = [threading.Thread(target=self._guard, args=work) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _guard(self, work, first):
        try:
            while not self._done.is_set():
                work(first)
                first += 1
        except Exception as error:  # noqa: BLE001 - told by the test
            self.errors.append(error)

    def _search(self, seed):
        content = picture(seed % 5)
        asked = SearchRequest(query=ImageQuery(content=content), k=K)
        self.answers.append((content, self._application.searcher.search(asked)))

    def _upload(self, seed):
        (outcome,) = self._application.ingestor.run([copies([seed])])
        self.acknowledged.append(outcome.acknowledgement.image_id)


def silent(stage, done, total):
    del stage, done, total


def test_answers_agree_with_the_models_they_name_and_no_acknowledged_image_is_lost(tmp_path, monkeypatch):
    make_store(tmp_path)
    use_pixels(monkeypatch)
    with opened(tmp_path) as session:
        application, rebuilder = session.application, session.application.rebuilder
        crowd = Crowd(application)
        with crowd.busy():
            rebuilder.rebuild(backbone="pixels", report=silent)
            rebuilder.activate(1, report=silent)
            rebuilder.activate(2, report=silent)
        assert crowd.errors == []
        rows = [row.image_id for row in application.catalog.list_images(after_id=0, limit=9999)]
        assert rows == sorted([*range(1, COUNT + 1), *crowd.acknowledged])
        assert len(application.gallery.snapshot) == len(rows)
        assert len({answer.hasher_identity for _, answer in crowd.answers}) == 2
        for content, answer in crowd.answers[:: max(1, len(crowd.answers) // CHECKED)]:
            check_answer(session, answer, content, k=K)
        check_embeddings(session, Pixels())
        check_searches(session, k=9999)
        check_sound(session)


# ------------------------------------------------------------ images that the swap overtakes


class PixelHasher(FakeHasher):
    identity = "pixel-hasher@000000000000"
    backbone_identity = Pixels.identity


class Overtaken(FakeBackbone):
    """Is replaced while it embeds."""

    def extract(self, prepared):
        features = super().extract(prepared)
        self.go_over()
        return features


@pytest.fixture
def gallery():
    backbone = Overtaken()
    gallery = new_gallery(hasher=FakeHasher(), backbone=backbone)
    gallery.pixels = Pixels()

    def go_over():
        snapshot = read_snapshot(gallery.catalog, PixelHasher(), index_factory=RecordIndex)
        gallery.swap(snapshot, activate=lambda: None, backbone=gallery.pixels)

    backbone.go_over = go_over
    return gallery


def source(seed, read=None):
    return SourceImage(name=f"{seed}.png", source=f"/{seed}.png", read=read or (lambda: png(seed)))


def test_images_that_the_swap_overtakes_are_embedded_again(gallery):
    outcomes = list(Ingestor(gallery, decode=decode_image).run([[source(1), source(2)], [source(3)]]))
    assert [outcome.acknowledgement.image_id for outcome in outcomes] == [1, 2, 3]
    assert gallery.pixels.embedded == 3
    (chunk,) = gallery.catalog.embeddings(backbone=Pixels.identity)
    assert chunk.image_ids.tolist() == [1, 2, 3]
    assert list(gallery.catalog.embeddings(backbone=FakeBackbone.identity)) == []
    assert len(gallery) == 3


def test_an_image_that_cannot_be_read_again_after_the_swap_is_refused_alone(gallery):
    contents = {1: iter([png(1)]), 2: iter([png(2), png(9)]), 3: iter([png(3), png(3)])}

    def read(seed):
        content = next(contents[seed], None)
        if content is None:
            raise FileNotFoundError(2, "No such file")
        return content

    images = [source(seed, read=lambda seed=seed: read(seed)) for seed in contents]
    gone, changed, taken = Ingestor(gallery, decode=decode_image).run([images])
    assert "1.png cannot be read: No such file." in gone.error.message
    assert "2.png changed while it was read. Send it again." in changed.error.message
    assert isinstance(taken, Accepted)
    assert len(gallery) == 1


def test_an_embedding_of_a_backbone_that_is_not_in_use_is_not_taken(gallery):
    one, other = echo_image(b"123456"), echo_image(b"654321")
    refused, taken = gallery.add(
        [replace(one, backbone="old@0"), replace(other, backbone=FakeBackbone.identity)]
    )
    assert isinstance(refused, UnavailableError)
    assert "embedded by old@0. Send it again." in refused.message
    assert (refused.reason, taken.image_id) == ("MODELS_CHANGED", 1)
