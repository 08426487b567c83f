"""Taking images into a gallery: read, recognise repeats, decode, embed, commit.

In: chunks of source images. Out: one outcome per image, in order, once it is durable and searchable or refused.
Decoding runs beside the backbone; a bad image is reported and the run goes on. What was acknowledged before an
interruption stays, so running the same set again continues where it was.
"""

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float32, UInt8

from service.errors import NearDuplicateError, PolyhashError, UnavailableError, UnreadableImageError
from service.ports import Backbone, Decode
from service.records import Acknowledgement, NewImage, SourceImage
from service.usecases.gallery import MODELS_CHANGED, Gallery
from service.usecases.reading import Rejected, ahead, read_content

MAX_FLOAT16 = float(np.finfo(np.float16).max)  # what a catalog can keep


class CopyPolicy(Enum):
    """Which originals the store keeps a copy of."""

    NEEDED = "needed"  # those that cannot be read again from their source
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The image is in the gallery (or was already: see `acknowledgement.duplicate`)."""

    name: str
    acknowledgement: Acknowledgement


Outcome = Accepted | Rejected


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is kept of a decoded image: the square that the backbone sees, not its pixels, which may be 360 MB."""

    backbone: Backbone
    square: UInt8[np.ndarray, "s s 3"]
    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class _Read:
    """An image whose bytes were read: known already, or being prepared."""

    image: SourceImage
    content: bytes | None  # only where the store shall keep it
    byte_size: int
    digest: bytes
    pending: "Acknowledgement | Future[_Prepared]"


