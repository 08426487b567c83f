"""Backdrops that several compositions share: ground, ridges, hills, water.

In: a sketch and heights. Out: large parts in it, painted before anything that stands on them.
"""

from service.scenes.colours import GRASSES, WATERS, mix, pick, scaled
from service.scenes.geometry.outlines import (
    profile,
    rectangle,
    smooth_profile,
    under,
)
from service.scenes.geometry.sketch import Sketch
from service.scenes.scene import Colour, Material


def add_ground(sketch: Sketch, top: float, colour: Colour, material: Material) -> None:
    """Add the ground from a height down to the lower edge, darker in front."""
    sketch.add(
        rectangle(-0.02, top, 1.02, 1.02),
        material,
        mix(colour, (0.8, 0.82, 0.8), 0.15),
        foot=scaled(colour, 0.82),
    )


def add_ridge(
    sketch: Sketch,
    crest: float,
    height: float,
    foot: float,
    colour: Colour,
    *,
    distance: float,
    rugged: bool,
    snow: float = 0.0,
) -> None:
    """Add a mountain ridge (rugged) or a line of rounded hills."""
    curve = (
        profile(sketch.rng, knots=sketch.count(2, 4), roughness=0.45)
        if rugged
        else smooth_profile(sketch.rng)
    )
    material = Material.ROCK if rugged else Material.GRASS
    sketch.add(
        under(curve, crest=crest, height=height, foot=foot),
        material,
        colour,
        foot=scaled(colour, 0.85),
        distance=distance,
        snow=snow,
    )


def add_hills(sketch: Sketch, foot: float) -> None:
    """Add one or two low lines of hills that end at a height, as a backdrop."""
    colour = pick(sketch.rng, GRASSES)
    for distance in (0.75, 0.5)[: sketch.count(1, 2)]:
        height = sketch.between(0.03, 0.10)
        add_ridge(
            sketch,
            foot - height - 0.06 * distance,
            height,
            foot + 0.02,
            colour,
            distance=distance,
            rugged=False,
        )


def add_water(sketch: Sketch, top: float, bottom: float = 1.02) -> Colour:
    """Add open water between two heights, mirroring above the upper one; returns its colour."""
    water = pick(sketch.rng, WATERS)
    sketch.waterline = top
    sketch.add(
        rectangle(-0.02, top, 1.02, bottom),
        Material.WATER,
        mix(water, (0.6, 0.68, 0.72), 0.25),
        foot=scaled(water, 0.9),
    )
    return water
