"""Reading source images ahead of the backbone: bytes or a named refusal, in chunks, in a thread of its own.

In: source images. Out: their encoded bytes, or why there are none. Decoding and what becomes of them is the caller's.
"""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from service.errors import PolyhashError, UnreadableImageError
from service.records import SourceImage

T = TypeVar("T")

CHUNK_IMAGES = (
    32  # images per backbone pass; larger gains nothing measurable on CPU and delays acknowledgements
)
CHUNKS_AHEAD = 2  # chunks that wait for the backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The image was refused; nothing of it was kept."""

    name: str
    error: PolyhashError


def in_chunks(items: Iterable[T], size: int = CHUNK_IMAGES) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def read_content(image: SourceImage) -> bytes | Rejected:
    """Return the encoded bytes of an image, or why they cannot be read."""
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


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException


def ahead(items: Iterable[T], *, depth: int = CHUNKS_AHEAD) -> Generator[T, None, None]:
    """Yield the items in order while a thread already makes the next `depth` of them.

    Closing the iterator early stops the thread at the item it is making. What the items raise is raised here.
    """
    made: queue.Queue[tuple[T] | _Failure | None] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: tuple[T] | _Failure | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                made.put(entry, timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                if stopped.is_set():
                    return
                put((item,))
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            put(_Failure(error))
        else:
            put(None)

    threading.Thread(target=make, name="read-ahead", daemon=True).start()
    try:
        while (entry := made.get()) is not None:
            if isinstance(entry, _Failure):
                raise entry.error
            yield entry[0]
    finally:
        stopped.set()
