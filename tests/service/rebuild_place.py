"""A gallery in memory with two models and all that rebuilds it, for tests of rebuilds.

In: what workers do and what happens meanwhile. Out: rebuilds, and a check that searches give what the catalog holds.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hashing.index_records import RecordIndex
from service.errors import NotFoundError
from service.records import GenerationState, ModelKind
from service.usecases.gallery import Gallery
from service.usecases.rebuild import Rebuilder
from tests.contracts.echoes import LENGTHS, EchoHasher, by_hand, echo_image, named_images, random_records
from tests.contracts.fakes import FakeBackbone, MemoryGenerations, MemoryWorkers, new_gallery
from tests.contracts.memory_catalog import MemoryCatalog

ONE, TWO = "echo@000000000000", "echo@111111111111"
STRANGE = "echo@222222222222"
READY, ACTIVE, QUARANTINED = GenerationState.READY, GenerationState.ACTIVE, GenerationState.QUARANTINED


def silent(stage, done, total):
    del stage, done, total


class Interfering(MemoryWorkers):
    """Calls `before` ahead of every piece of work and `after` behind it, as writers do that go on meanwhile."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.before = self.after = lambda _work: None

    def encode(self, embeddings, *, hasher):
        self.before("encode")
        done = super().encode(embeddings, hasher=hasher)
        self.after("encode")
        return done

    def build_generation(self, number, *, hasher):
        self.before("build")
        done = super().build_generation(number, hasher=hasher)
        self.after("build")
        return done


class SmallChunks:
    """Gives embeddings two at a time."""

    def embeddings(self, *, backbone, chunk=2, lacking=None):
        yield from super().embeddings(backbone=backbone, chunk=min(chunk, 2), lacking=lacking)


class ChunkedCatalog(SmallChunks, MemoryCatalog):
    """A catalog in memory that does."""


@dataclass
class Place:
    """A gallery, all that is needed to rebuild it, and what was added to it."""

    gallery: Gallery
    generations: MemoryGenerations
    workers: Interfering
    rebuilder: Rebuilder
    hashers: dict
    n_added: int = 0
    report: Callable = silent

    def add(self, n=1):
        """Add images with records of their own; returns their ids."""
        records = random_records(1000)[self.n_added : self.n_added + n]
        acknowledged = self.gallery.add(named_images(records, first=self.n_added))
        self.n_added += n
        return [ack.image_id for ack in acknowledged]

    def states(self):
        return {row.number: row.state for row in self.gallery.catalog.generations()}

    def check_answers(self):
        """Assert that searches by every length give exactly what comparing the catalog's images by hand gives."""
        snapshot, catalog = self.gallery.snapshot, self.gallery.catalog
        every = random_records(1000)
        order = -1 if snapshot.hasher.identity == TWO else 1
        records = {
            row.image_id: every[int(row.name)][::order] for row in catalog.list_images(after_id=0, limit=9999)
        }
        assert len(snapshot) == len(records)
        assert snapshot.sequence == catalog.counts().last_sequence
        for bits in LENGTHS:
            part = snapshot.layout.record_slices[bits]
            code = snapshot.hasher.encode(echo_image(every[0]).embedding[None])[:, part]
            (hits,) = snapshot.index.search(code.copy(), bits=bits, k=len(records) + 1)
            found = list(zip(hits.distances.tolist(), snapshot.image_ids(hits.rows).tolist(), strict=True))
            assert found == by_hand(code[0].tobytes(), records, part=part)


def new_place(*, catalog=None, images=7):
    """Return a gallery with hasher ONE in use, TWO and STRANGE known."""
    catalog = catalog or ChunkedCatalog()
    hashers = {
        ONE: EchoHasher(ONE),
        TWO: EchoHasher(TWO, backwards=True),
        STRANGE: EchoHasher(STRANGE),
    }
    hashers[STRANGE].backbone_identity = "other@123456789abc"
    catalog.register_model(FakeBackbone.identity, ModelKind.BACKBONE, path="", metadata={})
    for identity in hashers:
        catalog.register_model(identity, ModelKind.HASHER, path="", metadata={})
    catalog.activate_model(ONE)
    generations = MemoryGenerations()
    gallery = new_gallery(hasher=hashers[ONE], catalog=catalog, generations=generations)
    workers = Interfering(catalog, generations, list(hashers.values()))

    def find(identity):
        if identity not in hashers:
            raise NotFoundError(f"No hasher {identity} in the store.")
        return hashers[identity]

    place = Place(
        gallery=gallery,
        generations=generations,
        workers=workers,
        rebuilder=Rebuilder(
            gallery,
            generations,
            workers,
            find_hasher=find,
            find_backbone=workers.backbones.__getitem__,
            index_factory=RecordIndex,
        ),
        hashers=hashers,
    )
    place.add(images)
    return place
