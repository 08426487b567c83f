"""The sky: gradient, clouds, sun, moon and stars.

In: an atmosphere, light, texture fields and the horizon. Out: a float32 picture that is all sky.
Where the sky is seen is decided by the geometry.
"""

import numpy as np

from service.scenes.palette import Light
from service.scenes.raster import TextureFields
from service.scenes.scene import Atmosphere
from service.scenes.shading import Image, planes

_STAR_THRESHOLD = 2.75  # grain is about standard normal: a few stars in a thousand pixels
_DISC_RADIUS = 0.035


def paint_sky(atmosphere: Atmosphere, light: Light, textures: TextureFields, *, horizon: float) -> Image:
    """Return the sky over the whole picture."""
    clouds = textures.overhead
    side = len(clouds)
    share = (np.arange(side, dtype=np.float32) + 0.5) / side
    height = np.clip(share / max(horizon, 0.2), 0.0, 1.0) ** 1.3
    zenith, low = planes(light.zenith), planes(light.horizon)
    sky = np.repeat(zenith + height[:, None] * (low - zenith), side, axis=2)
    cover = np.clip((clouds + 3.2 * light.cloudiness - 2.2) * 0.9, 0.0, 1.0)
    clear = 1.0 - cover
    if light.stars > 0:
        sparkle = np.clip((textures.grain - _STAR_THRESHOLD) * 1.6, 0.0, 0.9) * (1.0 - height)[:, None]
        sky += light.stars * sparkle * clear
    distance = np.hypot(share[None, :] - atmosphere.sun_xy[0], share[:, None] - atmosphere.sun_xy[1])
    shine = planes(light.direct) / max(light.direct)
    sky += (0.06 if light.lamps else 0.30) * np.exp(-10.0 * distance) * (0.2 + 0.8 * clear) * shine
    sky += cover * (planes(light.clouds) * (1.0 + 0.03 * textures.blotch + 0.09 * clouds) - sky)
    disc = np.clip((_DISC_RADIUS - distance) * side * 0.5, 0.0, 1.0) * clear
    sky += disc * (1.05 * shine - sky)
    return sky
