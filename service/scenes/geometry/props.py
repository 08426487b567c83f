"""Things people leave about: boats, cars, lamps, parasols, fences, people, stones, hay.

In: a stamp (local frame, y up, one unit is the thing's height). Out: parts in its sketch.
Where they stand is decided by the compositions.
"""

import numpy as np

from service.scenes.colours import BRIGHTS, LAMPLIGHT, ROCKS, jittered, mix, pick, scaled
from service.scenes.geometry.outlines import arc, blob, ellipse, line, polygon, rectangle, stroke
from service.scenes.geometry.sketch import Sketch, Stamp
from service.scenes.scene import Colour, Material

_DARK: Colour = (0.14, 0.14, 0.16)
_TIMBER: Colour = (0.46, 0.36, 0.27)


def draw_sailing_boat(stamp: Stamp, hull: Colour) -> None:
    """Draw a sailing boat, its sails set or furled."""
    rng = stamp.sketch.rng
    stamp.add(line(0.0, 0.1, 0.0, 1.0, 0.02), Material.WOOD, _TIMBER)
    if stamp.sketch.chance(0.7):
        sail = mix(pick(rng, BRIGHTS), (0.97, 0.96, 0.92), 0.7)
        stamp.add(
            polygon((0.03, 0.2), (0.42, 0.2), (0.03, 0.97)), Material.CLOTH, sail, foot=scaled(sail, 0.9)
        )
        stamp.add(polygon((-0.03, 0.2), (-0.3, 0.2), (-0.03, 0.86)), Material.CLOTH, scaled(sail, 0.88))
    else:
        stamp.add(line(0.0, 0.24, 0.4, 0.26, 0.05), Material.CLOTH, (0.8, 0.78, 0.7))
        stamp.add(
            [line(-0.36, 0.14, 0.0, 0.98, 0.008), line(0.42, 0.14, 0.0, 0.98, 0.008)], Material.METAL, _DARK
        )
    stamp.add(
        polygon((-0.4, 0.15), (0.5, 0.15), (0.38, -0.02), (-0.32, -0.02)),
        Material.WOOD,
        hull,
        foot=scaled(hull, 0.7),
    )
    stamp.add(
        polygon((-0.4, 0.15), (0.5, 0.15), (0.48, 0.115), (-0.385, 0.115)), Material.PLAIN, (0.93, 0.92, 0.88)
    )


def draw_motor_boat(stamp: Stamp, hull: Colour) -> None:
    """Draw a fishing boat with a cabin, about twice as long as high."""
    cabin = jittered(stamp.sketch.rng, (0.9, 0.88, 0.84), 0.04)
    stamp.add(line(-0.45, 0.3, -0.45, 1.0, 0.03), Material.METAL, _DARK)
    stamp.add(line(-0.45, 0.9, 0.5, 0.42, 0.02), Material.METAL, _DARK)
    stamp.add(rectangle(-0.25, 0.3, 0.4, 0.68), Material.WOOD, cabin)
    stamp.add(rectangle(-0.3, 0.66, 0.45, 0.73), Material.WOOD, scaled(hull, 0.9))
    stamp.add(
        [rectangle(x, 0.46, x + 0.13, 0.6) for x in (-0.18, 0.02, 0.22)],
        Material.GLASS,
        (0.3, 0.38, 0.44),
        glow=LAMPLIGHT,
    )
    stamp.add(
        polygon((-0.9, 0.4), (-0.5, 0.32), (0.6, 0.34), (1.05, 0.5), (0.85, -0.02), (-0.8, -0.02)),
        Material.WOOD,
        hull,
        foot=scaled(hull, 0.65),
    )
    stamp.add(
        polygon((-0.85, 0.14), (0.91, 0.14), (0.85, -0.02), (-0.8, -0.02)), Material.WOOD, (0.42, 0.18, 0.16)
    )


def draw_rowing_boat(stamp: Stamp, hull: Colour) -> None:
    """Draw an empty rowing boat, about four times as long as high."""
    stamp.add(ellipse(0.0, 0.86, 1.7, 0.2), Material.WOOD, scaled(hull, 0.45))
    stamp.add([line(x, 0.74, x + 0.1, 0.98, 0.16) for x in (-0.8, 0.0, 0.7)], Material.WOOD, _TIMBER)
    bow = np.concatenate(
        [arc((-1.75, 0.95), (0.0, 0.5), (1.75, 0.95)), arc((1.5, 0.2), (0.0, -0.15), (-1.5, 0.2))]
    )
    stamp.add(bow.astype(np.float32), Material.WOOD, hull, foot=scaled(hull, 0.6))


