"""Pixels of any Pillow mode as 8-bit RGB: alpha on white, 16-bit and float scaled, CMYK and ICC colours into sRGB.

In: a loaded Pillow image. Out: a Pillow image of mode RGB and the same size.
Files, limits and errors are left to `images`; anything Pillow raises passes through.
"""

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

_WHITES = (1.0, 255.0, 65535.0)  # what "white" usually is in float and wide integer pictures
_ICC_MODES = frozenset({"L", "RGB", "CMYK"})


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in mode RGB; transparency is laid on white, an embedded colour profile is applied.

    A colour profile that cannot be read or does not fit is ignored, as browsers do.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    elif image.has_transparency_data:
        image = _on_white(image)
    elif image.mode in {"P", "1"}:
        image = image.convert("RGB")
    if profile and image.mode in _ICC_MODES:
        image = _in_srgb(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")  # which would copy it
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return wide grey values as mode L: black is 0 (or the lowest, if negative), white the next usual maximum."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    values = values.clip(-1e30, 1e30)  # so that the difference below stays finite
    black, highest = min(float(values.min()), 0.0), float(values.max())
    if image.mode == "F":
        white = next((white for white in _WHITES if highest <= white), highest)
    else:
        white = max(highest, 65535.0) if image.mode == "I" else 65535.0
    scaled = (values - black) * np.float32(255.0 / (white - black))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        transform = _srgb_transform(profile, image.mode)
        return image if transform is None else transform.apply(image)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image


@lru_cache(
    maxsize=16
)  # a collection has few profiles, and building a transform costs as much as a small picture
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what maps `mode` pixels to sRGB, or None where they are in it already."""
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if mode == "RGB" and ImageCms.getProfileDescription(source).startswith("sRGB"):
        return None
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
