"""Joining: a store opens with the models it was built with, and refuses to let others in."""

import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from hashing.errors import HasherFileError
from hashing.hasher_file import load_hasher
from hashing.methods import HASHING_METHODS
from service import compose, store_models
from service.client import Client
from service.errors import ConflictError, InvalidArgumentError, ModelMismatchError, PreconditionError
from service.records import ModelKind
from service.usecases.ingest import CopyPolicy
from service.usecases.queries import IdQuery, ImageQuery, SearchRequest
from service.usecases.reading import in_chunks
from service.vision.datasets import open_image_set
from service.workers import hasher_path
from tests.contracts.fakes import FakeBackbone
from tests.service.command import write_pictures

LENGTHS = (16, 32)


def open_store(folder, **more):
    return compose.open_session(folder, purpose="test", **more)


def fill(folder, photos, **more):
    """Index photos into a store without learning."""
    with open_store(folder, create=True, **more) as session:
        return list(session.application.ingestor.run(in_chunks(open_image_set(str(photos)))))


def learn(folder, **parameters):
    with open_store(folder) as session:
        hasher = compose.fit_hasher(session, parameters={"lengths": LENGTHS, **parameters})
        compose.use_hasher(session, hasher)
        return session.application


def own_distances(folder):
    """Return, for every image, how far it is from itself when it is searched by its bytes."""
    with open_store(folder, writable=False) as session:
        application = session.application
        found = []
        for row in application.catalog.list_images(after_id=0, limit=100):
            content = application.pictures.content(row)
            answer = application.searcher.search(SearchRequest(query=ImageQuery(content=content), k=100))
            found += [hit.distance for hit in answer.hits if hit.image_id == row.image_id]
    return found


@pytest.fixture
def photos(tmp_path):
    write_pictures(tmp_path / "photos" / "a", 5)
    write_pictures(tmp_path / "photos" / "b", 5, seed=1)
    return tmp_path / "photos"


@pytest.fixture
def store(tmp_path, photos):
    """Return the folder of a store with ten images and a hasher."""
    fill(tmp_path / "store", photos)
    learn(tmp_path / "store")
    return tmp_path / "store"


def test_a_learned_store_finds_every_picture_by_its_bytes_also_when_opened_again(store):
    assert own_distances(store) == [0] * 10


def test_answers_are_those_of_comparing_stored_codes(store):
    with open_store(store, writable=False) as session:
        application = session.application
        hasher = application.gallery.hasher
        (chunk,) = application.catalog.embeddings(backbone=application.backbone.identity)
        codes = hasher.encode(chunk.embeddings.astype(np.float32))[:, 2:6]
        distances = [
            sum((int(a) ^ int(b)).bit_count() for a, b in zip(codes[0], c, strict=True)) for c in codes
        ]
        expected = sorted(zip(distances, chunk.image_ids.tolist(), strict=True))[1:]
        answer = application.searcher.search(
            SearchRequest(query=IdQuery(image_id=int(chunk.image_ids[0])), bits=32, k=50)
        )
    assert [(hit.distance, hit.image_id) for hit in answer.hits] == expected


def test_images_after_the_learning_get_codes_at_once(store, tmp_path):
    write_pictures(tmp_path / "more", 3, seed=2)
    fill(store, tmp_path / "more")
    assert own_distances(store) == [0] * 13


def test_a_new_store_takes_the_default_backbone_and_registers_it(tmp_path):
    with open_store(tmp_path / "store", create=True) as session:
        active = session.application.catalog.active_model(ModelKind.BACKBONE)
    assert active.identity.startswith("polyhash-encoder@")
    assert (active.path, active.metadata["dim"]) == ("encoder-1", session.application.backbone.dim)


