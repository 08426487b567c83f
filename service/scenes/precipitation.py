"""Rain and snowfall: what a storm puts between the camera and the scene.

In: a picture, where it is sheltered, conditions and light. Out: the picture with streaks or flakes.
Clouds, haze and wet surfaces belong to `service.scenes.palette` and `service.scenes.shading`.
"""

import cv2
import numpy as np

from service.scenes.palette import Light
from service.scenes.raster import Field
from service.scenes.scene import Conditions, Season, Weather
from service.scenes.shading import Image, planes

_DROPS = 240
_FLAKES = 260


def paint_precipitation(
    image: Image, sheltered: Field, rng: np.random.Generator, conditions: Conditions, light: Light
) -> Image:
    """Return the picture with rain (summer) or snow (winter) falling outdoors in a storm, else unchanged."""
    if conditions.weather is not Weather.STORM or bool(sheltered.all()):
        return image
    winter = conditions.season is Season.WINTER
    layer = _flakes(rng, image.shape[1]) if winter else _streaks(rng, image.shape[1])
    strength = layer * (1.0 - sheltered) * (0.85 if winter else 0.34)
    brightness = planes(light.ambient) * np.float32(1.25 if winter else 1.1) + np.float32(0.06)
    fallen: Image = image + strength * (brightness - image)
    return fallen


def _streaks(rng: np.random.Generator, side: int) -> Field:
    slant = rng.uniform(-0.35, 0.35)
    start = rng.uniform(-0.1, 1.0, (_DROPS, 2))
    length = rng.uniform(0.03, 0.10, (_DROPS, 1))
    stop = start + length * [[slant, 1.0]]
    layer = np.zeros((side, side), dtype=np.uint8)
    lines = np.rint(np.stack([start, stop], axis=1) * side * 16).astype(np.int32)
    cv2.polylines(layer, list(lines), False, 255, 1, cv2.LINE_AA, 4)  # noqa: FBT003  (cv2 takes no keyword here)
    streaks: Field = layer.astype(np.float32) / 255
    return streaks


def _flakes(rng: np.random.Generator, side: int) -> Field:
    layer = np.zeros((side, side), dtype=np.uint8)
    centres = np.rint(rng.uniform(0.0, 1.0, (_FLAKES, 2)) * side * 16).astype(int)
    radii = np.rint(rng.uniform(0.0015, 0.0065, _FLAKES) * side * 16).astype(int)
    for (x, y), radius in zip(centres.tolist(), radii.tolist(), strict=True):
        cv2.circle(layer, (x, y), radius, 255, cv2.FILLED, cv2.LINE_AA, 4)
    flakes: Field = cv2.blur(layer, (3, 3)).astype(np.float32) / 255
    return flakes
