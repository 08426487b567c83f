"""Wild country: mountain, desert, glacier.

In: a sketch with its random generator. Out: the sketch filled with the parts of one composition.
Each `compose_` function is one category; all its variation comes from the sketch's generator.
"""

import numpy as np

from service.scenes.colours import (
    GRASSES,
    GROUNDS,
    ROCKS,
    WALLS,
    WATERS,
    jittered,
    mix,
    pick,
    scaled,
)
from service.scenes.geometry.backdrops import add_ground, add_ridge
from service.scenes.geometry.buildings import draw_house
from service.scenes.geometry.outlines import (
    arc,
    ellipse,
    polygon,
    profile,
    rectangle,
    smooth_profile,
    under,
)
from service.scenes.geometry.props import (
    scatter_rocks,
)
from service.scenes.geometry.sketch import Sketch
from service.scenes.geometry.vegetation import (
    NEEDLE_GREEN,
    draw_cactus,
    draw_conifer,
    draw_reeds,
)
from service.scenes.scene import Colour, Material


def compose_mountain(sketch: Sketch) -> None:
    """Compose peaks behind each other, a meadow in front, conifers, perhaps a hut."""
    horizon = sketch.between(0.58, 0.80)
    sketch.add_sky(horizon)
    rock = pick(sketch.rng, ROCKS)
    ridges = sketch.count(2, 4)
    snow = sketch.between(0.35, 0.62) if sketch.chance(0.6) else 0.0
    for number in range(ridges):
        near = number / ridges
        crest = horizon * (sketch.between(0.14, 0.32) + 0.5 * near)
        colour = jittered(sketch.rng, scaled(rock, 1.0 - 0.2 * near), 0.03)
        add_ridge(
            sketch,
            crest,
            horizon - crest - 0.02,
            horizon + 0.05,
            colour,
            distance=0.7 * (1 - near),
            rugged=True,
            snow=snow * (1 - near),
        )
    meadow = pick(sketch.rng, GRASSES)
    bank = smooth_profile(sketch.rng)
    sketch.add(
        under(bank, crest=horizon - 0.04, height=0.07, foot=1.02),
        Material.GRASS,
        meadow,
        foot=scaled(meadow, 0.7),
    )
    scatter_rocks(sketch, sketch.count(0, 5), horizon + 0.08, 0.98, largest=0.09)
    needle = jittered(sketch.rng, NEEDLE_GREEN, 0.03)
    for y in np.sort(sketch.rng.uniform(horizon + 0.01, 0.99, sketch.count(4, 18))):
        size = 0.07 + 0.5 * (float(y) - horizon)
        x = sketch.between(0.0, 1.0)
        sketch.add_shadow(x, float(y), 0.4 * size)
        draw_conifer(sketch.stamp(x, float(y), size), needle)
    if sketch.chance(0.35):
        draw_house(sketch.stamp(sketch.between(0.2, 0.8), horizon + 0.1, 0.11), pick(sketch.rng, WALLS))


def compose_desert(sketch: Sketch) -> None:
    """Compose dunes with sharp crests, or a plain with mesas; cacti, stones."""
    horizon = sketch.between(0.36, 0.6)
    sketch.add_sky(horizon)
    sand = pick(sketch.rng, GROUNDS)
    if sketch.chance(0.5):
        add_ground(sketch, horizon, sand, Material.SAND)
        for _ in range(sketch.count(2, 4)):
            _add_mesa(sketch, horizon, pick(sketch.rng, (sand, *ROCKS)))
    dunes = sketch.count(2, 5)
    for number in range(dunes):
        near = number / dunes
        _add_dune(
            sketch,
            horizon + (1.0 - horizon) * near * 0.9,
            jittered(sketch.rng, sand, 0.03),
            0.55 * (1 - near),
        )
    scatter_rocks(sketch, sketch.count(0, 6), horizon + 0.15, 0.97, largest=0.07)
    for y in np.sort(sketch.rng.uniform(horizon + 0.08, 0.98, sketch.count(0, 7))):
        size = 0.08 + 0.55 * (float(y) - horizon)
        x = sketch.between(0.02, 0.98)
        sketch.add_shadow(x, float(y), 0.5 * size)
        if sketch.chance(0.7):
            draw_cactus(sketch.stamp(x, float(y), size))
        else:
            draw_reeds(sketch.stamp(x, float(y), 0.4 * size), pick(sketch.rng, GRASSES[2:]))


def _add_dune(sketch: Sketch, crest: float, sand: Colour, distance: float) -> None:
    """Add a dune: its windward side in light, its lee side in shade along a winding crest."""
    curve = smooth_profile(sketch.rng, waves=2)
    height = sketch.between(0.06, 0.17)
    top = crest - height
    sketch.add(
        under(curve, crest=top, height=height, foot=1.02),
        Material.SAND,
        scaled(sand, 1.08),
        foot=scaled(sand, 0.8),
        distance=distance,
    )
    peak = int(np.argmax(curve))
    x_peak, direction = peak / (len(curve) - 1), -1.0 if sketch.light_x > 0 else 1.0
    reach = sketch.between(0.22, 0.5)
    stop = int(np.clip(peak + direction * reach * len(curve), 0, len(curve) - 1))
    low, high = sorted((peak, stop))
    edge = np.stack([np.linspace(-0.02, 1.02, len(curve)), top + height * (1 - curve)], axis=1)[
        low : high + 1
    ]
    if direction < 0:
        edge = edge[::-1]
    winding = arc(
        (x_peak + 0.9 * direction * reach, top + height + 0.12),
        (x_peak + 0.1 * direction, top + 0.10),
        tuple(edge[0].tolist()),
    )
    sketch.add(
        np.concatenate([edge, winding]).astype(np.float32),
        Material.SAND,
        scaled(sand, 0.70),
        foot=scaled(sand, 0.80),
        distance=distance,
    )


