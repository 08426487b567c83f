"""Small, honest stand-ins for the ports, and an application made of them behind a real gRPC server.

In: nothing but settings. Out: objects that compute simply what the real ones compute well, so that tests of use cases
and of the wire need no torch, FAISS, SQL or disk. MemoryCatalog has a file of its own.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from PIL import Image

from hashing.codes import hamming_distances, pack_codes
from hashing.layout import CodeLayout
from service.application import Application
from service.errors import NotFoundError
from service.ports import CodeIndex, Hasher, Neighbours
from service.records import Features, Preprocessing
from service.rpc.server import Server
from service.rpc.settings import ServerSettings
from service.usecases.gallery import Gallery
from service.usecases.ingest import Ingestor
from service.usecases.pictures import Pictures
from service.usecases.search import Searcher
from service.vision.images import decode_image, thumbnail_jpeg
from tests.contracts.memory_catalog import MemoryCatalog

SIDE_PX = 8
FIRST_ID = 1001  # that MemoryCatalog gives


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


class BruteForceIndex:
    """Compares with every code."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._codes: dict[int, UInt8[np.ndarray, " bytes"]] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, image_ids: Int64[np.ndarray, " n"], codes: UInt8[np.ndarray, "n bytes"]) -> None:
        self._codes.update(zip(image_ids.tolist(), codes, strict=True))

    def remove(self, image_ids: Int64[np.ndarray, " n"]) -> int:
        return sum(self._codes.pop(image_id, None) is not None for image_id in image_ids.tolist())

    def search(
        self, codes: UInt8[np.ndarray, "nq bytes"], *, k: int, max_distance: int | None = None
    ) -> list[Neighbours]:
        limit = self.bits if max_distance is None else max_distance
        found = []
        for code in codes:
            pairs = sorted(
                (int(hamming_distances(code[None], other[None])[0, 0]), image_id)
                for image_id, other in self._codes.items()
            )
            pairs = [pair for pair in pairs if pair[0] <= limit][:k]
            found.append(
                Neighbours(
                    image_ids=np.array([image_id for _, image_id in pairs], dtype=np.int64),
                    distances=np.array([distance for distance, _ in pairs], dtype=np.int32),
                )
            )
        return found


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


def new_index(bits: int) -> CodeIndex:
    return BruteForceIndex(bits)


def new_application(*, hasher: Hasher | None, backbone: FakeBackbone | None = None) -> Application:
    """Return an application over an empty store in memory."""
    catalog, originals, backbone = MemoryCatalog(), MemoryOriginals(), backbone or FakeBackbone()
    gallery = Gallery(
        catalog, originals, backbone_identity=backbone.identity, hasher=hasher, index_factory=new_index
    )
    gallery.load()
    return Application(
        catalog=catalog,
        backbone=backbone,
        gallery=gallery,
        searcher=Searcher(gallery, backbone, decode=decode_image),
        ingestor=Ingestor(gallery, backbone, decode=decode_image),
        pictures=Pictures(
            catalog,
            originals,
            read_source=lambda source: source.encode(),
            thumbnail_jpeg=lambda content, side_px: thumbnail_jpeg(
                decode_image(content).pixels, side_px=side_px
            ),
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
