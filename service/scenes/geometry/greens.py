"""Where things grow: field, forest, garden.

In: a sketch with its random generator. Out: the sketch filled with the parts of one composition.
Each `compose_` function is one category; all its variation comes from the sketch's generator.
"""

import numpy as np

from service.scenes.colours import (
    BRIGHTS,
    GRASSES,
    GROUNDS,
    LEAVES,
    ROCKS,
    WALLS,
    jittered,
    mix,
    pick,
    scaled,
)
from service.scenes.geometry.backdrops import add_ground, add_hills
from service.scenes.geometry.buildings import draw_house
from service.scenes.geometry.outlines import (
    arc,
    blob,
    ellipse,
    line,
    polygon,
    profile,
    rectangle,
    stroke,
    under,
)
from service.scenes.geometry.props import (
    add_fence,
    draw_hay,
    draw_scarecrow,
)
from service.scenes.geometry.sketch import Sketch
from service.scenes.geometry.vegetation import (
    NEEDLE_GREEN,
    draw_bush,
    draw_conifer,
    draw_flowers,
    draw_topiary,
    draw_tree,
)
from service.scenes.scene import Colour, Material


def compose_field(sketch: Sketch) -> None:
    """Compose a farmed plain: rows that run to a vanishing point, a hedge, rounds of hay or a scarecrow."""
    horizon = sketch.between(0.28, 0.52)
    sketch.add_sky(horizon)
    add_hills(sketch, horizon)
    soil, crop = pick(sketch.rng, GROUNDS[3:5]), pick(sketch.rng, (*GRASSES, *BRIGHTS))
    add_ground(sketch, horizon, soil, Material.EARTH)
    vanishing, rows = sketch.between(0.1, 0.9), sketch.count(7, 15)
    edges = np.linspace(-1.6, 2.6, 2 * rows + 1)
    for low, high in zip(edges[:-1:2], edges[1::2], strict=True):
        row = polygon(
            (vanishing - 0.001, horizon),
            (vanishing + 0.001, horizon),
            (float(high) + 0.02, 1.02),
            (float(low), 1.02),
        )
        material = Material.FLOWERS if crop[1] < max(crop) else Material.GRASS
        sketch.add(row, material, mix(crop, (0.8, 0.82, 0.8), 0.2), foot=scaled(crop, 0.9))
    leaf = pick(sketch.rng, LEAVES)
    for x in np.arange(-0.02, 1.03, sketch.between(0.05, 0.09)):
        if sketch.chance(0.75):
            draw_bush(
                sketch.stamp(float(x), horizon + 0.012, sketch.between(0.03, 0.055), distance=0.35), leaf
            )
    for _ in range(sketch.count(0, 3)):
        draw_tree(
            sketch.stamp(sketch.between(0.0, 1.0), horizon + 0.02, sketch.between(0.12, 0.24), distance=0.2),
            leaf,
        )
    if sketch.chance(0.35):
        draw_house(
            sketch.stamp(sketch.between(0.1, 0.9), horizon + 0.03, 0.1, distance=0.15),
            pick(sketch.rng, WALLS),
            width=1.7,
        )
    if sketch.chance(0.6):
        for y in np.sort(sketch.rng.uniform(horizon + 0.1, 0.95, sketch.count(2, 7))):
            size = 0.34 * (float(y) - horizon)
            x = sketch.between(0.05, 0.95)
            sketch.add_shadow(x, float(y), 1.2 * size)
            draw_hay(sketch.stamp(x, float(y), size))
    if sketch.chance(0.3):
        draw_scarecrow(sketch.stamp(sketch.between(0.15, 0.85), 0.93, sketch.between(0.3, 0.42)))


