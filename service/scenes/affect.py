"""Affective objects: ten things with a known valence that may be planted in any scene.

In: a sketch whose composition is done. Out: the object's parts, marked affective, in front of everything.
The choice is independent of the category, so a scene's class says nothing about its feeling.
"""

from collections.abc import Callable

import numpy as np

from service.scenes.colours import BRIGHTS, jittered, mix, pick, scaled
from service.scenes.geometry.outlines import arc, blob, ellipse, line, polygon, rectangle, stroke
from service.scenes.geometry.sketch import Sketch, Stamp
from service.scenes.scene import Affect, Colour, Material, Points, Polarity

_BLACK: Colour = (0.06, 0.05, 0.06)
_BONE: Colour = (0.90, 0.87, 0.76)


def plant_affect(sketch: Sketch) -> Affect:
    """Draw one affective object in the foreground and return what it is."""
    affect, draw = AFFECTS[sketch.count(0, len(AFFECTS) - 1)]
    size = sketch.between(0.20, 0.36)
    x, foot = sketch.between(0.2, 0.8), sketch.between(0.76, 0.95)
    sketch.add_shadow(x, foot, 0.8 * size)
    sketch.affective = True
    draw(sketch.stamp(x, foot, size))
    sketch.affective = False
    return affect


def _draw_balloons(stamp: Stamp) -> None:
    rng = stamp.sketch.rng
    places = [(-0.24, 0.72), (0.22, 0.74), (-0.06, 0.88), (0.06, 0.62)]
    stamp.add([stroke(arc((0, 0), (0.3 * x, 0.3), (x, y - 0.14)), (0.008, 0.008)) for x, y in places], Material.PLAIN, (0.85, 0.85, 0.85))
    for (x, y), number in zip(places, rng.permutation(len(BRIGHTS))[: len(places)], strict=True):
        rubber = jittered(rng, BRIGHTS[number], 0.03)
        stamp.add(polygon((x - 0.025, y - 0.17), (x + 0.025, y - 0.17), (x, y - 0.12)), Material.PLAIN, scaled(rubber, 0.7))
        stamp.add(ellipse(x, y, 0.13, 0.155), Material.PLAIN, scaled(rubber, 1.05), foot=scaled(rubber, 0.75), roundness=0.35)
        stamp.add(ellipse(x - 0.045, y + 0.06, 0.025, 0.04, count=12), Material.PLAIN, mix(rubber, (1, 1, 1), 0.75))


def _draw_cake(stamp: Stamp) -> None:
    rng = stamp.sketch.rng
    icing, sponge = mix(pick(rng, BRIGHTS), (1.0, 0.94, 0.92), 0.6), jittered(rng, (0.80, 0.52, 0.40), 0.08)
    stamp.add(ellipse(0, 0.04, 0.52, 0.09), Material.PLAIN, (0.90, 0.90, 0.94))
    for half, low, high in ((0.42, 0.05, 0.36), (0.28, 0.36, 0.62)):
        side = np.concatenate([ellipse(0, low, half, 0.07, start=np.pi, stop=2 * np.pi), [[half, high], [-half, high]]])
        stamp.add(side.astype(np.float32), Material.PLAIN, sponge, foot=scaled(sponge, 0.85), roundness=0.25)
        x = np.linspace(-half, half, 15)
        hem = high - 0.09 + 0.035 * np.cos(np.arange(15) * np.pi) - 0.05 * np.sqrt(1 - np.minimum((x / half) ** 2, 1.0))
        drip = np.concatenate([np.stack([x, hem], axis=1), [[half, high], [-half, high]]])
        stamp.add(drip.astype(np.float32), Material.PLAIN, icing, roundness=0.2)
        stamp.add(ellipse(0, high, half, 0.07), Material.PLAIN, mix(icing, (1, 1, 1), 0.35))
    for x in (-0.16, -0.05, 0.06, 0.17):
        stamp.add(rectangle(x - 0.018, 0.62, x + 0.018, 0.82), Material.PLAIN, pick(rng, BRIGHTS))
        stamp.add(_flame(x, 0.82, 0.035, 0.12), Material.PLAIN, (1.0, 0.85, 0.35), glow=(0.35, 0.24, 0.05), burning=True)
    stamp.add([ellipse(x, 0.18, 0.04, 0.04, count=12) for x in (-0.3, -0.1, 0.1, 0.3)], Material.PLAIN, (0.82, 0.14, 0.22))


