"""Affective objects: ten things with a known valence that may be planted in any scene.

In: a sketch whose composition is done. Out: the object's parts, marked affective, in front of everything.
The choice is independent of the category, so a scene's class says nothing about its feeling.
"""

from collections.abc import Callable

from service.scenes.geometry.delights import draw_balloons, draw_bouquet, draw_cake, draw_heart, draw_kitten
from service.scenes.geometry.frights import (
    draw_bloody_glass,
    draw_burning_car,
    draw_skull,
    draw_spider,
    draw_tombstone,
)
from service.scenes.geometry.sketch import Sketch, Stamp
from service.scenes.scene import Affect, Polarity


def plant_affect(sketch: Sketch) -> Affect:
    """Draw one affective object in the foreground and return what it is."""
    affect, draw = AFFECTS[sketch.count(0, len(AFFECTS) - 1)]
    size = sketch.between(0.20, 0.36)
    x, foot = sketch.between(0.2, 0.8), sketch.between(0.76, 0.95)
    sketch.add_shadow(x, foot, 0.8 * size)
    sketch.affective = True
    draw(sketch.stamp(x, foot, size))
    sketch.affective = False
    return affect


def _positive(kind: str, valence: float) -> Affect:
    return Affect(kind=kind, polarity=Polarity.POSITIVE, valence=valence)


def _negative(kind: str, valence: float) -> Affect:
    return Affect(kind=kind, polarity=Polarity.NEGATIVE, valence=valence)


AFFECTS: tuple[tuple[Affect, Callable[[Stamp], None]], ...] = (
    (_positive("balloons", 0.7), draw_balloons),
    (_positive("cake", 0.7), draw_cake),
    (_positive("bouquet", 0.6), draw_bouquet),
    (_positive("kitten", 0.9), draw_kitten),
    (_positive("heart", 0.8), draw_heart),
    (_negative("skull", -0.7), draw_skull),
    (_negative("spider", -0.6), draw_spider),
    (_negative("burning_car", -0.8), draw_burning_car),
    (_negative("tombstone", -0.7), draw_tombstone),
    (_negative("bloody_glass", -0.9), draw_bloody_glass),
)
