"""Light: the atmosphere of an instance, and what conditions make of it.

In: a random generator, or an atmosphere with conditions. Out: `Atmosphere` or `Light`.
How surfaces answer to the light is decided in `service.scenes.shading` and `service.scenes.sky`.
"""

from dataclasses import dataclass

import numpy as np

from service.scenes.colours import jittered, mix, scaled
from service.scenes.scene import Atmosphere, Colour, Conditions, Season, TimeOfDay, Weather

# (zenith, horizon, sunlight) of clear days
_MOODS: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((0.22, 0.46, 0.82), (0.74, 0.86, 0.95), (1.00, 0.97, 0.90)),  # azure
    ((0.50, 0.66, 0.84), (0.90, 0.92, 0.92), (1.00, 0.98, 0.95)),  # pale
    ((0.44, 0.52, 0.70), (0.98, 0.80, 0.52), (1.06, 0.86, 0.60)),  # golden
    ((0.46, 0.46, 0.70), (0.98, 0.76, 0.72), (1.04, 0.86, 0.82)),  # rose
    ((0.62, 0.65, 0.70), (0.82, 0.83, 0.84), (0.88, 0.90, 0.92)),  # overcast
    ((0.22, 0.50, 0.60), (0.76, 0.89, 0.87), (0.97, 1.00, 0.95)),  # teal
    ((0.36, 0.34, 0.58), (0.86, 0.72, 0.80), (0.98, 0.90, 0.98)),  # violet
    ((0.58, 0.46, 0.42), (1.00, 0.76, 0.48), (1.07, 0.83, 0.62)),  # amber
    ((0.78, 0.78, 0.74), (0.92, 0.90, 0.84), (0.98, 0.96, 0.90)),  # milky
)
_MOOD_ODDS = (0.20, 0.15, 0.13, 0.08, 0.13, 0.08, 0.07, 0.08, 0.08)
_GREY_DAY: tuple[Colour, Colour] = ((0.30, 0.33, 0.38), (0.56, 0.58, 0.60))
_NIGHT: tuple[Colour, Colour] = ((0.03, 0.05, 0.14), (0.20, 0.23, 0.38))
_GREY_NIGHT: tuple[Colour, Colour] = ((0.07, 0.08, 0.12), (0.18, 0.20, 0.25))
_WHITE: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """What shines on a scene under given conditions.

    Attributes:
        zenith: Colour of the sky overhead.
        horizon: Colour of the sky at the horizon and of haze.
        clouds: Colour of the clouds' bright side.
        ambient: Light from all around.
        direct: Light from the sun or the moon.
        indoors: Light inside rooms.
        cloudiness: Share of the sky under clouds.
        haze: How much distance fades.
        stars: Brightness of stars, 0 by day.
        lamps: Lamps, windows and signs are on.
    """

    zenith: Colour
    horizon: Colour
    clouds: Colour
    ambient: Colour
    direct: Colour
    indoors: Colour
    cloudiness: float
    haze: float
    stars: float
    lamps: bool


def sample_atmosphere(rng: np.random.Generator, *, light_x: float, horizon: float) -> Atmosphere:
    """Return the light and the camera of one instance; exposure and white balance vary widely on purpose."""
    zenith, low, sunlight = _MOODS[rng.choice(len(_MOODS), p=_MOOD_ODDS)]
    exposure = float(np.exp(np.clip(rng.normal(0.0, 0.18), -0.34, 0.28)))
    balance = np.exp(rng.normal(0.0, 0.07, 3))
    gains = exposure * balance / balance.mean()
    return Atmosphere(
        zenith=jittered(rng, zenith, 0.04),
        horizon=jittered(rng, low, 0.03),
        sunlight=sunlight,
        sun_xy=(0.5 + 0.36 * light_x, float(rng.uniform(0.16, 0.75)) * horizon),
        cloudiness=float(rng.uniform(0.05, 0.75)),
        haze=float(rng.uniform(0.3, 0.9)),
        gains=(float(gains[0]), float(gains[1]), float(gains[2])),
        contrast=float(rng.uniform(0.88, 1.18)),
        night_tint=jittered(rng, (0.50, 0.60, 0.92), 0.08),
    )


def light_under(atmosphere: Atmosphere, conditions: Conditions) -> Light:
    """Return the light that an atmosphere has under the conditions."""
    storm = conditions.weather is Weather.STORM
    if conditions.time is TimeOfDay.NIGHT:
        return _night(atmosphere, storm=storm)
    winter = conditions.season is Season.WINTER
    zenith, horizon, sunlight = atmosphere.zenith, atmosphere.horizon, atmosphere.sunlight
    if winter:  # a low sun: paler sky, cooler shade
        zenith, horizon = mix(zenith, (0.62, 0.70, 0.80), 0.3), mix(horizon, (0.90, 0.92, 0.95), 0.3)
    if storm:
        zenith, horizon = mix(zenith, _GREY_DAY[0], 0.78), mix(horizon, _GREY_DAY[1], 0.78)
    ambient = mix(mix(zenith, _WHITE, 0.45), sunlight, 0.35)
    return Light(
        zenith=zenith,
        horizon=horizon,
        clouds=scaled(mix(horizon, (0.5, 0.52, 0.55), 0.4), 0.85) if storm else mix(_WHITE, horizon, 0.35),
        ambient=scaled(ambient, 0.72 if storm else 0.66),
        direct=scaled(sunlight, 0.10 if storm else 0.46),
        indoors=scaled(mix(ambient, sunlight, 0.5), 0.80 if storm else 1.02),
        cloudiness=1.3 if storm else atmosphere.cloudiness,
        haze=min(1.0, atmosphere.haze + 0.35) if storm else atmosphere.haze,
        stars=0.0,
        lamps=False,
    )


def _night(atmosphere: Atmosphere, *, storm: bool) -> Light:
    zenith, horizon = _GREY_NIGHT if storm else _NIGHT
    tint = atmosphere.night_tint
    return Light(
        zenith=mix(zenith, scaled(tint, 0.15), 0.4),
        horizon=mix(horizon, mix(scaled(tint, 0.3), scaled(atmosphere.horizon, 0.3), 0.4), 0.5),
        clouds=scaled(mix(tint, _WHITE, 0.3), 0.26 if storm else 0.34),
        ambient=scaled(tint, 0.42 if storm else 0.44),
        direct=scaled(tint, 0.08 if storm else 0.26),
        indoors=(0.62, 0.50, 0.36),
        cloudiness=1.3 if storm else 0.6 * atmosphere.cloudiness,
        haze=0.8 * atmosphere.haze,
        stars=0.0 if storm else 1.0,
        lamps=True,
    )