def _draw_bouquet(stamp: Stamp) -> None:
    rng = stamp.sketch.rng
    stamp.add([line(0, 0.3, x, 0.62, 0.03) for x in (-0.3, -0.15, 0.0, 0.15, 0.3)], Material.PLAIN, (0.26, 0.46, 0.22))
    stamp.add(blob(rng, 0, 0.6, 0.40, 0.24, roughness=0.15), Material.PLAIN, (0.30, 0.50, 0.24), foot=(0.18, 0.34, 0.16))
    paper = mix(pick(rng, BRIGHTS), (1.0, 0.96, 0.92), 0.6)
    stamp.add(polygon((-0.34, 0.56), (0.34, 0.56), (0.09, 0.0), (-0.09, 0.0)), Material.PLAIN, paper, foot=scaled(paper, 0.75), roundness=0.3)
    stamp.add(polygon((-0.2, 0.34), (0.2, 0.34), (0.16, 0.24), (-0.16, 0.24)), Material.PLAIN, pick(rng, BRIGHTS[:1] + BRIGHTS[4:5]))
    for x, y in ((-0.3, 0.66), (0.3, 0.66), (-0.1, 0.62), (0.12, 0.6), (-0.2, 0.82), (0.02, 0.78), (0.22, 0.82), (0.0, 0.93)):
        petal, turn = pick(rng, BRIGHTS), float(rng.uniform(0.0, 1.0))
        angles = turn + np.arange(6) * np.pi / 3
        for angle in angles:
            stamp.add(ellipse(x + 0.065 * float(np.cos(angle)), y + 0.065 * float(np.sin(angle)), 0.05, 0.05, count=10), Material.PLAIN, petal, foot=scaled(petal, 0.85))
        stamp.add(ellipse(x, y, 0.045, 0.045, count=10), Material.PLAIN, (0.98, 0.80, 0.25))


def _draw_kitten(stamp: Stamp) -> None:
    rng = stamp.sketch.rng
    fur = jittered(rng, ((0.90, 0.62, 0.32), (0.62, 0.60, 0.60), (0.95, 0.90, 0.82), (0.60, 0.44, 0.32))[rng.integers(4)], 0.04)
    dark, pale = scaled(fur, 0.7), mix(fur, (1, 1, 1), 0.6)
    stamp.add(stroke(arc((0.2, 0.08), (0.6, 0.02), (0.5, 0.42)), (0.11, 0.07)), Material.PLAIN, dark)
    stamp.add(ellipse(0, 0.22, 0.29, 0.25), Material.PLAIN, fur, foot=dark, roundness=0.15)
    stamp.add([ellipse(x, 0.045, 0.11, 0.055, count=16) for x in (-0.14, 0.14)], Material.PLAIN, pale)
    stamp.add(ellipse(0, 0.2, 0.14, 0.16), Material.PLAIN, pale)
    for side in (-1, 1):
        stamp.add(polygon((0.07 * side, 0.84), (0.29 * side, 1.0), (0.32 * side, 0.66)), Material.PLAIN, fur)
        stamp.add(polygon((0.14 * side, 0.84), (0.26 * side, 0.93), (0.28 * side, 0.74)), Material.PLAIN, (0.94, 0.66, 0.66))
    stamp.add(ellipse(0, 0.63, 0.34, 0.27), Material.PLAIN, scaled(fur, 1.08), foot=scaled(fur, 0.88), roundness=0.15)
    stamp.add([polygon((x - 0.025, 0.90), (x + 0.025, 0.90), (x, 0.78)) for x in (-0.1, 0.0, 0.1)], Material.PLAIN, dark)
    stamp.add(ellipse(0, 0.53, 0.15, 0.10), Material.PLAIN, pale)
    for side in (-1, 1):
        stamp.add(ellipse(0.15 * side, 0.67, 0.075, 0.085), Material.PLAIN, (0.12, 0.16, 0.14))
        stamp.add(ellipse(0.15 * side - 0.025, 0.70, 0.028, 0.03, count=10), Material.PLAIN, (1, 1, 1))
        stamp.add([line(0.14 * side, 0.53 + d, 0.42 * side, 0.53 + 2.4 * d, 0.010) for d in (-0.025, 0.025)], Material.PLAIN, (0.97, 0.97, 0.95))
        stamp.add(stroke(arc((0, 0.52), (0.03 * side, 0.45), (0.10 * side, 0.50)), (0.022, 0.014)), Material.PLAIN, (0.35, 0.14, 0.14))
    stamp.add(polygon((-0.045, 0.58), (0.045, 0.58), (0, 0.52)), Material.PLAIN, (0.90, 0.46, 0.48))


