"""Pleasant objects: balloons, a cake, a bouquet, a kitten, a heart.

In: a stamp (local frame, y up, about one unit high). Out: parts in its sketch.
What they are worth in valence is recorded in `service.scenes.affect`.
"""

import numpy as np

from service.scenes.colours import (
    BRIGHTS,
    jittered,
    mix,
    pick,
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
from service.scenes.scene import Material


def draw_balloons(stamp: Stamp) -> None:
    """Draw four balloons on strings."""
    rng = stamp.sketch.rng
    places = [(-0.24, 0.72), (0.22, 0.74), (-0.06, 0.88), (0.06, 0.62)]
    stamp.add(
        [stroke(arc((0.0, 0.0), (0.3 * x, 0.3), (x, y - 0.14)), (0.008, 0.008)) for x, y in places],
        Material.PLAIN,
        (0.85, 0.85, 0.85),
    )
    for (x, y), number in zip(places, rng.permutation(len(BRIGHTS))[: len(places)], strict=True):
        rubber = jittered(rng, BRIGHTS[number], 0.03)
        stamp.add(
            polygon((x - 0.025, y - 0.17), (x + 0.025, y - 0.17), (x, y - 0.12)),
            Material.PLAIN,
            scaled(rubber, 0.7),
        )
        stamp.add(
            ellipse(x, y, 0.13, 0.155),
            Material.PLAIN,
            scaled(rubber, 1.05),
            foot=scaled(rubber, 0.75),
            roundness=0.35,
        )
        stamp.add(
            ellipse(x - 0.045, y + 0.06, 0.025, 0.04, count=12),
            Material.PLAIN,
            mix(rubber, (1.0, 1.0, 1.0), 0.75),
        )


def draw_cake(stamp: Stamp) -> None:
    """Draw a birthday cake of two tiers with burning candles."""
    rng = stamp.sketch.rng
    icing, sponge = mix(pick(rng, BRIGHTS), (1.0, 0.94, 0.92), 0.6), jittered(rng, (0.80, 0.52, 0.40), 0.08)
    stamp.add(ellipse(0.0, 0.04, 0.52, 0.09), Material.PLAIN, (0.90, 0.90, 0.94))
    for half, low, high in ((0.42, 0.05, 0.36), (0.28, 0.36, 0.62)):
        side = np.concatenate(
            [ellipse(0.0, low, half, 0.07, start=np.pi, stop=2.0 * np.pi), [[half, high], [-half, high]]]
        )
        stamp.add(side.astype(np.float32), Material.PLAIN, sponge, foot=scaled(sponge, 0.85), roundness=0.25)
        x = np.linspace(-half, half, 15)
        hem = (
            high
            - 0.09
            + 0.035 * np.cos(np.arange(15) * np.pi)
            - 0.05 * np.sqrt(1 - np.minimum((x / half) ** 2, 1.0))
        )
        drip = np.concatenate([np.stack([x, hem], axis=1), [[half, high], [-half, high]]])
        stamp.add(drip.astype(np.float32), Material.PLAIN, icing, roundness=0.2)
        stamp.add(ellipse(0.0, high, half, 0.07), Material.PLAIN, mix(icing, (1.0, 1.0, 1.0), 0.35))
    for at in (-0.16, -0.05, 0.06, 0.17):
        stamp.add(rectangle(at - 0.018, 0.62, at + 0.018, 0.82), Material.PLAIN, pick(rng, BRIGHTS))
        stamp.add(
            tongue(at, 0.82, 0.035, 0.12),
            Material.PLAIN,
            (1.0, 0.85, 0.35),
            glow=(0.35, 0.24, 0.05),
            burning=True,
        )
    stamp.add(
        [ellipse(at, 0.18, 0.04, 0.04, count=12) for at in (-0.3, -0.1, 0.1, 0.3)],
        Material.PLAIN,
        (0.82, 0.14, 0.22),
    )


def draw_bouquet(stamp: Stamp) -> None:
    """Draw flowers wrapped in paper."""
    rng = stamp.sketch.rng
    stamp.add(
        [line(0.0, 0.3, x, 0.62, 0.03) for x in (-0.3, -0.15, 0.0, 0.15, 0.3)],
        Material.PLAIN,
        (0.26, 0.46, 0.22),
    )
    stamp.add(
        blob(rng, 0.0, 0.6, 0.40, 0.24, roughness=0.15),
        Material.PLAIN,
        (0.30, 0.50, 0.24),
        foot=(0.18, 0.34, 0.16),
    )
    paper = mix(pick(rng, BRIGHTS), (1.0, 0.96, 0.92), 0.6)
    stamp.add(
        polygon((-0.34, 0.56), (0.34, 0.56), (0.09, 0.0), (-0.09, 0.0)),
        Material.PLAIN,
        paper,
        foot=scaled(paper, 0.75),
        roundness=0.3,
    )
    stamp.add(
        polygon((-0.2, 0.34), (0.2, 0.34), (0.16, 0.24), (-0.16, 0.24)),
        Material.PLAIN,
        pick(rng, BRIGHTS[:1] + BRIGHTS[4:5]),
    )
    for x, y in (
        (-0.3, 0.66),
        (0.3, 0.66),
        (-0.1, 0.62),
        (0.12, 0.6),
        (-0.2, 0.82),
        (0.02, 0.78),
        (0.22, 0.82),
        (0.0, 0.93),
    ):
        petal, turn = pick(rng, BRIGHTS), float(rng.uniform(0.0, 1.0))
        angles = turn + np.arange(6) * np.pi / 3
        for angle in angles:
            stamp.add(
                ellipse(
                    x + 0.065 * float(np.cos(angle)), y + 0.065 * float(np.sin(angle)), 0.05, 0.05, count=10
                ),
                Material.PLAIN,
                petal,
                foot=scaled(petal, 0.85),
            )
        stamp.add(ellipse(x, y, 0.045, 0.045, count=10), Material.PLAIN, (0.98, 0.80, 0.25))


def draw_kitten(stamp: Stamp) -> None:
    """Draw a sitting kitten that seems to smile."""
    rng = stamp.sketch.rng
    fur = jittered(
        rng,
        ((0.90, 0.62, 0.32), (0.62, 0.60, 0.60), (0.95, 0.90, 0.82), (0.60, 0.44, 0.32))[rng.integers(4)],
        0.04,
    )
    dark, pale = scaled(fur, 0.7), mix(fur, (1.0, 1.0, 1.0), 0.6)
    stamp.add(stroke(arc((0.2, 0.08), (0.6, 0.02), (0.5, 0.42)), (0.11, 0.07)), Material.PLAIN, dark)
    stamp.add(ellipse(0.0, 0.22, 0.29, 0.25), Material.PLAIN, fur, foot=dark, roundness=0.15)
    stamp.add([ellipse(x, 0.045, 0.11, 0.055, count=16) for x in (-0.14, 0.14)], Material.PLAIN, pale)
    stamp.add(ellipse(0.0, 0.2, 0.14, 0.16), Material.PLAIN, pale)
    for side in (-1.0, 1.0):
        stamp.add(polygon((0.07 * side, 0.84), (0.29 * side, 1.0), (0.32 * side, 0.66)), Material.PLAIN, fur)
        stamp.add(
            polygon((0.14 * side, 0.84), (0.26 * side, 0.93), (0.28 * side, 0.74)),
            Material.PLAIN,
            (0.94, 0.66, 0.66),
        )
    stamp.add(
        ellipse(0.0, 0.63, 0.34, 0.27),
        Material.PLAIN,
        scaled(fur, 1.08),
        foot=scaled(fur, 0.88),
        roundness=0.15,
    )
    stamp.add(
        [polygon((x - 0.025, 0.90), (x + 0.025, 0.90), (x, 0.78)) for x in (-0.1, 0.0, 0.1)],
        Material.PLAIN,
        dark,
    )
    stamp.add(ellipse(0.0, 0.53, 0.15, 0.10), Material.PLAIN, pale)
    for side in (-1.0, 1.0):
        stamp.add(ellipse(0.15 * side, 0.67, 0.075, 0.085), Material.PLAIN, (0.12, 0.16, 0.14))
        stamp.add(ellipse(0.15 * side - 0.025, 0.70, 0.028, 0.03, count=10), Material.PLAIN, (1.0, 1.0, 1.0))
        stamp.add(
            [line(0.14 * side, 0.53 + d, 0.42 * side, 0.53 + 2.4 * d, 0.010) for d in (-0.025, 0.025)],
            Material.PLAIN,
            (0.97, 0.97, 0.95),
        )
        stamp.add(
            stroke(arc((0.0, 0.52), (0.03 * side, 0.45), (0.10 * side, 0.50)), (0.022, 0.014)),
            Material.PLAIN,
            (0.35, 0.14, 0.14),
        )
    stamp.add(polygon((-0.045, 0.58), (0.045, 0.58), (0.0, 0.52)), Material.PLAIN, (0.90, 0.46, 0.48))


def draw_heart(stamp: Stamp) -> None:
    """Draw a shining heart."""
    rng = stamp.sketch.rng
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    shape = np.stack(
        [16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)], axis=1
    )
    red = jittered(rng, (0.90, 0.16, 0.28), 0.04)
    centre = polygon((0.0, 0.55))
    stamp.add((shape * 0.030 + centre).astype(np.float32), Material.PLAIN, mix(red, (1.0, 1.0, 1.0), 0.75))
    stamp.add(
        (shape * 0.026 + centre).astype(np.float32),
        Material.PLAIN,
        scaled(red, 1.1),
        foot=scaled(red, 0.75),
        roundness=0.3,
    )
    stamp.add(
        stroke(arc((-0.30, 0.66), (-0.30, 0.82), (-0.16, 0.84)), (0.03, 0.05)),
        Material.PLAIN,
        (1.0, 0.86, 0.86),
    )
