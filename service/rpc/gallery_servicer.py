# ruff: noqa: N802 - the protocol names the methods
"""GalleryService: images taken in, shown, listed and deleted.

In: checked messages. Out: responses, or PolyhashErrors that the interceptor turns into statuses.
"""

import threading
from collections.abc import Iterator

import grpc
from polyhash.v1 import gallery_service_pb2, gallery_service_pb2_grpc

from service.application import Application
from service.errors import NotFoundError
from service.rpc.messages import (
    MAX_WORD_CHARACTERS,
    blaming,
    check_image_id,
    check_side_px,
    check_word,
    write_image,
)
from service.rpc.pages import check_page_size, fit_page, read_page_token, write_page_token
from service.rpc.settings import ServerSettings
from service.rpc.upload import Upload


class GalleryServicer(gallery_service_pb2_grpc.GalleryServiceServicer):
    """Serves the gallery of one application."""

    def __init__(self, application: Application, settings: ServerSettings) -> None:
        self._application = application
        self._settings = settings
        self._uploads: set[Upload] = set()
        self._stopping = False
        self._lock = threading.Lock()  # over the two above

    def stop_uploads(self) -> None:
        """End every open upload after what it has received, and every later one at once."""
        with self._lock:
            self._stopping = True
            for upload in self._uploads:
                upload.stop()

    def IngestImages(
        self,
        request_iterator: Iterator[gallery_service_pb2.IngestImagesRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[gallery_service_pb2.IngestImagesResponse]:
        """Take images in."""
        del context
        upload = Upload(self._application.ingestor, self._settings)
        with self._lock:
            self._uploads.add(upload)
            if self._stopping:
                upload.stop()
        try:
            yield from upload.responses(request_iterator)
        finally:
            with self._lock:
                self._uploads.discard(upload)

    def GetImage(
        self, request: gallery_service_pb2.GetImageRequest, context: grpc.ServicerContext
    ) -> gallery_service_pb2.GetImageResponse:
        """Return one image."""
        del context
        row = self._application.pictures.row(check_image_id(request.image_id))
        return gallery_service_pb2.GetImageResponse(image=write_image(row))

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
