"""Indoors: room.

In: a sketch with its random generator. Out: the sketch filled with the parts of one composition.
Everything is sheltered but what is seen through the window.
"""

import numpy as np

from service.scenes.colours import (
    BRIGHTS,
    GRASSES,
    GROUNDS,
    LAMPLIGHT,
    LEAVES,
    WALLS,
    jittered,
    mix,
    pick,
    scaled,
)
from service.scenes.geometry.backdrops import add_hills
from service.scenes.geometry.outlines import ellipse, line, patch, polygon, rectangle
from service.scenes.geometry.sketch import Sketch
from service.scenes.geometry.vegetation import draw_pot_plant, draw_tree
from service.scenes.scene import Colour, Material, Points

_WOODS: tuple[Colour, ...] = ((0.52, 0.36, 0.24), (0.72, 0.58, 0.42), (0.30, 0.22, 0.18), (0.84, 0.80, 0.74))


def compose_room(sketch: Sketch) -> None:
    """Compose a room: back wall with a window, side walls, floor with a rug, sofa or bed, table, shelf, lamp."""
    sketch.add_sky(sketch.between(0.36, 0.46))
    left, right = sketch.between(0.04, 0.20), sketch.between(0.80, 0.96)
    ceiling, floor = sketch.between(0.06, 0.14), sketch.between(0.56, 0.68)
    width = sketch.between(0.2, 0.36)
    x = sketch.between(left + 0.06, right - width - 0.06)
    window = rectangle(x, ceiling + 0.09, x + width, ceiling + 0.09 + sketch.between(0.20, 0.28))
    add_hills(sketch, sketch.horizon + 0.02)
    grass = pick(sketch.rng, GRASSES)
    sketch.add(rectangle(0.0, sketch.horizon, 1.0, 0.6), Material.GRASS, grass)
    draw_tree(
        sketch.stamp(x + sketch.between(0.2, 0.8) * width, sketch.horizon + 0.04, 0.2),
        pick(sketch.rng, LEAVES),
    )
    sketch.sheltered = True
    _add_walls(sketch, polygon((left, ceiling), (right, ceiling), (right, floor), (left, floor)), window)
    for _ in range(sketch.count(0, 3)):
        _add_picture(
            sketch,
            sketch.between(left + 0.08, right - 0.08),
            sketch.between(ceiling + 0.12, floor - 0.26),
            window,
        )
    on_left = sketch.chance(0.5)
    if sketch.chance(0.6):
        _add_shelf(sketch, left + 0.09 if on_left else right - 0.09, floor + 0.01)
    if sketch.chance(0.7):
        rug = pick(sketch.rng, BRIGHTS, 0.12)
        middle, y = sketch.between(0.35, 0.65), floor + sketch.between(0.16, 0.22)
        sketch.add(ellipse(middle, y, 0.30, 0.085), Material.CLOTH, rug)
        sketch.add(ellipse(middle, y, 0.24, 0.062), Material.CLOTH, mix(rug, (0.9, 0.86, 0.78), 0.5))
    (_add_sofa, _add_bed)[sketch.count(0, 1)](
        sketch, sketch.between(0.34, 0.66), floor + sketch.between(0.10, 0.16)
    )
    if sketch.chance(0.7):
        _add_table(sketch, sketch.between(0.25, 0.75), floor + sketch.between(0.24, 0.32))
    _add_floor_lamp(sketch, right - 0.06 if on_left else left + 0.06, floor + sketch.between(0.05, 0.1))
    if sketch.chance(0.6):
        draw_pot_plant(
            sketch.stamp(
                0.1 if sketch.chance(0.5) else 0.9, sketch.between(0.86, 0.97), sketch.between(0.22, 0.34)
            )
        )


