"""Pictures for hostile tests: noise by number, odd forms beside plain twins, and bytes that no service should take.

In: seeds. Out: encoded bytes, with what they must count as. What a service does with them is the tests' business.
"""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image


def encoded(image, form="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(seed, *, width=40, height=30):
    rng = np.random.default_rng([7, seed])
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))


def picture(seed):
    return encoded(noise(seed), compress_level=1)


def smooth(width=120, height=90):
    """Return a picture that JPEG keeps well, and that no turn or mirror image equals."""
    y, x = np.mgrid[0:height, 0:width] / height
    channels = (120 + 100 * np.sin(3 * x + 1), 120 + 100 * np.cos(2 * y + x), 200 * y * (1 - x / 3) + 20)
    return Image.fromarray(np.clip(np.stack(channels, axis=2), 0, 255).astype(np.uint8))


TURNS = {  # how a camera lays a picture down that it marks with this EXIF orientation
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
BACK = {
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}


def turned(orientation, form):
    """Return a picture laid down so that EXIF must right it, and its pixels righted by hand."""
    turn, tags = TURNS[orientation], Image.Exif()
    tags[0x0112] = orientation
    image = smooth() if turn is None else smooth().transpose(turn)
    content = encoded(image, form, exif=tags)
    back = BACK.get(turn, turn)
    if form != "JPEG":
        return content, smooth()
    laid = Image.open(BytesIO(content))
    return content, laid.copy() if back is None else laid.transpose(back)


def odd_pictures():
    """Return pictures in odd forms, each with the same picture as plain RGB."""
    grey, colours, clear = smooth().convert("L"), smooth().quantize(64), smooth()
    clear.putalpha(255)
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    cmyk = encoded(smooth().convert("CMYK"), "JPEG")
    film = {"save_all": True, "append_images": [noise(0, width=120, height=90)]}
    return {
        "palette.png": (encoded(colours), colours.convert("RGB")),
        "alpha.png": (encoded(clear), smooth()),
        "16 bits.png": (encoded(wide), grey.convert("RGB")),
        "16 bits.tif": (encoded(wide, "TIFF"), grey.convert("RGB")),
        "one bit.png": (encoded(grey.convert("1")), grey.convert("1").convert("RGB")),
        "film.gif": (encoded(colours, "GIF", **film), colours.convert("RGB")),
        "film.webp": (encoded(smooth(), "WEBP", lossless=True, **film), smooth()),
        "cmyk.jpg": (cmyk, Image.open(BytesIO(cmyk)).convert("RGB")),
        **{f"{n}.{form}": turned(n, form) for n in TURNS for form in ("PNG", "TIFF", "JPEG")},
        "日本語 🦊 \u202e\0.png": (encoded(smooth(), compress_level=2), smooth()),
        "n" * 1024: (encoded(smooth(), compress_level=3), smooth()),
    }


def bomb(side):
    """Return a true PNG of side x side black pixels."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, *bytes(4))),
        (b"IDAT", zlib.compress(bytes(side * (1 + side // 8)), 1)),
        (b"IEND", b""),
    )
    framed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def bad_pictures():
    """Return what must be refused, with the reason."""
    return {
        "empty.jpg": (b"", "IMAGE_UNREADABLE"),
        "text.jpg": (b"No picture, only words. " * 50, "IMAGE_UNREADABLE"),
        "cut.jpg": (encoded(smooth(400, 300), "JPEG")[:2000], "IMAGE_UNREADABLE"),
        "cut.png": (picture(0)[:300], "IMAGE_UNREADABLE"),
        "header.png": (picture(0)[:20], "IMAGE_UNREADABLE"),
        "bomb.png": (bomb(30_000), "IMAGE_TOO_LARGE"),
        "heavy.png": (bytes(25 * 2**20), "IMAGE_TOO_LARGE"),
        "": (picture(0), "TEXT_LENGTH"),
        "n" * 1025: (picture(0), "TEXT_LENGTH"),
    }
