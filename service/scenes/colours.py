"""Colours: mixing and jitter, and the palettes that all categories draw from.

In: colours and a random generator. Out: colours. Which light falls on them is `service.scenes.palette`'s business.
The palettes are wide and shared on purpose, so that mean colour does not give a category away.
"""

import numpy as np

from service.scenes.scene import Colour

GROUNDS: tuple[Colour, ...] = (
    (0.86, 0.77, 0.58),
    (0.72, 0.45, 0.30),
    (0.36, 0.34, 0.33),
    (0.66, 0.62, 0.56),
    (0.56, 0.42, 0.30),
    (0.90, 0.87, 0.80),
)
GRASSES: tuple[Colour, ...] = (
    (0.36, 0.55, 0.22),
    (0.52, 0.62, 0.30),
    (0.72, 0.66, 0.36),
    (0.26, 0.44, 0.28),
    (0.62, 0.52, 0.30),
    (0.40, 0.52, 0.42),
)
LEAVES: tuple[Colour, ...] = (
    (0.24, 0.44, 0.18),
    (0.38, 0.54, 0.20),
    (0.72, 0.52, 0.18),
    (0.74, 0.32, 0.16),
    (0.20, 0.36, 0.26),
    (0.56, 0.60, 0.26),
    (0.52, 0.24, 0.22),
)
WATERS: tuple[Colour, ...] = (
    (0.14, 0.36, 0.52),
    (0.12, 0.46, 0.48),
    (0.26, 0.34, 0.34),
    (0.36, 0.40, 0.30),
    (0.10, 0.22, 0.38),
)
WALLS: tuple[Colour, ...] = (
    (0.86, 0.82, 0.74),
    (0.72, 0.44, 0.34),
    (0.58, 0.60, 0.64),
    (0.84, 0.68, 0.44),
    (0.44, 0.48, 0.56),
    (0.78, 0.58, 0.54),
    (0.50, 0.62, 0.60),
    (0.38, 0.34, 0.34),
)
ROOFS: tuple[Colour, ...] = (
    (0.62, 0.28, 0.20),
    (0.36, 0.36, 0.42),
    (0.46, 0.30, 0.22),
    (0.24, 0.34, 0.38),
)
ROCKS: tuple[Colour, ...] = (
    (0.50, 0.48, 0.46),
    (0.58, 0.42, 0.34),
    (0.36, 0.40, 0.46),
    (0.44, 0.42, 0.34),
    (0.66, 0.60, 0.52),
)
BRIGHTS: tuple[Colour, ...] = (
    (0.88, 0.20, 0.20),
    (0.95, 0.72, 0.16),
    (0.22, 0.44, 0.84),
    (0.92, 0.92, 0.90),
    (0.84, 0.36, 0.62),
    (0.28, 0.64, 0.40),
    (0.52, 0.34, 0.74),
    (0.94, 0.50, 0.18),
)
LAMPLIGHT: Colour = (1.0, 0.78, 0.42)


def mix(a: Colour, b: Colour, share_b: float) -> Colour:
    """Return the colour between a (share 0) and b (share 1)."""
    keep = 1.0 - share_b
    return (
        keep * a[0] + share_b * b[0],
        keep * a[1] + share_b * b[1],
        keep * a[2] + share_b * b[2],
    )


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a brighter (factor above 1) or darker colour; may leave [0, 1]."""
    return (factor * colour[0], factor * colour[1], factor * colour[2])


def jittered(rng: np.random.Generator, colour: Colour, amount: float = 0.06) -> Colour:
    """Return the colour moved by normal noise: common to all channels, plus half of that per channel."""
    common, red, green, blue = rng.normal(0.0, amount, 4)
    moved = np.clip(np.add(colour, common) + 0.5 * np.array([red, green, blue]), 0.02, 1.0)
    return (float(moved[0]), float(moved[1]), float(moved[2]))


def pick(rng: np.random.Generator, palette: tuple[Colour, ...], amount: float = 0.06) -> Colour:
    """Return a jittered colour of the palette."""
    return jittered(rng, palette[rng.integers(len(palette))], amount)
