"""A scene as data: what stands where, of which material and colour, and under which conditions it can be seen.

In: nothing. Out: frozen records that `service.scenes.sampling` fills and `service.scenes.render` draws.
Nothing here draws or draws lots.

Convention: coordinates are shares of the picture's side, x to the right, y down, origin top left; colours are
(red, green, blue) shares of 1. Boxes are xyxy pixels, half-open.
"""

from dataclasses import dataclass
from enum import Enum
from itertools import product

import numpy as np
from jaxtyping import Float32

Colour = tuple[float, float, float]
Points = Float32[np.ndarray, "_ 2"]


class TimeOfDay(Enum):
    """Where the light comes from: the sun, or the moon and lamps."""

    DAY = "day"
    NIGHT = "night"


class Season(Enum):
    """Leaves and flowers, or snow."""

    SUMMER = "summer"
    WINTER = "winter"


class Weather(Enum):
    """Calm, or dark clouds with rain (in winter: snowfall)."""

    CLEAR = "clear"
    STORM = "storm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What may change between two pictures of one scene. None of it moves anything."""

    time: TimeOfDay = TimeOfDay.DAY
    season: Season = Season.SUMMER
    weather: Weather = Weather.CLEAR

    def __str__(self) -> str:
        return f"{self.time.value}-{self.season.value}-{self.weather.value}"


ALL_CONDITIONS = tuple(
    Conditions(time=time, season=season, weather=weather)
    for time, season, weather in product(TimeOfDay, Season, Weather)
)


class Material(Enum):
    """What a part is made of; decides its texture and what season and weather do to it."""

    SKY = "sky"
    WATER = "water"
    EARTH = "earth"
    SAND = "sand"
    GRASS = "grass"
    ROCK = "rock"
    ICE = "ice"
    LEAVES = "leaves"
    NEEDLES = "needles"
    FLOWERS = "flowers"
    WOOD = "wood"
    MASONRY = "masonry"
    ROOF = "roof"
    PAVEMENT = "pavement"
    GLASS = "glass"
    METAL = "metal"
    CLOTH = "cloth"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One painted shape. Parts later in a scene hide earlier ones.

    Attributes:
        outlines: Closed polygons; a point inside an even number of them is outside (that makes holes).
        material: What it is made of.
        colour: Colour at its top, in white light.
        foot: Colour at its bottom.
        roundness: How strongly the side turned to the light is brighter, 0 (flat) to about 1 (ball).
        distance: 0 (near) to 1 (at the horizon, lost in haze).
        glow: Light it sends out when lamps are on, or None.
        burning: Its glow is seen by day too.
        snow: Snow that lies all year: 0 none, 1 nearly all covered; the top is covered first.
        sheltered: Indoors, away from sun, snow and rain.
        affective: Belongs to the planted affective object.
    """

    outlines: tuple[Points, ...]
    material: Material
    colour: Colour
    foot: Colour
    roundness: float = 0.0
    distance: float = 0.0
    glow: Colour | None = None
    burning: bool = False
    snow: float = 0.0
    sheltered: bool = False
    affective: bool = False


class Polarity(Enum):
    """Whether what is planted evokes a pleasant or an unpleasant feeling."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


@dataclass(frozen=True, slots=True, kw_only=True)
class Affect:
    """A planted object that is meant to evoke a feeling.

    Attributes:
        kind: Its name, for example `balloons`.
        polarity: The sign of its valence.
        valence: -1 (very unpleasant) to 1 (very pleasant); assigned by us, not rated by people.
    """

    kind: str
    polarity: Polarity
    valence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Atmosphere:
    """The light of one instance on a clear day, and the camera that sees it.

    Attributes:
        zenith: Colour of the sky overhead.
        horizon: Colour of the sky at the horizon and of haze.
        sunlight: Colour of direct light.
        sun_xy: Where the sun (at night the moon) stands.
        cloudiness: Share of the sky under clouds, about 0 to 1.
        haze: How much distance fades, 0 to 1.
        gains: Camera gains of red, green and blue: exposure times white balance.
        contrast: Exponent of the camera's tone curve, about 1.
        night_tint: Colour of moonlight.
    """

    zenith: Colour
    horizon: Colour
    sunlight: Colour
    sun_xy: tuple[float, float]
    cloudiness: float
    haze: float
    gains: Colour
    contrast: float
    night_tint: Colour


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """All that is fixed about one instance of a category, whatever the conditions.

    Attributes:
        category: One of `service.scenes.sampling.CATEGORIES`.
        instance: Number inside the category.
        seed: Seed of the gallery it belongs to.
        horizon: Height of the horizon.
        waterline: Line in which water mirrors what stands above, or None.
        atmosphere: Its light and camera.
        parts: What is seen, farthest first.
        shadows: Outlines of shadows on the ground.
        texture_seed: Seed of its noise: textures, rain and snowfall.
        affect: The planted affective object, or None.
    """

    category: str
    instance: int
    seed: int
    horizon: float
    waterline: float | None
    atmosphere: Atmosphere
    parts: tuple[Part, ...]
    shadows: tuple[Points, ...]
    texture_seed: int
    affect: Affect | None
