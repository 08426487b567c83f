"""Images whose code records a test chooses, for tests of what is done with codes rather than how they are made.

In: record bytes. Out: images, and hashers that read the record off the embedding; what a plain comparison of records finds. Galleries are
made by `fakes`.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from hashing.layout import CodeLayout
from service.records import NewImage
from tests.contracts.fakes import FakeBackbone

LENGTHS = (16, 32)
RECORD_BYTES = 6  # 16 and 32 bits side by side


class EchoHasher:
    """Codes an embedding as its first numbers, which are the bytes of the record; `backwards` in the opposite order.

    Attributes:
        embeddings_coded: How many it was given so far.
    """

    backbone_identity = FakeBackbone.identity

    def __init__(
        self,
        identity: str = "echo@000000000000",
        *,
        lengths: tuple[int, ...] = LENGTHS,
        nested: bool = False,
        backwards: bool = False,
    ) -> None:
        self.identity = identity
        self.lengths = lengths
        self.layout = CodeLayout(lengths, nested)
        self._order = -1 if backwards else 1
        self.embeddings_coded = 0

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        self.embeddings_coded += len(embeddings)
        given = embeddings[:, : self.layout.record_bytes][:, :: self._order]
        return np.ascontiguousarray(given).astype(np.uint8)


def echo_image(
    record: bytes,
    *,
    name: str = "",
    labels: tuple[str, ...] = (),
    attributes: Mapping[str, str] | None = None,
    scores: Mapping[str, float] | None = None,
    stored: bool = False,
) -> NewImage:
    """Return an image that `EchoHasher` gives this record; images of one name are repeats, and so are nameless ones of one record."""
    embedding = np.zeros(FakeBackbone.dim, dtype=np.float32)
    embedding[: len(record)] = np.frombuffer(record, dtype=np.uint8)
    return NewImage(
        sha256=hashlib.sha256(name.encode() or record).digest(),
        name=name,
        source="" if stored else f"/{name}",
        stored=stored,
        byte_size=1,
        width=1,
        height=1,
        format="PNG",
        labels=labels,
        attributes=attributes or {},
        embedding=embedding,
        scores=scores or {},
    )


def named_images(records: Sequence[bytes], *, first: int = 0) -> list[NewImage]:
    """Return images named by number, one per record."""
    return [echo_image(record, name=str(number)) for number, record in enumerate(records, start=first)]


def random_records(n: int, *, seed: int = 0, n_bytes: int = RECORD_BYTES) -> list[bytes]:
    """Return records that agree in many bytes, so that distances tie."""
    rng = np.random.default_rng(seed)
    return [bytes(row) for row in rng.choice(np.array([0, 1, 3, 15, 255], np.uint8), size=(n, n_bytes))]


def distance(one: bytes, other: bytes) -> int:
    """Return in how many bits two codes differ."""
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def by_hand(
    code: bytes, records: Mapping[int, bytes], *, part: slice, max_distance: int | None = None
) -> list[tuple[int, int]]:
    """Return (distance, image id) of all images whose code lies near enough, in total order, from the definition."""
    pairs = [(distance(code, record[part]), image_id) for image_id, record in records.items()]
    return sorted(pair for pair in pairs if max_distance is None or pair[0] <= max_distance)
