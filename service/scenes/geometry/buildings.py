"""Buildings: houses, towers, churches, barns, lighthouses, facades in perspective.

In: a stamp (local frame, y up) or corners in the picture. Out: parts in a sketch; some windows glow at night.
Where they stand is decided by the compositions.
"""

import numpy as np

from service.scenes.colours import LAMPLIGHT, ROOFS, jittered, mix, pick, scaled
from service.scenes.geometry.outlines import ellipse, line, patch, polygon, rectangle
from service.scenes.geometry.sketch import Sketch, Stamp
from service.scenes.scene import Colour, Material, Points

_PANE: Colour = (0.30, 0.38, 0.46)


def add_windows(target: Sketch | Stamp, panes: list[Points], *, lit_share: float = 0.55) -> None:
    """Add window panes; a share of them, chosen by chance, is lit when lamps are on."""
    rng = target.rng if isinstance(target, Sketch) else target.sketch.rng
    lit = rng.random(len(panes)) < lit_share
    pane = jittered(rng, _PANE, 0.05)
    for wanted, glow in ((False, None), (True, scaled(jittered(rng, LAMPLIGHT, 0.04), 0.7))):
        chosen = [points for points, on in zip(panes, lit, strict=True) if on == wanted]
        target.add(chosen, Material.GLASS, scaled(pane, 1.25), foot=scaled(pane, 0.8), glow=glow)


def window_grid(
    quad: Points, columns: int, rows: int, *, width: float = 0.55, height: float = 0.6
) -> list[Points]:
    """Return panes in rows and columns over a facade; width and height are shares of a cell."""
    u = (np.arange(columns)[:, None] + 0.5 + 0.5 * width * np.array([-1, 1, 1, -1])) / columns  # columns 4
    v = (np.arange(rows)[:, None] + 0.5 + 0.5 * height * np.array([-1, -1, 1, 1])) / rows  # rows 4
    u, v = u[None, :, :, None], v[:, None, :, None]
    panes = (1 - v) * ((1 - u) * quad[0] + u * quad[1]) + v * ((1 - u) * quad[3] + u * quad[2])
    return list(panes.reshape(-1, 4, 2).astype(np.float32))


def draw_tower(stamp: Stamp, wall: Colour, *, width: float, columns: int, rows: int) -> None:
    """Draw a city tower one unit high: a flat, stepped, slanted or pointed top, and windows in bands or a grid."""
    rng = stamp.sketch.rng
    half = 0.5 * width
    top = ("flat", "steps", "slant", "spire")[int(rng.integers(4))]
    eaves = 1.0 if top == "flat" else 0.86
    foot = scaled(wall, 0.82)
    if top == "steps":
        stamp.add(rectangle(-0.6 * half, 0.8, 0.6 * half, 0.95), Material.MASONRY, wall, foot=foot)
        stamp.add(line(0.0, 0.94, 0.0, 1.08, 0.012), Material.METAL, scaled(wall, 0.6))
    elif top == "slant":
        stamp.add(polygon((-half, 0.85), (half, 0.85), (half, 1.0)), Material.MASONRY, scaled(wall, 1.1))
    elif top == "spire":
        stamp.add(
            polygon((-0.7 * half, 0.85), (0.7 * half, 0.85), (0.0, 1.12)), Material.ROOF, scaled(wall, 0.8)
        )
    stamp.add(rectangle(-half, -0.02, half, eaves), Material.MASONRY, wall, foot=foot)
    stamp.add(
        rectangle(0.5 * half, -0.02, half, eaves),
        Material.MASONRY,
        scaled(wall, 0.84),
        foot=scaled(foot, 0.84),
    )
    banded = stamp.sketch.chance(0.3)
    facade = polygon((-half, eaves), (half, eaves), (half, 0.02), (-half, 0.02))
    add_windows(
        stamp, window_grid(facade, columns, rows, width=0.9 if banded else 0.55, height=0.5), lit_share=0.4
    )


def draw_house(stamp: Stamp, wall: Colour, *, width: float = 1.3) -> None:
    """Draw a house with a pitched roof seen from its long side or its gable."""
    rng = stamp.sketch.rng
    half, roof = 0.5 * width, pick(rng, ROOFS)
    eaves = float(rng.uniform(0.48, 0.6))
    foot = scaled(wall, 0.85)
    stamp.add(rectangle(-half, -0.02, half, eaves), Material.MASONRY, wall, foot=foot)
    if stamp.sketch.chance(0.45):
        stamp.add(polygon((-half, eaves - 0.01), (half, eaves - 0.01), (0.0, 0.98)), Material.MASONRY, wall)
        slope = stamp.sketch.between(0.07, 0.1)
        gable = polygon(
            (-half - 0.08, eaves - 0.06),
            (0.0, 1.02),
            (half + 0.08, eaves - 0.06),
            (half + 0.08, eaves + 0.02),
            (0.0, 1.02 + slope),
            (-half - 0.08, eaves + 0.02),
        )
        stamp.add(gable, Material.ROOF, roof)
        panes = [rectangle(-0.09, 0.62, 0.09, 0.76)]
    else:
        x = float(rng.uniform(-0.3, 0.3)) * width
        stamp.add(rectangle(x - 0.06, 0.7, x + 0.06, 1.04), Material.MASONRY, scaled(wall, 0.7))
        stamp.add(
            polygon(
                (-half - 0.08, eaves - 0.02),
                (half + 0.08, eaves - 0.02),
                (0.8 * half, 0.96),
                (-0.8 * half, 0.96),
            ),
            Material.ROOF,
            roof,
            foot=scaled(roof, 0.8),
        )
        panes = []
    door = float(rng.choice([-0.6, 0.0, 0.6])) * half
    places = [place for place in (-0.6 * half, 0.0, 0.6 * half) if abs(place - door) > 0.1]
    panes += [rectangle(place - 0.1, 0.2, place + 0.1, 0.4) for place in places]
    stamp.add(
        rectangle(door - 0.09, -0.02, door + 0.09, 0.36),
        Material.WOOD,
        jittered(rng, (0.36, 0.24, 0.18), 0.08),
    )
    stamp.add(
        [rectangle(p - 0.125, 0.175, p + 0.125, 0.425) for p in places],
        Material.PLAIN,
        mix(wall, (1.0, 1.0, 1.0), 0.6),
    )
    add_windows(stamp, panes, lit_share=0.75)


