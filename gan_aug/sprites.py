"""Rendered faces with attributes: every edit has an exact picture of how it should look (05-gan 4.1).

In: attributes and an identity. Out: images. The same identity with other attributes is the truth an edit is held to.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image, ImageDraw

from gan_aug.data import Dataset
from gan_aug.errors import BatchError

ATTRIBUTES = ("glasses", "hat", "smile", "moustache", "blond", "pale")
CANVAS = 128  # px on which faces are drawn before they are made smaller

Colour = tuple[int, int, int]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All that attributes leave open: 14 numbers in [0, 1].

    Args:
        background: hue, saturation, value.
        place: right and down.
        breadth: of the face.
        length: of the face.
        eyes: height, distance and size.
        mouth: height and breadth.
        tint: of skin and of hair.
    """

    background: tuple[float, float, float]
    place: tuple[float, float]
    breadth: float
    length: float
    eyes: tuple[float, float, float]
    mouth: tuple[float, float]
    tint: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Identity":
        """Return a random identity."""
        v = [float(each) for each in rng.random(14)]
        return cls(
            background=(v[0], v[1], v[2]),
            place=(v[3], v[4]),
            breadth=v[5],
            length=v[6],
            eyes=(v[7], v[8], v[9]),
            mouth=(v[10], v[11]),
            tint=(v[12], v[13]),
        )


def render(
    attributes: Float[np.ndarray, " _k"], identity: Identity, *, size: int
) -> UInt8[np.ndarray, "3 size size"]:
    """Return the face of an identity with these attributes, each present from 0.5 on.

    Args:
        attributes: in the order of `ATTRIBUTES`.
        identity: everything else.
        size: side in px.

    Raises:
        BatchError: if there are not six attributes.
    """
    if attributes.shape != (len(ATTRIBUTES),):
        raise BatchError(f"A face has {len(ATTRIBUTES)} attributes, got {attributes.shape}.")
    has = {name: bool(value >= 0.5) for name, value in zip(ATTRIBUTES, attributes, strict=True)}
    hue, saturation, value = identity.background
    back = f"hsv({360 * hue:.0f}, {30 + 50 * saturation:.0f}%, {35 + 55 * value:.0f}%)"
    image = Image.new("RGB", (CANVAS, CANVAS), back)
    _draw_face(ImageDraw.Draw(image), has, identity)
    small = image.resize((size, size), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def _draw_face(draw: ImageDraw.ImageDraw, has: dict[str, bool], identity: Identity) -> None:
    x = 64 + 12 * (identity.place[0] - 0.5)
    y = 70 + 10 * (identity.place[1] - 0.5)
    a, b = 28 + 8 * identity.breadth, 36 + 8 * identity.length
    skin = _tinted((246, 216, 196) if has["pale"] else (176, 116, 78), identity.tint[0])
    hair = _tinted((232, 200, 96) if has["blond"] else (58, 38, 26), identity.tint[1])
    _ellipse(draw, x, y - 0.22 * b, 1.14 * a, b, fill=hair)
    _ellipse(draw, x, y, a, b, fill=skin)
    draw.chord((x - a, y - b, x + a, y + b), 205, 335, fill=hair)
    height, distance, size = identity.eyes
    eye_y, apart, r = y - (4 + 8 * height), a * (0.36 + 0.14 * distance), 3.5 + 2 * size
    for side in (-1, 1):
        _ellipse(draw, x + side * apart, eye_y, r, 0.8 * r, fill=(250, 250, 250))
        _ellipse(draw, x + side * apart, eye_y, 0.5 * r, 0.5 * r, fill=(20, 20, 30))
    if has["glasses"]:
        _draw_glasses(draw, x, eye_y, apart, r)
    _draw_mouth(draw, has, (x, y), identity=identity, b=b, hair=hair)
    if has["hat"]:
        top = y - b
        draw.rectangle((x - 0.75 * a, top - 18, x + 0.75 * a, top + 10), fill=(150, 24, 40))
        draw.rectangle((x - 1.25 * a, top + 6, x + 1.25 * a, top + 14), fill=(110, 16, 30))


def _draw_glasses(draw: ImageDraw.ImageDraw, x: float, y: float, apart: float, r: float) -> None:
    frame = (10, 10, 10)
    for side in (-1, 1):
        c, s = x + side * apart, r + 4
        draw.ellipse((c - s, y - s, c + s, y + s), outline=frame, width=3)
    draw.line((x - apart + r + 4, y, x + apart - r - 4, y), fill=frame, width=3)


def _draw_mouth(
    draw: ImageDraw.ImageDraw,
    has: dict[str, bool],
    centre: tuple[float, float],
    *,
    identity: Identity,
    b: float,
    hair: Colour,
) -> None:
    x, y = centre[0], centre[1] + b * (0.45 + 0.1 * identity.mouth[0])
    w = 10 + 6 * identity.mouth[1]
    if has["smile"]:
        draw.chord((x - w, y - 10, x + w, y + 10), 10, 170, fill=(190, 40, 50))
    else:
        draw.line((x - w, y + 3, x + w, y + 3), fill=(150, 50, 50), width=4)
    if has["moustache"]:
        draw.polygon([(x, y - 9), (x + w + 2, y - 2), (x, y - 3), (x - w - 2, y - 2)], fill=hair)


def _ellipse(
    draw: ImageDraw.ImageDraw, x: float, y: float, a: float, b: float, *, fill: Colour
) -> None:  # centre and half axes, as in geometry
    draw.ellipse((x - a, y - b, x + a, y + b), fill=fill)


def _tinted(colour: Colour, tint: float) -> Colour:
    r, g, b = (min(255, round(c * (0.88 + 0.24 * tint))) for c in colour)
    return r, g, b


def sprites(n: int, *, size: int = 32, seed: int = 0) -> Dataset:
    """Return n random faces with independent, evenly split attributes."""
    rng = np.random.default_rng(seed)
    y: Float32[np.ndarray, "n 6"] = rng.integers(0, 2, (n, len(ATTRIBUTES))).astype(np.float32)
    faces = [render(each, Identity.draw(rng), size=size) for each in y]
    return Dataset(samples=np.stack(faces), y=y, names=ATTRIBUTES)
