"""Plants: trees, bushes, flowers, reeds and cacti.

In: a stamp (a local frame, y up, one unit is the plant's height). Out: parts in its sketch.
Where they grow is decided by the compositions.
"""

import numpy as np

from service.scenes.colours import BRIGHTS, LEAVES, jittered, mix, pick, scaled
from service.scenes.geometry.outlines import arc, blob, ellipse, line, polygon, stroke
from service.scenes.geometry.sketch import Stamp
from service.scenes.scene import Colour, Material, Points

BARK: Colour = (0.34, 0.26, 0.20)
NEEDLE_GREEN: Colour = (0.14, 0.28, 0.20)


def draw_tree(stamp: Stamp, leaf: Colour) -> None:
    """Draw a broad-leaved tree: a trunk and a crown of overlapping tufts."""
    rng = stamp.sketch.rng
    bark = jittered(rng, BARK, 0.04)
    stamp.add(
        stroke(polygon((0.0, -0.02), (0.01, 0.3), (0.0, 0.6)), (0.10, 0.05)),
        Material.WOOD,
        bark,
        roundness=0.4,
    )
    for x, y, radius, brightness in (
        (-0.17, 0.52, 0.20, 0.74),
        (0.18, 0.54, 0.19, 0.80),
        (0.0, 0.62, 0.27, 0.88),
        (-0.10, 0.76, 0.19, 1.02),
        (0.11, 0.80, 0.17, 1.08),
    ):
        shift_x, shift_y = rng.normal(0.0, 0.025, 2)
        tuft = blob(rng, x + shift_x, y + shift_y, 1.1 * radius, radius, roughness=0.09)
        colour = jittered(rng, scaled(leaf, brightness), 0.02)
        stamp.add(tuft, Material.LEAVES, colour, foot=scaled(colour, 0.72), roundness=0.28)


def draw_conifer(stamp: Stamp, needle: Colour = NEEDLE_GREEN) -> None:
    """Draw a conifer of three to five skirts."""
    rng = stamp.sketch.rng
    skirts = int(rng.integers(3, 6))
    width = rng.uniform(0.36, 0.52)
    stamp.add(line(0.0, -0.02, 0.0, 0.2, 0.06), Material.WOOD, BARK)
    for number in range(skirts):
        low = 0.10 + 0.78 * number / skirts
        half = 0.5 * width * (1.0 - 0.78 * number / skirts)
        top = min(1.0, low + 1.35 / skirts)
        x = np.linspace(-half, half, 9)
        hem = low + 0.025 * np.where(np.arange(9) % 2, 1.0, -1.0) + 0.02 * (x / half) ** 2
        skirt = np.concatenate([np.stack([x, hem], axis=1), [[0.0, top]]]).astype(np.float32)
        colour = jittered(rng, scaled(needle, 0.85 + 0.3 * number / skirts), 0.015)
        stamp.add(skirt, Material.NEEDLES, scaled(colour, 1.15), foot=scaled(colour, 0.75), roundness=0.22)


def draw_palm(stamp: Stamp, leaf: Colour) -> None:
    """Draw a leaning palm."""
    rng = stamp.sketch.rng
    lean = float(rng.uniform(0.08, 0.3))
    trunk = arc((0.0, -0.02), (0.02, 0.5), (lean, 0.82))
    stamp.add(
        stroke(trunk, (0.065, 0.035)), Material.WOOD, jittered(rng, (0.5, 0.4, 0.3), 0.04), roundness=0.4
    )
    for angle in np.linspace(-0.5, np.pi + 0.5, 9) + rng.normal(0.0, 0.1, 9):
        reach = float(rng.uniform(0.26, 0.34))
        x, y = lean + reach * float(np.cos(angle)), 0.82 + 0.62 * reach * float(np.sin(angle)) - 0.08
        bend = (0.5 * (lean + x), max(0.86, y + 0.12))
        frond = _leaf_shape(arc((lean, 0.82), bend, (x, y)), 0.055)
        stamp.add(frond, Material.NEEDLES, jittered(rng, leaf, 0.04), foot=scaled(leaf, 0.7))


def draw_bush(stamp: Stamp, leaf: Colour) -> None:
    """Draw a round bush; it is about twice as wide as high."""
    rng = stamp.sketch.rng
    for x, y, radius in ((-0.4, 0.36, 0.46), (0.42, 0.34, 0.44), (0.0, 0.52, 0.5)):
        colour = jittered(rng, leaf, 0.03)
        tuft = blob(rng, x, y, 1.1 * radius, radius, roughness=0.1)
        stamp.add(tuft, Material.LEAVES, scaled(colour, 1.1), foot=scaled(colour, 0.66), roundness=0.25)


