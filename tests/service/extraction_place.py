"""A real store with pictures in folders and copies in the store, and a second backbone without weights that it can go over to.

In: a folder. Out: sessions of the store, and checks that it holds the embeddings and answers the hits that its models say.
"""

from contextlib import contextmanager

import numpy as np

from hashing.codes import hamming_distances
from service import compose
from service.records import SourceImage
from service.usecases.queries import ImageQuery, SearchRequest
from service.usecases.reading import in_chunks
from service.vision.backbones import load_backbone
from service.vision.datasets import open_image_set
from service.vision.descriptor import DescriptorBackbone
from service.vision.images import decode_image
from service.workers import find_hasher
from tests.contracts.fakes import FakeBackbone
from tests.service.command import write_pictures
from tests.service.odd_pictures import picture

N_FILES, N_COPIES = 20, 4
COUNT = N_FILES + N_COPIES
LENGTHS = (16, 32)
DESCRIPTOR = DescriptorBackbone().identity


class Pixels(FakeBackbone):
    """Embeds a picture as its 8 x 8 pixels, and counts how many it embedded."""

    identity = "pixels@0123456789ab"

    @property
    def embedded(self):
        return sum(self.batch_sizes)


def use_pixels(monkeypatch):
    """Make `pixels` the spec of a backbone; returns it."""
    pixels = Pixels()

    def load(spec):
        return pixels if spec == "pixels" else load_backbone(spec)

    monkeypatch.setattr("service.store_models.load_backbone", load)
    monkeypatch.setattr("service.workers.load_backbone", load)
    return pixels


def copies(seeds):
    """Return pictures that lie nowhere else, so that the store keeps copies."""
    return [SourceImage(name=f"{seed}.png", read=lambda seed=seed: picture(seed)) for seed in seeds]


def make_store(folder):
    """Make a store of COUNT pictures under the descriptor."""
    write_pictures(folder / "photos", N_FILES)
    place = folder / "store"
    with compose.open_session(place, purpose="test", create=True, backbone="descriptor") as session:
        ingest = session.application.ingestor.run
        assert len(list(ingest(in_chunks(open_image_set(str(folder / "photos")))))) == N_FILES
        assert len(list(ingest([copies(range(N_COPIES))]))) == N_COPIES
        compose.use_hasher(session, compose.fit_hasher(session, parameters={"lengths": LENGTHS}))


@contextmanager
def opened(folder, **options):
    with compose.open_session(folder / "store", purpose="test", **options) as session:
        yield session


def embedded_by(backbone, content):
    return backbone.extract(backbone.prepare(decode_image(content).pixels)[None]).embeddings


def check_embeddings(session, backbone):
    """Assert that every image has the embedding that a backbone gives for its original."""
    catalog, pictures = session.application.catalog, session.application.pictures
    rows = {row.image_id: row for row in catalog.list_images(after_id=0, limit=9999)}
    found = {
        image_id: embedding
        for chunk in catalog.embeddings(backbone=backbone.identity)
        for image_id, embedding in zip(chunk.image_ids.tolist(), chunk.embeddings, strict=True)
    }
    assert list(found) == list(rows)
    for image_id, row in rows.items():
        expected = embedded_by(backbone, pictures.content(row))[0].astype(np.float16)
        np.testing.assert_array_equal(found[image_id], expected)


def check_answer(session, answer, content, *, k):
    """Assert that hits are those of a plain comparison under the model that the answer names, nothing having been deleted."""
    hasher = find_hasher(session.store, answer.hasher_identity)
    backbone = Pixels() if hasher.backbone_identity == Pixels.identity else DescriptorBackbone()
    assert hasher.backbone_identity == backbone.identity
    part = hasher.layout.record_slices[answer.bits]
    code = hasher.encode(embedded_by(backbone, content))[:, part]
    assert answer.code == code.tobytes()
    catalog = session.application.catalog
    ids = [row.image_id for row in catalog.list_images(after_id=0, limit=9999)]
    # some hits may have come since that sequence number was read
    hits = {hit.image_id for hit in answer.hits}
    known = [image_id for image_id in ids if image_id <= answer.sequence or image_id in hits]
    records = catalog.get_records(known, hasher=hasher.identity)
    assert sorted(records) == known
    distances = hamming_distances(code, np.stack([records[image_id][part] for image_id in known]))[0]
    expected = sorted(zip(distances.tolist(), known, strict=True))[:k]
    assert [(hit.distance, hit.image_id) for hit in answer.hits] == expected


def check_searches(session, *, k=7):
    """Assert that pictures of the store and others find what a plain comparison finds."""
    for seed in (0, 1, 500):
        content = picture(seed)
        answer = session.application.searcher.search(SearchRequest(query=ImageQuery(content=content), k=k))
        assert answer.hasher_identity == session.application.gallery.hasher_identity
        check_answer(session, answer, content, k=k)


def check_sound(session):
    verification = session.application.verify(lambda *_: None)
    assert [finding for finding in verification.findings if finding.damage] == []
