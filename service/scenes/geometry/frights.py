"""Unpleasant objects: a skull, a spider, a burning car, a tombstone, a broken bottle in blood.

In: a stamp (local frame, y up, about one unit high). Out: parts in its sketch.
What they are worth in valence is recorded in `service.scenes.affect`.
"""

import numpy as np

from service.scenes.colours import (
    jittered,
    mix,
    scaled,
)
from service.scenes.geometry.outlines import (
    arc,
    blob,
    ellipse,
    line,
    polygon,
    rectangle,
    stroke,
    tongue,
)
from service.scenes.geometry.sketch import Stamp
from service.scenes.scene import Colour, Material

_BLACK: Colour = (0.06, 0.05, 0.06)


def draw_skull(stamp: Stamp) -> None:
    """Draw a skull on crossed bones."""
    bone = jittered(stamp.sketch.rng, (0.90, 0.87, 0.76), 0.05)
    dark = scaled(bone, 0.72)
    for side in (-1.0, 1.0):
        shaft = line(-0.46 * side, 0.04, 0.46 * side, 0.34, 0.09)
        knobs = [
            ellipse(s * 0.47 * side, 0.19 + 0.15 * s + d, 0.06, 0.06, count=12)
            for s in (-1, 1)
            for d in (-0.05, 0.05)
        ]
        for piece in (shaft, *knobs):
            stamp.add(piece, Material.PLAIN, dark)
    stamp.add(rectangle(-0.2, 0.16, 0.2, 0.46), Material.PLAIN, scaled(bone, 0.92), foot=dark)
    stamp.add(ellipse(0.0, 0.66, 0.36, 0.34), Material.PLAIN, bone, foot=scaled(bone, 0.82), roundness=0.2)
    stamp.add([ellipse(x, 0.60, 0.115, 0.125) for x in (-0.16, 0.16)], Material.PLAIN, _BLACK)
    stamp.add(polygon((0.0, 0.50), (-0.06, 0.38), (0.06, 0.38)), Material.PLAIN, _BLACK)
    stamp.add([line(x, 0.17, x, 0.31, 0.02) for x in (-0.12, -0.04, 0.04, 0.12)], Material.PLAIN, _BLACK)
    stamp.add(
        stroke(arc((0.1, 0.98), (0.16, 0.88), (0.10, 0.80)), (0.02, 0.008)),
        Material.PLAIN,
        scaled(bone, 0.35),
    )


def draw_spider(stamp: Stamp) -> None:
    """Draw a black spider with red marks."""
    body = jittered(stamp.sketch.rng, (0.12, 0.09, 0.09), 0.03)
    for side in (-1.0, 1.0):
        for reach, knee, foot in (
            (0.34, 0.92, 0.62),
            (0.46, 0.82, 0.34),
            (0.48, 0.66, 0.10),
            (0.36, 0.50, -0.02),
        ):
            leg = np.concatenate(
                [
                    arc((0.05 * side, 0.42), (0.16 * side, knee - 0.1), (0.6 * reach * side, knee)),
                    [[reach * side, foot]],
                ]
            )
            stamp.add(stroke(leg.astype(np.float32), (0.055, 0.025)), Material.PLAIN, body)
    stamp.add(ellipse(0.0, 0.28, 0.2, 0.24), Material.PLAIN, scaled(body, 1.8), foot=body, roundness=0.4)
    stamp.add(
        [
            polygon((-0.07, 0.38), (0.07, 0.38), (0.0, 0.28)),
            polygon((-0.07, 0.18), (0.07, 0.18), (0.0, 0.28)),
        ],
        Material.PLAIN,
        (0.78, 0.08, 0.08),
    )
    stamp.add(ellipse(0.0, 0.56, 0.14, 0.13), Material.PLAIN, scaled(body, 1.6), foot=body)
    stamp.add(
        [
            ellipse(x, y, 0.026, 0.03, count=10)
            for x, y in ((-0.06, 0.60), (0.06, 0.60), (-0.025, 0.66), (0.025, 0.66))
        ],
        Material.PLAIN,
        (0.92, 0.20, 0.12),
    )
    stamp.add(
        [polygon((s * 0.03, 0.47), (s * 0.08, 0.47), (s * 0.03, 0.37)) for s in (-1, 1)],
        Material.PLAIN,
        (0.75, 0.72, 0.65),
    )