def _add_walls(sketch: Sketch, back: Points, window: Points) -> None:
    wall, wood = pick(sketch.rng, (*WALLS, *BRIGHTS), 0.08), pick(sketch.rng, _WOODS)
    wall = mix(wall, (0.86, 0.84, 0.80), sketch.between(0.2, 0.7))
    (left, ceiling), (right, floor) = back[0].tolist(), back[2].tolist()
    sketch.add([back, window], Material.MASONRY, wall, foot=scaled(wall, 0.9))
    shade = 0.8 if sketch.light_x < 0 else 0.95
    sketch.add(
        polygon((-0.02, -0.02), (left, ceiling), (left, floor), (-0.02, 1.0)),
        Material.MASONRY,
        scaled(wall, shade),
    )
    sketch.add(
        polygon((1.02, -0.02), (right, ceiling), (right, floor), (1.02, 1.0)),
        Material.MASONRY,
        scaled(wall, 1.75 - shade),
    )
    sketch.add(
        polygon((-0.02, -0.02), (1.02, -0.02), (right, ceiling), (left, ceiling)),
        Material.MASONRY,
        mix(wall, (1.0, 1.0, 1.0), 0.55),
    )
    ground = polygon((left, floor), (right, floor), (1.04, 1.02), (-0.04, 1.02))
    sketch.add(ground, Material.WOOD, scaled(wood, 0.95), foot=scaled(wood, 0.75))
    seams = [
        patch(ground, u, 0.0, u + 0.006, 1.0) for u in np.linspace(0.08, 0.92, sketch.count(6, 11)).tolist()
    ]
    sketch.add(seams, Material.WOOD, scaled(wood, 0.6))
    sketch.add(rectangle(left, floor - 0.018, right, floor), Material.WOOD, mix(wall, (1.0, 1.0, 1.0), 0.6))
    (x0, y0), (x1, y1) = window[0].tolist(), window[2].tolist()
    frame = mix(pick(sketch.rng, _WOODS), (1.0, 1.0, 1.0), 0.3)
    bars = [line(x0, y, x1, y, 0.014) for y in (y0, y1)] + [
        line(x, y0 - 0.007, x, y1 + 0.007, 0.014) for x in (x0, 0.5 * (x0 + x1), x1)
    ]
    for bar in bars:
        sketch.add(bar, Material.PLAIN, frame)
    sketch.add(rectangle(x0 - 0.02, y1 + 0.005, x1 + 0.02, y1 + 0.02), Material.PLAIN, scaled(frame, 0.85))
    if sketch.chance(0.65):
        cloth = pick(sketch.rng, BRIGHTS, 0.1)
        for edge, side in ((x0, -1), (x1, 1)):
            for number in range(3):
                inner, outer = edge + side * (0.028 * number - 0.02), edge + side * (0.028 * number + 0.01)
                sketch.add(
                    rectangle(inner, y0 - 0.035, outer, y1 + 0.10),
                    Material.CLOTH,
                    scaled(cloth, 0.8 + 0.1 * number),
                    roundness=0.25,
                )
        sketch.add(line(x0 - 0.09, y0 - 0.035, x1 + 0.09, y0 - 0.035, 0.012), Material.WOOD, (0.3, 0.24, 0.2))


def _add_picture(sketch: Sketch, x: float, y: float, window: Points) -> None:
    (x0, _), (x1, _) = window[0].tolist(), window[2].tolist()
    if x0 - 0.2 < x < x1 + 0.2:  # curtains need their room
        return
    half = sketch.between(0.045, 0.075)
    sketch.add(
        rectangle(x - half, y - half, x + half, y + 1.2 * half), Material.WOOD, pick(sketch.rng, _WOODS)
    )
    paper = pick(sketch.rng, GROUNDS)
    inner = 0.78 * half
    sketch.add(
        rectangle(x - inner, y - inner, x + inner, y + half),
        Material.PLAIN,
        paper,
        foot=pick(sketch.rng, BRIGHTS),
    )
    sketch.add(
        ellipse(x + 0.2 * half, y - 0.2 * half, 0.25 * half, 0.25 * half),
        Material.PLAIN,
        pick(sketch.rng, BRIGHTS),
    )


def _add_shelf(sketch: Sketch, x: float, foot: float) -> None:
    wood, height, half = pick(sketch.rng, _WOODS), sketch.between(0.26, 0.42), 0.09
    top = foot - height
    sketch.add(rectangle(x - half, top, x + half, foot), Material.WOOD, scaled(wood, 0.5))
    levels = sketch.count(3, 5)
    for level in range(levels):
        base, at = top + height * (level + 1) / levels, x - half + 0.012
        while at < x + half - 0.025:
            wide, tall = sketch.between(0.010, 0.022), height / levels * sketch.between(0.5, 0.8)
            sketch.add(
                rectangle(at, base - tall, at + wide, base), Material.CLOTH, pick(sketch.rng, BRIGHTS, 0.12)
            )
            at += wide + sketch.between(0.001, 0.012)
        sketch.add(rectangle(x - half, base - 0.008, x + half, base + 0.004), Material.WOOD, wood)
    sketch.add(
        [rectangle(at - 0.006, top, at + 0.006, foot) for at in (x - half, x + half)], Material.WOOD, wood
    )
    sketch.add(
        rectangle(x - half - 0.006, top - 0.006, x + half + 0.006, top + 0.006),
        Material.WOOD,
        scaled(wood, 1.1),
    )


