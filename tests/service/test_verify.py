"""Verification: a sound store has no findings, and each kind of damage is found and named. On real stores, made as users make them."""

import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from hashing.index_records import RecordIndex
from service import compose
from service.records import ColumnChunk, GenerationFiles
from service.storage.store import Store
from service.usecases.reading import in_chunks
from service.usecases.snapshot import Snapshot
from service.usecases.verify import compare_hits
from service.vision.datasets import open_image_set
from tests.contracts.echoes import EchoHasher, random_records
from tests.service.command import write_pictures

COUNT, LENGTHS = 12, (16, 64)


def silent(stage, done, total):
    del stage, done, total


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of twelve pictures with copies of all originals and two generations."""
    folder = tmp_path_factory.mktemp("verify")
    write_pictures(folder / "photos", COUNT)
    with compose.open_session(folder / "store", purpose="test", create=True, copy_all=True) as session:
        list(session.application.ingestor.run(in_chunks(open_image_set(str(folder / "photos")))))
        compose.use_hasher(session, compose.fit_hasher(session, parameters={"lengths": LENGTHS}))
        session.application.gallery.delete(2)
        session.application.rebuilder.rebuild(report=silent)
    return folder / "store"


@pytest.fixture
def store(made, tmp_path):
    """A copy of that store, to be damaged."""
    shutil.copytree(made, tmp_path / "store")
    return tmp_path / "store"


def verify(folder, report=silent):
    with compose.open_session(folder, purpose="test", writable=False) as session:
        return session.application.verify(report)


def problems(folder):
    """Return (subject, problem) of everything that is damaged."""
    found = verify(folder)
    assert found.sound == (not any(finding.damage for finding in found.findings))
    return [(finding.subject, finding.problem) for finding in found.findings if finding.damage]


def sql(folder, *statements):
    """Change the database behind everybody's back."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_sound_store_has_no_findings_and_everything_was_looked_at(store):
    found = verify(store)
    assert (found.findings, found.sound) == ([], True)
    assert found.checked == {
        "images": COUNT - 1,
        "generations": 2,
        "codes": COUNT + COUNT - 1,
        "searches": COUNT + COUNT - 1,
        "originals": COUNT - 1,
    }


def test_a_store_that_was_changed_since_its_generations_is_sound(store):
    with compose.open_session(store, purpose="test") as session:
        session.application.gallery.delete(3)
        session.application.gallery.update(4, labels=["dog"])
    assert problems(store) == []


def test_an_empty_store_is_sound(tmp_path):
    with compose.open_session(tmp_path / "empty", purpose="test", create=True) as session:
        found = session.application.verify(silent)
    assert (found.findings, found.checked) == ([], {"images": 0})


def test_a_flipped_code_is_found_in_every_generation(store):
    flipped = "UPDATE code_records SET record = CAST(x'ff00ff00ff00ff00ff00' AS BLOB) WHERE image_id = 5"
    sql(store, flipped)
    expected = "1 code records differ from the catalog's. Rebuild."
    assert problems(store) == [("generation 1", expected), ("generation 2", expected)]


def test_a_lost_code_is_found(store):
    sql(store, "DELETE FROM code_records WHERE image_id = 5")
    ((subject, problem),) = problems(store)
    assert subject == "catalog"
    assert problem.startswith("1 images have no codes of the hasher in use, joint@")
    assert "polyhash rebuild --kind encode" in problem


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_file_of_a_generation_is_named(store, damage):
    file = min((store / "generations" / "gen-000002").glob("*record*"))
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    else:
        content[3] ^= 1
        file.write_bytes(content[:-1] if damage == "truncate" else content)
    ((subject, problem),) = problems(store)
    assert subject == "generation 2"
    assert file.name in problem


def test_a_generation_without_its_folder_is_found(store):
    shutil.rmtree(store / "generations" / "gen-000001")
    ((subject, _),) = problems(store)
    assert subject == "generation 1"


def test_a_generation_that_the_catalog_describes_otherwise_is_found(store):
    sql(store, "UPDATE generations SET images = 3 WHERE number = 2")
    (problem,) = problems(store)
    assert problem == (
        "generation 2",
        "holds 11 images up to change 13, the catalog says 3 up to 13. Rebuild.",
    )


