"""The pictures behind catalog rows: their original bytes and thumbnails.

In: a catalog row. Out: encoded bytes. Originals stay where they were unless the store keeps a copy; a file that has
changed since it was indexed is reported, never shown as what it was.
"""

import hashlib
from collections.abc import Callable

from service.errors import DataLossError, NotFoundError, UnavailableError
from service.ports import Catalog, Originals
from service.records import ImageRow


class Pictures:
    """Finds the original bytes of images of one store and makes thumbnails of them."""

    def __init__(
        self,
        catalog: Catalog,
        originals: Originals,
        *,
        read_source: Callable[[str], bytes],
        thumbnail_jpeg: Callable[[bytes, int], bytes],
    ) -> None:
        self._catalog = catalog
        self._originals = originals
        self._read_source = read_source
        self._thumbnail_jpeg = thumbnail_jpeg

    def row(self, image_id: int) -> ImageRow:
        """Return the catalog row of an image.

        Raises:
            NotFoundError: No such image.
        """
        row = self._catalog.get_images([image_id]).get(image_id)
        if row is None:
            raise NotFoundError(
                f"No image {image_id} in the gallery. List the images to see which there are.",
                reason="IMAGE_NOT_FOUND",
                field="image_id",
                image_id=image_id,
            )
        return row

    def content(self, row: ImageRow) -> bytes:
        """Return the encoded bytes that were indexed. Raises what `read_original` does."""
        return read_original(row, self._originals, self._read_source)

    def thumbnail(self, row: ImageRow, *, side_px: int) -> bytes:
        """Return a JPEG of the image, upright, its longer side at most `side_px`."""
        return self._thumbnail_jpeg(self.content(row), side_px)


def read_original(row: ImageRow, originals: Originals, read_source: Callable[[str], bytes]) -> bytes:
    """Return the encoded bytes that were indexed.

    Messages name the image, not the path of its file, which is the server's own business.

    Raises:
        NotFoundError: The file is gone from where it was.
        UnavailableError: The file is there but cannot be read.
        DataLossError: The file has changed since it was indexed.
    """
    if row.stored:
        return originals.get(row.sha256)
    which = f"The original of image {row.image_id} ({row.name})"
    try:
        content = read_source(row.source)
    except NotFoundError as error:
        raise NotFoundError(
            f"{which} is gone from where it was indexed. Bring it back, or delete the image.",
            reason="ORIGINAL_NOT_FOUND",
            image_id=row.image_id,
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"{which} cannot be read now ({error.strerror or error}). Check its disk and permissions.",
            reason="ORIGINAL_UNREADABLE",
            image_id=row.image_id,
        ) from error
    if hashlib.sha256(content).digest() != row.sha256:
        raise DataLossError(
            f"{which} has changed since it was indexed. Delete the image and index it again.",
            reason="ORIGINAL_CHANGED",
            image_id=row.image_id,
        )
    return content
