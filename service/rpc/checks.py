"""What any request is checked for, whatever it is about: ids, texts, counts, encoded pictures; and whether its answer fits.

In: values of messages, of which every field may be anything. Out: the same values, or an InvalidArgumentError that names the
field. What the domain itself checks (k, bits, codes, pixels, filters) is left to it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.message import Message

from service.errors import ImageTooLargeError, InvalidArgumentError, PolyhashError, UnreadableImageError
from service.rpc.settings import MAX_MESSAGE_BYTES

MAX_NAME_CHARACTERS = 1024
MAX_WORD_CHARACTERS = 256  # tags, labels and names of attributes and scores

M = TypeVar("M", bound=Message)


def check_image_id(image_id: int, *, field: str = "image_id") -> int:
    """Return the id.

    Raises:
        InvalidArgumentError: It is below 1, which it also is when the client left it out.
    """
    if image_id < 1:
        raise InvalidArgumentError(
            f"{field} must be 1 or more, got {image_id}.",
            reason="IMAGE_ID_OUT_OF_RANGE",
            field=field,
            image_id=image_id,
        )
    return image_id


def check_content(content: bytes, *, field: str, max_bytes: int) -> bytes:
    """Return the encoded bytes of an image, undecoded.

    Raises:
        ImageError: There are none, or more than `max_bytes`.
    """
    if not content:
        raise UnreadableImageError(f"{field} is empty. Send the bytes of an image file.", field=field)
    if len(content) > max_bytes:
        raise ImageTooLargeError(
            f"{field} has {len(content)} bytes, the server takes {max_bytes}. Send a smaller file.",
            field=field,
            image_bytes=len(content),
            max_image_bytes=max_bytes,
        )
    return content


def check_word(
    word: str, *, field: str, max_characters: int = MAX_WORD_CHARACTERS, min_characters: int = 1
) -> str:
    """Return the word.

    Raises:
        InvalidArgumentError: It is shorter or longer than allowed.
    """
    if not min_characters <= len(word) <= max_characters:
        raise InvalidArgumentError(
            f"{field} must have from {min_characters} to {max_characters} characters, got {len(word)}.",
            reason="TEXT_LENGTH",
            field=field,
            characters=len(word),
        )
    return word


def check_count(count: int, *, field: str, maximum: int) -> None:
    """Raise InvalidArgumentError where a list is empty, or has more than `maximum` entries."""
    if not 1 <= count <= maximum:
        raise InvalidArgumentError(
            f"{field} must have from 1 to {maximum} entries, got {count}.",
            reason="COUNT_OUT_OF_RANGE",
            field=field,
            count=count,
        )


def check_fits(response: M, *, field: str, advice: str) -> M:
    """Return a response that a message has room for.

    Args:
        response: What was to be sent.
        field: The field of the request that made it large.
        advice: What to do.

    Raises:
        InvalidArgumentError: It is larger.
    """
    size = response.ByteSize()
    if size > MAX_MESSAGE_BYTES:
        raise InvalidArgumentError(
            f"The answer has {size} bytes, a message holds {MAX_MESSAGE_BYTES}. {advice}",
            reason="ANSWER_TOO_LARGE",
            field=field,
            answer_bytes=size,
            max_bytes=MAX_MESSAGE_BYTES,
        )
    return response


@contextmanager
def blaming(field: str, kind: type[PolyhashError]) -> Iterator[None]:
    """Name the request's field in an error of those who do not know what fields there are."""
    try:
        yield
    except kind as error:
        error.field = error.field or field
        raise


@contextmanager
def inside(message: str, *fields: str) -> Iterator[None]:
    """Name the message that a field is in, where an error blames one of these fields; without fields, whichever it blames."""
    try:
        yield
    except PolyhashError as error:
        if error.field and (not fields or error.field in fields):
            error.field = f"{message}.{error.field}"
        raise
