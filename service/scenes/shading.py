"""Surfaces in light: from the map of parts to lit colours, with season and weather on every material.

In: parts, their map, texture fields, shadows and light. Out: float32 colours before haze, sky, reflections and camera.
Geometry is read, never changed: conditions reach only colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int

from service.scenes.palette import Light
from service.scenes.raster import Field, PartMap, TextureFields
from service.scenes.scene import Colour, Conditions, Material, Part, Season, Weather

Image = Float32[
    np.ndarray, "3 side side"
]  # planes: numpy multiplies them by a field several times faster than pixels


Mask = Bool[np.ndarray, "side side"]
Numbers = Int[np.ndarray, "side side"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How a material answers: texture amplitudes, and what snow, frost and rain do to it."""

    grain: float = 0.0
    blotch: float = 0.0
    relief: float = 0.0
    ground: float = 0.0
    ripple: float = 0.0
    snow: float = 0.0  # share covered in winter
    snow_top: float = 0.0  # how much more of it at the top than at the foot
    bare: float = 0.0  # how far winter takes its colour to brown
    wet: float = 0.0  # how much rain darkens it
    shaded: float = 0.0  # how much shadows on the ground show on it


_LOOKS = {
    Material.SKY: _Look(),
    Material.WATER: _Look(ripple=0.10, bare=0.35, wet=0.15, shaded=0.5),
    Material.EARTH: _Look(grain=0.06, blotch=0.05, ground=0.10, snow=0.62, wet=0.25, shaded=1.0),
    Material.SAND: _Look(grain=0.05, ground=0.07, relief=0.03, snow=0.52, wet=0.25, shaded=1.0),
    Material.GRASS: _Look(grain=0.08, blotch=0.06, ground=0.13, snow=0.74, bare=0.5, wet=0.15, shaded=1.0),
    Material.ROCK: _Look(grain=0.05, blotch=0.07, relief=0.16, snow=0.40, snow_top=0.5, wet=0.25, shaded=0.6),
    Material.ICE: _Look(grain=0.03, blotch=0.04, relief=0.08, snow=0.55, snow_top=0.4, wet=0.1, shaded=0.7),
    Material.LEAVES: _Look(grain=0.13, relief=0.20, snow=0.42, snow_top=0.75, bare=0.75, wet=0.15),
    Material.NEEDLES: _Look(grain=0.10, relief=0.14, snow=0.38, snow_top=0.75, bare=0.2, wet=0.15),
    Material.FLOWERS: _Look(grain=0.08, snow=0.45, snow_top=0.3, bare=0.7, wet=0.1),
    Material.WOOD: _Look(grain=0.06, blotch=0.05, snow=0.12, snow_top=0.4, wet=0.3),
    Material.MASONRY: _Look(grain=0.04, blotch=0.035, wet=0.15),
    Material.ROOF: _Look(grain=0.06, blotch=0.04, snow=0.80, snow_top=0.2, wet=0.25),
    Material.PAVEMENT: _Look(grain=0.04, ground=0.07, blotch=0.03, snow=0.46, wet=0.35, shaded=1.0),
    Material.GLASS: _Look(blotch=0.05),
    Material.METAL: _Look(blotch=0.03, snow=0.10, snow_top=0.4, wet=0.1),
    Material.CLOTH: _Look(grain=0.04, snow=0.15, snow_top=0.4, wet=0.15),
    Material.PLAIN: _Look(),
}
_BARE: Colour = (0.42, 0.37, 0.32)
_ICY: Colour = (0.62, 0.70, 0.76)
_SNOW: Colour = (0.93, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """What the later passes need to know of every pixel.

    Attributes:
        lit: Colours in light, without haze and glow.
        glow: Light sent out, or None where there is none.
        distance: 0 (near) to 1.
        sheltered: 1 indoors, 0 outside.
        sky: True where the sky is seen.
        water: True where open water is seen.
    """

    lit: Image
    glow: Image | None
    distance: Field
    sheltered: Field
    sky: Mask
    water: Mask


def shade(
    parts: Sequence[Part],
    part_map: PartMap,
    textures: TextureFields,
    shadows: Field,
    *,
    light: Light,
    light_x: float,
    conditions: Conditions,
) -> Surfaces:
    """Return the lit surfaces of a scene."""
    looks = [_LOOKS[part.material] for part in parts]
    numbers = part_map.astype(np.intp)  # once, or every look-up would convert it
    across, down = _inside(parts, numbers)
    sheltered = _of_parts(numbers, [float(part.sheltered) for part in parts])
    grooves = _texture(looks, numbers, textures)
    base = _base_colours(parts, looks, numbers, down, conditions=conditions)
    snow = _snow_cover(parts, looks, numbers, down, textures, conditions=conditions)
    if conditions.weather is Weather.STORM:
        grooves -= _of_parts(
            numbers, [0.0 if part.sheltered else look.wet for part, look in zip(parts, looks, strict=True)]
        )
    base *= 1.0 + grooves
    if snow.any():
        base += snow * (planes(_SNOW) * (1.0 + 0.25 * grooves) - base)
    shaded = shadows * _of_parts(numbers, [look.shaded for look in looks])
    across *= light_x
    slope = _of_parts(numbers, [part.roundness for part in parts]) * (across - 0.75 * down)
    sunny = np.maximum((1.0 + 1.6 * slope) * (1.0 - shaded), 0.0)
    soft = 1.0 + 0.4 * slope - 0.25 * shaded
    light_map = soft * planes(light.ambient) + sunny * planes(light.direct)
    if sheltered.any():
        light_map += sheltered * (soft * planes(light.indoors) - light_map)
    base *= light_map
    return Surfaces(
        lit=base,
        glow=_glow(parts, numbers, light),
        distance=_of_parts(numbers, [part.distance for part in parts]),
        sheltered=sheltered,
        sky=_of_material(numbers, parts, Material.SKY),
        water=_of_material(numbers, parts, Material.WATER),
    )


def planes(colour: Colour) -> Float32[np.ndarray, "3 1 1"]:
    """Return a colour that can be multiplied with an `Image` or a field."""
    return np.array(colour, dtype=np.float32).reshape(3, 1, 1)


def _of_parts(part_map: Numbers, values: Sequence[float] | Float32[np.ndarray, " parts"]) -> Field:
    field: Field = np.take(np.asarray(values, dtype=np.float32), part_map, mode="clip")
    return field


def _of_parts_rgb(part_map: Numbers, colours: Float32[np.ndarray, "parts 3"]) -> Image:
    image = np.empty((3, *part_map.shape), dtype=np.float32)
    for plane, values in zip(image, colours.T, strict=True):
        np.take(values, part_map, mode="clip", out=plane)
    return image


def _of_material(part_map: Numbers, parts: Sequence[Part], material: Material) -> Mask:
    mask: Mask = np.take(np.array([part.material is material for part in parts]), part_map, mode="clip")
    return mask


def _inside(parts: Sequence[Part], part_map: Numbers) -> tuple[Field, Field]:
    """Return where a pixel lies in its part's bounding box, across and down, both -1 to 1."""
    points = np.concatenate([points for part in parts for points in part.outlines])
    counts = [sum(len(points) for points in part.outlines) for part in parts]
    starts = np.cumsum([0, *counts[:-1]])
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    scale = 2.0 / np.maximum(high - low, 1e-4)
    offset = -scale * low - 1.0
    share = (np.arange(len(part_map), dtype=np.float32) + 0.5) / len(part_map)
    across = _of_parts(part_map, scale[:, 0]) * share[None, :] + _of_parts(part_map, offset[:, 0])
    down = _of_parts(part_map, scale[:, 1]) * share[:, None] + _of_parts(part_map, offset[:, 1])
    return across, down


def _texture(looks: Sequence[_Look], part_map: Numbers, textures: TextureFields) -> Field:
    total: Field = _of_parts(part_map, [look.grain for look in looks]) * textures.grain
    total += _of_parts(part_map, [look.blotch for look in looks]) * textures.blotch
    total += _of_parts(part_map, [look.relief for look in looks]) * textures.relief
    total += _of_parts(part_map, [look.ground for look in looks]) * textures.ground
    total += _of_parts(part_map, [look.ripple for look in looks]) * textures.ripple
    return total


def _base_colours(
    parts: Sequence[Part], looks: Sequence[_Look], part_map: Numbers, down: Field, *, conditions: Conditions
) -> Image:
    top = np.array([part.colour for part in parts], dtype=np.float32)
    foot = np.array([part.foot for part in parts], dtype=np.float32)
    if conditions.season is Season.WINTER:
        target = [_ICY if part.material is Material.WATER else _BARE for part in parts]
        bare = np.array(
            [0.0 if part.sheltered else look.bare for part, look in zip(parts, looks, strict=True)]
        )
        share = bare.astype(np.float32)[:, None]
        top, foot = (
            top + share * (np.array(target, dtype=np.float32) - top),
            foot + share * (np.array(target, dtype=np.float32) - foot),
        )
    middle, half = 0.5 * (top + foot), 0.5 * (foot - top)
    base = _of_parts_rgb(part_map, middle)
    base += down * _of_parts_rgb(part_map, half)
    return base


def _snow_cover(
    parts: Sequence[Part],
    looks: Sequence[_Look],
    part_map: Numbers,
    down: Field,
    textures: TextureFields,
    *,
    conditions: Conditions,
) -> Field:
    """Return how much snow hides each pixel: all year where parts say so, and in winter by material."""
    level, top = [0.0] * len(parts), [0.0] * len(parts)
    for number, (part, look) in enumerate(zip(parts, looks, strict=True)):
        if part.snow > 0:
            level[number], top[number] = part.snow, 0.8 * (1.0 - part.snow)
        if conditions.season is Season.WINTER and not part.sheltered and look.snow > part.snow:
            level[number], top[number] = look.snow, look.snow_top
    depth = _of_parts(part_map, level) - 0.5 * _of_parts(part_map, top) * down
    rough = 0.11 * textures.blotch + 0.05 * textures.relief + 0.07 * textures.ground
    cover: Field = np.clip((depth + rough - 0.42) * 5.0, 0.0, 1.0) * (depth > 0.02)
    return cover


def _glow(parts: Sequence[Part], part_map: Numbers, light: Light) -> Image | None:
    dark = (0.0, 0.0, 0.0)
    sent = [(part.glow or dark) if light.lamps or part.burning else dark for part in parts]
    if all(colour is dark for colour in sent):
        return None
    return _of_parts_rgb(part_map, np.array(sent, dtype=np.float32))
