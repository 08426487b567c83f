"""Small, honest stand-ins for the ports, and an application made of them behind a real gRPC server.

In: nothing but settings. Out: objects that compute simply what the real ones compute well, so that tests of use cases
and of the wire need no torch, SQL or disk. MemoryCatalog has a file of its own.
"""

import hashlib
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from io import BytesIO
from typing import TypeVar

import numpy as np
from jaxtyping import Float16, Float32, UInt8
from PIL import Image

from hashing.codes import pack_codes
from hashing.index_records import RecordIndex
from hashing.layout import CodeLayout
from service.application import Application
from service.errors import ConflictError, DataLossError, NotFoundError
from service.ports import Hasher
from service.records import BuiltGeneration, Extraction, Features, FittedModel, GenerationFiles, Preprocessing
from service.rpc.server import Server
from service.rpc.settings import ServerSettings
from service.usecases.extraction import extract_images
from service.usecases.gallery import Gallery
from service.usecases.ingest import Ingestor
from service.usecases.loading import load_snapshot, read_snapshot
from service.usecases.operations import Operations
from service.usecases.pictures import Pictures
from service.usecases.query_encoder import QueryEncoder
from service.usecases.rebuild import Rebuilder
from service.usecases.search import Searcher
from service.usecases.verify import verify_store
from service.vision.images import decode_image, thumbnail_jpeg
from tests.contracts.memory_catalog import MemoryCatalog

T = TypeVar("T")

SIDE_PX = 8
FIRST_ID = 1  # that a catalog gives


