"""What any `Catalog` must do with models, with what they compute, and with generations.

In: a fixture `catalog`, empty, given by a subclass of `CatalogModelsContract` in a test module; its clock stands at
`noon`. Out: tests. Images are left to `tests.contracts.catalog`.
"""

import numpy as np
import pytest

from service.errors import ConflictError, InvalidArgumentError, NotFoundError, PreconditionError
from service.ports import Catalog
from service.records import EmbeddingChunk, GenerationRow, GenerationState, ModelKind, RecordChunk
from tests.contracts.catalog import (
    BACKBONE,
    DIM,
    HASHER,
    OTHER_HASHER,
    add,
    embeddings_of,
    new_image,
    records_of,
)
from tests.contracts.memory_models import noon

OTHER_BACKBONE = "backbone@ba9876543210"


def register(catalog: Catalog) -> None:
    """Register two hashers and make the first the active one."""
    for identity in (HASHER, OTHER_HASHER):
        catalog.register_model(identity, ModelKind.HASHER, path="models/x", metadata={})
    catalog.activate_model(HASHER)


def generation(
    number: int, *, hasher: str = HASHER, state: GenerationState = GenerationState.READY
) -> GenerationRow:
    """Return a generation whose other fields follow from its number."""
    return GenerationRow(
        number=number,
        hasher=hasher,
        built_to=2**40 + number,
        images=10 * number,
        manifest_sha256=f"{number:064x}",
        state=state,
        note=f"grün {number}",
        created_at=noon(),
    )


def register_generations(catalog: Catalog, *rows: GenerationRow) -> None:
    """Register generations of these facts."""
    for row in rows:
        catalog.register_generation(
            row.number,
            hasher=row.hasher,
            built_to=row.built_to,
            images=row.images,
            manifest_sha256=row.manifest_sha256,
            note=row.note,
        )


def record_chunk(image_ids: list[int], *, value: int) -> RecordChunk:
    """Return records of one repeated byte."""
    records = np.full((len(image_ids), 6), value, dtype=np.uint8)
    return RecordChunk(image_ids=np.array(image_ids, dtype=np.int64), records=records)


def embedding_chunk(image_ids: list[int], *, value: float) -> EmbeddingChunk:
    """Return embeddings of one repeated number, with labels that nobody should look at."""
    return EmbeddingChunk(
        image_ids=np.array(image_ids, dtype=np.int64),
        embeddings=np.full((len(image_ids), DIM), value, dtype=np.float16),
        labels=[("ignored",)] * len(image_ids),
    )