def _add_mesa(sketch: Sketch, horizon: float, rock: Colour) -> None:
    x, width, height = sketch.between(0.0, 1.0), sketch.between(0.08, 0.3), sketch.between(0.08, 0.24)
    top = horizon - height
    left, right = x - 0.5 * width, x + 0.5 * width
    talus = polygon(
        (left, horizon - 0.4 * height),
        (right, horizon - 0.4 * height),
        (right + 0.06, horizon + 0.01),
        (left - 0.06, horizon + 0.01),
    )
    sketch.add(talus, Material.ROCK, scaled(rock, 0.9), distance=0.4)
    cliff = polygon(
        (left + 0.01, top),
        (right - 0.01, top),
        (right, horizon - 0.38 * height),
        (left, horizon - 0.38 * height),
    )
    sketch.add(cliff, Material.ROCK, scaled(rock, 1.1), foot=scaled(rock, 0.75), roundness=0.3, distance=0.4)
    sketch.add(
        rectangle(left, top + 0.3 * height, right, top + 0.36 * height),
        Material.ROCK,
        scaled(rock, 0.7),
        distance=0.4,
    )


def compose_glacier(sketch: Sketch) -> None:
    """Compose an ice front with crevasses over a bay with floes, or a snowfield with drifts; peaks behind."""
    horizon = sketch.between(0.42, 0.60)
    sketch.add_sky(horizon)
    rock, ice = pick(sketch.rng, ROCKS), jittered(sketch.rng, (0.70, 0.82, 0.90), 0.07)
    for distance in (0.7, 0.45):
        add_ridge(
            sketch,
            horizon * (0.75 - 0.6 * distance),
            0.5 * horizon,
            horizon,
            rock,
            distance=distance,
            rugged=True,
            snow=0.6,
        )
    curve = profile(sketch.rng, count=30, knots=7, roughness=0.6)
    crest = horizon - sketch.between(0.10, 0.2)
    front = under(curve, crest=crest, height=0.07, foot=horizon + 0.08)
    sketch.add(front, Material.ICE, ice, foot=scaled(ice, 0.78), snow=0.3)
    rim = front[:30]  # the upper edge; columns of ice hang from it
    for start in range(0, 29, 2):
        stop = min(start + sketch.count(1, 2), 29)
        low = rim[[stop, start]] * [[1.0, 0.0]] + [[sketch.between(-0.01, 0.01), horizon + 0.08]]
        column = np.concatenate([rim[start : stop + 1] + polygon((0.0, 0.012)), low]).astype(np.float32)
        sketch.add(
            column, Material.ICE, scaled(ice, 0.9), foot=mix(scaled(ice, 0.72), (0.16, 0.44, 0.66), 0.25)
        )
    for x in sketch.rng.uniform(0.0, 1.0, sketch.count(3, 8)):
        at = float(x)
        crack = polygon((at - 0.012, crest + 0.08), (at + 0.01, crest + 0.08), (at + 0.004, horizon + 0.06))
        sketch.add(crack, Material.PLAIN, mix(ice, (0.16, 0.44, 0.66), 0.6))
    if sketch.chance(0.55):
        _add_icy_bay(sketch, horizon + 0.07, ice)
    else:
        for number in range(3):
            drift = smooth_profile(sketch.rng)
            top = horizon - 0.02 + 0.17 * number
            sketch.add(
                under(drift, crest=top, height=0.09, foot=1.02),
                Material.ICE,
                mix(ice, (1.0, 1.0, 1.0), 0.5),
                foot=scaled(ice, 0.85),
                snow=0.8,
            )
        scatter_rocks(sketch, sketch.count(1, 6), horizon + 0.2, 0.97, largest=0.1)


def _add_icy_bay(sketch: Sketch, shore: float, ice: Colour) -> None:
    sketch.waterline = shore
    water = pick(sketch.rng, WATERS)
    sketch.add(
        rectangle(-0.02, shore, 1.02, 1.02), Material.WATER, mix(water, ice, 0.3), foot=scaled(water, 0.7)
    )
    for y in np.sort(sketch.rng.uniform(shore + 0.03, 0.98, sketch.count(4, 11))):
        size = 0.03 + 0.28 * (float(y) - shore) * sketch.between(0.5, 1.0)
        x, height = sketch.between(0.0, 1.0), sketch.between(0.25, 1.0)
        below = ellipse(x, float(y) + 0.15 * size, 1.1 * size, 0.3 * size)
        sketch.add(below, Material.PLAIN, mix(water, ice, 0.4))
        stamp = sketch.stamp(x, float(y), size, flip=sketch.chance(0.5))
        stamp.add(
            polygon(
                (-1.0, 0.0),
                (-0.7, 0.5 * height),
                (-0.2, 0.9 * height),
                (0.3, 0.5 * height),
                (0.9, 0.35 * height),
                (1.0, 0.0),
            ),
            Material.ICE,
            mix(ice, (1.0, 1.0, 1.0), 0.6),
            foot=ice,
        )
        stamp.add(
            polygon((-0.2, 0.9 * height), (0.3, 0.5 * height), (0.9, 0.35 * height), (1.0, 0.0), (0.05, 0.0)),
            Material.ICE,
            scaled(ice, 0.82),
        )