class FakeBackbone:
    """Embeds an image as its 8 x 8 pixels. `gate` holds back every pass until it is set."""

    identity = "fake-backbone@000000000000"
    dim = 3 * SIDE_PX**2
    stride = 1
    preprocessing = Preprocessing(
        resize_px=SIDE_PX, crop_px=SIDE_PX, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.passes_begun = 0
        self.batch_sizes: list[int] = []
        self.failure: Exception | None = None

    def prepare(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        rows, columns = (np.linspace(0, size - 1, SIDE_PX).astype(int) for size in image.shape[:2])
        square: UInt8[np.ndarray, "s s 3"] = image[rows][:, columns]
        return square

    def extract(self, prepared: UInt8[np.ndarray, "n s s 3"]) -> Features:
        self.passes_begun += 1
        self.gate.wait(timeout=30)
        if self.failure:
            raise self.failure
        self.batch_sizes.append(len(prepared))
        maps = prepared.astype(np.float32).transpose(0, 3, 1, 2) / 255
        return Features(embeddings=maps.reshape(len(maps), -1), feature_maps=maps)


class FakeHasher:
    """Signs of a fixed random projection; nested if told so."""

    identity = "fake-hasher@000000000000"
    backbone_identity = FakeBackbone.identity
    lengths = (16, 32)

    def __init__(self, *, nested: bool = False) -> None:
        self.layout = CodeLayout(self.lengths, nested)

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        projection = np.random.default_rng(0).normal(size=(embeddings.shape[1], self.layout.n_columns))
        return pack_codes((embeddings - 0.5) @ projection)


class MemoryOriginals:
    """Keeps copies in a dict."""

    def __init__(self) -> None:
        self._contents: dict[bytes, bytes] = {}

    def put(self, digest: bytes, content: bytes) -> None:
        self._contents[digest] = content

    def get(self, digest: bytes) -> bytes:
        if digest not in self._contents:
            raise NotFoundError("No such original.", reason="ORIGINAL_NOT_FOUND")
        return self._contents[digest]

    def delete(self, digest: bytes) -> None:
        self._contents.pop(digest, None)


class MemoryGenerations:
    """Keeps generations in a dict; a number in `damaged` cannot be read."""

    def __init__(self) -> None:
        self._files: dict[int, tuple[str, GenerationFiles]] = {}
        self.damaged: set[int] = set()
        self.aside: list[int] = []

    def write(self, number: int, files: GenerationFiles) -> str:
        if number in self._files:
            raise ConflictError(f"There is a generation {number}.", reason="GENERATION_EXISTS")
        digest = hashlib.sha256(repr((number, files.facts)).encode()).hexdigest()
        self._files[number] = digest, files
        return digest

    def read(self, number: int, *, manifest_sha256: str) -> GenerationFiles:
        if number not in self._files:
            raise NotFoundError(f"No generation {number}.", reason="GENERATION_NOT_FOUND")
        digest, files = self._files[number]
        if number in self.damaged or digest != manifest_sha256:
            raise DataLossError(f"Generation {number} is damaged.", reason="GENERATION_DAMAGED")
        return files

    def numbers(self) -> list[int]:
        return sorted(self._files)

    def quarantine(self, number: int) -> str:
        if number not in self._files:
            raise NotFoundError(f"No generation {number}.", reason="GENERATION_NOT_FOUND")
        del self._files[number]
        self.aside.append(number)
        return f"quarantine-{number}"

    def delete(self, number: int) -> None:
        self._files.pop(number, None)

    def clean(self, keep: Collection[int]) -> list[str]:
        gone = [number for number in self._files if number not in keep]
        for number in gone:
            del self._files[number]
        return [str(number) for number in gone]


class MemoryWorkers:
    """Does at once, in this thread, what others do in processes of their own."""

    def __init__(self, catalog: MemoryCatalog, generations: MemoryGenerations, hashers: list[Hasher]) -> None:
        self._catalog, self._generations = catalog, generations
        self.hashers = {hasher.identity: hasher for hasher in hashers}
        self.backbones = {FakeBackbone.identity: FakeBackbone()}
        self.originals = MemoryOriginals()

    def encode(
        self, embeddings: Float16[np.ndarray, "n d"], *, hasher: str
    ) -> "Future[UInt8[np.ndarray, 'n record_bytes']]":
        return _done(self.hashers[hasher].encode(embeddings.astype(np.float32)))

    def extract(self, image_ids: Sequence[int], *, backbone: str) -> Future[Extraction]:
        return _done(
            extract_images(
                self._catalog,
                self.originals,
                image_ids,
                backbone=self.backbones[backbone],
                read_source=str.encode,
                decode=decode_image,
            )
        )

    def fit(self, *, backbone: str, lengths: tuple[int, ...], nested: bool, seed: int) -> Future[FittedModel]:
        """Find the hasher of that backbone among those it was given."""
        del lengths, nested, seed
        (found,) = [hasher for hasher in self.hashers.values() if hasher.backbone_identity == backbone]
        return _done(FittedModel(identity=found.identity, path="", metadata={"backbone": backbone}))

    def build_generation(self, number: int, *, hasher: str) -> Future[BuiltGeneration]:
        snapshot = read_snapshot(
            self._catalog, self.hashers[hasher], index_factory=RecordIndex, complete=True
        )
        return _done(
            BuiltGeneration(
                number=number,
                built_to=snapshot.sequence,
                images=len(snapshot),
                manifest_sha256=self._generations.write(number, snapshot.to_files()),
            )
        )

    def close(self) -> None:
        pass


def _done(result: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(result)
    return future


def new_gallery(
    *,
    hasher: Hasher | None,
    catalog: MemoryCatalog | None = None,
    originals: MemoryOriginals | None = None,
    generations: MemoryGenerations | None = None,
    backbone: FakeBackbone | None = None,
) -> Gallery:
    """Return a gallery over a store in memory, with all that its catalog holds."""
    catalog = catalog or MemoryCatalog()
    snapshot = None
    if hasher:
        snapshot = load_snapshot(
            catalog,
            generations or MemoryGenerations(),
            hasher,
            index_factory=RecordIndex,
            writable=True,
        )
    return Gallery(
        catalog,
        originals or MemoryOriginals(),
        backbone=backbone or FakeBackbone(),
        snapshot=snapshot,
    )


def new_application(*, hasher: Hasher | None, backbone: FakeBackbone | None = None) -> Application:
    """Return an application over an empty store in memory."""
    catalog, originals, generations = MemoryCatalog(), MemoryOriginals(), MemoryGenerations()
    gallery = new_gallery(
        hasher=hasher, catalog=catalog, originals=originals, generations=generations, backbone=backbone
    )
    workers = MemoryWorkers(catalog, generations, [hasher] if hasher else [])
    workers.originals = originals
    return Application(
        catalog=catalog,
        gallery=gallery,
        searcher=Searcher(gallery, QueryEncoder(decode=decode_image)),
        ingestor=Ingestor(gallery, decode=decode_image),
        pictures=Pictures(
            catalog,
            originals,
            read_source=lambda source: source.encode(),
            thumbnail_jpeg=lambda content, side_px: thumbnail_jpeg(
                decode_image(content).pixels, side_px=side_px
            ),
        ),
        rebuilder=Rebuilder(
            gallery,
            generations,
            workers,
            find_hasher=workers.hashers.__getitem__,
            find_backbone=workers.backbones.__getitem__,
            index_factory=RecordIndex,
        ),
        operations=Operations(),
        verify=lambda report: verify_store(
            catalog,
            generations,
            originals,
            hasher=gallery.hasher,
            index_factory=RecordIndex,
            report=report,
        ),
    )


@contextmanager
def served(application: Application, settings: ServerSettings | None = None) -> Iterator[str]:
    """Serve the application on a free port; yields its address."""
    server = Server(application, settings)
    port = server.start("127.0.0.1:0")
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace_s=5.0)


def png(seed: int, *, width: int = 20, height: int = 10) -> bytes:
    """Return a small noisy PNG; seeds differ in every pixel."""
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
