"""Built-up water: harbour, bridge.

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
    pick,
    scaled,
)
from service.scenes.geometry.backdrops import add_hills, add_water
from service.scenes.geometry.buildings import draw_house, draw_lighthouse, draw_tower
from service.scenes.geometry.outlines import (
    arc,
    blob,
    ellipse,
    line,
    polygon,
    rectangle,
    smooth_profile,
    stroke,
    under,
)
from service.scenes.geometry.props import (
    draw_motor_boat,
    draw_sailing_boat,
    draw_street_lamp,
)
from service.scenes.geometry.sketch import Sketch
from service.scenes.geometry.vegetation import (
    draw_tree,
)
from service.scenes.scene import Colour, Material


def compose_harbour(sketch: Sketch) -> None:
    """Compose a basin: warehouses or cranes on the far quay, boats at anchor, the near quay with lamps."""
    horizon = sketch.between(0.36, 0.52)
    sketch.add_sky(horizon)
    add_hills(sketch, horizon)
    quay = pick(sketch.rng, ROCKS)
    x = -0.05
    while x < 1.02:
        width, height = sketch.between(0.10, 0.2), sketch.between(0.07, 0.15)
        draw_house(
            sketch.stamp(x + 0.5 * width, horizon, height, distance=0.15),
            pick(sketch.rng, WALLS),
            width=min(1.6, 0.92 * width / height),
        )
        x += width
    for _ in range(sketch.count(0, 3)):
        _add_crane(sketch, sketch.between(0.05, 0.95), horizon, sketch.between(0.22, 0.34))
    if sketch.chance(0.45):
        draw_lighthouse(
            sketch.stamp(sketch.between(0.08, 0.92), horizon + 0.01, sketch.between(0.24, 0.34)),
            pick(sketch.rng, BRIGHTS),
        )
    sketch.add(rectangle(-0.02, horizon - 0.012, 1.02, horizon + 0.025), Material.MASONRY, scaled(quay, 0.75))
    add_water(sketch, horizon + 0.022)
    for y in np.sort(sketch.rng.uniform(horizon + 0.08, 0.84, sketch.count(3, 7))):
        size, boat = 0.10 + 0.42 * (float(y) - horizon), sketch.between(0.0, 1.0)
        stamp = sketch.stamp(sketch.between(0.04, 0.96), float(y), size, flip=sketch.chance(0.5))
        if boat < 0.6:
            draw_sailing_boat(stamp, pick(sketch.rng, BRIGHTS))
        else:
            draw_motor_boat(
                sketch.stamp(stamp.x, stamp.y, 0.6 * size, flip=stamp.flip), pick(sketch.rng, BRIGHTS)
            )
    top = sketch.between(0.86, 0.94)
    sketch.add(
        rectangle(-0.02, top, 1.02, 1.02), Material.PAVEMENT, scaled(quay, 1.1), foot=scaled(quay, 0.8)
    )
    sketch.add(rectangle(-0.02, top, 1.02, top + 0.018), Material.MASONRY, scaled(quay, 1.3))
    for x in np.arange(sketch.between(0.05, 0.2), 1.0, sketch.between(0.25, 0.5)):
        stamp = sketch.stamp(float(x), top + 0.02, 0.07)
        stamp.add(
            polygon((-0.25, 0.0), (0.25, 0.0), (0.2, 0.7), (0.4, 1.0), (-0.4, 1.0), (-0.2, 0.7)),
            Material.METAL,
            (0.2, 0.2, 0.22),
            roundness=0.4,
        )
    if sketch.chance(0.6):
        draw_street_lamp(sketch.stamp(sketch.between(0.05, 0.95), top + 0.03, 0.45, flip=sketch.chance(0.5)))


def _add_crane(sketch: Sketch, x: float, foot: float, size: float) -> None:
    stamp = sketch.stamp(x, foot, size, distance=0.15, flip=sketch.chance(0.5))
    paint = pick(sketch.rng, BRIGHTS)
    legs = [
        line(-0.2, 0.0, -0.08, 0.55, 0.045),
        line(0.2, 0.0, 0.08, 0.55, 0.045),
        line(-0.15, 0.25, 0.15, 0.25, 0.03),
    ]
    stamp.add(legs, Material.METAL, scaled(paint, 0.8))
    stamp.add(rectangle(-0.16, 0.5, 0.16, 0.66), Material.METAL, paint)
    stamp.add(
        [
            line(0.0, 0.62, 0.85, 0.98, 0.05),
            line(0.0, 0.66, -0.1, 0.95, 0.04),
            line(-0.1, 0.94, 0.85, 0.98, 0.012),
            line(0.8, 0.96, 0.8, 0.45, 0.012),
        ],
        Material.METAL,
        paint,
    )


def compose_bridge(sketch: Sketch) -> None:
    """Compose a river under a bridge: stone arches, a steel arch or hanging cables; town or trees on the far bank."""
    horizon = sketch.between(0.42, 0.60)
    sketch.add_sky(horizon)
    add_hills(sketch, horizon)
    town = sketch.chance(0.5)
    for x in np.arange(0.0, 1.05, 0.085):
        if town:
            draw_tower(
                sketch.stamp(float(x), horizon, sketch.between(0.07, 0.2), distance=0.35),
                pick(sketch.rng, WALLS),
                width=0.5,
                columns=3,
                rows=5,
            )
        else:
            draw_tree(
                sketch.stamp(float(x), horizon + 0.01, sketch.between(0.08, 0.15), distance=0.3),
                pick(sketch.rng, LEAVES),
            )
    add_water(sketch, horizon)
    deck, piers = horizon - sketch.between(0.04, 0.12), horizon + sketch.between(0.05, 0.14)
    (_add_stone_bridge, _add_steel_bridge, _add_hanging_bridge)[sketch.count(0, 2)](sketch, deck, piers)
    if sketch.chance(0.5):
        draw_motor_boat(
            sketch.stamp(
                sketch.between(0.15, 0.85), sketch.between(piers + 0.1, 0.85), 0.1, flip=sketch.chance(0.5)
            ),
            pick(sketch.rng, BRIGHTS),
        )
    grass = pick(sketch.rng, (*GRASSES, *GROUNDS))
    corner, left = sketch.between(0.72, 0.9), sketch.chance(0.5)
    bank = under(
        smooth_profile(sketch.rng) * np.linspace(1, 0, 72),
        crest=corner,
        height=1.0 - corner,
        foot=1.02,
        x0=-0.02 if left else 1.02,
        x1=1.02 if left else -0.02,
    )
    sketch.add(bank, Material.GRASS, grass, foot=scaled(grass, 0.7))
    for _ in range(sketch.count(1, 4)):
        x = sketch.between(0.0, 0.3)
        sketch.add(
            blob(sketch.rng, x if left else 1.0 - x, 1.0, 0.09, 0.07),
            Material.LEAVES,
            pick(sketch.rng, LEAVES),
            roundness=0.3,
        )


def _add_stone_bridge(sketch: Sketch, deck: float, foot: float) -> None:
    stone, spans = pick(sketch.rng, (*ROCKS, *WALLS)), sketch.count(2, 5)
    hump = sketch.between(0.0, 0.07)
    wall = np.concatenate(
        [
            arc((-0.02, deck), (0.5, deck - 2.0 * hump), (1.02, deck), count=24),
            polygon((1.02, foot), (-0.02, foot)),
        ]
    )
    width = 1.06 / spans
    rise = min(0.42 * width, 0.8 * (foot - deck))
    openings = [
        ellipse(-0.03 + width * (i + 0.5), foot, 0.41 * width, rise + hump, start=np.pi, stop=2.0 * np.pi)
        for i in range(spans)
    ]
    rims = [
        ellipse(
            -0.03 + width * (i + 0.5), foot, 0.45 * width, rise + hump + 0.02, start=np.pi, stop=2.0 * np.pi
        )
        for i in range(spans)
    ]
    sketch.add([wall, *openings], Material.MASONRY, stone, foot=scaled(stone, 0.75))
    for rim, opening in zip(rims, openings, strict=True):
        sketch.add([rim, opening], Material.MASONRY, scaled(stone, 0.72))
    parapet = arc((-0.02, deck), (0.5, deck - 2.0 * hump), (1.02, deck), count=24)
    sketch.add(stroke(parapet, (0.018, 0.018)), Material.MASONRY, scaled(stone, 1.2))


def _add_steel_bridge(sketch: Sketch, deck: float, foot: float) -> None:
    paint, rise = pick(sketch.rng, BRIGHTS), sketch.between(0.15, 0.28)
    x = np.linspace(0.06, 0.94, 15)
    crown = deck + 0.04 - rise * (1 - ((x - 0.5) / 0.44) ** 2)
    sketch.add(
        [rectangle(at - 0.035, deck, at + 0.035, foot + 0.02) for at in (0.06, 0.94)],
        Material.MASONRY,
        pick(sketch.rng, ROCKS),
    )
    hangers = [
        line(float(at), float(top), float(at), deck, 0.007)
        for at, top in zip(x[1:-1], crown[1:-1], strict=True)
    ]
    sketch.add(hangers, Material.METAL, scaled(paint, 0.8))
    spine = np.stack([x, crown], axis=1).astype(np.float32)
    sketch.add(stroke(spine, (0.026, 0.026)), Material.METAL, paint)
    _add_deck(sketch, deck, scaled(paint, 0.7))


def _add_hanging_bridge(sketch: Sketch, deck: float, foot: float) -> None:
    paint, rise = pick(sketch.rng, (*BRIGHTS, *ROCKS)), sketch.between(0.2, 0.3)
    left, right = sketch.between(0.14, 0.26), sketch.between(0.74, 0.86)
    top = max(0.05, deck - rise)
    spans = [
        ((-0.1, deck), (left - 0.1, deck - 0.02), (left, top)),
        ((left, top), (0.5 * (left + right), 2 * deck - top - 0.05), (right, top)),
        ((right, top), (right + 0.1, deck - 0.02), (1.1, deck)),
    ]
    for start, bend, stop in spans:
        cable = arc(start, bend, stop, count=16)
        sketch.add(
            [line(float(x), float(y), float(x), deck, 0.004) for x, y in cable[1:-1]],
            Material.METAL,
            scaled(paint, 0.75),
        )
        sketch.add(stroke(cable, (0.009, 0.009)), Material.METAL, paint)
    for x in (left, right):
        sketch.add(
            [
                rectangle(x - 0.028, top - 0.02, x - 0.01, foot),
                rectangle(x + 0.01, top - 0.02, x + 0.028, foot),
            ],
            Material.METAL,
            paint,
            roundness=0.2,
        )
        bars = np.linspace(top, deck, 4)[:-1]
        sketch.add(
            [rectangle(x - 0.028, float(y), x + 0.028, float(y) + 0.014) for y in bars],
            Material.METAL,
            scaled(paint, 0.9),
        )
    _add_deck(sketch, deck, scaled(paint, 0.8))


def _add_deck(sketch: Sketch, deck: float, colour: Colour) -> None:
    sketch.add(rectangle(-0.02, deck, 1.02, deck + 0.03), Material.METAL, colour, foot=scaled(colour, 0.6))
    sketch.add(rectangle(-0.02, deck - 0.012, 1.02, deck - 0.008), Material.METAL, colour)
    lamps = np.arange(0.06, 1.0, 0.11)
    sketch.add([line(float(x), deck, float(x), deck - 0.035, 0.006) for x in lamps], Material.METAL, colour)
    globes = [ellipse(float(x), deck - 0.038, 0.008, 0.008, count=10) for x in lamps]
    sketch.add(globes, Material.GLASS, (0.9, 0.88, 0.8), glow=(1.2, 0.95, 0.55))
