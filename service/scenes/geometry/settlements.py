"""Where people live: city, street, village.

In: a sketch with its random generator. Out: the sketch filled with the parts of one composition.
Each function is one category.
"""

import numpy as np

from service.scenes.colours import BRIGHTS, GRASSES, GROUNDS, LEAVES, WALLS, jittered, mix, pick, scaled
from service.scenes.geometry.backdrops import add_ground, add_hills, add_water
from service.scenes.geometry.buildings import add_facade, draw_church, draw_house, draw_tower
from service.scenes.geometry.outlines import arc, polygon, rectangle, smooth_profile, stroke, under
from service.scenes.geometry.props import add_fence, draw_car, draw_person, draw_street_lamp
from service.scenes.geometry.sketch import Sketch
from service.scenes.geometry.vegetation import draw_bush, draw_tree
from service.scenes.scene import Material


def compose_city(sketch: Sketch) -> None:
    """Compose a skyline: rows of towers behind each other; a river, a park or an avenue in front."""
    horizon = sketch.between(0.55, 0.78)
    sketch.add_sky(horizon)
    for row, distance in enumerate((0.65, 0.35, 0.0)):
        x = sketch.between(-0.1, 0.0)
        tint = pick(sketch.rng, WALLS)
        while x < 1.02:
            height = horizon * (sketch.between(0.35, 0.85) - 0.12 * row)
            width = sketch.between(0.07, 0.15) * (1.0 + 0.2 * row)
            wall = mix(pick(sketch.rng, WALLS), tint, 0.3)
            stamp = sketch.stamp(x + 0.5 * width, horizon, height, distance=distance)
            draw_tower(
                stamp, wall, width=width / height, columns=sketch.count(3, 6), rows=max(4, round(height * 26))
            )
            x += width * sketch.between(0.85, 1.25)
    front = sketch.between(0.0, 1.0)
    if front < 0.4:
        sketch.add(
            rectangle(-0.02, horizon - 0.01, 1.02, horizon + 0.02), Material.MASONRY, (0.48, 0.46, 0.44)
        )
        add_water(sketch, horizon + 0.018)
    elif front < 0.7:
        add_ground(sketch, horizon, pick(sketch.rng, GRASSES), Material.GRASS)
        _add_trees(sketch, horizon, sketch.count(5, 12))
    else:
        add_ground(sketch, horizon, pick(sketch.rng, GROUNDS[2:4]), Material.PAVEMENT)
        _add_traffic(sketch, horizon)


def _add_trees(sketch: Sketch, horizon: float, count: int) -> None:
    leaf = pick(sketch.rng, LEAVES)
    for y in np.sort(sketch.rng.uniform(horizon + 0.02, 0.99, count)):
        x, size = sketch.between(0.0, 1.0), 0.10 + 0.45 * (float(y) - horizon)
        sketch.add_shadow(x, float(y), 0.6 * size)
        draw_tree(sketch.stamp(x, float(y), size), jittered(sketch.rng, leaf, 0.05))


def _add_traffic(sketch: Sketch, horizon: float) -> None:
    depth = 1.0 - horizon
    road = rectangle(-0.02, horizon + 0.25 * depth, 1.02, horizon + 0.85 * depth)
    sketch.add(road, Material.PAVEMENT, (0.26, 0.26, 0.28), foot=(0.2, 0.2, 0.22))
    middle = horizon + 0.55 * depth
    dashes = [
        rectangle(float(x), middle, float(x) + 0.06, middle + 0.02 * depth + 0.003)
        for x in np.arange(0.0, 1.0, 0.12)
    ]
    sketch.add(dashes, Material.PLAIN, (0.88, 0.86, 0.78))
    for lane, flip in ((0.46, True), (0.76, False)):
        for _ in range(sketch.count(1, 3)):
            x, y = sketch.between(0.0, 1.0), horizon + lane * depth
            sketch.add_shadow(x, y, 0.5 * depth)
            draw_car(sketch.stamp(x, y, 0.22 * depth, flip=flip), pick(sketch.rng, BRIGHTS))
    for x in np.arange(sketch.between(0.0, 0.2), 1.0, 0.26):
        draw_street_lamp(sketch.stamp(float(x), horizon + 0.95 * depth, 0.3))


def compose_street(sketch: Sketch) -> None:
    """Compose a street in one-point perspective: facades on both sides, pavements, road, cars, lamps, people."""
    horizon = sketch.between(0.44, 0.58)
    sketch.add_sky(horizon)
    vanishing = sketch.between(0.34, 0.66)
    add_ground(sketch, horizon, pick(sketch.rng, GROUNDS[2:4]), Material.PAVEMENT)
    end = sketch.between(0.10, 0.16)
    _add_street_end(sketch, vanishing, horizon, end)
    half = sketch.between(0.32, 0.48)
    tarmac = jittered(sketch.rng, (0.30, 0.30, 0.32), 0.05)
    road = polygon(
        (vanishing - half * end, horizon + 0.06),
        (vanishing + half * end, horizon + 0.06),
        (vanishing + 1.35 * half, 1.02),
        (vanishing - 1.35 * half, 1.02),
    )
    sketch.add(road, Material.PAVEMENT, tarmac, foot=scaled(tarmac, 0.85))
    for near in (0.2, 0.34, 0.56, 0.9):
        y0, y1 = horizon + (1.02 - horizon) * near, horizon + (1.02 - horizon) * near * 1.25
        sketch.add(
            polygon(
                (vanishing - 0.02 * near, y0),
                (vanishing + 0.02 * near, y0),
                (vanishing + 0.025 * near, y1),
                (vanishing - 0.025 * near, y1),
            ),
            Material.PLAIN,
            (0.88, 0.86, 0.78),
        )
    for side in (-1.0, 1.0):
        _add_row_of_houses(sketch, vanishing, horizon, side, end=end, eaves=sketch.between(0.5, 0.95))
    for near in (0.25, 0.42, 0.72):
        y = horizon + (1.0 - horizon) * near
        for side in (-1.0, 1.0):
            if sketch.chance(0.55):
                draw_street_lamp(
                    sketch.stamp(vanishing + side * 1.45 * half * near, y, 0.85 * near, flip=side > 0.0)
                )
            if sketch.chance(0.5):
                draw_person(
                    sketch.stamp(vanishing + side * sketch.between(1.5, 1.75) * half * near, y, 0.36 * near)
                )
        if sketch.chance(0.5):
            x = vanishing + sketch.between(-0.8, 0.8) * half * near
            sketch.add_shadow(x, y, 0.4 * near)
            draw_car(sketch.stamp(x, y, 0.17 * near, flip=sketch.chance(0.5)), pick(sketch.rng, BRIGHTS))


