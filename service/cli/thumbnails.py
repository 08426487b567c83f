"""Pictures of the store's images, as the HTML pages of several commands show them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.application import Application
    from service.contact_sheet import SheetPicture
    from service.records import ImageRow

THUMBNAIL_PX = 240


def sheet_picture(application: "Application", row: "ImageRow") -> "SheetPicture":
    """Return an image with its thumbnail, or with the reason why it has none."""
    from service.contact_sheet import SheetPicture
    from service.errors import PolyhashError

    try:
        jpeg, missing = application.pictures.thumbnail(row, side_px=THUMBNAIL_PX), ""
    except (PolyhashError, OSError) as error:  # the original may have gone since; the page shows the rest
        jpeg, missing = None, str(error)
    return SheetPicture(name=row.name, jpeg=jpeg, missing=missing, image_id=row.image_id, labels=row.labels)
