"""The server's side of the messages: requests checked and read into the domain, the domain written into responses.

In: messages of polyhash.v1, of which every field may be anything. Out: domain values that need no further check, or an
InvalidArgumentError that names the field. What the domain itself checks (k, bits, codes, pixels) is left to it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import UInt8
from polyhash.v1 import (
    analysis_service_pb2,
    gallery_service_pb2,
    image_pb2,
    index_service_pb2,
    search_service_pb2,
)

from service.errors import (
    ImageError,
    ImageTooLargeError,
    InvalidArgumentError,
    PolyhashError,
    UnreadableImageError,
)
from service.records import CatalogCounts, ImageRow, SourceImage
from service.rpc.status import to_status
from service.usecases.gallery import Gallery
from service.usecases.ingest import Outcome
from service.usecases.reading import Rejected
from service.usecases.search import CodeQuery, IdQuery, ImageQuery, Query, SearchAnswer, SearchRequest

MAX_NAME_CHARACTERS = 1024
MAX_WORD_CHARACTERS = 256  # tags, labels and names of attributes
MAX_WORDS = 64  # labels, and attributes, per image
DEFAULT_K = 10
VIEWS = frozenset(search_service_pb2.SearchView.values())
DEFAULT_SIDE_PX = 256
MIN_SIDE_PX, MAX_SIDE_PX = 16, 1024

# ---------------------------------------------------------------- requests


def check_image_id(image_id: int) -> int:
    """Return the id.

    Raises:
        InvalidArgumentError: It is below 1, which it also is when the client left it out.
    """
    if image_id < 1:
        raise InvalidArgumentError(
            f"image_id must be 1 or more, got {image_id}.",
            reason="IMAGE_ID_OUT_OF_RANGE",
            field="image_id",
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


def check_side_px(side_px: int) -> int:
    """Return the side of a thumbnail in pixels.

    Raises:
        InvalidArgumentError: It is neither 0 (for the default) nor in range.
    """
    if side_px and not MIN_SIDE_PX <= side_px <= MAX_SIDE_PX:
        raise InvalidArgumentError(
            f"side_px must be from {MIN_SIDE_PX} to {MAX_SIDE_PX}, or 0 for {DEFAULT_SIDE_PX}, got {side_px}.",
            reason="SIDE_OUT_OF_RANGE",
            field="side_px",
            side_px=side_px,
        )
    return side_px or DEFAULT_SIDE_PX


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


@contextmanager
def blaming(field: str, kind: type[PolyhashError]) -> Iterator[None]:
    """Name the request's field in an error of those who do not know what fields there are."""
    try:
        yield
    except kind as error:
        error.field = error.field or field
        raise


def read_source_image(
    request: gallery_service_pb2.IngestImagesRequest, *, max_image_bytes: int
) -> SourceImage:
    """Return the image of a request; reading it raises InvalidArgumentError where the request is at fault.

    So a bad request takes its turn among the others and ends nothing.
    """

    def read() -> bytes:
        check_word(request.tag, field="tag", min_characters=0)
        check_word(request.name, field="name", max_characters=MAX_NAME_CHARACTERS)
        _check_labels(request)
        _check_attributes(request)
        return check_content(request.content, field="content", max_bytes=max_image_bytes)

    return SourceImage(
        name=request.name, read=read, labels=tuple(request.labels), attributes=dict(request.attributes)
    )


def _check_labels(request: gallery_service_pb2.IngestImagesRequest) -> None:
    _check_count(len(request.labels), field="labels")
    for label in request.labels:
        check_word(label, field="labels")


def _check_attributes(request: gallery_service_pb2.IngestImagesRequest) -> None:
    _check_count(len(request.attributes), field="attributes")
    for name, value in request.attributes.items():
        check_word(name, field="attributes")
        check_word(value, field="attributes", min_characters=0, max_characters=MAX_NAME_CHARACTERS)


def _check_count(count: int, *, field: str) -> None:
    if count > MAX_WORDS:
        raise InvalidArgumentError(
            f"{field} must be at most {MAX_WORDS} per image, got {count}.",
            reason="TOO_MANY_WORDS",
            field=field,
            count=count,
        )