def _add_street_end(sketch: Sketch, vanishing: float, horizon: float, end: float) -> None:
    if sketch.chance(0.5):
        draw_church(
            sketch.stamp(vanishing, horizon + 0.07, sketch.between(0.22, 0.34), distance=0.4),
            pick(sketch.rng, WALLS),
        )
    else:
        add_hills(sketch, horizon + 0.05)
    draw_tree(
        sketch.stamp(vanishing - 0.6 * end, horizon + 0.07, 0.13, distance=0.3), pick(sketch.rng, LEAVES)
    )


def _add_row_of_houses(
    sketch: Sketch, vanishing: float, horizon: float, side: float, *, end: float, eaves: float
) -> None:
    """Add fronts from far to near; `side` is -1 for the left and 1 for the right."""
    depths = end * (1.35 / end) ** np.linspace(
        0.0, 1.0, sketch.count(3, 5) + 1
    )  # equal fronts seem to grow geometrically
    for far, near in zip(depths[:-1].tolist(), depths[1:].tolist(), strict=True):
        height = eaves * sketch.between(0.8, 1.2)
        low = 0.46
        x_far, x_near = vanishing + side * 0.68 * far, vanishing + side * 0.68 * near
        ends = [
            (x_far, horizon - height * far, horizon + low * far),
            (x_near, horizon - height * near, horizon + low * near),
        ]
        (xa, ta, ba), (xb, tb, bb) = ends if side > 0 else ends[::-1]
        quad = polygon((xa, ta), (xb, tb), (xb, bb), (xa, ba))
        wall = scaled(pick(sketch.rng, WALLS), 1.0 if side * sketch.light_x < 0.0 else 0.78)
        add_facade(sketch, quad, wall, columns=sketch.count(2, 4), rows=sketch.count(2, 5))


def compose_village(sketch: Sketch) -> None:
    """Compose houses on rising ground around a church; a lane, fences, trees, hills behind."""
    horizon = sketch.between(0.34, 0.52)
    sketch.add_sky(horizon)
    add_hills(sketch, horizon + 0.03)
    grass, leaf = pick(sketch.rng, GRASSES), pick(sketch.rng, LEAVES)
    rise = smooth_profile(sketch.rng)
    sketch.add(
        under(rise, crest=horizon - 0.03, height=0.07, foot=1.02),
        Material.GRASS,
        mix(grass, (0.8, 0.8, 0.76), 0.15),
        foot=scaled(grass, 0.75),
    )
    lane = arc(
        (sketch.between(0.2, 0.8), horizon + 0.05),
        (sketch.between(0.0, 1.0), 0.66),
        (sketch.between(0.2, 0.8), 1.05),
    )
    sketch.add(stroke(lane, (0.02, 0.24)), Material.EARTH, pick(sketch.rng, GROUNDS))
    church = sketch.between(horizon + 0.05, horizon + 0.18) if sketch.chance(0.7) else None
    places = sorted(sketch.rng.uniform(horizon + 0.05, 0.90, sketch.count(5, 9)).tolist())
    for y in places:
        if church is not None and y > church:
            draw_church(
                sketch.stamp(sketch.between(0.2, 0.8), church, sketch.between(0.3, 0.4)),
                pick(sketch.rng, WALLS[:2]),
            )
            church = None
        x, size = sketch.between(0.0, 1.0), 0.08 + 0.28 * (y - horizon)
        if sketch.chance(0.5):
            draw_tree(sketch.stamp(x + 1.1 * size, y - 0.01, 1.4 * size), jittered(sketch.rng, leaf, 0.05))
        sketch.add_shadow(x, y, 1.6 * size)
        draw_house(sketch.stamp(x, y, size, distance=max(0.0, 0.3 - (y - horizon))), pick(sketch.rng, WALLS))
        if sketch.chance(0.6):
            draw_bush(sketch.stamp(x - 0.8 * size, y + 0.01, 0.25 * size), leaf)
    if sketch.chance(0.5):
        x0 = sketch.between(-0.1, 0.4)
        add_fence(
            sketch,
            x0,
            x0 + sketch.between(0.4, 0.8),
            y=sketch.between(0.92, 0.98),
            height=0.09,
            colour=jittered(sketch.rng, (0.55, 0.45, 0.35), 0.1),
        )