def _add_sofa(sketch: Sketch, x: float, foot: float) -> None:
    cloth, half = pick(sketch.rng, (*BRIGHTS, *WALLS), 0.1), sketch.between(0.8, 1.15)
    stamp = sketch.stamp(x, foot, 0.24)
    sketch.add_shadow(x, foot, 0.24 * 2.0 * half)
    stamp.add(
        [rectangle(s * half - 0.05, -0.08, s * half + 0.05, 0.05) for s in (-0.85, 0.85)],
        Material.WOOD,
        (0.25, 0.18, 0.14),
    )
    stamp.add(rectangle(-half, 0.1, half, 0.95), Material.CLOTH, scaled(cloth, 0.82), foot=scaled(cloth, 0.6))
    stamp.add(rectangle(-half, 0.0, half, 0.42), Material.CLOTH, scaled(cloth, 0.9), foot=scaled(cloth, 0.7))
    for side in (-1.0, 1.0):
        low, high = sorted((0.02 * side, side * (half - 0.12)))
        stamp.add(rectangle(low, 0.32, high, 0.5), Material.CLOTH, scaled(cloth, 1.1), foot=cloth)
        stamp.add(
            rectangle(side * half - 0.13, -0.02, side * half + 0.13, 0.62),
            Material.CLOTH,
            cloth,
            foot=scaled(cloth, 0.7),
            roundness=0.2,
        )
        stamp.add(ellipse(side * half, 0.62, 0.13, 0.09), Material.CLOTH, scaled(cloth, 1.08))
    cushion = pick(sketch.rng, BRIGHTS)
    stamp.add(
        polygon((-0.7 * half, 0.5), (-0.35 * half, 0.46), (-0.32 * half, 0.8), (-0.66 * half, 0.84)),
        Material.CLOTH,
        cushion,
        roundness=0.3,
    )


def _add_bed(sketch: Sketch, x: float, foot: float) -> None:
    wood, cloth = pick(sketch.rng, _WOODS), pick(sketch.rng, (*BRIGHTS, *WALLS), 0.1)
    stamp = sketch.stamp(x, foot + 0.10, 0.3)
    sketch.add_shadow(x, foot + 0.10, 0.6)
    stamp.add(rectangle(-0.8, 0.3, 0.8, 1.15), Material.WOOD, wood, foot=scaled(wood, 0.7))
    stamp.add(
        polygon((-0.74, 0.75), (0.74, 0.75), (0.92, 0.28), (-0.92, 0.28)), Material.CLOTH, (0.9, 0.89, 0.86)
    )
    for side in (-1.0, 1.0):
        stamp.add(
            ellipse(0.36 * side, 0.76, 0.27, 0.11),
            Material.CLOTH,
            (0.95, 0.94, 0.92),
            foot=(0.78, 0.78, 0.8),
            roundness=0.2,
        )
    stamp.add(
        polygon((-0.78, 0.62), (0.78, 0.62), (0.94, 0.26), (-0.94, 0.26)),
        Material.CLOTH,
        scaled(cloth, 1.1),
        foot=cloth,
    )
    stamp.add(
        rectangle(-0.94, -0.02, 0.94, 0.28), Material.CLOTH, scaled(cloth, 0.85), foot=scaled(cloth, 0.65)
    )
    stamp.add(
        polygon((-0.79, 0.62), (0.79, 0.62), (0.83, 0.52), (-0.83, 0.52)),
        Material.CLOTH,
        mix(cloth, (1.0, 1.0, 1.0), 0.5),
    )


def _add_table(sketch: Sketch, x: float, foot: float) -> None:
    wood, stamp = pick(sketch.rng, _WOODS), sketch.stamp(x, foot, 0.14)
    sketch.add_shadow(x, foot, 0.34)
    stamp.add(
        [line(at, 0.0, at, 0.8, 0.09) for at in (-0.85, 0.85)]
        + [line(at, 0.2, at, 0.8, 0.07) for at in (-0.6, 0.6)],
        Material.WOOD,
        scaled(wood, 0.65),
    )
    stamp.add(polygon((-0.85, 1.1), (0.85, 1.1), (1.1, 0.82), (-1.1, 0.82)), Material.WOOD, scaled(wood, 1.1))
    stamp.add(rectangle(-1.1, 0.72, 1.1, 0.83), Material.WOOD, scaled(wood, 0.85))
    bowl = jittered(sketch.rng, (0.8, 0.8, 0.78), 0.1)
    stamp.add(
        [ellipse(0.1 * i, 1.18, 0.1, 0.1, count=14) for i in (-2, 2)],
        Material.PLAIN,
        pick(sketch.rng, BRIGHTS),
        roundness=0.4,
    )
    stamp.add(
        ellipse(0.0, 1.16, 0.36, 0.24, start=np.pi, stop=2.0 * np.pi),
        Material.MASONRY,
        bowl,
        foot=scaled(bowl, 0.7),
        roundness=0.3,
    )


def _add_floor_lamp(sketch: Sketch, x: float, foot: float) -> None:
    stamp = sketch.stamp(x, foot, sketch.between(0.36, 0.46))
    shade = mix(pick(sketch.rng, BRIGHTS), (0.95, 0.9, 0.78), 0.7)
    stamp.add(ellipse(0.0, 0.0, 0.13, 0.03), Material.METAL, (0.22, 0.2, 0.2))
    stamp.add(line(0.0, 0.0, 0.0, 0.8, 0.025), Material.METAL, (0.22, 0.2, 0.2))
    stamp.add(
        polygon((-0.2, 0.72), (0.2, 0.72), (0.12, 1.0), (-0.12, 1.0)),
        Material.CLOTH,
        shade,
        roundness=0.2,
        glow=scaled(LAMPLIGHT, 0.75),
    )