def test_an_image_that_a_generation_lacks_is_found(store):
    with Store.open(store, purpose="test", writable=True) as opened:
        newest = opened.catalog.generations()[-1]
        files = opened.generations.read(2, manifest_sha256=newest.manifest_sha256)
        hasher = EchoHasher(lengths=LENGTHS)
        whole = Snapshot.from_files(files, hasher, index_factory=RecordIndex, generation=2)
        part = Snapshot(hasher, index_factory=RecordIndex)
        (chunk,) = opened.catalog.columns(image_ids=whole.image_ids(np.arange(9)).tolist())
        part.add(chunk, whole.index.records(np.arange(9)))
        part.sequence = whole.sequence
        arrays = part.to_files().arrays
        digest = opened.generations.write(3, GenerationFiles(arrays=arrays, facts=files.facts))
        opened.catalog.register_generation(
            3, hasher=newest.hasher, built_to=13, images=9, manifest_sha256=digest, note=""
        )
    assert problems(store) == [("generation 3", "2 images of the catalog are missing. Rebuild.")]


def test_a_deleted_image_that_a_generation_still_holds_is_found(store):
    with Store.open(store, purpose="test", writable=True) as opened:
        oldest = opened.catalog.generations()[0]  # of before image 2 was deleted
        files = opened.generations.read(1, manifest_sha256=oldest.manifest_sha256)
        facts = dict(files.facts) | {"built_to": 13}  # and says that it is of afterwards
        digest = opened.generations.write(3, GenerationFiles(arrays=files.arrays, facts=facts))
        opened.catalog.register_generation(
            3, hasher=oldest.hasher, built_to=13, images=12, manifest_sha256=digest, note=""
        )
    assert problems(store) == [("generation 3", "1 images are not in the catalog, such as 2. Rebuild.")]


@pytest.mark.parametrize("damage", ["remove", "change"])
def test_a_damaged_original_is_found(store, damage):
    originals = [path for path in (store / "originals").rglob("*") if path.is_file()]
    if damage == "remove":
        originals[0].unlink()
    else:
        originals[0].write_bytes(b"something else")
    ((subject, problem),) = problems(store)
    assert subject.startswith("image ")
    assert problem


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM ops WHERE seq = 6", "The log of changes has 12 rows up to number 13: 1 are missing."),
        ("DELETE FROM images WHERE image_id = 6", "1 images were added and not deleted, but are gone."),
        ("DELETE FROM embeddings WHERE image_id = 6", "1 images have no embedding. Index them again."),
    ],
)
def test_what_is_wrong_inside_the_database_is_found(store, statement, message):
    sql(store, statement)
    assert ("catalog", message) in problems(store)


def test_a_hasher_that_was_fitted_on_another_backbone_is_found(store):
    sql(
        store,
        "UPDATE models SET provenance = json_set(provenance, '$.backbone', 'other@0') WHERE kind = 'hasher'",
    )
    ((subject, problem),) = problems(store)
    assert (subject, problem.split(",")[0]) == ("catalog", "the hasher in use was fitted on other@0")


def test_what_is_untidy_is_told_but_is_no_damage(store):
    shutil.copytree(store / "generations" / "gen-000002", store / "generations" / "gen-000009")
    with Store.open(store, purpose="test", writable=True) as opened:
        opened.generations.quarantine(1)
        opened.catalog.quarantine_generation(1, note="it was cut off")
    found = verify(store)
    assert found.sound
    assert [(finding.subject, finding.damage) for finding in found.findings] == [
        ("generation 1", False),
        ("generation 9", False),
    ]
    assert found.findings[0].problem == "was put aside: it was cut off"
    assert "the next rebuild deletes it" in found.findings[1].problem


def test_a_verification_tells_how_far_it_is_and_can_be_cancelled(store):
    told = []
    verify(store, lambda *progress: told.append(progress))
    assert told == [
        ("catalog", 0, 1),
        ("generations", 0, 2),
        ("generations", 1, 2),
        ("originals", 0, COUNT - 1),
    ]

    def stop(stage, done, total):
        del done, total
        if stage == "originals":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(store, stop)
    assert problems(store) == []


def test_hits_that_a_plain_scan_does_not_give_are_counted():
    records = np.array([list(record) for record in random_records(40)], dtype=np.uint8)
    ids = np.arange(40) + 7
    snapshot = Snapshot(EchoHasher(), index_factory=RecordIndex)
    snapshot.add(
        ColumnChunk(
            image_ids=ids,
            created_us=np.zeros(40, dtype=np.int64),
            labels=[()] * 40,
            attributes=[{}] * 40,
            scores=[{}] * 40,
        ),
        records,
    )
    assert compare_hits(snapshot, ids, records) == 0
    assert compare_hits(snapshot, ids, records, n_queries=3, k=50) == 0
    assert compare_hits(snapshot, ids, np.roll(records, 1, axis=0)) > 0
    snapshot.remove(ids[20:21])
    assert compare_hits(snapshot, ids, records, k=50) == 40, "every query misses the one that is gone"
    assert compare_hits(snapshot, ids[:0], records[:0]) == 0
