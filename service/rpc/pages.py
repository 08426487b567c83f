"""Page sizes and page tokens of lists and searches.

In: what a client asked for. Out: a checked size, pages that fit a message, and tokens that say where a page ended and are
bound to the other arguments of their request. The token's form is nobody's business but this file's.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

from google.protobuf.message import Message

from service.errors import InvalidArgumentError
from service.rpc.settings import MAX_MESSAGE_BYTES
from service.usecases.queries import Cursor

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
MAX_PAGE_BYTES = MAX_MESSAGE_BYTES // 2  # leaves room for what stands around the entries
_DIGEST_BYTES = 8
_LIST, _SEARCH = b"list", b"search"  # of what a token is, so that none passes for the other
_ID = struct.Struct(">q")
_CURSOR = struct.Struct(">iqq")  # distance, image_id, sequence; the hasher's identity follows

M = TypeVar("M", bound=Message)


def check_page_size(page_size: int) -> int:
    """Return how many entries a page holds: the default for 0, at most MAX_PAGE_SIZE.

    Raises:
        InvalidArgumentError: It is negative.
    """
    if page_size < 0:
        raise InvalidArgumentError(
            f"page_size must be 0 (for {DEFAULT_PAGE_SIZE}) or more, got {page_size}.",
            reason="PAGE_SIZE_OUT_OF_RANGE",
            field="page_size",
            page_size=page_size,
        )
    return min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def fit_page(entries: Sequence[M]) -> Sequence[M]:
    """Return the first of these entries, as many as a message has room for, but at least one."""
    ends = accumulate(entry.ByteSize() for entry in entries)
    return entries[: max(1, sum(end <= MAX_PAGE_BYTES for end in ends))]


def write_page_token(last_id: int, *, arguments: str) -> str:
    """Return the token of the page that begins after `last_id` in the list with these arguments."""
    return _seal(_ID.pack(last_id), _LIST + arguments.encode())


def read_page_token(token: str, *, arguments: str) -> int:
    """Return the id after which the page begins; 0 for the empty token of the first page.

    Raises:
        InvalidArgumentError: The token is none of ours, or belongs to a list with other arguments.
    """
    if not token:
        return 0
    position = _open(token, _LIST + arguments.encode())
    try:
        (last_id,) = _ID.unpack(position)
    except struct.error as error:
        raise _foreign() from error
    return int(last_id)


def write_cursor(cursor: Cursor, *, arguments: bytes) -> str:
    """Return the token of the page that begins after a hit of the search with these arguments."""
    position = _CURSOR.pack(cursor.distance, cursor.image_id, cursor.sequence)
    return _seal(position + cursor.hasher.encode(), _SEARCH + arguments)


def read_cursor(token: str, *, arguments: bytes) -> Cursor | None:
    """Return where the page before ended; None for the empty token of the first page.

    Raises:
        InvalidArgumentError: The token is none of ours, or belongs to a search with other arguments.
    """
    if not token:
        return None
    position = _open(token, _SEARCH + arguments)
    try:
        distance, image_id, sequence = _CURSOR.unpack_from(position)
        hasher = position[_CURSOR.size :].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise _foreign() from error
    return Cursor(distance=distance, image_id=image_id, sequence=sequence, hasher=hasher)


def _seal(position: bytes, arguments: bytes) -> str:
    return base64.urlsafe_b64encode(position + _digest(position, arguments)).decode()


def _open(token: str, arguments: bytes) -> bytes:
    try:
        content = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except binascii.Error:
        content = b""
    position = content[:-_DIGEST_BYTES]
    if content != position + _digest(position, arguments):
        raise _foreign()
    return position


def _foreign() -> InvalidArgumentError:
    return InvalidArgumentError(
        "page_token is not one that this method returned with the same arguments. Keep the arguments of the first "
        "page, or begin again without a token.",
        reason="PAGE_TOKEN_INVALID",
        field="page_token",
    )


def _digest(position: bytes, arguments: bytes) -> bytes:
    digest = hashlib.blake2b(len(position).to_bytes(4, "big"), digest_size=_DIGEST_BYTES)
    digest.update(position)
    digest.update(arguments)
    return digest.digest()