def compose_forest(sketch: Sketch) -> None:
    """Compose the inside of a wood: trunks row behind row, a canopy, undergrowth, perhaps a path."""
    horizon = sketch.between(0.52, 0.70)
    sketch.add_sky(horizon)
    leaf, birch = pick(sketch.rng, LEAVES), sketch.chance(0.3)
    conifers = sketch.chance(0.4)
    far = mix(leaf, (0.7, 0.75, 0.72), 0.4)
    sketch.add(
        under(
            profile(sketch.rng, knots=9, roughness=0.7),
            crest=sketch.between(0.08, 0.2),
            height=0.16,
            foot=horizon + 0.03,
        ),
        Material.LEAVES,
        scaled(far, 1.25),
        foot=scaled(far, 0.95),
        distance=0.55,
    )
    add_ground(
        sketch, horizon, mix(pick(sketch.rng, GROUNDS[2:5]), leaf, sketch.between(0.0, 0.7)), Material.EARTH
    )
    if sketch.chance(0.5):
        start, stop = sketch.between(0.2, 0.8), sketch.between(0.1, 0.9)
        path = arc((start, horizon), (sketch.between(0.1, 0.9), 0.75), (stop, 1.04))
        sketch.add(stroke(path, (0.03, 0.36)), Material.SAND, pick(sketch.rng, GROUNDS))
    bark = (0.84, 0.83, 0.78) if birch else jittered(sketch.rng, (0.34, 0.27, 0.22), 0.06)
    rows = sketch.count(3, 4)
    for row in range(rows):
        near = (row + 0.5) / rows
        foot = horizon + (0.97 - horizon) * near**1.5
        for x in np.linspace(-0.02, 1.02, max(3, 13 - 3 * row)) + sketch.rng.normal(
            0.0, 0.03, max(3, 13 - 3 * row)
        ):
            if sketch.chance(0.75):
                if conifers and row < rows - 1:
                    draw_conifer(
                        sketch.stamp(float(x), foot, 0.45 + 0.45 * near, distance=0.5 * (1.0 - near)),
                        scaled(mix(leaf, NEEDLE_GREEN, 0.6), 1.2),
                    )
                else:
                    _add_trunk(sketch, float(x), foot, near, bark, birch=birch)
    for number in range(sketch.count(5, 9)):
        crown = blob(
            sketch.rng,
            sketch.between(0.0, 1.0),
            sketch.between(-0.06, 0.06),
            sketch.between(0.12, 0.25),
            sketch.between(0.08, 0.17),
            roughness=0.16,
        )
        tint = jittered(sketch.rng, scaled(leaf, 0.9 + 0.05 * number), 0.03)
        sketch.add(crown, Material.LEAVES, tint, foot=scaled(tint, 0.7), roundness=0.2)
    for _ in range(sketch.count(2, 7)):
        y = sketch.between(horizon + 0.1, 1.02)
        draw_bush(
            sketch.stamp(sketch.between(0.0, 1.0), y, 0.05 + 0.18 * (y - horizon)),
            jittered(sketch.rng, leaf, 0.05),
        )


def _add_trunk(sketch: Sketch, x: float, foot: float, near: float, bark: Colour, *, birch: bool) -> None:
    width = (0.014 + 0.055 * near**2) * sketch.between(0.7, 1.3)
    lean, distance = sketch.between(-0.03, 0.03), 0.5 * (1 - near)
    trunk = stroke(polygon((x - lean, -0.05), (x, 0.5 * foot), (x, foot)), (0.7 * width, 1.15 * width))
    sketch.add_shadow(x, foot, 3.0 * width)
    sketch.add(trunk, Material.WOOD, bark, foot=scaled(bark, 0.75), roundness=0.4, distance=distance)
    if birch:
        marks = sketch.rng.uniform(0.05, foot - 0.03, 9)
        bars = [
            rectangle(x - 0.4 * width, float(y), x + sketch.between(-0.1, 0.4) * width, float(y) + 0.006)
            for y in marks
        ]
        sketch.add(bars, Material.WOOD, (0.22, 0.2, 0.2), distance=distance)
    elif sketch.chance(0.5):
        y, side = sketch.between(0.15, 0.45), 1 if sketch.chance(0.5) else -1
        sketch.add(
            stroke(
                arc((x, y), (x + 0.06 * side, y - 0.02), (x + 0.12 * side, y - 0.1)),
                (0.4 * width, 0.1 * width),
            ),
            Material.WOOD,
            scaled(bark, 0.9),
            distance=distance,
        )


