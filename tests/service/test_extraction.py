"""Going over to another backbone: all images are embedded again once, backbone and hasher change together, and nothing is lost."""

import numpy as np
import pytest

from hashing.index_records import RecordIndex
from service import compose
from service.client import Client
from service.errors import ModelMismatchError, NotFoundError, PreconditionError
from service.records import ModelKind, SourceImage
from service.usecases import extraction, rebuild
from service.usecases.extraction import extract_images
from service.usecases.gallery_state import GalleryState
from service.usecases.snapshot import Snapshot
from service.vision.descriptor import DescriptorBackbone
from service.vision.images import decode_image
from service.vision.sources import read_source
from tests.contracts.fakes import FakeBackbone, FakeHasher
from tests.service.command import polyhash
from tests.service.extraction_place import (
    COUNT,
    DESCRIPTOR,
    LENGTHS,
    N_COPIES,
    Pixels,
    check_embeddings,
    check_searches,
    check_sound,
    copies,
    make_store,
    opened,
    use_pixels,
)
from tests.service.odd_pictures import picture


class Cancelled(Exception):  # noqa: N818 - what a user does is no error
    """The user has seen enough."""


def silent(stage, done, total):
    del stage, done, total


@pytest.fixture
def pixels(monkeypatch):
    monkeypatch.setattr(extraction, "CHUNK_IMAGES", 5)
    return use_pixels(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    make_store(tmp_path)
    return tmp_path


def models(session):
    catalog = session.application.catalog
    return tuple(catalog.active_model(kind).identity for kind in (ModelKind.BACKBONE, ModelKind.HASHER))


def check_descriptor_in_use(session, hasher):
    """Assert that nothing was swapped."""
    gallery = session.application.gallery
    assert models(session) == (gallery.backbone_identity, gallery.hasher_identity) == (DESCRIPTOR, hasher)
    check_searches(session)


def test_all_images_are_embedded_again_and_searched_by_a_hasher_fitted_on_that(folder, pixels):
    told = []
    with opened(folder) as session:
        row = session.application.rebuilder.rebuild(
            backbone="pixels", report=lambda *progress: told.append(progress), note="new eyes"
        )
        assert (row.images, row.note) == (COUNT, "new eyes")
        gallery = session.application.gallery
        assert gallery.backbone_identity == Pixels.identity == gallery.hasher.backbone_identity
        assert (gallery.lengths, gallery.hasher.layout.nested) == (LENGTHS, False)
        assert models(session) == (Pixels.identity, row.hasher)
        assert pixels.embedded == COUNT
        check_embeddings(session, Pixels())
        check_embeddings(session, DescriptorBackbone())
        check_searches(session)
        check_sound(session)
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == ["extracting", "fitting", "encoding", "building", "loading"]
    extracted = dict.fromkeys(done for stage, done, _ in told if stage == "extracting")
    assert list(extracted) == [0, 5, 10, 15, 20, 24]
    with opened(folder, writable=False) as session:
        assert session.application.backbone is pixels, "a start takes the backbone of the hasher"
        check_searches(session)


def test_interrupted_at_any_report_nothing_is_swapped_and_no_image_is_embedded_twice(folder, pixels):
    with opened(folder) as session:
        rebuilder, before = session.application.rebuilder, session.application.gallery.state
        hasher = models(session)[1]
        for stage, at in (
            ("extracting", 5),
            ("extracting", 20),
            ("fitting", 0),
            ("encoding", 0),
            ("loading", 1),
        ):

            def stop(now, done, total, stop_at=(stage, at)):
                del total
                if (now, done) == stop_at:
                    raise Cancelled

            with pytest.raises(Cancelled):
                rebuilder.rebuild(backbone="pixels", report=stop)
            assert session.application.gallery.state is before
            check_descriptor_in_use(session, hasher)
    with opened(folder) as session:  # after a restart too
        check_descriptor_in_use(session, hasher)
        session.application.rebuilder.rebuild(backbone="pixels", report=silent)
        assert pixels.embedded == COUNT
        check_embeddings(session, Pixels())
        check_searches(session)


@pytest.mark.usefixtures("pixels")
@pytest.mark.parametrize("few", [0, 2, 32])
def test_no_image_is_lost_that_comes_whenever_something_is_reported(folder, monkeypatch, few):
    monkeypatch.setattr(rebuild, "FEW", few)
    with opened(folder) as session:
        seeds = iter(range(1000, 1040))

        def report(stage, done, total):
            del stage, done, total
            some = [seed for _, seed in zip(range(3), seeds, strict=False)]
            list(session.application.ingestor.run([copies(some)]))

        session.application.rebuilder.rebuild(backbone="pixels", report=report)
        session.application.rebuilder.rebuild(backbone="pixels", report=silent)
        assert session.application.catalog.counts().images > COUNT + 20
        check_embeddings(session, Pixels())
        check_searches(session, k=9999)
        check_sound(session)


def test_an_image_that_comes_last_and_cannot_be_read_again_stops_the_swap(folder, pixels):
    lost = SourceImage(name="lost.png", source="/lost.png", read=lambda: picture(77))
    with opened(folder) as session:
        hasher = models(session)[1]

        def report(stage, done, total):
            if (stage, done, total) == ("loading", 1, 1):
                assert list(session.application.ingestor.run([[lost]]))

        with pytest.raises(PreconditionError, match=r"1 images cannot be embedded .*lost.png\) is gone"):
            session.application.rebuilder.rebuild(backbone="pixels", report=report)
        check_descriptor_in_use(session, hasher)
        check_sound(session)
        session.application.gallery.delete(COUNT + 1)
        session.application.rebuilder.rebuild(backbone="pixels", report=silent)
        assert pixels.embedded == COUNT
        check_sound(session)


def test_originals_that_are_missing_or_changed_stop_it_by_name_and_what_was_embedded_stays(folder, pixels):
    gone, changed = folder / "photos" / "003.png", folder / "photos" / "017.png"
    kept = gone.read_bytes()
    gone.unlink()
    changed.write_bytes(picture(999))
    with opened(folder) as session:
        rebuilder, hasher = session.application.rebuilder, models(session)[1]
        with pytest.raises(
            PreconditionError,
            match=r"2 images cannot be embedded by pixels@.*image 4 \(003.png\) is gone .*image 18 \(017.png\) has changed",
        ) as caught:
            rebuilder.rebuild(backbone="pixels", report=silent)
        assert caught.value.reason == "ORIGINALS_MISSING"
        check_descriptor_in_use(session, hasher)
        assert pixels.embedded == COUNT - 2
        gone.write_bytes(kept)
        session.application.gallery.delete(18)
        rebuilder.rebuild(backbone="pixels", report=silent)
        assert pixels.embedded == COUNT - 1
        check_embeddings(session, Pixels())
        check_sound(session)


def test_going_back_brings_back_the_backbone_and_images_added_since_are_embedded_by_it(folder, pixels):
    with opened(folder) as session:
        application, first = session.application, models(session)
        application.rebuilder.rebuild(backbone="pixels", report=silent)
        assert len(list(application.ingestor.run([copies(range(100, 107))]))) == 7
        check_searches(session)
        application.rebuilder.activate(1, report=silent)
        assert models(session) == first
        assert application.backbone.identity == DESCRIPTOR
        check_embeddings(session, DescriptorBackbone())
        check_searches(session, k=99)
        check_sound(session)
        before = pixels.embedded
        application.rebuilder.activate(2, report=silent)
        assert pixels.embedded == before, "its embeddings are still there"
        check_searches(session, k=99)


def test_embeddings_of_a_backbone_that_no_generation_needs_are_pruned(folder, pixels):
    with opened(folder) as session:
        application, hasher = session.application, models(session)[1]
        application.rebuilder.rebuild(backbone="pixels", report=silent)
        assert application.catalog.count_lacking_embedding(backbone=DESCRIPTOR) == 0
        assert application.rebuilder.prune(1) == [1]
        assert application.catalog.count_lacking_embedding(backbone=DESCRIPTOR) == COUNT
        assert application.catalog.count_lacking(hasher=hasher) == COUNT
        check_embeddings(session, Pixels())
        check_sound(session)
        del pixels


def test_a_registered_hasher_of_the_new_backbone_is_taken_and_one_of_another_refused(folder, pixels):
    with opened(folder) as session:
        rebuilder, old = session.application.rebuilder, models(session)[1]
        with pytest.raises(
            PreconditionError, match=f"{old} was fitted on embeddings of {DESCRIPTOR}, .* pixels@"
        ):
            rebuilder.rebuild(backbone="pixels", hasher=old, report=silent)
        assert pixels.embedded == 0
        new = rebuilder.rebuild(backbone="pixels", report=silent).hasher
        rebuilder.activate(1, report=silent)
        assert rebuilder.rebuild(backbone=Pixels.identity, hasher=new, report=silent).hasher == new
        check_searches(session)
        with pytest.raises(NotFoundError, match="There is no backbone 'nothing'"):
            rebuilder.rebuild(backbone="nothing", report=silent)


def test_an_embedding_that_no_catalog_can_keep_is_a_failure_of_its_image(folder):
    class Broken(Pixels):
        def extract(self, prepared):
            features = super().extract(prepared)
            features.embeddings[3] = np.nan
            return features

    with opened(folder, writable=False) as session:
        store = session.store
        found = extract_images(
            store.catalog,
            store.originals,
            [9, 2, 5, 7, 10**6, 3],
            backbone=Broken(),
            read_source=read_source,
            decode=decode_image,
        )
        assert found.chunk.image_ids.tolist() == [2, 3, 5, 9]
        assert list(found.failures) == [7]
        assert "gives no usable embedding" in found.failures[7]
        nobody = extract_images(
            store.catalog,
            store.originals,
            [],
            backbone=Pixels(),
            read_source=read_source,
            decode=decode_image,
        )
        assert (len(nobody.chunk.image_ids), dict(nobody.failures)) == (0, {})


def test_a_backbone_never_stands_beside_codes_of_another():
    snapshot = Snapshot(FakeHasher(), index_factory=RecordIndex)
    assert GalleryState(FakeBackbone(), snapshot).searchable is snapshot
    with pytest.raises(
        ModelMismatchError,
        match=r"fake-hasher@.* was fitted on embeddings of fake-backbone@.*, the backbone is pixels@",
    ):
        GalleryState(Pixels(), snapshot)


def test_a_server_goes_over_to_another_backbone(folder, pixels):
    with (
        opened(folder) as session,
        compose.serving(session.application, "127.0.0.1:0") as port,
        Client(f"127.0.0.1:{port}") as client,
    ):
        done = client.wait_operation(client.rebuild(backbone="pixels", note="by wire").name)
        assert done.error is None
        encoded = client.encode(picture(0))
        assert (encoded.backbone, client.stats().backbone) == (Pixels.identity, Pixels.identity)
        assert encoded.hasher == client.stats().hasher != ""
        assert pixels.embedded == COUNT + 1


def test_the_command_goes_over_to_another_backbone(folder, pixels):
    store = folder / "store"
    done = polyhash("rebuild", "--store", store, "--kind", "extract", "--backbone", "pixels", "--json")
    assert (done.status, done.document["images"], pixels.embedded) == (0, COUNT, COUNT)
    assert polyhash("verify", "--store", store).out == (
        f"Sound. Looked at: images {COUNT}, generations 2, codes {COUNT}, searches {COUNT}, originals {N_COPIES}.\n"
    )
    assert polyhash("activate", 1, "--store", store).status == 0
    with opened(folder, writable=False) as session:
        assert session.application.backbone.identity == DESCRIPTOR