def read_search(request: search_service_pb2.SearchRequest, *, max_image_bytes: int) -> SearchRequest:
    """Return the search that a request asks for.

    Raises:
        InvalidArgumentError: No query, an unknown view, or a value out of its range.
    """
    if request.view not in VIEWS:
        raise InvalidArgumentError(
            f"view must be one of SearchView's values, got {request.view}.",
            reason="VIEW_UNKNOWN",
            field="view",
            view=request.view,
        )
    return SearchRequest(
        query=_read_query(request, max_image_bytes=max_image_bytes),
        bits=request.bits or None,
        k=request.k if request.HasField("k") else DEFAULT_K,
        max_distance=request.max_distance if request.HasField("max_distance") else None,
        full=request.view != search_service_pb2.SEARCH_VIEW_BASIC,
    )


def _read_query(request: search_service_pb2.SearchRequest, *, max_image_bytes: int) -> Query:
    match request.WhichOneof("query"):
        case "image":
            return ImageQuery(content=check_content(request.image, field="image", max_bytes=max_image_bytes))
        case "image_id":
            return IdQuery(image_id=check_image_id(request.image_id))
        case "code":
            return CodeQuery(code=request.code)
        case _:
            raise InvalidArgumentError(
                "The search has no query. Give one of image, image_id or code.",
                reason="QUERY_MISSING",
                field="query",
            )


# ---------------------------------------------------------------- responses


def write_outcome(tag: str, outcome: Outcome) -> gallery_service_pb2.IngestImagesResponse:
    """Return the response to one request of an upload."""
    if isinstance(outcome, Rejected):
        error = outcome.error
        if isinstance(error, ImageError):
            error.field = error.field or "content"
        return gallery_service_pb2.IngestImagesResponse(tag=tag, error=to_status(error))
    acknowledgement = outcome.acknowledgement
    return gallery_service_pb2.IngestImagesResponse(
        tag=tag,
        ingested=gallery_service_pb2.IngestedImage(
            image_id=acknowledgement.image_id,
            sequence=acknowledgement.sequence,
            duplicate_of=acknowledgement.image_id if acknowledgement.duplicate else None,
        ),
    )


def write_image(row: ImageRow) -> image_pb2.Image:
    """Return an image as clients see it: without the paths of this machine."""
    image = image_pb2.Image(
        image_id=row.image_id,
        name=row.name,
        labels=row.labels,
        attributes=row.attributes,
        sha256=row.sha256,
        byte_size=row.byte_size,
        width_px=row.width,
        height_px=row.height,
        format=row.format,
        sequence=row.sequence,
    )
    image.create_time.FromDatetime(row.created_at)
    return image


def write_answer(answer: SearchAnswer) -> search_service_pb2.SearchResponse:
    """Return the response to a search."""
    return search_service_pb2.SearchResponse(
        hits=[
            search_service_pb2.SearchHit(
                image_id=hit.image_id,
                distance=hit.distance,
                rank=hit.rank,
                image=write_image(hit.row) if hit.row else None,
            )
            for hit in answer.hits
        ],
        bits=answer.bits,
        code=answer.code,
        sequence=answer.sequence,
        hasher=answer.hasher_identity,
        timings_ms=answer.timings_ms,
    )


def write_codes(
    record: UInt8[np.ndarray, " record_bytes"], gallery: Gallery
) -> analysis_service_pb2.EncodeResponse:
    """Return a code record, whole and split by length."""
    return analysis_service_pb2.EncodeResponse(
        codes=[
            analysis_service_pb2.Code(bits=bits, code=code.tobytes())
            for bits, code in gallery.layout.split(record[np.newaxis]).items()
        ],
        record=record.tobytes(),
        hasher=gallery.hasher_identity,
        backbone=gallery.backbone_identity,
    )


def write_stats(counts: CatalogCounts, gallery: Gallery) -> index_service_pb2.GetIndexStatsResponse:
    """Return the state of a gallery."""
    return index_service_pb2.GetIndexStatsResponse(
        image_count=counts.images,
        indexed_image_count=len(gallery),
        labelled_image_count=counts.labelled_images,
        image_count_by_label=counts.labels,
        original_bytes=counts.original_bytes,
        lengths_bits=gallery.lengths,
        hasher=gallery.hasher_identity,
        backbone=gallery.backbone_identity,
        sequence=gallery.sequence,
    )
