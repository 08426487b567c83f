"""Page sizes and page tokens of lists.

In: what a client asked for. Out: a checked size, pages that fit a message, and tokens that name the last id of a page
and are bound to the list's other arguments. The token's form is nobody's business but this file's.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from itertools import accumulate

from polyhash.v1 import image_pb2

from service.errors import InvalidArgumentError
from service.rpc.settings import MAX_MESSAGE_BYTES

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
MAX_PAGE_BYTES = MAX_MESSAGE_BYTES // 2  # leaves room for what stands around the images
_ID_BYTES = 8
_DIGEST_BYTES = 8


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


def fit_page(images: Sequence[image_pb2.Image]) -> Sequence[image_pb2.Image]:
    """Return the first of these images, as many as a message has room for, but at least one."""
    ends = accumulate(image.ByteSize() for image in images)
    return images[: max(1, sum(end <= MAX_PAGE_BYTES for end in ends))]


def write_page_token(last_id: int, *, arguments: str) -> str:
    """Return the token of the page that begins after `last_id` in the list with these arguments."""
    position = last_id.to_bytes(_ID_BYTES, "big", signed=True)
    return base64.urlsafe_b64encode(position + _digest(position, arguments)).decode()


def read_page_token(token: str, *, arguments: str) -> int:
    """Return the id after which the page begins; 0 for the empty token of the first page.

    Raises:
        InvalidArgumentError: The token is none of ours, or belongs to a list with other arguments.
    """
    if not token:
        return 0
    try:
        content = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except binascii.Error:
        content = b""
    position = content[:_ID_BYTES]
    if content != position + _digest(position, arguments):
        raise InvalidArgumentError(
            "page_token is not one that this list returned with the same arguments. Keep the arguments of the first "
            "page, or begin again without a token.",
            reason="PAGE_TOKEN_INVALID",
            field="page_token",
        )
    return int.from_bytes(position, "big", signed=True)


def _digest(position: bytes, arguments: str) -> bytes:
    return hashlib.blake2b(position + arguments.encode(), digest_size=_DIGEST_BYTES).digest()
