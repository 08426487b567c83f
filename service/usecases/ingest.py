"""Taking images into a gallery: read, recognise repeats, decode, embed, encode, commit.

In: chunks of source images. Out: one outcome per image, in order, once it is durable and searchable or refused.
Decoding runs beside the backbone; a bad image is reported and the run goes on. What was acknowledged before an
interruption stays, so running the same set again continues where it was.
"""

import contextlib
import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from itertools import islice

import numpy as np
from jaxtyping import UInt8

from service.errors import PolyhashError, UnreadableImageError
from service.ports import Acknowledgement, Backbone, DecodedImage, NewImage, SourceImage
from service.usecases.gallery import Gallery

CHUNK_IMAGES = (
    32  # images per backbone pass; larger gains nothing measurable on CPU and delays acknowledgements
)
CHUNKS_AHEAD = 2  # decoded chunks that wait for the backbone


class CopyPolicy(Enum):
    """Which originals the store keeps a copy of."""

    NEEDED = "needed"  # those that cannot be read again from their source
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The image is in the gallery (or was already: see `acknowledgement.duplicate`)."""

    name: str
    acknowledgement: Acknowledgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The image was refused; nothing of it was kept."""

    name: str
    error: PolyhashError


Outcome = Accepted | Rejected


@dataclass(frozen=True, slots=True)
class _Read:
    """An image whose bytes were read; `ready` is None when its bytes are known already."""

    image: SourceImage
    content: bytes
    digest: bytes
    known: Acknowledgement | None
    ready: "Future[tuple[DecodedImage, UInt8[np.ndarray, 's s 3']]] | None"


_Entry = _Read | Rejected


def in_chunks(images: Iterable[SourceImage], size: int = CHUNK_IMAGES) -> Iterator[list[SourceImage]]:
    """Yield the images in lists of `size`; the last may be shorter."""
    iterator = iter(images)
    while chunk := list(islice(iterator, size)):
        yield chunk


class Ingestor:
    """Takes images into one gallery. Several runs may go on at once; the gallery puts their commits in order."""

    def __init__(
        self,
        gallery: Gallery,
        backbone: Backbone,
        *,
        decode: Callable[[bytes], DecodedImage],
        copy: CopyPolicy = CopyPolicy.NEEDED,
        decode_threads: int = 2,
    ) -> None:
        self._gallery = gallery
        self._backbone = backbone
        self._decode = decode
        self._copy = copy
        self._decode_threads = decode_threads

    def run(self, chunks: Iterable[Sequence[SourceImage]]) -> Iterator[Outcome]:
        """Yield the outcome of every image in order.

        Closing the iterator early stops reading; what was acknowledged stays.

        Raises:
            PolyhashError: The store itself failed (disk full, damaged): nothing more can be taken.
        """
        entries: queue.Queue[list[_Entry] | BaseException | None] = queue.Queue(maxsize=CHUNKS_AHEAD)
        stopped = threading.Event()
        with ThreadPoolExecutor(self._decode_threads, thread_name_prefix="decode") as pool:
            reader = threading.Thread(
                target=self._read_all,
                args=(chunks, pool, entries, stopped),
                name="ingest-reader",
                daemon=True,
            )
            reader.start()
            try:
                while (chunk := entries.get()) is not None:
                    if isinstance(chunk, BaseException):
                        raise chunk
                    yield from self._take(chunk)
            finally:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _read_all(
        self,
        chunks: Iterable[Sequence[SourceImage]],
        pool: ThreadPoolExecutor,
        entries: "queue.Queue[list[_Entry] | BaseException | None]",
        stopped: threading.Event,
    ) -> None:
        def put(item: list[_Entry] | BaseException | None) -> None:
            while not stopped.is_set():
                with contextlib.suppress(queue.Full):
                    entries.put(item, timeout=0.1)
                    return

        try:
            for chunk in chunks:
                if stopped.is_set():
                    return
                put(self._read_chunk(chunk, pool))
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            put(error)
        else:
            put(None)

    def _read_chunk(self, chunk: Sequence[SourceImage], pool: ThreadPoolExecutor) -> list[_Entry]:
        contents = [_read_content(image) for image in chunk]
        digests = {
            position: hashlib.sha256(content).digest()
            for position, content in enumerate(contents)
            if isinstance(content, bytes)
        }
        known = self._gallery.catalog.find_by_sha256(list(digests.values()))
        entries: list[_Entry] = []
        for position, (image, content) in enumerate(zip(chunk, contents, strict=True)):
            if isinstance(content, Rejected):
                entries.append(content)
                continue
            earlier = known.get(digests[position])
            ready = None if earlier else pool.submit(self._decode_and_prepare, content)
            entries.append(_Read(image, content, digests[position], earlier, ready))
        return entries

    def _decode_and_prepare(self, content: bytes) -> tuple[DecodedImage, UInt8[np.ndarray, "s s 3"]]:
        decoded = self._decode(content)
        return decoded, self._backbone.prepare(decoded.pixels)

    def _take(self, entries: Sequence[_Entry]) -> Iterator[Outcome]:
        outcomes: dict[int, Outcome] = {}
        fresh: list[tuple[int, _Read, DecodedImage, UInt8[np.ndarray, "s s 3"]]] = []
        for position, entry in enumerate(entries):
            match entry:
                case Rejected():
                    outcomes[position] = entry
                case _Read(known=Acknowledgement() as acknowledgement):
                    outcomes[position] = Accepted(name=entry.image.name, acknowledgement=acknowledgement)
                case _Read(ready=Future() as ready):
                    try:
                        fresh.append((position, entry, *ready.result()))
                    except PolyhashError as error:
                        outcomes[position] = Rejected(name=entry.image.name, error=error)
        if fresh:
            acknowledgements = self._commit([(entry, decoded, square) for _, entry, decoded, square in fresh])
            for (position, entry, _, _), acknowledgement in zip(fresh, acknowledgements, strict=True):
                outcomes[position] = Accepted(name=entry.image.name, acknowledgement=acknowledgement)
        yield from (outcomes[position] for position in range(len(entries)))

    def _commit(
        self, fresh: Sequence[tuple[_Read, DecodedImage, UInt8[np.ndarray, "s s 3"]]]
    ) -> list[Acknowledgement]:
        embeddings = self._backbone.extract(np.stack([square for _, _, square in fresh])).embeddings
        records = self._gallery.encode(embeddings) if self._gallery.hasher else [None] * len(fresh)
        images = []
        contents = {}
        for (entry, decoded, _), embedding, record in zip(fresh, embeddings, records, strict=True):
            stored = self._copy is CopyPolicy.ALL or not entry.image.source
            if stored:
                contents[entry.digest] = entry.content
            images.append(
                NewImage(
                    sha256=entry.digest,
                    name=entry.image.name,
                    source=entry.image.source,
                    stored=stored,
                    byte_size=len(entry.content),
                    width=decoded.width,
                    height=decoded.height,
                    format=decoded.format,
                    labels=entry.image.labels,
                    attributes=entry.image.attributes,
                    embedding=embedding,
                    record=record,
                )
            )
        return self._gallery.add(images, contents)


def _read_content(image: SourceImage) -> bytes | Rejected:
    try:
        return image.read()
    except PolyhashError as error:
        return Rejected(name=image.name, error=error)
    except OSError as error:
        reason = error.strerror or str(error)
        return Rejected(
            name=image.name,
            error=UnreadableImageError(f"{image.name} cannot be read: {reason}.", name=image.name),
        )