def draw_topiary(stamp: Stamp, leaf: Colour) -> None:
    """Draw a clipped tree: balls on a stem, or a cone in a pot."""
    rng = stamp.sketch.rng
    dark = scaled(leaf, 0.65)
    if stamp.sketch.chance(0.5):
        stamp.add(line(0.0, 0.0, 0.0, 0.8, 0.05), Material.WOOD, BARK)
        stamp.add(
            blob(rng, 0.0, 0.36, 0.25, 0.24, roughness=0.03), Material.LEAVES, leaf, foot=dark, roundness=0.5
        )
        stamp.add(
            blob(rng, 0.0, 0.78, 0.18, 0.18, roughness=0.03), Material.LEAVES, leaf, foot=dark, roundness=0.5
        )
    else:
        stamp.add(
            polygon((-0.24, 0.14), (0.24, 0.14), (0.0, 1.0)), Material.LEAVES, leaf, foot=dark, roundness=0.5
        )
        stamp.add(
            polygon((-0.14, 0.0), (0.14, 0.0), (0.18, 0.16), (-0.18, 0.16)),
            Material.MASONRY,
            (0.62, 0.36, 0.26),
            roundness=0.4,
        )


def draw_flowers(stamp: Stamp, bloom: Colour, *, count: int) -> None:
    """Draw a bed of flowers in an oval twice as wide as a unit and half as high."""
    rng = stamp.sketch.rng
    green = pick(rng, LEAVES[:2], 0.03)
    stamp.add(blob(rng, 0.0, 0.2, 1.0, 0.24, roughness=0.06), Material.LEAVES, green, foot=scaled(green, 0.6))
    angle, radius = rng.uniform(0.0, 2 * np.pi, count), np.sqrt(rng.uniform(0.0, 1.0, count))
    places = np.stack([0.94 * radius * np.cos(angle), 0.24 + 0.22 * radius * np.sin(angle)], axis=1)
    for shade, half in ((0.8, places[::2]), (1.0, places[1::2])):
        petals = [ellipse(float(x), float(y), 0.075, 0.06, count=9) for x, y in half]
        stamp.add(petals, Material.FLOWERS, scaled(jittered(rng, bloom, 0.04), shade))


def draw_reeds(stamp: Stamp, colour: Colour) -> None:
    """Draw a tuft of reeds or tall grass."""
    rng = stamp.sketch.rng
    blades = [
        _leaf_shape(arc((x, -0.02), (x + 0.3 * lean, 0.5), (x + lean, height)), 0.045)
        for x, lean, height in zip(
            rng.uniform(-0.4, 0.4, 12), rng.normal(0.0, 0.18, 12), rng.uniform(0.55, 1.0, 12), strict=True
        )
    ]
    for start in range(3):
        stamp.add(blades[start::3], Material.NEEDLES, jittered(rng, colour, 0.05), foot=scaled(colour, 0.6))


def draw_cactus(stamp: Stamp) -> None:
    """Draw a columnar cactus with one or two arms."""
    rng = stamp.sketch.rng
    green = jittered(rng, (0.28, 0.42, 0.26), 0.05)
    dark = scaled(green, 0.7)
    sides = (-1.0, 1.0) if stamp.sketch.chance(0.7) else (1.0,)
    for side in sides:
        low, high = float(rng.uniform(0.28, 0.5)), float(rng.uniform(0.62, 0.85))
        bow = np.concatenate(
            [arc((0.0, low), (0.24 * side, low - 0.02), (0.24 * side, low + 0.18)), [[0.24 * side, high]]]
        )
        stamp.add(
            stroke(bow.astype(np.float32), (0.11, 0.10)), Material.NEEDLES, green, foot=dark, roundness=0.4
        )
        stamp.add(ellipse(0.24 * side, high, 0.05, 0.05), Material.NEEDLES, green)
    stamp.add(line(0.0, -0.02, 0.0, 0.93, 0.17), Material.NEEDLES, green, foot=dark, roundness=0.5)
    stamp.add(ellipse(0.0, 0.93, 0.085, 0.085), Material.NEEDLES, green, roundness=0.3)


def draw_pot_plant(stamp: Stamp) -> None:
    """Draw a house plant with long leaves in a pot."""
    rng = stamp.sketch.rng
    leaf = pick(rng, LEAVES[:2], 0.05)
    for angle in np.linspace(0.35, np.pi - 0.35, 7) + rng.normal(0.0, 0.08, 7):
        x, y = 0.42 * float(np.cos(angle)), 0.3 + 0.62 * float(np.sin(angle))
        blade = _leaf_shape(arc((0.0, 0.28), (0.3 * x, 0.4 + 0.7 * (y - 0.3)), (x, y)), 0.13)
        stamp.add(blade, Material.LEAVES, jittered(rng, leaf, 0.05), foot=scaled(leaf, 0.6))
    pot = mix(pick(rng, BRIGHTS), (0.6, 0.45, 0.38), 0.5)
    stamp.add(
        polygon((-0.13, 0.0), (0.13, 0.0), (0.18, 0.3), (-0.18, 0.3)), Material.MASONRY, pot, roundness=0.4
    )


def _leaf_shape(spine: Points, width: float) -> Points:
    """Return a blade around a spine: widest in the middle, pointed at both ends."""
    along = np.gradient(spine, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    half = 0.5 * width * np.sin(np.linspace(0.12, np.pi, len(spine)))[:, None]
    across = half * along[:, ::-1] * [[-1.0, 1.0]]
    return np.concatenate([spine + across, (spine - across)[::-1]]).astype(np.float32)
