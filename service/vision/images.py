"""Encoded images of any common format as upright RGB pixels, within limits that are checked before decoding.

In: bytes from a file or a caller, never trusted. Out: `DecodedImage`, JPEG thumbnails, or an ImageError that says why.
Colour conversion is left to `colour`, reading files to `sources`.
"""

import warnings
from codecs import getincrementaldecoder
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from service.errors import ImageError, ImageTooLargeError, UnreadableImageError
from service.records import DecodedImage
from service.vision.colour import to_rgb

# Pillow's bomb guard warns through a process-wide switch; `ImageLimits` stands in its place. Its other warnings tell
# of damaged metadata, which spoils no picture. In blocks above 32 MiB glibc gives the memory of a large picture back;
# in Pillow's own of 16 MiB each thread keeps it. All are set once, as changing them per call is not thread-safe.
Image.MAX_IMAGE_PIXELS = None
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.core.set_block_size(64 * 2**20)  # type: ignore[attr-defined]  # documented, not exported

# No format that runs an interpreter (SVG, EPS, PDF, WMF) or that only laboratories use is tried.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")

_SIGNATURES = (
    (b"\xff\xd8", "a damaged JPEG"),
    (b"\x89PNG", "a damaged PNG"),
    (b"RIFF", "a damaged WebP, or a sound or video file"),
    (b"GIF8", "a damaged GIF"),
    (b"II*\0", "a damaged TIFF, or a camera's raw file"),
    (b"MM\0*", "a damaged TIFF, or a camera's raw file"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK", "a ZIP archive"),
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF 2.32, tag 0x0112
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """How large an image may be. Checked on the header, so an image beyond them costs nothing.

    Attributes:
        max_bytes: Encoded size.
        max_pixels: Width times height.
        max_side_px: Width and height each.
    """

    max_bytes: int = 32 * 2**20
    max_pixels: int = 120_000_000  # takes the 108-megapixel pictures of telephones; 360 MB as RGB
    max_side_px: int = 32_768

    def check_bytes(self, byte_size: int) -> None:
        """Raise ImageTooLargeError if an encoded image of this size is too large."""
        if byte_size > self.max_bytes:
            raise ImageTooLargeError(
                f"The image has {byte_size} bytes, the limit is {self.max_bytes}. Send it smaller.",
                byte_size=byte_size,
                max_bytes=self.max_bytes,
            )

    def check_pixels(self, width: int, height: int) -> None:
        """Raise ImageTooLargeError if an image of this width and height is too large."""
        if width * height > self.max_pixels or max(width, height) > self.max_side_px:
            raise ImageTooLargeError(
                f"The image is {width} x {height} pixels, the limit is {self.max_pixels} in all and "
                f"{self.max_side_px} per side. Send it smaller.",
                width=width,
                height=height,
                max_pixels=self.max_pixels,
                max_side_px=self.max_side_px,
            )


DEFAULT_LIMITS = ImageLimits()


def decode_image(
    content: bytes, *, limits: ImageLimits = DEFAULT_LIMITS, target_px: int | None = None
) -> DecodedImage:
    """Return the picture in these bytes as upright RGB; of an animation or a page sequence the first one.

    Args:
        content: The encoded image.
        limits: Checked before any pixel is decoded.
        target_px: If given (>= 1), the caller resizes to this shorter side anyway: a JPEG may then be decoded at a
            half, quarter or eighth of its size as long as the shorter side keeps `target_px`. Other formats ignore it.

    Returns:
        Read-only pixels uint8 (h, w, 3); `width` and `height` are always those of the full upright picture.

    Raises:
        UnreadableImageError: Empty, not an image, of a format that is not taken, truncated or corrupt.
        ImageTooLargeError: Beyond the limits.
    """
    limits.check_bytes(len(content))
    if not content:
        raise UnreadableImageError("The image is empty: it has no bytes.", byte_size=0)
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            return _decode(image, limits, target_px)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError(
            f"The bytes are no image that can be read: they look like {_looks_like(content)}. "
            f"Formats taken: {', '.join(FORMATS)}.",
            byte_size=len(content),
        ) from None
    except Exception as error:  # on hostile bytes Pillow's decoders raise anything
        raise UnreadableImageError(
            f"The image is truncated or corrupt ({str(error).rstrip('.') or type(error).__name__}).",
            byte_size=len(content),
        ) from error


def thumbnail_jpeg(pixels: UInt8[np.ndarray, "h w 3"], *, side_px: int) -> bytes:
    """Return a JPEG of the picture whose longer side is at most `side_px` (>= 1); it is never enlarged."""
    image = Image.fromarray(pixels)
    image.thumbnail((side_px, side_px))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _decode(image: Image.Image, limits: ImageLimits, target_px: int | None) -> DecodedImage:
    width, height = image.size
    limits.check_pixels(width, height)
    if target_px is not None:
        image.draft(None, (target_px, target_px))
    image.load()
    rgb = to_rgb(image)
    orientation = _orientation(image)
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    if orientation >= 5:  # turned by a quarter
        width, height = height, width
    return DecodedImage(pixels=np.asarray(rgb), width=width, height=height, format=image.format or "unknown")


def _orientation(image: Image.Image) -> int:
    try:
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and the picture is still good
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _looks_like(content: bytes) -> str:
    for signature, name in _SIGNATURES:
        if content.startswith(signature):
            return name
    head = content[:1024]
    if b"<svg" in head:
        return "an SVG drawing"
    if head[4:8] == b"ftyp":
        return "a HEIC picture or a video"
    try:
        text = getincrementaldecoder("utf-8")().decode(head)  # takes a character cut at the end of `head`
    except UnicodeDecodeError:
        return "no known format"
    return "no known format" if "\0" in text else "text"