def _draw_heart(stamp: Stamp) -> None:
    rng = stamp.sketch.rng
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    shape = np.stack([16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)], axis=1)
    red = jittered(rng, (0.90, 0.16, 0.28), 0.04)
    centre = np.float32([0, 0.55])
    stamp.add((shape * 0.030 + centre).astype(np.float32), Material.PLAIN, mix(red, (1, 1, 1), 0.75))
    stamp.add((shape * 0.026 + centre).astype(np.float32), Material.PLAIN, scaled(red, 1.1), foot=scaled(red, 0.75), roundness=0.3)
    stamp.add(stroke(arc((-0.30, 0.66), (-0.30, 0.82), (-0.16, 0.84)), (0.03, 0.05)), Material.PLAIN, (1, 0.86, 0.86))


def _draw_skull(stamp: Stamp) -> None:
    bone = jittered(stamp.sketch.rng, _BONE, 0.05)
    dark = scaled(bone, 0.72)
    for side in (-1, 1):
        shaft = line(-0.46 * side, 0.04, 0.46 * side, 0.34, 0.09)
        knobs = [ellipse(s * 0.47 * side, 0.19 + 0.15 * s + d, 0.06, 0.06, count=12) for s in (-1, 1) for d in (-0.05, 0.05)]
        for piece in (shaft, *knobs):
            stamp.add(piece, Material.PLAIN, dark)
    stamp.add(rectangle(-0.2, 0.16, 0.2, 0.46), Material.PLAIN, scaled(bone, 0.92), foot=dark)
    stamp.add(ellipse(0, 0.66, 0.36, 0.34), Material.PLAIN, bone, foot=scaled(bone, 0.82), roundness=0.2)
    stamp.add([ellipse(x, 0.60, 0.115, 0.125) for x in (-0.16, 0.16)], Material.PLAIN, _BLACK)
    stamp.add(polygon((0, 0.50), (-0.06, 0.38), (0.06, 0.38)), Material.PLAIN, _BLACK)
    stamp.add([line(x, 0.17, x, 0.31, 0.02) for x in (-0.12, -0.04, 0.04, 0.12)], Material.PLAIN, _BLACK)
    stamp.add(stroke(arc((0.1, 0.98), (0.16, 0.88), (0.10, 0.80)), (0.02, 0.008)), Material.PLAIN, scaled(bone, 0.35))


