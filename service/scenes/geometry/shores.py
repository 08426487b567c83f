"""Quiet water: beach, lake.

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
    jittered,
    pick,
    scaled,
)
from service.scenes.geometry.backdrops import add_hills, add_ridge, add_water
from service.scenes.geometry.outlines import (
    arc,
    line,
    polygon,
    profile,
    rectangle,
    smooth_profile,
    stroke,
    under,
)
from service.scenes.geometry.props import (
    draw_parasol,
    draw_person,
    draw_rowing_boat,
    draw_sailing_boat,
    scatter_rocks,
)
from service.scenes.geometry.sketch import Sketch
from service.scenes.geometry.vegetation import (
    NEEDLE_GREEN,
    draw_conifer,
    draw_palm,
    draw_reeds,
    draw_tree,
)
from service.scenes.scene import Material


def compose_beach(sketch: Sketch) -> None:
    """Compose sea and sand with a curved line of surf; palms, parasols, people, rocks, sails."""
    horizon = sketch.between(0.28, 0.46)
    sketch.add_sky(horizon)
    if sketch.chance(0.5):
        _add_headland(sketch, horizon)
    add_water(sketch, horizon)
    for _ in range(sketch.count(0, 3)):
        y = sketch.between(horizon + 0.015, horizon + 0.07)
        draw_sailing_boat(
            sketch.stamp(sketch.between(0.05, 0.95), y, 0.7 * (y - horizon) + 0.07), pick(sketch.rng, BRIGHTS)
        )
    sand = pick(sketch.rng, GROUNDS)
    left, right = sketch.between(0.5, 0.85), sketch.between(0.5, 0.85)
    shore = arc((-0.02, left), (sketch.between(0.2, 0.8), sketch.between(0.5, 0.8)), (1.02, right), count=40)
    shore[:, 1] += 0.012 * np.sin(np.linspace(0, sketch.between(12.0, 24.0), 40))
    for lift, width in ((-0.075, 0.008), (-0.045, 0.012), (-0.006, 0.03)):
        sketch.add(
            stroke(shore + polygon((0.0, lift)), (width, 0.7 * width)), Material.PLAIN, (0.9, 0.93, 0.94)
        )
    for drop, share in ((0.0, 0.72), (0.03, 1.0)):
        edge = shore + polygon((0.0, drop))
        beach = np.concatenate([edge, polygon((1.02, 1.02), (-0.02, 1.02))])
        sketch.add(beach, Material.SAND, scaled(sand, share), foot=scaled(sand, 0.9))
    low = max(left, right) + 0.06
    scatter_rocks(sketch, sketch.count(0, 4), low, 0.98, largest=0.08)
    for y in np.sort(sketch.rng.uniform(low, 0.97, sketch.count(1, 6))):
        size = 0.30 * (float(y) - horizon)
        x = sketch.between(0.04, 0.96)
        sketch.add_shadow(x, float(y), 0.8 * size)
        if sketch.chance(0.55):
            draw_parasol(sketch.stamp(x, float(y), size), pick(sketch.rng, BRIGHTS))
        else:
            draw_person(sketch.stamp(x, float(y), 0.8 * size))
    if sketch.chance(0.55):
        leaf, side = pick(sketch.rng, LEAVES[:2] + LEAVES[4:6]), sketch.chance(0.5)
        for _ in range(sketch.count(1, 3)):
            x = sketch.between(0.02, 0.25)
            y = sketch.between(low, 0.96)
            sketch.add_shadow(1.0 - x if side else x, y, 0.2)
            draw_palm(sketch.stamp(1.0 - x if side else x, y, sketch.between(0.5, 0.75), flip=side), leaf)


def _add_headland(sketch: Sketch, horizon: float) -> None:
    reach, height = sketch.between(0.3, 0.75), sketch.between(0.05, 0.18)
    curve = profile(sketch.rng, knots=4) * np.linspace(1.0, 0.05, 72)
    x0, x1 = (-0.02, reach) if sketch.chance(0.5) else (1.02, 1.0 - reach)
    rock = pick(sketch.rng, (*ROCKS, *GRASSES))
    sketch.add(
        under(curve, crest=horizon - height, height=height, foot=horizon + 0.01, x0=x0, x1=x1),
        Material.ROCK,
        rock,
        foot=scaled(rock, 0.75),
        distance=0.4,
    )


def compose_lake(sketch: Sketch) -> None:
    """Compose still water with a mirrored far shore; reeds, a jetty, rowing boats, trees in front."""
    horizon = sketch.between(0.36, 0.56)
    sketch.add_sky(horizon)
    if sketch.chance(0.6):
        rock = pick(sketch.rng, ROCKS)
        add_ridge(
            sketch,
            horizon * sketch.between(0.25, 0.6),
            0.3 * horizon,
            horizon + 0.02,
            rock,
            distance=0.6,
            rugged=True,
            snow=0.4 if sketch.chance(0.4) else 0.0,
        )
    add_hills(sketch, horizon)
    leaf, conifers = pick(sketch.rng, LEAVES), sketch.chance(0.5)
    for x in np.arange(-0.02, 1.03, sketch.between(0.045, 0.09)):
        size = sketch.between(0.05, 0.14)
        stamp = sketch.stamp(float(x) + sketch.between(-0.02, 0.02), horizon + 0.008, size, distance=0.25)
        if conifers:
            draw_conifer(stamp, scaled(NEEDLE_GREEN, 1.2))
        elif sketch.chance(0.7):
            draw_tree(stamp, jittered(sketch.rng, leaf, 0.05))
    add_water(sketch, horizon + 0.005)
    sketch.add(
        rectangle(-0.02, horizon - 0.004, 1.02, horizon + 0.008),
        Material.EARTH,
        (0.42, 0.36, 0.28),
        distance=0.2,
    )
    if sketch.chance(0.5):
        _add_jetty(sketch, horizon)
    for _ in range(sketch.count(0, 2)):
        y = sketch.between(horizon + 0.1, 0.85)
        draw_rowing_boat(
            sketch.stamp(sketch.between(0.1, 0.9), y, 0.1 * (y - horizon) + 0.012), pick(sketch.rng, BRIGHTS)
        )
    bank = smooth_profile(sketch.rng)
    grass = pick(sketch.rng, GRASSES)
    if sketch.chance(0.7):
        sketch.add(
            under(bank, crest=sketch.between(0.84, 0.92), height=0.1, foot=1.02),
            Material.GRASS,
            grass,
            foot=scaled(grass, 0.7),
        )
    for _ in range(sketch.count(3, 10)):
        draw_reeds(
            sketch.stamp(sketch.between(0.0, 1.0), sketch.between(0.93, 1.02), sketch.between(0.1, 0.24)),
            jittered(sketch.rng, grass, 0.06),
        )


def _add_jetty(sketch: Sketch, horizon: float) -> None:
    x, stop = sketch.between(0.15, 0.85), sketch.between(horizon + 0.12, 0.7)
    plank = jittered(sketch.rng, (0.52, 0.42, 0.32), 0.06)
    near, far = 0.12, 0.05
    skew = sketch.between(-0.2, 0.2)
    sketch.add(
        [line(x + skew + dx, stop, x + skew + dx, stop + 0.05, 0.014) for dx in (-far, far)],
        Material.WOOD,
        scaled(plank, 0.5),
    )
    deck = polygon((x + skew - far, stop), (x + skew + far, stop), (x + near, 1.02), (x - near, 1.02))
    sketch.add(deck, Material.WOOD, plank, foot=scaled(plank, 0.85))
    for v in (np.linspace(0.0, 1.0, 14) ** 1.7).tolist():
        y, half, middle = stop + v * (1.02 - stop), far + v * (near - far), x + skew * (1 - v)
        sketch.add(
            line(middle - half, y, middle + half, y, 0.003 + 0.005 * v), Material.WOOD, scaled(plank, 0.55)
        )
