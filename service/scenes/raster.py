"""Raster: a scene's shapes as maps of pixels, and the noise fields that textures are made of.

In: parts, shadows, a seed and a side in pixels. Out: integer and float maps of that side.
What the maps look like in colour is decided in `service.scenes.shading`. Conditions never come here, so geometry and
texture positions cannot depend on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise

import cv2
import numpy as np
from jaxtyping import Float32, UInt16

from service.scenes.scene import Part, Points

_SHIFT = 4  # cv2 takes corners in 1/16 pixel
_NOISE_PX = 256  # side of the noise tiles; the same tile serves every picture size

PartMap = UInt16[np.ndarray, "side side"]
Field = Float32[np.ndarray, "side side"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureFields:
    """Noise maps of zero mean and about unit spread.

    Attributes:
        grain: Finest detail.
        blotch: Patches of a tenth of the picture and smaller.
        relief: Small slopes turned to the light or away from it.
        ground: Detail of a plane seen at an angle: coarse near, fine towards the horizon.
        ripple: The same, drawn out sideways: waves.
        overhead: The same on a plane above the horizon: clouds.
    """

    grain: Field
    blotch: Field
    relief: Field
    ground: Field
    ripple: Field
    overhead: Field


def rasterise_parts(parts: Sequence[Part], side: int) -> PartMap:
    """Return the number of the topmost part at every pixel."""
    part_map = np.zeros((side, side), dtype=np.uint16)
    outlines = [points for part in parts for points in part.outlines]
    corners = _corners(np.concatenate(outlines), side)
    stops = list(accumulate(len(points) for points in outlines))
    placed = iter([corners[start:stop] for start, stop in pairwise([0, *stops])])
    for number, part in enumerate(parts):
        cv2.fillPoly(part_map, list(islice(placed, len(part.outlines))), number, shift=_SHIFT)
    return part_map


def rasterise_shadows(shadows: Sequence[Points], side: int) -> Field:
    """Return 1 where shadows lie and 0 elsewhere, with soft edges."""
    small = side // 2  # they are blurred anyway
    mask = np.zeros((small, small), dtype=np.uint8)
    for outline in shadows:
        cv2.fillPoly(mask, [_corners(outline, small)], 255, shift=_SHIFT)
    blurred = cv2.GaussianBlur(mask, (0, 0), max(small / 100, 0.6))
    soft: Field = cv2.resize(blurred, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    return soft


def sample_textures(rng: np.random.Generator, side: int, *, horizon: float, light_x: float) -> TextureFields:
    """Return the noise fields of a scene; the same at every side but for resolution."""
    fine = rng.standard_normal((_NOISE_PX, _NOISE_PX), dtype=np.float32)
    cloudy = _octaves(rng)
    slope = np.roll(cloudy, 2, axis=0) - cloudy + light_x * (np.roll(cloudy, 2, axis=1) - cloudy)
    share = (np.arange(side // 2, dtype=np.float32) + 0.5) / (side // 2)
    tile = _unit(cloudy + 0.5 * cv2.GaussianBlur(fine, (0, 0), 1.0))
    return TextureFields(
        grain=_resized(_unit(cv2.GaussianBlur(fine, (0, 0), 0.7)), side),
        blotch=_resized(cloudy, side),
        relief=_resized(_unit(slope), side),
        ground=_plane(tile, share, share - horizon, side, across=1.0, away=0.30),
        ripple=_plane(tile, share, share - horizon, side, across=0.30, away=0.75),
        overhead=_plane(cloudy, share, horizon - share, side, across=0.25, away=0.25),
    )


def _corners(points: Points, side: int) -> np.ndarray:
    return np.rint((points * side - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _octaves(rng: np.random.Generator) -> Float32[np.ndarray, "noise noise"]:
    total = np.zeros((_NOISE_PX, _NOISE_PX), dtype=np.float32)
    for knots, height in ((6, 1.0), (12, 0.7), (24, 0.5), (48, 0.34), (96, 0.22)):
        octave = rng.standard_normal((knots, knots), dtype=np.float32)
        total += height * cv2.resize(octave, (_NOISE_PX, _NOISE_PX), interpolation=cv2.INTER_CUBIC)
    return _unit(total)


def _unit(field: Float32[np.ndarray, "noise noise"]) -> Float32[np.ndarray, "noise noise"]:
    unit: Float32[np.ndarray, "noise noise"] = (field - field.mean()) / field.std()
    return unit


def _resized(field: Float32[np.ndarray, "rows columns"], side: int) -> Field:
    resized: Field = cv2.resize(field, (side, side), interpolation=cv2.INTER_LINEAR)
    return resized


def _plane(
    tile: Float32[np.ndarray, "noise noise"],
    share: Float32[np.ndarray, " half"],
    gap: Float32[np.ndarray, " half"],
    side: int,
    *,
    across: float,
    away: float,
) -> Field:
    """Return a tile laid on a level plane, mirrored at its edges; fades towards the horizon, where `gap` is 0."""
    depth = (np.maximum(gap, 0.0) + 0.06)[:, None]
    u = _NOISE_PX * (across * 0.5 * (share[None, :] - 0.5) / depth + 0.5)
    v = np.repeat(_NOISE_PX * away * 0.35 / depth, len(share), axis=1)
    seen = cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return _resized(seen * np.clip(depth * 4.0, 0.25, 1.0), side)