def compose_garden(sketch: Sketch) -> None:
    """Compose a garden: a hedge or a fence, beds of flowers, a winding path, clipped trees, perhaps a fountain."""
    horizon = sketch.between(0.3, 0.45)
    sketch.add_sky(horizon)
    leaf, bloom = pick(sketch.rng, LEAVES[:2] + LEAVES[4:]), pick(sketch.rng, BRIGHTS)
    for x in sketch.rng.uniform(0.0, 1.0, sketch.count(2, 5)):
        draw_tree(
            sketch.stamp(float(x), horizon + 0.02, sketch.between(0.28, 0.44), distance=0.15),
            jittered(sketch.rng, leaf, 0.06),
        )
    add_ground(sketch, horizon, pick(sketch.rng, GRASSES), Material.GRASS)
    if sketch.chance(0.5):
        top = horizon - sketch.between(0.05, 0.12)
        sketch.add(
            rectangle(-0.02, top, 1.02, horizon + 0.03),
            Material.LEAVES,
            scaled(leaf, 0.9),
            foot=scaled(leaf, 0.5),
        )
    else:
        white = jittered(sketch.rng, (0.86, 0.83, 0.78), 0.1)
        add_fence(sketch, -0.02, 1.05, y=horizon + 0.03, height=0.12, colour=white)
    paving = pick(sketch.rng, GROUNDS)
    bend = sketch.between(0.05, 0.95)
    path = arc((sketch.between(0.3, 0.7), horizon + 0.03), (bend, 0.68), (sketch.between(0.2, 0.8), 1.05))
    sketch.add(stroke(path, (0.05, 0.30)), Material.PAVEMENT, mix(paving, (0.8, 0.78, 0.74), 0.4))
    if sketch.chance(0.4):
        _add_fountain(sketch, 1.0 - bend, sketch.between(0.66, 0.78), pick(sketch.rng, ROCKS))
    for y in np.sort(sketch.rng.uniform(horizon + 0.1, 1.0, sketch.count(5, 10))):
        size = 0.06 + 0.20 * (float(y) - horizon)
        x = sketch.between(0.0, 1.0)
        kind = sketch.between(0.0, 1.0)
        if kind < 0.6:
            draw_flowers(
                sketch.stamp(x, float(y), 1.1 * size),
                pick(sketch.rng, (bloom, *BRIGHTS)),
                count=sketch.count(18, 34),
            )
        elif kind < 0.85:
            sketch.add_shadow(x, float(y), size)
            draw_topiary(sketch.stamp(x, float(y), 2.2 * size), leaf)
        else:
            draw_bush(sketch.stamp(x, float(y), size), jittered(sketch.rng, leaf, 0.06))


def _add_fountain(sketch: Sketch, x: float, y: float, stone: Colour) -> None:
    stamp = sketch.stamp(x, y, 0.26)
    sketch.add_shadow(x, y, 0.34)
    stamp.add(
        [
            stroke(arc((0.0, 0.9), (side * 0.25, 1.05), (side * 0.42, 0.2)), (0.02, 0.05))
            for side in (-1.0, -0.5, 0.5, 1.0)
        ],
        Material.PLAIN,
        (0.84, 0.9, 0.94),
    )
    stamp.add(line(0.0, 0.1, 0.0, 0.9, 0.08), Material.MASONRY, stone, roundness=0.3)
    stamp.add(ellipse(0.0, 0.55, 0.26, 0.06), Material.MASONRY, scaled(stone, 1.15))
    stamp.add(
        polygon((-0.62, 0.18), (0.62, 0.18), (0.5, -0.04), (-0.5, -0.04)),
        Material.MASONRY,
        stone,
        foot=scaled(stone, 0.7),
        roundness=0.3,
    )
    stamp.add(ellipse(0.0, 0.18, 0.62, 0.12), Material.MASONRY, scaled(stone, 1.2))
    stamp.add(ellipse(0.0, 0.18, 0.54, 0.09), Material.PLAIN, (0.32, 0.5, 0.58))