def draw_church(stamp: Stamp, wall: Colour) -> None:
    """Draw a small church: a nave and a tower with a pointed or an onion roof."""
    rng = stamp.sketch.rng
    roof = pick(rng, ROOFS)
    stamp.add(rectangle(-0.05, -0.02, 0.62, 0.3), Material.MASONRY, scaled(wall, 0.92))
    stamp.add(polygon((-0.08, 0.29), (0.68, 0.29), (0.58, 0.48), (0.0, 0.48)), Material.ROOF, roof)
    stamp.add(rectangle(-0.2, -0.02, 0.06, 0.66), Material.MASONRY, wall, foot=scaled(wall, 0.85))
    if stamp.sketch.chance(0.6):
        stamp.add(polygon((-0.24, 0.65), (0.10, 0.65), (-0.07, 1.0)), Material.ROOF, roof, roundness=0.25)
    else:
        stamp.add(ellipse(-0.07, 0.72, 0.16, 0.12), Material.ROOF, roof, roundness=0.35)
        stamp.add(polygon((-0.13, 0.80), (-0.01, 0.80), (-0.07, 1.0)), Material.ROOF, roof)
    stamp.add(line(-0.07, 0.97, -0.07, 1.08, 0.015), Material.METAL, (0.3, 0.28, 0.25))
    panes = [rectangle(x, 0.08, x + 0.07, 0.22) for x in (0.14, 0.30, 0.46)]
    add_windows(stamp, [*panes, ellipse(-0.07, 0.5, 0.05, 0.05, count=12)], lit_share=0.8)


def draw_lighthouse(stamp: Stamp, band: Colour) -> None:
    """Draw a banded lighthouse whose lamp shines at night."""
    shaft = polygon((-0.13, -0.02), (0.13, -0.02), (0.08, 0.78), (-0.08, 0.78))
    stamp.add(shaft, Material.MASONRY, (0.92, 0.91, 0.88), roundness=0.4)
    quad = shaft[[3, 2, 1, 0]]
    stamp.add(
        [patch(quad, 0.0, v, 1.0, v + 0.17) for v in (0.12, 0.46, 0.80)],
        Material.MASONRY,
        band,
        roundness=0.4,
    )
    stamp.add(rectangle(-0.11, 0.78, 0.11, 0.81), Material.METAL, (0.25, 0.25, 0.28))
    stamp.add(rectangle(-0.06, 0.81, 0.06, 0.91), Material.GLASS, (0.7, 0.75, 0.7), glow=(1.1, 0.95, 0.6))
    stamp.add(polygon((-0.08, 0.91), (0.08, 0.91), (0.0, 1.0)), Material.ROOF, band)


def add_facade(sketch: Sketch, quad: Points, wall: Colour, *, columns: int, rows: int) -> None:
    """Add a house front in perspective: wall, cornice, shop floor, windows with frames."""
    rng = sketch.rng
    sketch.add(quad, Material.MASONRY, wall, foot=scaled(wall, 0.85))
    sketch.add(patch(quad, 0.0, 0.0, 1.0, 0.035), Material.MASONRY, scaled(wall, 1.18))
    shop = 1.0 - 0.9 / (rows + 1)
    upper = np.concatenate([quad[:2], patch(quad, 0.0, 0.0, 1.0, shop)[2:]])
    panes = window_grid(upper, columns, rows, width=0.5, height=0.62)
    sketch.add(
        window_grid(upper, columns, rows, width=0.64, height=0.72),
        Material.PLAIN,
        mix(wall, (1.0, 1.0, 1.0), 0.5),
    )
    add_windows(sketch, panes, lit_share=0.5)
    add_windows(sketch, [patch(quad, 0.08, shop + 0.04, 0.62, 0.94)], lit_share=0.7)
    sketch.add(
        patch(quad, 0.04, shop - 0.01, 0.68, shop + 0.05), Material.CLOTH, jittered(rng, (0.6, 0.3, 0.3), 0.2)
    )
    sketch.add(
        patch(quad, 0.74, shop + 0.03, 0.92, 1.0), Material.WOOD, jittered(rng, (0.34, 0.25, 0.2), 0.08)
    )
