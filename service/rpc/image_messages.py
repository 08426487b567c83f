"""Images in messages: those to take in or to change, read and checked; those of the gallery, and what became of new ones, written.

In: messages of GalleryService, and the domain's records. Out: the other of the two, or an InvalidArgumentError that names the
field. Decoding pictures is the domain's work.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyhash.v1 import gallery_service_pb2, image_pb2

from service.errors import ImageError, InvalidArgumentError
from service.records import ImageRow, SourceImage
from service.rpc.checks import (
    MAX_NAME_CHARACTERS,
    check_content,
    check_count,
    check_image_id,
    check_word,
    inside,
)
from service.rpc.status import to_status
from service.usecases.ingest import Outcome
from service.usecases.reading import Rejected

MAX_WORDS = 64  # labels, attributes and scores, per image
MAX_IMAGES = 1000  # of one BatchGetImages
DEFAULT_SIDE_PX = 256
MIN_SIDE_PX, MAX_SIDE_PX = 16, 1024
CHANGEABLE = ("labels", "attributes", "scores")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChange:
    """New labels, attributes and scores of an image; None for those that stay."""

    image_id: int
    labels: tuple[str, ...] | None
    attributes: Mapping[str, str] | None
    scores: Mapping[str, float] | None


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


def read_source_image(
    request: gallery_service_pb2.IngestImagesRequest, *, max_image_bytes: int
) -> SourceImage:
    """Return the image of a request; reading it raises InvalidArgumentError where the request is at fault.

    So a bad request takes its turn among the others and ends nothing.
    """

    def read() -> bytes:
        check_word(request.tag, field="tag", min_characters=0)
        check_word(request.name, field="name", max_characters=MAX_NAME_CHARACTERS)
        _check_labels(request.labels)
        _check_attributes(request.attributes)
        _check_scores(request.scores)
        return check_content(request.content, field="content", max_bytes=max_image_bytes)

    return SourceImage(
        name=request.name,
        read=read,
        labels=tuple(request.labels),
        attributes=dict(request.attributes),
        scores=dict(request.scores),
    )


def read_change(request: gallery_service_pb2.UpdateImageRequest) -> ImageChange:
    """Return what a request replaces of an image.

    Raises:
        InvalidArgumentError: No or another field is named, or a value is out of its limits.
    """
    image, fields = request.image, set(request.update_mask.paths)
    if not fields or not fields <= set(CHANGEABLE):
        raise InvalidArgumentError(
            f"update_mask must name at least one of {', '.join(CHANGEABLE)} and nothing else, got "
            f"{', '.join(sorted(fields)) or 'nothing'}.",
            reason="UPDATE_MASK_INVALID",
            field="update_mask",
        )
    with inside("image"):
        check_image_id(image.image_id)
        if "labels" in fields:
            _check_labels(image.labels)
        if "attributes" in fields:
            _check_attributes(image.attributes)
        if "scores" in fields:
            _check_scores(image.scores)
    return ImageChange(
        image_id=image.image_id,
        labels=tuple(image.labels) if "labels" in fields else None,
        attributes=dict(image.attributes) if "attributes" in fields else None,
        scores=dict(image.scores) if "scores" in fields else None,
    )


def read_image_ids(request: gallery_service_pb2.BatchGetImagesRequest) -> list[int]:
    """Return the ids that a request asks for, each once. Raises InvalidArgumentError."""
    check_count(len(request.image_ids), field="image_ids", maximum=MAX_IMAGES)
    return [check_image_id(image_id, field="image_ids") for image_id in dict.fromkeys(request.image_ids)]


def write_outcome(tag: str, outcome: Outcome) -> gallery_service_pb2.IngestImagesResponse:
    """Return the response to one request of an upload."""
    if isinstance(outcome, Rejected):
        error = outcome.error
        if isinstance(error, ImageError):
            error.field = error.field or "content"
        return gallery_service_pb2.IngestImagesResponse(tag=tag, error=to_status(error))
    acknowledgement, near = outcome.acknowledgement, outcome.acknowledgement.near
    return gallery_service_pb2.IngestImagesResponse(
        tag=tag,
        ingested=gallery_service_pb2.IngestedImage(
            image_id=acknowledgement.image_id,
            sequence=acknowledgement.sequence,
            duplicate_of=acknowledgement.image_id if acknowledgement.duplicate else None,
            near_duplicate_of=near.image_id if near else None,
            near_duplicate_distance=near.distance if near else None,
        ),
    )


def write_image(row: ImageRow) -> image_pb2.Image:
    """Return an image as clients see it: without the paths of this machine."""
    image = image_pb2.Image(
        image_id=row.image_id,
        name=row.name,
        labels=row.labels,
        attributes=row.attributes,
        scores=row.scores,
        sha256=row.sha256,
        byte_size=row.byte_size,
        width_px=row.width,
        height_px=row.height,
        format=row.format,
        sequence=row.sequence,
    )
    image.create_time.FromDatetime(row.created_at)
    return image


def _check_labels(labels: Sequence[str]) -> None:
    _check_words(len(labels), field="labels")
    for label in labels:
        check_word(label, field="labels")


def _check_attributes(attributes: Mapping[str, str]) -> None:
    _check_words(len(attributes), field="attributes")
    for name, value in attributes.items():
        check_word(name, field="attributes")
        check_word(value, field="attributes", min_characters=0, max_characters=MAX_NAME_CHARACTERS)


def _check_scores(scores: Mapping[str, float]) -> None:
    _check_words(len(scores), field="scores")
    for name, value in scores.items():
        check_word(name, field="scores")
        if not math.isfinite(value):
            raise InvalidArgumentError(
                f"scores must be finite numbers, got {value} for {name!r}. Leave out what is not known.",
                reason="SCORE_NOT_FINITE",
                field="scores",
            )


def _check_words(count: int, *, field: str) -> None:
    if count > MAX_WORDS:
        raise InvalidArgumentError(
            f"{field} must be at most {MAX_WORDS} per image, got {count}.",
            reason="TOO_MANY_WORDS",
            field=field,
            count=count,
        )