def draw_car(stamp: Stamp, paint: Colour) -> None:
    """Draw a car from its side, about two and a half times as long as high."""
    stamp.add(
        polygon((-0.75, 0.5), (-0.5, 0.98), (0.35, 0.98), (0.72, 0.5)), Material.METAL, scaled(paint, 0.9)
    )
    stamp.add(
        [
            polygon((-0.6, 0.54), (-0.42, 0.9), (-0.06, 0.9), (-0.06, 0.54)),
            polygon((0.04, 0.54), (0.04, 0.9), (0.3, 0.9), (0.56, 0.54)),
        ],
        Material.GLASS,
        (0.24, 0.3, 0.36),
    )
    body = polygon((-1.25, 0.2), (-1.22, 0.5), (-0.75, 0.58), (0.72, 0.58), (1.2, 0.46), (1.28, 0.2))
    stamp.add(body, Material.METAL, paint, foot=scaled(paint, 0.65))
    stamp.add([ellipse(x, 0.18, 0.22, 0.22, count=16) for x in (-0.75, 0.75)], Material.PLAIN, _DARK)
    stamp.add([ellipse(x, 0.18, 0.1, 0.1, count=12) for x in (-0.75, 0.75)], Material.METAL, (0.7, 0.7, 0.72))
    stamp.add(
        ellipse(1.2, 0.42, 0.07, 0.06, count=10), Material.GLASS, (0.95, 0.92, 0.8), glow=(1.2, 1.1, 0.8)
    )
    stamp.add(
        ellipse(-1.2, 0.42, 0.05, 0.06, count=10), Material.GLASS, (0.7, 0.12, 0.1), glow=(0.9, 0.1, 0.08)
    )


def draw_street_lamp(stamp: Stamp) -> None:
    """Draw a street lamp that shines at night."""
    stamp.add(line(0.0, -0.02, 0.0, 0.92, 0.03), Material.METAL, _DARK)
    stamp.add(stroke(arc((0.0, 0.9), (0.02, 1.0), (0.16, 0.98)), (0.025, 0.02)), Material.METAL, _DARK)
    stamp.add(
        ellipse(0.19, 0.96, 0.055, 0.04, count=14),
        Material.GLASS,
        (0.92, 0.9, 0.8),
        glow=scaled(LAMPLIGHT, 1.5),
    )


def draw_person(stamp: Stamp) -> None:
    """Draw a standing person."""
    rng = stamp.sketch.rng
    coat, trousers = pick(rng, BRIGHTS, 0.1), scaled(pick(rng, BRIGHTS, 0.1), 0.45)
    skin = mix((0.92, 0.74, 0.62), (0.40, 0.26, 0.18), float(rng.random()))
    stamp.add(
        [line(-0.05, 0.0, -0.045, 0.48, 0.085), line(0.06, 0.0, 0.045, 0.48, 0.085)], Material.CLOTH, trousers
    )
    stamp.add(
        [line(-0.15, 0.44, -0.1, 0.78, 0.06), line(0.15, 0.44, 0.1, 0.78, 0.06)],
        Material.CLOTH,
        scaled(coat, 0.85),
    )
    stamp.add(
        polygon((-0.11, 0.42), (0.11, 0.42), (0.13, 0.8), (-0.13, 0.8)), Material.CLOTH, coat, roundness=0.2
    )
    stamp.add(ellipse(0.0, 0.9, 0.075, 0.09, count=14), Material.PLAIN, skin, roundness=0.2)
    stamp.add(
        ellipse(0.0, 0.92, 0.08, 0.085, start=0.0, stop=np.pi, count=12),
        Material.PLAIN,
        scaled(trousers, 0.5),
    )


def draw_parasol(stamp: Stamp, cloth: Colour) -> None:
    """Draw a striped parasol and the towel under it."""
    stamp.add(
        polygon((-0.5, -0.06), (0.45, -0.06), (0.62, 0.05), (-0.33, 0.05)),
        Material.CLOTH,
        mix(cloth, (1.0, 1.0, 1.0), 0.35),
    )
    stamp.add(line(0.0, 0.0, 0.06, 0.9, 0.03), Material.WOOD, (0.8, 0.76, 0.7))
    stamp.add(
        ellipse(0.06, 0.66, 0.56, 0.36, start=0.0, stop=np.pi),
        Material.CLOTH,
        cloth,
        foot=scaled(cloth, 0.82),
        roundness=0.2,
    )
    stripes = [polygon((0.06, 1.02), (x - 0.08, 0.66), (x + 0.08, 0.66)) for x in (-0.29, 0.06, 0.41)]
    stamp.add(stripes, Material.CLOTH, (0.95, 0.94, 0.9))