class CatalogModelsContract:
    """Subclasses give a fixture `catalog`."""

    def test_the_first_backbone_is_active_others_when_asked(self, catalog):
        metadata = {"lengths": [16, 32], "training_set": "ü", "loss": 0.25, "notes": None}
        catalog.register_model(BACKBONE, ModelKind.BACKBONE, path="descriptor", metadata={})
        catalog.register_model(HASHER, ModelKind.HASHER, path="models/a", metadata=metadata)
        catalog.register_model(OTHER_HASHER, ModelKind.HASHER, path="models/b", metadata={})
        catalog.register_model(OTHER_BACKBONE, ModelKind.BACKBONE, path="other", metadata={})
        catalog.register_model(HASHER, ModelKind.HASHER, path="elsewhere", metadata={"other": 1})
        assert catalog.active_model(ModelKind.HASHER) is None
        catalog.activate_model(OTHER_HASHER)
        catalog.activate_model(HASHER)
        assert [(m.identity, m.kind, m.path, m.active) for m in catalog.models()] == [
            (BACKBONE, ModelKind.BACKBONE, "descriptor", True),
            (HASHER, ModelKind.HASHER, "elsewhere", True),
            (OTHER_HASHER, ModelKind.HASHER, "models/b", False),
            (OTHER_BACKBONE, ModelKind.BACKBONE, "other", False),
        ]
        active = catalog.active_model(ModelKind.HASHER)
        assert (active.identity, dict(active.metadata), active.created_at) == (HASHER, metadata, noon())
        catalog.activate_model(OTHER_BACKBONE)
        assert catalog.active_model(ModelKind.BACKBONE).identity == OTHER_BACKBONE
        assert catalog.active_model(ModelKind.HASHER).identity == HASHER

    def test_a_model_that_is_not_registered_cannot_be_used(self, catalog):
        register(catalog)
        with pytest.raises(NotFoundError, match="Model other@0 is not registered") as caught:
            catalog.activate_model("other@0")
        assert caught.value.reason == "MODEL_NOT_FOUND"
        assert catalog.active_model(ModelKind.HASHER).identity == HASHER

    def test_records_of_a_second_hasher_grow_beside_those_in_use(self, catalog):
        register(catalog)
        ids = add(catalog, [new_image(seed) for seed in range(5)])
        before = records_of(catalog, HASHER)
        assert catalog.write_records(record_chunk(ids[:3], value=7), hasher=OTHER_HASHER) == 3
        assert catalog.write_records(record_chunk(ids[2:4], value=9), hasher=OTHER_HASHER) == 2
        assert catalog.write_records(record_chunk([], value=9), hasher=OTHER_HASHER) == 0
        values = {ids[0]: 7, ids[1]: 7, ids[2]: 9, ids[3]: 9}
        assert records_of(catalog, OTHER_HASHER) == {i: bytes([value] * 6) for i, value in values.items()}
        assert records_of(catalog, HASHER) == before
        assert catalog.counts().code_records == 9
        assert catalog.counts().last_sequence == 5

    def test_what_is_written_of_images_that_are_gone_is_passed_over(self, catalog):
        register(catalog)
        catalog.register_model(OTHER_BACKBONE, ModelKind.BACKBONE, path="other", metadata={})
        ids = add(catalog, [new_image(seed) for seed in range(4)])
        catalog.delete_image(ids[1])
        assert catalog.write_records(record_chunk(ids, value=7), hasher=OTHER_HASHER) == 3
        assert catalog.write_embeddings(embedding_chunk(ids, value=0.5), backbone=OTHER_BACKBONE) == 3
        live = [ids[0], *ids[2:]]
        assert list(records_of(catalog, OTHER_HASHER)) == live
        (chunk,) = catalog.embeddings(backbone=OTHER_BACKBONE)
        assert chunk.image_ids.tolist() == live
        assert (chunk.embeddings == 0.5).all()
        assert list(chunk.labels) == [()] * 3
        assert list(embeddings_of(catalog)) == live

    def test_embeddings_are_replaced_and_those_of_other_backbones_stay(self, catalog):
        for identity in (BACKBONE, OTHER_BACKBONE):
            catalog.register_model(identity, ModelKind.BACKBONE, path="x", metadata={})
        ids = add(catalog, [new_image(seed) for seed in range(3)])
        before = embeddings_of(catalog)
        catalog.write_embeddings(embedding_chunk(ids, value=0.5), backbone=OTHER_BACKBONE)
        assert catalog.write_embeddings(embedding_chunk(ids[1:], value=-2), backbone=OTHER_BACKBONE) == 2
        (chunk,) = catalog.embeddings(backbone=OTHER_BACKBONE)
        assert chunk.embeddings[:, 0].tolist() == [0.5, -2, -2]
        assert embeddings_of(catalog) == before
        assert catalog.counts().embeddings == 6

    def test_an_embedding_that_is_not_finite_is_refused_with_its_chunk(self, catalog):
        catalog.register_model(BACKBONE, ModelKind.BACKBONE, path="x", metadata={})
        ids = add(catalog, [new_image(seed) for seed in range(3)])
        before = embeddings_of(catalog)
        chunk = embedding_chunk(ids, value=1)
        chunk.embeddings[1, 2] = np.inf
        with pytest.raises(
            InvalidArgumentError, match=f"embedding of image {ids[1]} is not finite in float16"
        ):
            catalog.write_embeddings(chunk, backbone=BACKBONE)
        assert embeddings_of(catalog) == before

    def test_what_a_model_computes_is_refused_unless_it_is_registered(self, catalog):
        register(catalog)
        with pytest.raises(NotFoundError, match=f"Backbone {HASHER} is not registered"):
            catalog.write_embeddings(embedding_chunk([], value=0), backbone=HASHER)
        with pytest.raises(NotFoundError, match=f"Hasher {BACKBONE} is not registered") as caught:
            catalog.write_records(record_chunk([], value=0), hasher=BACKBONE)
        assert caught.value.reason == "MODEL_NOT_FOUND"

    def test_embeddings_that_lack_a_record_are_found_while_they_are_written(self, catalog):
        register(catalog)
        ids = add(catalog, [new_image(seed, labels=("a",)) for seed in range(7)])
        catalog.write_records(record_chunk([ids[1], ids[4]], value=7), hasher=OTHER_HASHER)
        assert [catalog.count_lacking(hasher=name) for name in (HASHER, OTHER_HASHER, "new@0")] == [0, 5, 7]
        found: list[int] = []
        for chunk in catalog.embeddings(backbone=BACKBONE, chunk=2, lacking=OTHER_HASHER):
            found += chunk.image_ids.tolist()
            assert set(chunk.labels) == {("a",)}
            catalog.write_records(record_chunk(chunk.image_ids.tolist(), value=7), hasher=OTHER_HASHER)
        assert found == [ids[at] for at in (0, 2, 3, 5, 6)]
        for identity in (HASHER, OTHER_HASHER):
            assert list(catalog.embeddings(backbone=BACKBONE, lacking=identity)) == []
            assert catalog.count_lacking(hasher=identity) == 0

    def test_records_are_found_by_image(self, catalog):
        ids = add(catalog, [new_image(seed) for seed in range(4)])
        found = catalog.get_records([ids[2], 10**6, ids[0]], hasher=HASHER)
        assert {i: bytes(record) for i, record in found.items()} == {
            ids[seed]: bytes(new_image(seed).record) for seed in (0, 2)
        }
        assert catalog.get_records(ids, hasher=OTHER_HASHER) == catalog.get_records([], hasher=HASHER) == {}

    def test_records_of_the_hasher_in_use_cannot_be_deleted_others_can(self, catalog):
        register(catalog)
        ids = add(catalog, [new_image(seed) for seed in range(3)])
        catalog.write_records(record_chunk(ids[:2], value=7), hasher=OTHER_HASHER)
        with pytest.raises(PreconditionError, match=f"Hasher {HASHER} is in use") as caught:
            catalog.delete_records(hasher=HASHER)
        assert caught.value.reason == "MODEL_ACTIVE"
        assert catalog.delete_records(hasher=OTHER_HASHER) == 2
        assert catalog.delete_records(hasher=OTHER_HASHER) == 0
        assert list(records_of(catalog, HASHER)) == ids

    def test_images_that_lack_an_embedding_are_found_and_counted(self, catalog):
        for identity in (BACKBONE, OTHER_BACKBONE):
            catalog.register_model(identity, ModelKind.BACKBONE, path="x", metadata={})
        ids = add(catalog, [new_image(seed) for seed in range(6)], hasher=None)
        catalog.write_embeddings(embedding_chunk([ids[1], ids[3]], value=1), backbone=OTHER_BACKBONE)
        catalog.delete_image(ids[4])

        def lacking(backbone: str, after_id: int = 0, limit: int = 9) -> list[int]:
            return catalog.images_lacking_embedding(backbone=backbone, after_id=after_id, limit=limit)

        assert lacking(OTHER_BACKBONE) == [ids[0], ids[2], ids[5]]
        assert lacking(OTHER_BACKBONE, limit=2) == [ids[0], ids[2]]
        assert lacking(OTHER_BACKBONE, after_id=ids[0]) == [ids[2], ids[5]]
        assert (lacking(BACKBONE), lacking("new@0", after_id=ids[3])) == ([], [ids[5]])
        counts = [
            catalog.count_lacking_embedding(backbone=identity)
            for identity in (BACKBONE, OTHER_BACKBONE, "new@0")
        ]
        assert counts == [0, 3, 5]

    def test_embeddings_of_the_backbone_in_use_cannot_be_deleted_others_can(self, catalog):
        for identity in (BACKBONE, OTHER_BACKBONE):
            catalog.register_model(identity, ModelKind.BACKBONE, path="x", metadata={})
        ids = add(catalog, [new_image(seed) for seed in range(3)], hasher=None)
        catalog.write_embeddings(embedding_chunk(ids[:2], value=1), backbone=OTHER_BACKBONE)
        with pytest.raises(PreconditionError, match=f"Backbone {BACKBONE} is in use") as caught:
            catalog.delete_embeddings(backbone=BACKBONE)
        assert caught.value.reason == "MODEL_ACTIVE"
        assert catalog.delete_embeddings(backbone=OTHER_BACKBONE) == 2
        assert catalog.delete_embeddings(backbone=OTHER_BACKBONE) == 0
        assert list(embeddings_of(catalog)) == ids

    def test_a_generation_brings_the_backbone_of_its_hasher_with_it(self, catalog):
        for backbone, hasher in ((BACKBONE, HASHER), (OTHER_BACKBONE, OTHER_HASHER)):
            catalog.register_model(backbone, ModelKind.BACKBONE, path="x", metadata={})
            catalog.register_model(hasher, ModelKind.HASHER, path="x", metadata={"backbone": backbone})
        unknown = {"backbone": "unknown@0"}
        catalog.register_model("lost@0", ModelKind.HASHER, path="x", metadata=unknown)
        register_generations(
            catalog, generation(1), generation(2, hasher=OTHER_HASHER), generation(3, hasher="lost@0")
        )
        for number, backbone in ((1, BACKBONE), (2, OTHER_BACKBONE), (1, BACKBONE)):
            catalog.activate_generation(number)
            assert catalog.active_model(ModelKind.BACKBONE).identity == backbone
        with pytest.raises(NotFoundError, match="unknown@0 is not registered"):
            catalog.activate_generation(3)

    def test_one_generation_is_active_and_its_hasher_with_it(self, catalog):
        register(catalog)
        register_generations(catalog, generation(3, hasher=OTHER_HASHER), generation(1))
        assert catalog.generations() == [generation(1), generation(3, hasher=OTHER_HASHER)]
        assert catalog.active_model(ModelKind.HASHER).identity == HASHER
        for number, other, hasher in ((3, 1, OTHER_HASHER), (3, 1, OTHER_HASHER), (1, 3, HASHER)):
            catalog.activate_generation(number)
            states = {row.number: row.state for row in catalog.generations()}
            assert states == {number: GenerationState.ACTIVE, other: GenerationState.READY}
            assert catalog.active_model(ModelKind.HASHER).identity == hasher

    def test_a_quarantined_generation_is_never_activated(self, catalog):
        register(catalog)
        register_generations(catalog, generation(1), generation(2, hasher=OTHER_HASHER))
        catalog.activate_generation(1)
        catalog.quarantine_generation(2, note="ids.npy is cut off")
        with pytest.raises(
            PreconditionError, match=r"Generation 2 is quarantined \(ids.npy is cut off\)"
        ) as caught:
            catalog.activate_generation(2)
        assert caught.value.reason == "GENERATION_QUARANTINED"
        assert [(row.state, row.note) for row in catalog.generations()] == [
            (GenerationState.ACTIVE, "grün 1"),
            (GenerationState.QUARANTINED, "ids.npy is cut off"),
        ]
        catalog.quarantine_generation(1, note="damaged")
        assert catalog.generations()[0].state is GenerationState.QUARANTINED
        assert catalog.active_model(ModelKind.HASHER).identity == HASHER

    def test_a_generation_is_forgotten_unless_it_is_active(self, catalog):
        register(catalog)
        register_generations(catalog, generation(1), generation(2), generation(3))
        catalog.activate_generation(2)
        catalog.quarantine_generation(3, note="damaged")
        with pytest.raises(PreconditionError, match="Generation 2 is in use") as caught:
            catalog.forget_generation(2)
        assert caught.value.reason == "GENERATION_ACTIVE"
        catalog.forget_generation(1)
        catalog.forget_generation(3)
        assert catalog.generations() == [generation(2, state=GenerationState.ACTIVE)]

    def test_a_generation_of_a_known_number_or_an_unknown_hasher_is_refused(self, catalog):
        register(catalog)
        register_generations(catalog, generation(1))
        with pytest.raises(ConflictError, match="There is a generation 1 already") as caught:
            register_generations(catalog, generation(1, hasher=OTHER_HASHER))
        assert caught.value.reason == "GENERATION_EXISTS"
        with pytest.raises(NotFoundError, match="Hasher other@0 is not registered"):
            register_generations(catalog, generation(2, hasher="other@0"))
        assert catalog.generations() == [generation(1)]

    def test_a_generation_that_is_not_there_is_an_error(self, catalog):
        for use in (
            catalog.activate_generation,
            catalog.forget_generation,
            lambda number: catalog.quarantine_generation(number, note=""),
        ):
            with pytest.raises(NotFoundError, match="No generation 5 in the catalog") as caught:
                use(5)
            assert caught.value.reason == "GENERATION_NOT_FOUND"