def test_a_backbone_other_than_the_stores_is_refused(store):
    with open_store(store) as session:
        identity = session.application.backbone.identity
    other = f"other@{'0' * 12}"
    with closing(sqlite3.connect(store / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE models SET identity = ? WHERE kind = 'backbone'", (other,))
    with pytest.raises(
        ModelMismatchError,
        match=f"uses backbone {other}, got {identity}. Leave --backbone out, .*rebuild --kind extract",
    ):
        open_store(store).__enter__()


def test_a_hasher_file_carries_codes_from_store_to_store(store, photos, tmp_path):
    with open_store(store) as session:
        path = hasher_path(session.store, session.application.gallery.hasher_identity)
    fill(tmp_path / "other", photos, hasher_file=path)
    with open_store(store, writable=False) as one, open_store(tmp_path / "other", writable=False) as two:
        hashers = {s.application.gallery.hasher_identity for s in (one, two)}
        records = [
            np.concatenate([chunk.records for chunk in s.store.catalog.records(hasher=hasher)])
            for s in (one, two)
            for hasher in hashers
        ]
    assert len(hashers) == 1
    np.testing.assert_array_equal(records[0], records[1])


def test_a_given_hasher_codes_the_images_that_were_there_before(store, photos, tmp_path):
    with open_store(store) as session:
        path = hasher_path(session.store, session.application.gallery.hasher_identity)
    fill(tmp_path / "other", photos)
    with open_store(tmp_path / "other", hasher_file=path) as session:
        assert len(session.application.gallery) == 10
    assert own_distances(tmp_path / "other") == [0] * 10


def test_a_hasher_other_than_the_stores_is_refused(store, photos, tmp_path):
    fill(tmp_path / "other", photos)
    other = learn(tmp_path / "other", random_state=5).gallery.hasher_identity
    path = tmp_path / "other" / "models" / f"{other}.safetensors"
    with pytest.raises(ConflictError, match=rf"uses hasher joint@\w+, got {other}. Index into a new store"):
        open_store(store, hasher_file=path).__enter__()


def test_a_hasher_of_another_backbone_is_refused(store, tmp_path, monkeypatch):
    with open_store(store) as session:
        path = hasher_path(session.store, session.application.gallery.hasher_identity)
    real = load_hasher(path)

    monkeypatch.setattr(store_models, "load_backbone", lambda _: FakeBackbone())
    with pytest.raises(
        ModelMismatchError,
        match=f"fitted on embeddings of {real[1].backbone_identity}, the store uses fake-backbone@",
    ):
        open_store(tmp_path / "new", create=True, hasher_file=path).__enter__()


def test_a_damaged_hasher_file_is_told(store):
    (path,) = (store / "models").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(HasherFileError, match=r"is damaged.* To replace it: polyhash train hasher --store"):
        open_store(store, writable=False).__enter__()


def test_a_missing_hasher_file_is_told(store):
    shutil.rmtree(store / "models")
    with pytest.raises(HasherFileError, match="There is no hasher at"):
        open_store(store, writable=False).__enter__()


def test_learning_again_changes_the_codes_and_keeps_the_images(store):
    again = learn(store, lengths=(8, 64), random_state=3)
    assert again.gallery.lengths == (8, 64)
    with open_store(store, writable=False) as session:
        assert session.application.gallery.lengths == (8, 64)
        assert session.application.gallery.hasher_identity == again.gallery.hasher_identity
        assert session.application.catalog.count_lacking(hasher=again.gallery.hasher_identity) == 0
    assert own_distances(store) == [0] * 10


def test_learning_is_deterministic_and_keeps_its_provenance(store):
    before = json.loads(json.dumps(compose.describe_store(store)))
    identity = learn(store).gallery.hasher_identity
    after = compose.describe_store(store)
    hashers = [model for model in after["models"] if model["kind"] == "hasher"]
    assert [model["identity"] for model in hashers if model["active"]] == [identity]
    first = next(model for model in before["models"] if model["kind"] == "hasher")["metadata"]
    last = hashers[-1]["metadata"]
    assert first["lengths"] == last["lengths"] == [16, 32]
    assert first["objective"] == last["objective"]
    assert first["training_hash"] == last["training_hash"]
    assert all(
        a >= b - 1e-9 * abs(a) for a, b in zip(first["objective"], first["objective"][1:], strict=False)
    )


def test_learning_from_too_few_images_is_refused_and_changes_nothing(tmp_path):
    write_pictures(tmp_path / "photos", 1)
    fill(tmp_path / "store", tmp_path / "photos")
    with pytest.raises(PreconditionError, match="at least 2 images"):
        learn(tmp_path / "store")
    assert compose.describe_store(tmp_path / "store")["code_records"] == 0


def test_the_copy_policy_outlives_the_learning(tmp_path, photos):
    with open_store(tmp_path / "store", create=True, copy_all=True) as session:
        list(session.application.ingestor.run(in_chunks(open_image_set(str(photos)))))
        compose.use_hasher(session, compose.fit_hasher(session, parameters={"lengths": LENGTHS}))
        assert session.application.ingestor.copy is CopyPolicy.ALL
    shutil.rmtree(photos)
    assert own_distances(tmp_path / "store") == [0] * 10


def test_a_description_counts_what_is_there(store, photos):
    description = compose.describe_store(store)
    assert (description["images"], description["embeddings"], description["code_records"]) == (10, 10, 10)
    assert (description["labelled_images"], description["labels"]) == (10, {"a": 5, "b": 5})
    assert description["original_bytes"] == sum(path.stat().st_size for path in photos.rglob("*.png"))
    assert description["store_bytes"] > 0
    assert {(model["kind"], model["active"]) for model in description["models"]} == {
        ("backbone", True),
        ("hasher", True),
    }
    json.dumps(description)


def test_serving_lasts_as_long_as_its_context(store):
    with (
        open_store(store) as session,
        compose.serving(session.application, "127.0.0.1:0", grace_s=1.0) as port,
        Client(f"127.0.0.1:{port}") as client,
    ):
        assert client.stats().lengths == LENGTHS


def test_methods_are_found_by_name():
    methods = compose.hashing_methods(["lsh", "jmh"])
    assert list(methods) == ["lsh", "jmh"]
    assert list(compose.hashing_methods(list(HASHING_METHODS))) == list(HASHING_METHODS)
    with pytest.raises(
        InvalidArgumentError, match=r"no hashing method 'sh'\. Choose from jmh, jmh-fixed, nested"
    ):
        compose.hashing_methods(["jmh", "sh"])
