"""Pictures of scenes: one scene, one set of conditions, one size.

In: a `Scene` and `Conditions`. Out: a `RenderedScene`: RGB pixels, the map of parts, the affective object's box.
The same scene has the same map under all conditions, because only `rasterise_parts` makes it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

from service.errors import InvalidArgumentError
from service.scenes.palette import light_under
from service.scenes.precipitation import paint_precipitation
from service.scenes.raster import Field, rasterise_parts, rasterise_shadows, sample_textures
from service.scenes.scene import Affect, Atmosphere, Conditions, Scene
from service.scenes.shading import Image, Surfaces, planes, shade
from service.scenes.sky import paint_sky

MIN_SIZE_PX = 96
MAX_SIZE_PX = 1024
DEFAULT_SIZE_PX = 192
_OVERSAMPLING = 1.5  # smooth edges at half the cost of 2

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedAffect:
    """The affective object as seen in a picture: xyxy pixels, half-open, tight around its visible pixels."""

    affect: Affect
    box_xyxy: Box


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RenderedScene:
    """A picture and all that is known of it.

    Attributes:
        image: RGB pixels.
        segments: Index into `Scene.parts` of what is seen at each pixel; equal under all conditions.
        category: The scene's category.
        instance: The scene's number inside its category.
        conditions: Time, season and weather.
        planted: The affective object with its box, or None.
    """

    image: UInt8[np.ndarray, "h w 3"]
    segments: UInt16[np.ndarray, "h w"]
    category: str
    instance: int
    conditions: Conditions
    planted: PlantedAffect | None


def render(
    scene: Scene, conditions: Conditions | None = None, size_px: int = DEFAULT_SIZE_PX
) -> RenderedScene:
    """Return the square picture of a scene under conditions (a clear summer day if None).

    Raises:
        InvalidArgumentError: The size is outside 96..1024 pixels.
    """
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise InvalidArgumentError(
            f"Scenes are drawn at {MIN_SIZE_PX} to {MAX_SIZE_PX} px, got size_px={size_px}.", field="size_px"
        )
    conditions = Conditions() if conditions is None else conditions
    side = 2 * round(_OVERSAMPLING * size_px / 2)
    part_map = rasterise_parts(scene.parts, side)
    centres = ((np.arange(size_px) + 0.5) * side / size_px).astype(int)
    segments = part_map[np.ix_(centres, centres)]
    return RenderedScene(
        image=_develop(_paint(scene, part_map, conditions), scene.atmosphere, size_px),
        segments=segments,
        category=scene.category,
        instance=scene.instance,
        conditions=conditions,
        planted=_locate(scene, segments),
    )


def _paint(scene: Scene, part_map: UInt16[np.ndarray, "side side"], conditions: Conditions) -> Image:
    side = len(part_map)
    light = light_under(scene.atmosphere, conditions)
    light_x = 2.0 * (scene.atmosphere.sun_xy[0] - 0.5)
    rng = np.random.default_rng(scene.texture_seed)
    textures = sample_textures(rng, side, horizon=scene.horizon, light_x=light_x)
    surfaces = shade(
        scene.parts,
        part_map,
        textures,
        rasterise_shadows(scene.shadows, side),
        light=light,
        light_x=light_x,
        conditions=conditions,
    )
    image = surfaces.lit
    image += light.haze * surfaces.distance * (planes(light.horizon) - image)
    if surfaces.sky.any():
        sky = paint_sky(scene.atmosphere, light, textures, horizon=scene.horizon)
        np.copyto(image, sky, where=surfaces.sky)
    if surfaces.glow is not None:
        image += surfaces.glow
    if scene.waterline is not None:
        image = _reflect(image, surfaces, textures.ripple, scene.waterline)
    if surfaces.glow is not None:
        image += _bloom(surfaces.glow)
    return paint_precipitation(image, surfaces.sheltered, rng, conditions, light)


def _reflect(image: Image, surfaces: Surfaces, ripple: Field, waterline: float) -> Image:
    """Mix into open water what stands above the waterline, upside down and wavering."""
    side = image.shape[1]
    half = side // 2  # a mirror image is soft anyway
    rows = np.arange(half, dtype=np.float32)[:, None]
    depth = np.maximum(rows / half - np.float32(waterline), 0.0)
    wave = half * cv2.resize(ripple, (half, half), interpolation=cv2.INTER_AREA)
    source_y = 2.0 * waterline * half - rows + wave * (0.02 * (0.3 + depth))
    source_x = np.arange(half, dtype=np.float32)[None, :] + wave * (0.03 * (0.1 + depth))
    strength = surfaces.water * np.repeat(np.clip(0.62 - 0.5 * depth, 0.25, 0.62), 2, axis=0)
    mixed = np.empty_like(image)
    for plane, target in zip(image, mixed, strict=True):
        small = cv2.resize(plane, (half, half), interpolation=cv2.INTER_AREA)
        seen = cv2.remap(small, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        target[:] = plane + strength * (
            cv2.resize(seen, (side, side), interpolation=cv2.INTER_LINEAR) - plane
        )
    return mixed


def _bloom(glow: Image) -> Image:
    """Return the light that lamps spill around themselves."""
    side = glow.shape[1]
    spilled = np.empty_like(glow)
    for plane, target in zip(glow, spilled, strict=True):
        small = cv2.resize(plane, (side // 8, side // 8), interpolation=cv2.INTER_AREA)
        blurred = 0.9 * cv2.GaussianBlur(small, (0, 0), side / 112) + 0.35 * cv2.GaussianBlur(
            small, (0, 0), side / 320
        )
        cv2.resize(blurred, (side, side), dst=target, interpolation=cv2.INTER_LINEAR)
    return spilled


def _develop(image: Image, atmosphere: Atmosphere, size_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return the camera's picture: reduced, exposed, with a soft shoulder instead of clipping."""
    reduced = cv2.resize(cv2.merge(list(image)), (size_px, size_px), interpolation=cv2.INTER_AREA)  # h w 3
    exposed = np.maximum(reduced * np.array(atmosphere.gains, dtype=np.float32), 0.0) ** np.float32(
        atmosphere.contrast
    )
    over = np.maximum(exposed - 0.8, 0.0)
    toned = np.minimum(exposed, 0.8) + over / (1.0 + 3.0 * over)  # reaches 1 at 1.3
    pixels: UInt8[np.ndarray, "h w 3"] = np.rint(255.0 * np.clip(toned, 0.0, 1.0)).astype(np.uint8)
    return pixels


def _locate(scene: Scene, segments: UInt16[np.ndarray, "h w"]) -> PlantedAffect | None:
    if scene.affect is None:
        return None
    mask = np.take(np.array([part.affective for part in scene.parts]), segments)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return PlantedAffect(affect=scene.affect, box_xyxy=box)
