"""Views of a picture: seeded crops and flips, each cut once for the teacher and once for the student.

In: RGB uint8 pictures and a seed. Out: uint8 squares. What colours become is left to `augmentation`, keeping views to
`teacher`.

Source: the crop is Szegedy et al. 2015 (CVPR): a share of the area and an aspect ratio, both drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

AREA_SHARES = (0.3, 1.0)
ASPECT_RATIO = 4 / 3  # at most this, either way, on a logarithmic scale


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One crop of a picture: a box in pixels of the picture (left, top, right, bottom), and whether it is mirrored."""

    box: tuple[float, float, float, float]
    mirrored: bool

    def cut(self, image: UInt8[np.ndarray, "h w 3"], *, side_px: int) -> UInt8[np.ndarray, "s s 3"]:
        """Return the crop as a square of `side_px`."""
        square = np.array(
            Image.fromarray(image).resize((side_px, side_px), Image.Resampling.BILINEAR, box=self.box)
        )
        return np.ascontiguousarray(square[:, ::-1]) if self.mirrored else square


def draw_view(height: int, width: int, *, rng: np.random.Generator) -> View:
    """Return a random view of a picture of this size; the box lies within the picture."""
    area = rng.uniform(*AREA_SHARES) * height * width
    ratio = math.exp(rng.uniform(-math.log(ASPECT_RATIO), math.log(ASPECT_RATIO)))
    crop_width = min(float(width), math.sqrt(area * ratio))
    crop_height = min(float(height), math.sqrt(area / ratio))
    left, top = rng.uniform(0, 1) * (width - crop_width), rng.uniform(0, 1) * (height - crop_height)
    return View(
        box=(left, top, min(left + crop_width, width), min(top + crop_height, height)),
        mirrored=bool(rng.random() < 0.5),
    )