class Ingestor:
    """Takes images into one gallery. Several runs may go on at once; the gallery puts their commits in order."""

    def __init__(
        self,
        gallery: Gallery,
        *,
        decode: Decode,
        copy: CopyPolicy = CopyPolicy.NEEDED,
        decode_threads: int = 2,
    ) -> None:
        self._gallery = gallery
        self._decode = decode
        self.copy = copy
        self._decode_threads = decode_threads

    def run(self, chunks: Iterable[Sequence[SourceImage]]) -> Generator[Outcome, None, None]:
        """Yield the outcome of every image in order.

        Closing the iterator early stops reading; what was acknowledged stays.

        Raises:
            PolyhashError: The store itself failed (disk full, damaged): nothing more can be taken.
        """
        with ThreadPoolExecutor(self._decode_threads, thread_name_prefix="decode") as pool:
            try:
                with closing(ahead(self._read_chunk(chunk, pool) for chunk in chunks)) as prepared:
                    for entries in prepared:
                        yield from self._take(entries)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _read_chunk(self, chunk: Sequence[SourceImage], pool: ThreadPoolExecutor) -> list[_Read | Rejected]:
        contents = [read_content(image) for image in chunk]
        digests = [b"" if isinstance(c, Rejected) else hashlib.sha256(c).digest() for c in contents]
        known = self._gallery.catalog.find_by_sha256([digest for digest in digests if digest])
        return [
            content
            if isinstance(content, Rejected)
            else _Read(
                image,
                content if self._keeps(image) else None,
                len(content),
                digest,
                known.get(digest) or pool.submit(self._prepare, content),
            )
            for image, content, digest in zip(chunk, contents, digests, strict=True)
        ]

    def _keeps(self, image: SourceImage) -> bool:
        return self.copy is CopyPolicy.ALL or not image.source

    def _prepare(self, content: bytes) -> _Prepared:
        backbone = self._gallery.state.backbone
        decoded = self._decode(content, target_px=backbone.preprocessing.resize_px)
        square = backbone.prepare(decoded.pixels)
        return _Prepared(backbone, square, decoded.width, decoded.height, decoded.format)

    def _take(self, entries: Sequence[_Read | Rejected]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        fresh: dict[int, tuple[_Read, _Prepared]] = {}
        for position, entry in enumerate(entries):
            if isinstance(entry, Rejected):
                outcomes[position] = entry
            elif isinstance(entry.pending, Acknowledgement):
                outcomes[position] = Accepted(name=entry.image.name, acknowledgement=entry.pending)
            else:
                try:
                    fresh[position] = entry, entry.pending.result()
                except PolyhashError as error:
                    outcomes[position] = Rejected(name=entry.image.name, error=error)
        if fresh:
            outcomes |= self._embed(fresh)
        if outdated := [position for position, outcome in outcomes.items() if _is_outdated(outcome)]:
            again: dict[int, tuple[_Read, _Prepared]] = {}
            for position in outdated:  # a swap of backbones came between: few images, and once
                read, _ = fresh[position]
                try:
                    again[position] = read, self._prepare_again(read)
                except PolyhashError as error:
                    outcomes[position] = Rejected(name=read.image.name, error=error)
            outcomes |= self._embed(again)
        return [outcomes[position] for position in range(len(entries))]

    def _prepare_again(self, read: _Read) -> _Prepared:
        content = read.content if read.content is not None else read_content(read.image)
        if isinstance(content, Rejected):
            raise content.error
        if hashlib.sha256(content).digest() != read.digest:
            raise UnreadableImageError(f"{read.image.name} changed while it was read. Send it again.")
        return self._prepare(content)

    def _embed(self, fresh: Mapping[int, tuple[_Read, _Prepared]]) -> dict[int, Outcome]:
        """Return the outcomes by the same keys; pictures that were prepared for one backbone share a pass."""
        outcomes: dict[int, Outcome] = {}
        for backbone in {id(prepared.backbone): prepared.backbone for _, prepared in fresh.values()}.values():
            positions = [at for at, (_, prepared) in fresh.items() if prepared.backbone is backbone]
            items = [fresh[position] for position in positions]
            outcomes |= zip(positions, self._embed_by(backbone, items), strict=True)
        return outcomes

    def _embed_by(self, backbone: Backbone, fresh: Sequence[tuple[_Read, _Prepared]]) -> list[Outcome]:
        embeddings = backbone.extract(np.stack([prepared.square for _, prepared in fresh])).embeddings
        fits = np.abs(embeddings).max(axis=1) <= MAX_FLOAT16  # which NaN is not
        good = [item for item, fit in zip(fresh, fits, strict=True) if fit]
        outcomes = iter(self._commit(backbone, good, embeddings[fits]) if good else [])
        return [
            _told(read.image.name, next(outcomes) if fit else unfit(backbone.identity))
            for (read, _), fit in zip(fresh, fits, strict=True)
        ]

    def _commit(
        self,
        backbone: Backbone,
        fresh: Sequence[tuple[_Read, _Prepared]],
        embeddings: Float32[np.ndarray, "n d"],
    ) -> list[Acknowledgement | NearDuplicateError | UnavailableError]:
        images = []
        contents = {}
        for (read, prepared), embedding in zip(fresh, embeddings, strict=True):
            if read.content is not None:
                contents[read.digest] = read.content
            images.append(
                NewImage(
                    sha256=read.digest,
                    name=read.image.name,
                    source=read.image.source,
                    stored=read.content is not None,
                    byte_size=read.byte_size,
                    width=prepared.width,
                    height=prepared.height,
                    format=prepared.format,
                    labels=read.image.labels,
                    attributes=read.image.attributes,
                    scores=read.image.scores,
                    embedding=embedding,
                    backbone=backbone.identity,
                )
            )
        return self._gallery.add(images, contents)


def _told(name: str, outcome: Acknowledgement | PolyhashError) -> Outcome:
    if isinstance(outcome, PolyhashError):
        return Rejected(name=name, error=outcome)
    return Accepted(name=name, acknowledgement=outcome)


def _is_outdated(outcome: Outcome) -> bool:
    return isinstance(outcome, Rejected) and outcome.error.reason == MODELS_CHANGED


def unfit(backbone: str) -> PolyhashError:
    """Return the error for an image whose embedding a catalog cannot keep."""
    return UnreadableImageError(
        f"Backbone {backbone} gives no usable embedding for it: a value is not finite, or above {MAX_FLOAT16:,.0f}. "
        "Use a backbone with normalised outputs.",
        reason="EMBEDDING_OUT_OF_RANGE",
    )