def _draw_spider(stamp: Stamp) -> None:
    body = jittered(stamp.sketch.rng, (0.12, 0.09, 0.09), 0.03)
    for side in (-1, 1):
        for reach, knee, foot in ((0.34, 0.92, 0.62), (0.46, 0.82, 0.34), (0.48, 0.66, 0.10), (0.36, 0.50, -0.02)):
            leg = np.concatenate([arc((0.05 * side, 0.42), (0.16 * side, knee - 0.1), (0.6 * reach * side, knee)), [[reach * side, foot]]])
            stamp.add(stroke(leg.astype(np.float32), (0.055, 0.025)), Material.PLAIN, body)
    stamp.add(ellipse(0, 0.28, 0.2, 0.24), Material.PLAIN, scaled(body, 1.8), foot=body, roundness=0.4)
    stamp.add([polygon((-0.07, 0.38), (0.07, 0.38), (0, 0.28)), polygon((-0.07, 0.18), (0.07, 0.18), (0, 0.28))], Material.PLAIN, (0.78, 0.08, 0.08))
    stamp.add(ellipse(0, 0.56, 0.14, 0.13), Material.PLAIN, scaled(body, 1.6), foot=body)
    stamp.add([ellipse(x, y, 0.026, 0.03, count=10) for x, y in ((-0.06, 0.60), (0.06, 0.60), (-0.025, 0.66), (0.025, 0.66))], Material.PLAIN, (0.92, 0.20, 0.12))
    stamp.add([polygon((s * 0.03, 0.47), (s * 0.08, 0.47), (s * 0.03, 0.37)) for s in (-1, 1)], Material.PLAIN, (0.75, 0.72, 0.65))


def _draw_burning_car(stamp: Stamp) -> None:
    rng = stamp.sketch.rng
    soot = jittered(rng, (0.16, 0.13, 0.12), 0.03)
    for x, y, radius, grey in ((0.14, 0.88, 0.14, 0.20), (-0.06, 0.76, 0.17, 0.14), (0.1, 0.62, 0.16, 0.10)):
        stamp.add(blob(rng, x, y, 1.3 * radius, radius, roughness=0.15), Material.PLAIN, (1.3 * grey, 1.2 * grey, 1.2 * grey))
    for x, height in ((-0.24, 0.66), (0.22, 0.56), (0.0, 0.82)):
        for shrink, colour in ((1.0, (0.85, 0.20, 0.05)), (0.66, (1.0, 0.52, 0.08)), (0.36, (1.0, 0.86, 0.30))):
            flame = _flame(x, 0.22, 0.16 * shrink, (height - 0.2) * shrink)
            stamp.add(flame, Material.PLAIN, colour, glow=scaled(colour, 0.45), burning=True)
    stamp.add(polygon((-0.34, 0.24), (-0.22, 0.44), (0.14, 0.41), (0.32, 0.22)), Material.PLAIN, soot)
    stamp.add([polygon((-0.25, 0.25), (-0.17, 0.39), (-0.02, 0.38), (-0.02, 0.25)), polygon((0.03, 0.25), (0.03, 0.38), (0.12, 0.36), (0.22, 0.25))], Material.PLAIN, (0.95, 0.48, 0.10), glow=(0.45, 0.15, 0.02), burning=True)
    stamp.add(polygon((-0.54, 0.06), (-0.52, 0.22), (-0.3, 0.27), (0.3, 0.25), (0.5, 0.18), (0.55, 0.06)), Material.PLAIN, scaled(soot, 1.5), foot=scaled(soot, 0.6))
    stamp.add([ellipse(x, 0.06, 0.10, 0.09, count=16) for x in (-0.32, 0.32)], Material.PLAIN, _BLACK)
    stamp.add([polygon((-0.1, 0.22), (0.0, 0.24), (-0.04, 0.1)), polygon((0.12, 0.2), (0.2, 0.22), (0.14, 0.1))], Material.PLAIN, (0.36, 0.16, 0.10))


def _draw_tombstone(stamp: Stamp) -> None:
    rng = stamp.sketch.rng
    stone = jittered(rng, (0.44, 0.45, 0.46), 0.04)
    slab = np.concatenate([ellipse(0, 0.66, 0.30, 0.32, start=0, stop=np.pi), [[-0.30, 0.0], [0.30, 0.0]]]).astype(np.float32)
    stamp.add(slab + np.float32([0.06, 0.0]), Material.PLAIN, scaled(stone, 0.5))
    stamp.add(slab, Material.PLAIN, scaled(stone, 1.15), foot=scaled(stone, 0.7))
    stamp.add([line(0, 0.48, 0, 0.86, 0.055), line(-0.13, 0.74, 0.13, 0.74, 0.055)], Material.PLAIN, scaled(stone, 0.4))
    stamp.add([rectangle(-0.18, y, 0.18, y + 0.025) for y in (0.38, 0.30)], Material.PLAIN, scaled(stone, 0.45))
    crack = polygon((0.3, 0.62), (0.2, 0.55), (0.24, 0.44), (0.14, 0.34), (0.25, 0.42), (0.22, 0.53))
    stamp.add(crack, Material.PLAIN, _BLACK)
    mound = ellipse(0.02, 0.0, 0.5, 0.12, start=0, stop=np.pi)
    stamp.add(mound, Material.PLAIN, (0.30, 0.22, 0.16), foot=(0.20, 0.15, 0.11))