def draw_rock(stamp: Stamp, rock: Colour) -> None:
    """Draw a boulder, rather wider than high."""
    rng = stamp.sketch.rng
    stone = blob(rng, 0.0, 0.42, 0.8, 0.55, roughness=0.16)
    stone[:, 1] = np.maximum(stone[:, 1], 0.0)
    stamp.add(stone, Material.ROCK, scaled(rock, 1.15), foot=scaled(rock, 0.6), roundness=0.35)


def draw_hay(stamp: Stamp) -> None:
    """Draw a round of hay seen at an angle."""
    straw = jittered(stamp.sketch.rng, (0.78, 0.66, 0.36), 0.05)
    stamp.add(
        np.concatenate(
            [
                ellipse(-0.35, 0.5, 0.36, 0.5, start=np.pi / 2.0, stop=1.5 * np.pi),
                ellipse(0.4, 0.5, 0.36, 0.5, start=-np.pi / 2.0, stop=np.pi / 2.0),
            ]
        ),
        Material.EARTH,
        scaled(straw, 0.9),
        foot=scaled(straw, 0.55),
    )
    stamp.add(ellipse(0.4, 0.5, 0.36, 0.5), Material.EARTH, straw, foot=scaled(straw, 0.8))
    stamp.add(ellipse(0.4, 0.5, 0.2, 0.28), Material.EARTH, scaled(straw, 0.8))
    stamp.add(ellipse(0.4, 0.5, 0.1, 0.14), Material.EARTH, straw)


def draw_scarecrow(stamp: Stamp) -> None:
    """Draw a scarecrow."""
    rng = stamp.sketch.rng
    stamp.add([line(0.0, -0.02, 0.0, 0.8, 0.04), line(-0.36, 0.62, 0.36, 0.62, 0.04)], Material.WOOD, _TIMBER)
    coat = pick(rng, BRIGHTS, 0.1)
    stamp.add(
        polygon(
            (-0.34, 0.68),
            (0.34, 0.68),
            (0.32, 0.52),
            (0.14, 0.54),
            (0.18, 0.24),
            (-0.18, 0.24),
            (-0.14, 0.54),
            (-0.32, 0.52),
        ),
        Material.CLOTH,
        coat,
        foot=scaled(coat, 0.7),
    )
    stamp.add(ellipse(0.0, 0.79, 0.1, 0.11), Material.CLOTH, (0.84, 0.72, 0.48), roundness=0.3)
    stamp.add(
        polygon((-0.2, 0.86), (0.2, 0.86), (0.1, 0.88), (0.06, 1.0), (-0.06, 1.0), (-0.1, 0.88)),
        Material.CLOTH,
        scaled(coat, 0.4),
    )


def add_fence(sketch: Sketch, x0: float, x1: float, *, y: float, height: float, colour: Colour) -> None:
    """Add a wooden fence along a level line."""
    posts = np.arange(x0, x1, 0.75 * height)
    sketch.add(
        [line(x0, y - share * height, x1, y - share * height, 0.14 * height) for share in (0.35, 0.75)],
        Material.WOOD,
        scaled(colour, 0.85),
    )
    sketch.add([line(float(x), y, float(x), y - height, 0.16 * height) for x in posts], Material.WOOD, colour)


def scatter_rocks(sketch: Sketch, count: int, low: float, high: float, *, largest: float) -> None:
    """Strew boulders over the ground between two heights, larger when nearer."""
    rock = pick(sketch.rng, ROCKS)
    for y in np.sort(sketch.rng.uniform(low, high, count)):
        near = (float(y) - sketch.horizon) / (1.0 - sketch.horizon)
        size = largest * near * sketch.between(0.4, 1.0)
        x = sketch.between(0.0, 1.0)
        sketch.add_shadow(x, float(y), 1.5 * size)
        draw_rock(sketch.stamp(x, float(y), size), jittered(sketch.rng, rock, 0.04))
