# ruff: noqa: N802 - the protocol names the methods
"""GalleryService: images taken in, shown, listed, changed and deleted.

In: checked messages. Out: responses, or PolyhashErrors that the interceptor turns into statuses.
"""

from collections.abc import Iterator

import grpc
from polyhash.v1 import gallery_service_pb2, gallery_service_pb2_grpc

from service.application import Application
from service.errors import NotFoundError
from service.rpc.checks import (
    MAX_WORD_CHARACTERS,
    blaming,
    check_fits,
    check_image_id,
    check_word,
    inside,
)
from service.rpc.image_messages import check_side_px, read_change, read_image_ids, write_image
from service.rpc.pages import check_page_size, fit_page, read_page_token, write_page_token
from service.rpc.settings import ServerSettings
from service.rpc.streams import OpenStreams
from service.rpc.upload import Upload


class GalleryServicer(gallery_service_pb2_grpc.GalleryServiceServicer):
    """Serves the gallery of one application."""

    def __init__(self, application: Application, settings: ServerSettings, streams: OpenStreams) -> None:
        self._application = application
        self._max_image_bytes = settings.max_image_bytes
        self._streams = streams

    def IngestImages(
        self,
        request_iterator: Iterator[gallery_service_pb2.IngestImagesRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[gallery_service_pb2.IngestImagesResponse]:
        """Take images in."""
        del context
        with self._streams.open(request_iterator) as stream:
            upload = Upload(self._application.ingestor, stream, max_image_bytes=self._max_image_bytes)
            yield from upload.responses()

    def GetImage(
        self, request: gallery_service_pb2.GetImageRequest, context: grpc.ServicerContext
    ) -> gallery_service_pb2.GetImageResponse:
        """Return one image."""
        del context
        row = self._application.pictures.row(check_image_id(request.image_id))
        return gallery_service_pb2.GetImageResponse(image=write_image(row))

    def BatchGetImages(
        self, request: gallery_service_pb2.BatchGetImagesRequest, context: grpc.ServicerContext
    ) -> gallery_service_pb2.BatchGetImagesResponse:
        """Return several images at once."""
        del context
        image_ids = read_image_ids(request)
        rows = self._application.catalog.get_images(image_ids)
        response = gallery_service_pb2.BatchGetImagesResponse(
            images=[write_image(rows[image_id]) for image_id in image_ids if image_id in rows],
            missing_image_ids=[image_id for image_id in image_ids if image_id not in rows],
        )
        return check_fits(response, field="image_ids", advice="Ask for fewer images at a time.")

    def ListImages(
        self, request: gallery_service_pb2.ListImagesRequest, context: grpc.ServicerContext
    ) -> gallery_service_pb2.ListImagesResponse:
        """Return one page of images."""
        del context
        size = check_page_size(request.page_size)
        label = check_word(request.label, field="label", min_characters=0, max_characters=MAX_WORD_CHARACTERS)
        after_id = read_page_token(request.page_token, arguments=label)
        rows = self._application.catalog.list_images(after_id=after_id, limit=size + 1, label=label or None)
        images = fit_page([write_image(row) for row in rows[:size]])
        more = len(rows) > len(images)  # one row beyond the page says whether there is a next one
        return gallery_service_pb2.ListImagesResponse(
            images=images,
            next_page_token=write_page_token(images[-1].image_id, arguments=label) if more else "",
        )

    def UpdateImage(
        self, request: gallery_service_pb2.UpdateImageRequest, context: grpc.ServicerContext
    ) -> gallery_service_pb2.UpdateImageResponse:
        """Replace labels, attributes or scores of one image."""
        del context
        change = read_change(request)
        with inside("image", "image_id"), blaming("image_id", NotFoundError):
            sequence = self._application.gallery.update(
                change.image_id, labels=change.labels, attributes=change.attributes, scores=change.scores
            )
            row = self._application.pictures.row(change.image_id)
        return gallery_service_pb2.UpdateImageResponse(sequence=sequence, image=write_image(row))

    def DeleteImage(
        self, request: gallery_service_pb2.DeleteImageRequest, context: grpc.ServicerContext
    ) -> gallery_service_pb2.DeleteImageResponse:
        """Delete one image."""
        del context
        with blaming("image_id", NotFoundError):
            sequence = self._application.gallery.delete(check_image_id(request.image_id))
        return gallery_service_pb2.DeleteImageResponse(sequence=sequence)

    def GetThumbnail(
        self, request: gallery_service_pb2.GetThumbnailRequest, context: grpc.ServicerContext
    ) -> gallery_service_pb2.GetThumbnailResponse:
        """Return a small JPEG of one image."""
        del context
        side_px = check_side_px(request.side_px)
        pictures = self._application.pictures
        row = pictures.row(check_image_id(request.image_id))
        return gallery_service_pb2.GetThumbnailResponse(jpeg=pictures.thumbnail(row, side_px=side_px))