def _draw_bloody_glass(stamp: Stamp) -> None:
    rng = stamp.sketch.rng
    blood = jittered(rng, (0.50, 0.03, 0.04), 0.02)
    stamp.add(blob(rng, 0, 0.10, 0.52, 0.13, roughness=0.18), Material.PLAIN, blood, foot=scaled(blood, 0.65))
    drops = [ellipse(float(x), float(y), 0.035, 0.018, count=10) for x, y in zip(rng.uniform(-0.6, 0.6, 6), rng.uniform(-0.04, 0.22, 6), strict=True)]
    stamp.add(drops, Material.PLAIN, blood)
    glass = jittered(rng, (0.30, 0.48, 0.36), 0.06)
    neck = polygon((-0.24, 0.10), (-0.22, 0.52), (-0.10, 0.66), (-0.09, 0.96), (0.09, 0.96), (0.10, 0.66), (0.22, 0.52), (0.24, 0.10), (0.16, 0.34), (0.10, 0.16), (0.02, 0.40), (-0.06, 0.14), (-0.12, 0.32))
    stamp.add(neck, Material.PLAIN, mix(glass, (1, 1, 1), 0.25), foot=scaled(glass, 0.6), roundness=0.35)
    stamp.add(rectangle(-0.11, 0.90, 0.11, 0.98), Material.PLAIN, scaled(glass, 0.8))
    stamp.add(line(-0.15, 0.40, -0.12, 0.56, 0.03), Material.PLAIN, (0.85, 0.95, 0.90))
    stamp.add([polygon((x, 0.05), (x + 0.10, 0.10), (x + 0.03, 0.30)) for x in (-0.48, 0.32)], Material.PLAIN, mix(glass, (1, 1, 1), 0.45), foot=glass)
    stamp.add([polygon((0.16, 0.34), (0.10, 0.16), (0.06, 0.28)), polygon((-0.24, 0.10), (-0.23, 0.30), (-0.17, 0.22))], Material.PLAIN, blood)


def _flame(x: float, y: float, half: float, height: float) -> Points:
    """Return a tongue of fire standing on (x, y)."""
    left = arc((x, y), (x - 1.9 * half, y + 0.35 * height), (x + 0.15 * half, y + height))
    right = arc((x + 0.15 * half, y + height), (x + 1.9 * half, y + 0.3 * height), (x, y))
    return np.concatenate([left, right[1:-1]])


def _positive(kind: str, valence: float) -> Affect:
    return Affect(kind=kind, polarity=Polarity.POSITIVE, valence=valence)


def _negative(kind: str, valence: float) -> Affect:
    return Affect(kind=kind, polarity=Polarity.NEGATIVE, valence=valence)


AFFECTS: tuple[tuple[Affect, Callable[[Stamp], None]], ...] = (
    (_positive("balloons", 0.7), _draw_balloons),
    (_positive("cake", 0.7), _draw_cake),
    (_positive("bouquet", 0.6), _draw_bouquet),
    (_positive("kitten", 0.9), _draw_kitten),
    (_positive("heart", 0.8), _draw_heart),
    (_negative("skull", -0.7), _draw_skull),
    (_negative("spider", -0.6), _draw_spider),
    (_negative("burning_car", -0.8), _draw_burning_car),
    (_negative("tombstone", -0.7), _draw_tombstone),
    (_negative("bloody_glass", -0.9), _draw_bloody_glass),
)
