"""A sketch: the growing list of parts that a composition adds to, and a local frame for drawing one thing.

In: outlines with a material and a colour. Out: the parts and shadows that a `Scene` keeps.
What is drawn where is decided by the compositions.
"""

from dataclasses import dataclass, field

import numpy as np

from service.scenes.geometry.outlines import ellipse, rectangle
from service.scenes.scene import Colour, Material, Part, Points


@dataclass(slots=True, kw_only=True)
class Sketch:
    """Parts in painting order, and what holds for those added next.

    Attributes:
        rng: The only source of chance of a composition.
        light_x: Where the light comes from, -1 (left) to 1 (right); shadows fall the other way.
        horizon: Height of the horizon.
        waterline: Line in which water mirrors, or None.
        sheltered: Parts added now are indoors.
        affective: Parts added now belong to the planted object.
    """

    rng: np.random.Generator
    light_x: float
    horizon: float = 0.45
    waterline: float | None = None
    sheltered: bool = False
    affective: bool = False
    parts: list[Part] = field(default_factory=list)
    shadows: list[Points] = field(default_factory=list)

    def add(
        self,
        outline: Points | list[Points],
        material: Material,
        colour: Colour,
        *,
        foot: Colour | None = None,
        roundness: float = 0.0,
        distance: float = 0.0,
        glow: Colour | None = None,
        burning: bool = False,
        snow: float = 0.0,
    ) -> None:
        """Paint a part over all earlier ones; an empty list of outlines paints nothing. Arguments as in `Part`."""
        outlines = tuple(outline) if isinstance(outline, list) else (outline,)
        if outlines:
            self.parts.append(
                Part(
                    outlines=outlines,
                    material=material,
                    colour=colour,
                    foot=colour if foot is None else foot,
                    roundness=roundness,
                    distance=distance,
                    glow=glow,
                    burning=burning,
                    snow=snow,
                    sheltered=self.sheltered,
                    affective=self.affective,
                )
            )

    def add_sky(self, horizon: float) -> None:
        """Paint the whole picture as sky and fix the horizon."""
        self.horizon = horizon
        self.add(rectangle(-0.02, -0.02, 1.02, 1.02), Material.SKY, (0.5, 0.5, 0.5))

    def add_shadow(self, x: float, y: float, width: float) -> None:
        """Lay a flat shadow on the ground at the foot of a thing of this width."""
        self.shadows.append(ellipse(x - 0.45 * self.light_x * width, y, 0.62 * width, 0.14 * width, count=16))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        """Return a number drawn evenly between low and high."""
        return float(self.rng.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both possible."""
        return int(self.rng.integers(low, high + 1))

    def stamp(self, x: float, y: float, size: float, *, distance: float = 0.0, flip: bool = False) -> "Stamp":
        """Return a local frame with its origin at (x, y)."""
        return Stamp(sketch=self, x=x, y=y, size=size, distance=distance, flip=flip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """A local frame for one thing: origin at its foot, x to the right, y UP, one unit is `size`.

    Attributes:
        sketch: Receives the parts.
        x: Origin in the picture.
        y: Origin in the picture.
        size: One local unit as a share of the picture's side.
        distance: Of all its parts.
        flip: Mirror left and right.
    """

    sketch: Sketch
    x: float
    y: float
    size: float
    distance: float = 0.0
    flip: bool = False

    def add(
        self,
        outline: Points | list[Points],
        material: Material,
        colour: Colour,
        *,
        foot: Colour | None = None,
        roundness: float = 0.0,
        glow: Colour | None = None,
        burning: bool = False,
    ) -> None:
        """Paint local outlines. Arguments as in `Part`."""
        outlines = outline if isinstance(outline, list) else [outline]
        self.sketch.add(
            [self._place(points) for points in outlines],
            material,
            colour,
            foot=foot,
            roundness=roundness,
            distance=self.distance,
            glow=glow,
            burning=burning,
        )

    def _place(self, points: Points) -> Points:
        scale = np.array([-self.size if self.flip else self.size, -self.size], dtype=np.float32)
        placed: Points = points * scale + np.array([self.x, self.y], dtype=np.float32)
        return placed
