"""Decoding: every common kind of picture comes out upright and in the right colours, everything else is refused with its reason."""

import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from service.errors import ImageError, ImageTooLargeError, UnreadableImageError
from service.vision.images import ImageLimits, decode_image, thumbnail_jpeg

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")


def picture(width: int = 48, height: int = 32) -> np.ndarray:
    """A smooth picture whose four corners differ: red grows rightwards, green downwards."""
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)[None, :]
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


def encode(image: np.ndarray | Image.Image, name: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, name, **options)
    return buffer.getvalue()


def png(width: int, height: int, *, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG from raw scan lines (each with its filter byte), for kinds that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def mean_error(actual: np.ndarray, expected: np.ndarray) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual.astype(int) - expected).mean())


@pytest.mark.parametrize("name", FORMATS)
def test_every_taken_format_gives_the_pixels_that_were_encoded(name: str) -> None:
    decoded = decode_image(encode(picture(), name))
    assert (decoded.width, decoded.height, decoded.format) == (48, 32, name)
    assert decoded.pixels.dtype == np.uint8
    assert mean_error(decoded.pixels, picture()) < (0.5 if name in {"PNG", "BMP", "TIFF", "PPM"} else 12)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_picture_is_an_error_and_not_half_a_picture(name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = encode(noise, name)
    with pytest.raises(UnreadableImageError, match=r"truncated or corrupt|no image that can be read"):
        decode_image(content[: int(len(content) * share)])


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(name: str, orientation: int) -> None:
    """The eight orientations undo, by hand, what a camera held that way has stored."""
    upright = picture(64, 32)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_image(encode(np.ascontiguousarray(stored), name, exif=exif))
    assert (decoded.width, decoded.height) == (64, 32)
    assert mean_error(decoded.pixels, upright) < 6


def test_damaged_exif_neither_spoils_the_picture_nor_warns(tmp_path: Path) -> None:
    """In a process of its own, as pytest sets its own warning filters above those of `images`."""
    path = tmp_path / "damaged.jpg"
    path.write_bytes(encode(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage"))
    program = "import sys, pathlib; from service.vision.images import decode_image; "
    program += "print(decode_image(pathlib.Path(sys.argv[1]).read_bytes()).width)"
    command = [sys.executable, "-W", "error::UserWarning", "-c", program, str(path)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert (done.stdout, done.stderr) == ("48\n", "")


@pytest.mark.parametrize("value", [0, 1, 255, 256, 300, 32768, 40000, 65279, 65535])
@pytest.mark.parametrize("name", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_not_clipped(name: str, value: int) -> None:
    decoded = decode_image(encode(np.full((4, 6), value, np.uint16), name))
    assert decoded.pixels.shape == (4, 6, 3)
    assert np.abs(decoded.pixels.astype(int) - round(value * 255 / 65535)).max() <= (name == "PPM")


def test_16_bit_rgb_is_scaled() -> None:
    rows = b"".join(b"\0" + struct.pack(">HHH", 0x8000, 0x00FF, 0xFFFF) * 3 for _ in range(2))
    decoded = decode_image(png(3, 2, depth=16, colour=2, rows=rows))
    np.testing.assert_allclose(decoded.pixels[0, 0].astype(int), [128, 1, 255], atol=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 51.0, 255.0], [0, 51, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, np.nan, 1e6], [0, 0, 255]),
        ([-3e38, np.inf, 3e38], [0, 128, 255]),
    ],
)
def test_float_grey_is_scaled_to_its_usual_white(values: list[float], expected: list[int]) -> None:
    decoded = decode_image(encode(np.array([values], np.float32), "TIFF"))
    np.testing.assert_allclose(decoded.pixels[0, :, 0].astype(int), expected, atol=1)


def test_32_bit_grey_beyond_16_bits_is_stretched_to_its_maximum() -> None:
    decoded = decode_image(encode(np.array([[0, 100_000, 200_000]], np.int32), "TIFF"))
    assert decoded.pixels[0, :, 0].tolist() == [0, 128, 255]


def test_transparency_is_laid_on_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0], rgba[0, :, 3] = 200, [0, 128, 255]
    expected = [[255, 255, 255], [227, 127, 127], [200, 0, 0]]
    for name in ("PNG", "TIFF"):
        decoded = decode_image(encode(rgba, name)).pixels[0].astype(int)
        np.testing.assert_allclose(decoded, expected, atol=1)


def test_grey_with_alpha_is_laid_on_white() -> None:
    la = np.array([[[10, 0], [10, 255]]], np.uint8)
    assert decode_image(encode(Image.fromarray(la, "LA"))).pixels[0, :, 0].tolist() == [255, 10]


def test_a_palette_with_transparency_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert decode_image(encode(image)).pixels[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    for transparency in (0, b"\0\xff"):
        decoded = decode_image(encode(image, transparency=transparency))
        assert decoded.pixels[0].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_one_bit_and_grey_pictures_become_rgb() -> None:
    grey = np.array([[0, 255, 255, 0]], np.uint8)
    for image in (Image.fromarray(grey), Image.fromarray(grey).convert("1")):
        decoded = decode_image(encode(image)).pixels
        assert (decoded[..., 0].tolist(), decoded.shape) == (grey.tolist(), (1, 4, 3))


def test_cmyk_jpeg_and_tiff_keep_their_colours() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for name in ("JPEG", "TIFF"):
        np.testing.assert_allclose(decode_image(encode(red, name)).pixels.mean((0, 1)), [254, 0, 0], atol=3)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(name: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "lime")]
    content = encode(frames[0], name, save_all=True, append_images=frames[1:], duration=50)
    np.testing.assert_allclose(decode_image(content).pixels.mean((0, 1)), [255, 0, 0], atol=3)


def test_of_a_page_sequence_the_first_page_is_taken() -> None:
    content = encode(
        Image.new("RGB", (8, 8), "red"),
        "TIFF",
        save_all=True,
        append_images=[Image.new("RGB", (99, 99))],
    )
    assert decode_image(content).pixels.tolist() == [[[255, 0, 0]] * 8] * 8


def test_a_colour_profile_is_applied() -> None:
    """A profile whose red and green primaries are exchanged exchanges the channels."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = srgb.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
    exchanged = exchanged.replace("sRGB".encode("utf-16-be"), "other".encode("utf-16-be")[:8])
    decoded = decode_image(encode(picture(), icc_profile=exchanged)).pixels
    assert mean_error(decoded, picture()[..., [1, 0, 2]]) < 1


def test_the_srgb_profile_changes_nothing_and_a_broken_or_foreign_one_is_ignored() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"broken", srgb[:200], b"\0" * 3000):
        decoded = decode_image(encode(picture(), icc_profile=profile)).pixels
        np.testing.assert_array_equal(decoded, picture())
    grey = picture()[..., 0].copy()
    decoded = decode_image(encode(grey, icc_profile=srgb)).pixels  # an RGB profile does not fit grey pixels
    np.testing.assert_array_equal(decoded[..., 0], grey)


def test_target_size_allows_a_smaller_jpeg_but_reports_the_full_size() -> None:
    content = encode(picture(640, 401), "JPEG")
    for target, shorter in ((400, 401), (200, 201), (100, 101), (60, 101), (50, 51), (1, 51)):
        decoded = decode_image(content, target_px=target)
        assert (decoded.width, decoded.height) == (640, 401)
        assert min(decoded.pixels.shape[:2]) == shorter >= target
        resized = np.asarray(Image.fromarray(picture(640, 401)).resize(decoded.pixels.shape[1::-1]))
        assert mean_error(decoded.pixels, resized) < 6
    assert decode_image(encode(picture(640, 401)), target_px=10).pixels.shape == (401, 640, 3)


def test_target_size_of_an_almost_square_turned_jpeg_keeps_width_and_height_apart() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode_image(encode(picture(144, 143), "JPEG", exif=exif), target_px=16)
    assert (decoded.width, decoded.height, decoded.pixels.shape) == (143, 144, (18, 18, 3))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello, this is no picture", "text"),
        ("schöne Grüße".encode() * 100, "text"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript document"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture or a video"),
        (b"\xff\xd8\xff", "a damaged JPEG"),
        (b"\0\1\2\3" * 20, "no known format"),
        (b"\xfa\xfb\xfc" * 20, "no known format"),
    ],
)
def test_bytes_that_are_no_picture_are_named_for_what_they_look_like(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=f"they look like {reason}. Formats taken: JPEG, PNG"):
        decode_image(content)


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(UnreadableImageError, match="empty: it has no bytes"):
        decode_image(b"")


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0)])
def test_a_picture_without_pixels_is_refused(width: int, height: int) -> None:
    with pytest.raises(UnreadableImageError):
        decode_image(png(width, height, depth=8, colour=2, rows=b"\0" * 20))


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(ImageTooLargeError, match="has 101 bytes, the limit is 100") as caught:
        decode_image(b"x" * 101, limits=ImageLimits(max_bytes=100))
    assert caught.value.metadata == {"byte_size": "101", "max_bytes": "100"}
    assert caught.value.reason == "IMAGE_TOO_LARGE"


def test_a_bomb_is_refused_before_its_pixels_are_decoded() -> None:
    """The pixel data here is no valid stream, so any attempt to decode it would give another error."""
    with pytest.raises(ImageTooLargeError, match="30000 x 30000 pixels, the limit is 120000000") as caught:
        decode_image(png(30_000, 30_000, depth=8, colour=2, rows=b""))
    assert caught.value.metadata["width"] == "30000"


def test_size_limits_are_inclusive_and_hold_per_side() -> None:
    content = encode(picture(48, 32))
    assert decode_image(content, limits=ImageLimits(max_pixels=48 * 32, max_side_px=48)).width == 48
    with pytest.raises(ImageTooLargeError, match="1535 in all"):
        decode_image(content, limits=ImageLimits(max_pixels=48 * 32 - 1))
    with pytest.raises(ImageTooLargeError, match="47 per side"):
        decode_image(content, limits=ImageLimits(max_side_px=47))


def test_a_thumbnail_keeps_the_proportions_and_never_enlarges() -> None:
    thumbnail = decode_image(thumbnail_jpeg(picture(640, 320), side_px=128))
    assert (thumbnail.width, thumbnail.height, thumbnail.format) == (128, 64, "JPEG")
    small = decode_image(thumbnail_jpeg(picture(48, 32), side_px=128))
    assert (small.width, small.height) == (48, 32)
    assert mean_error(small.pixels, picture(48, 32)) < 6
    assert decode_image(thumbnail_jpeg(picture(1000, 1), side_px=100)).height == 1


def check_total(content: bytes) -> None:
    """Whatever the bytes: a consistent picture or an ImageError, nothing else."""
    limits = ImageLimits(max_pixels=1_000_000)
    try:
        decoded = decode_image(content, limits=limits)
    except ImageError:
        return
    assert decoded.pixels.shape == (decoded.height, decoded.width, 3)
    assert decoded.width * decoded.height <= limits.max_pixels


VALID = [
    *(encode(picture(24, 16), name) for name in FORMATS),
    encode(Image.fromarray(picture(24, 16)).convert("P"), "GIF"),
    encode(Image.fromarray(picture(24, 16)).convert("P"), "PNG", transparency=3),
    encode(Image.fromarray(picture(24, 16)).convert("CMYK"), "JPEG"),
    encode(picture(24, 16), "TIFF", compression="tiff_lzw"),
    encode(np.full((6, 6), 999, np.uint16), "PNG"),
    encode(
        picture(24, 16),
        "JPEG",
        exif=Image.Exif(),
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ),
]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_an_image_error(content: bytes) -> None:
    check_total(content)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")  # as `images` sets outside of pytest
@pytest.mark.filterwarnings("ignore::UserWarning:PIL.PngImagePlugin")
@settings(deadline=None, max_examples=400)
@given(st.sampled_from(VALID), st.data())
def test_no_mutation_of_a_picture_raises_anything_but_an_image_error(
    valid: bytes, data: st.DataObject
) -> None:
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    check_total(bytes(content))
