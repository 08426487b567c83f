"""Embedding a whole image set: read, decode, run the backbone, keep what was computed for the next run.

In: source images. Out: their embeddings with labels, and the images that were refused. Decoding runs beside the
backbone; what a cache has taken before an interruption is not computed again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float16, Float32, UInt8

from service.errors import PolyhashError
from service.ports import Backbone
from service.records import DecodedImage, SourceImage
from service.usecases.reading import Rejected, ahead, in_chunks, read_content

KEEP_EVERY = 1024  # images between two writes to the cache: at most this much work is lost to a power cut


@runtime_checkable
class EmbeddingMemory(Protocol):
    """Embeddings of one backbone that outlive the process, by the sha256 of the encoded image."""

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Float16[np.ndarray, " d"]]:
        """Return the embeddings of these digests; unknown ones are absent."""
        ...

    def add(self, digests: Sequence[bytes], embeddings: Float16[np.ndarray, "n d"]) -> None:
        """Keep n embeddings, durable on return."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSet:
    """The images of a set that have an embedding, in the set's order, and those that were refused.

    Attributes:
        embeddings: One row per image, rounded to float16 as a catalog keeps them.
        labels: Class names per row; empty where unlabelled.
        names: What reports call each row.
        digests: sha256 of each row's encoded bytes.
        rejected: Images without a row, with the reason.
    """

    embeddings: Float32[np.ndarray, "n d"]
    labels: list[tuple[str, ...]]
    names: list[str]
    digests: list[bytes]
    rejected: list[Rejected]


@dataclass(frozen=True, slots=True)
class _Read:
    """An image whose bytes were read, on its way to an embedding: known already, or a square being prepared."""

    image: SourceImage
    digest: bytes
    pending: "Float16[np.ndarray, ' d'] | Future[UInt8[np.ndarray, 's s 3']]"


@dataclass(slots=True)
class _Embedder:
    """One run over one set."""

    backbone: Backbone
    decode: Callable[[bytes], DecodedImage]
    memory: EmbeddingMemory | None
    unkept: dict[bytes, Float16[np.ndarray, " d"]] = field(default_factory=dict)

    def read(self, chunk: Sequence[SourceImage], pool: ThreadPoolExecutor) -> list[_Read | Rejected]:
        """Return the chunk's images with their decoding under way; runs in the reading thread."""
        contents = [read_content(image) for image in chunk]
        digests = [b"" if isinstance(c, Rejected) else hashlib.sha256(c).digest() for c in contents]
        known = {} if self.memory is None else self.memory.find([digest for digest in digests if digest])
        return [
            content
            if isinstance(content, Rejected)
            else _Read(
                image, digest, known[digest] if digest in known else pool.submit(self._prepare, content)
            )
            for image, content, digest in zip(chunk, contents, digests, strict=True)
        ]

    def take(
        self, entries: Sequence[_Read | Rejected]
    ) -> Iterator[tuple[_Read, Float16[np.ndarray, " d"]] | Rejected]:
        """Yield each entry with its embedding, running the backbone once for those that have none yet."""
        squares: dict[bytes, UInt8[np.ndarray, "s s 3"]] = {}
        refused: dict[bytes, PolyhashError] = {}
        for entry in entries:
            if isinstance(entry, _Read) and isinstance(entry.pending, Future):
                try:
                    squares[entry.digest] = entry.pending.result()
                except PolyhashError as error:
                    refused[entry.digest] = error
        fresh = self._extract(squares)
        for entry in entries:
            if isinstance(entry, Rejected):
                yield entry
            elif isinstance(entry.pending, np.ndarray):
                yield entry, entry.pending
            elif entry.digest in refused:
                yield Rejected(name=entry.image.name, error=refused[entry.digest])
            else:
                yield entry, fresh[entry.digest]

    def keep(self) -> None:
        """Hand what is new to the memory."""
        if self.memory is not None and self.unkept:
            self.memory.add(list(self.unkept), np.stack(list(self.unkept.values())))
        self.unkept.clear()

    def _prepare(self, content: bytes) -> UInt8[np.ndarray, "s s 3"]:
        return self.backbone.prepare(self.decode(content).pixels)

    def _extract(
        self, squares: dict[bytes, UInt8[np.ndarray, "s s 3"]]
    ) -> dict[bytes, Float16[np.ndarray, " d"]]:
        if not squares:
            return {}
        embeddings = self.backbone.extract(np.stack(list(squares.values()))).embeddings.astype(np.float16)
        fresh = dict(zip(squares, embeddings, strict=True))
        self.unkept.update(fresh)
        if len(self.unkept) >= KEEP_EVERY:
            self.keep()
        return fresh


def embed_set(
    images: Iterable[SourceImage],
    backbone: Backbone,
    *,
    decode: Callable[[bytes], DecodedImage],
    memory: EmbeddingMemory | None = None,
    decode_threads: int = 2,
    on_progress: Callable[[int], None] | None = None,
) -> EmbeddedSet:
    """Return the embeddings of all images that can be read.

    Args:
        images: The set; read once, in order.
        backbone: What embeds.
        decode: Turns encoded bytes into pixels, or raises ImageError.
        memory: Where embeddings are looked up and kept, also when the run is interrupted.
        decode_threads: Threads that decode beside the backbone.
        on_progress: Called with the number of images done so far, refused ones included.
    """
    run = _Embedder(backbone, decode, memory)
    rows: list[tuple[_Read, Float16[np.ndarray, " d"]]] = []
    rejected: list[Rejected] = []
    with ThreadPoolExecutor(decode_threads, thread_name_prefix="decode") as pool:
        chunks = (run.read(chunk, pool) for chunk in in_chunks(images))
        try:
            with closing(ahead(chunks)) as prepared:
                for entries in prepared:
                    for entry in run.take(entries):
                        rejected.append(entry) if isinstance(entry, Rejected) else rows.append(entry)
                    if on_progress:
                        on_progress(len(rows) + len(rejected))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            run.keep()
    embeddings = np.array([embedding for _, embedding in rows], dtype=np.float32)
    return EmbeddedSet(
        embeddings=embeddings.reshape(len(rows), backbone.dim),
        labels=[read.image.labels for read, _ in rows],
        names=[read.image.name for read, _ in rows],
        digests=[read.digest for read, _ in rows],
        rejected=rejected,
    )


def shared_images(one: EmbeddedSet, other: EmbeddedSet) -> int:
    """Return how many distinct images (by their bytes) stand in both sets."""
    return len(set(one.digests) & set(other.digests))