def draw_burning_car(stamp: Stamp) -> None:
    """Draw a burnt car in flames and smoke."""
    rng = stamp.sketch.rng
    soot = jittered(rng, (0.16, 0.13, 0.12), 0.03)
    for x, y, radius, grey in ((0.14, 0.88, 0.14, 0.20), (-0.06, 0.76, 0.17, 0.14), (0.1, 0.62, 0.16, 0.10)):
        stamp.add(
            blob(rng, x, y, 1.3 * radius, radius, roughness=0.15),
            Material.PLAIN,
            (1.3 * grey, 1.2 * grey, 1.2 * grey),
        )
    for x, height in ((-0.24, 0.66), (0.22, 0.56), (0.0, 0.82)):
        for shrink, colour in (
            (1.0, (0.85, 0.20, 0.05)),
            (0.66, (1.0, 0.52, 0.08)),
            (0.36, (1.0, 0.86, 0.30)),
        ):
            flame = tongue(x, 0.22, 0.16 * shrink, (height - 0.2) * shrink)
            stamp.add(flame, Material.PLAIN, colour, glow=scaled(colour, 0.45), burning=True)
    stamp.add(polygon((-0.34, 0.24), (-0.22, 0.44), (0.14, 0.41), (0.32, 0.22)), Material.PLAIN, soot)
    stamp.add(
        [
            polygon((-0.25, 0.25), (-0.17, 0.39), (-0.02, 0.38), (-0.02, 0.25)),
            polygon((0.03, 0.25), (0.03, 0.38), (0.12, 0.36), (0.22, 0.25)),
        ],
        Material.PLAIN,
        (0.95, 0.48, 0.10),
        glow=(0.45, 0.15, 0.02),
        burning=True,
    )
    stamp.add(
        polygon((-0.54, 0.06), (-0.52, 0.22), (-0.3, 0.27), (0.3, 0.25), (0.5, 0.18), (0.55, 0.06)),
        Material.PLAIN,
        scaled(soot, 1.5),
        foot=scaled(soot, 0.6),
    )
    stamp.add([ellipse(x, 0.06, 0.10, 0.09, count=16) for x in (-0.32, 0.32)], Material.PLAIN, _BLACK)
    stamp.add(
        [polygon((-0.1, 0.22), (0.0, 0.24), (-0.04, 0.1)), polygon((0.12, 0.2), (0.2, 0.22), (0.14, 0.1))],
        Material.PLAIN,
        (0.36, 0.16, 0.10),
    )


def draw_tombstone(stamp: Stamp) -> None:
    """Draw a cracked tombstone on a fresh mound."""
    rng = stamp.sketch.rng
    stone = jittered(rng, (0.44, 0.45, 0.46), 0.04)
    slab = np.concatenate(
        [ellipse(0.0, 0.66, 0.30, 0.32, start=0.0, stop=np.pi), [[-0.30, 0.0], [0.30, 0.0]]]
    ).astype(np.float32)
    stamp.add(slab + polygon((0.06, 0.0)), Material.PLAIN, scaled(stone, 0.5))
    stamp.add(slab, Material.PLAIN, scaled(stone, 1.15), foot=scaled(stone, 0.7))
    stamp.add(
        [line(0.0, 0.48, 0.0, 0.86, 0.055), line(-0.13, 0.74, 0.13, 0.74, 0.055)],
        Material.PLAIN,
        scaled(stone, 0.4),
    )
    stamp.add(
        [rectangle(-0.18, y, 0.18, y + 0.025) for y in (0.38, 0.30)], Material.PLAIN, scaled(stone, 0.45)
    )
    crack = polygon((0.3, 0.62), (0.2, 0.55), (0.24, 0.44), (0.14, 0.34), (0.25, 0.42), (0.22, 0.53))
    stamp.add(crack, Material.PLAIN, _BLACK)
    mound = ellipse(0.02, 0.0, 0.5, 0.12, start=0.0, stop=np.pi)
    stamp.add(mound, Material.PLAIN, (0.30, 0.22, 0.16), foot=(0.20, 0.15, 0.11))


def draw_bloody_glass(stamp: Stamp) -> None:
    """Draw a broken bottle in a pool of blood."""
    rng = stamp.sketch.rng
    blood = jittered(rng, (0.50, 0.03, 0.04), 0.02)
    stamp.add(
        blob(rng, 0.0, 0.10, 0.52, 0.13, roughness=0.18), Material.PLAIN, blood, foot=scaled(blood, 0.65)
    )
    drops = [
        ellipse(float(x), float(y), 0.035, 0.018, count=10)
        for x, y in zip(rng.uniform(-0.6, 0.6, 6), rng.uniform(-0.04, 0.22, 6), strict=True)
    ]
    stamp.add(drops, Material.PLAIN, blood)
    glass = jittered(rng, (0.30, 0.48, 0.36), 0.06)
    neck = polygon(
        (-0.24, 0.10),
        (-0.22, 0.52),
        (-0.10, 0.66),
        (-0.09, 0.96),
        (0.09, 0.96),
        (0.10, 0.66),
        (0.22, 0.52),
        (0.24, 0.10),
        (0.16, 0.34),
        (0.10, 0.16),
        (0.02, 0.40),
        (-0.06, 0.14),
        (-0.12, 0.32),
    )
    stamp.add(
        neck, Material.PLAIN, mix(glass, (1.0, 1.0, 1.0), 0.25), foot=scaled(glass, 0.6), roundness=0.35
    )
    stamp.add(rectangle(-0.11, 0.90, 0.11, 0.98), Material.PLAIN, scaled(glass, 0.8))
    stamp.add(line(-0.15, 0.40, -0.12, 0.56, 0.03), Material.PLAIN, (0.85, 0.95, 0.90))
    stamp.add(
        [polygon((x, 0.05), (x + 0.10, 0.10), (x + 0.03, 0.30)) for x in (-0.48, 0.32)],
        Material.PLAIN,
        mix(glass, (1.0, 1.0, 1.0), 0.45),
        foot=glass,
    )
    stamp.add(
        [
            polygon((0.16, 0.34), (0.10, 0.16), (0.06, 0.28)),
            polygon((-0.24, 0.10), (-0.23, 0.30), (-0.17, 0.22)),
        ],
        Material.PLAIN,
        blood,
    )
