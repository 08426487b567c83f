"""The built-in backbone without weights: colour layout, colour histogram, oriented gradients and binary patterns.

In: RGB uint8 images. Out: embeddings of four balanced parts, and a map of colour and orientation per cell. It finds
pictures that look alike; for pictures that mean alike, take a learned model (`transformers_backbone`).
"""

import hashlib
from typing import final

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from service.records import Features, Preprocessing
from service.vision.preprocessing import InputSquare

VERSION = 1  # raise it when the numbers change, so that old embeddings are not mixed with new ones

SIDE_PX = 128
CELLS = 8  # per side of the feature map
LAYOUT_CELLS = 4  # per side of the colour layout
PATTERN_CELLS = 2  # per side of the texture histograms
ORIENTATIONS = 8  # over half a turn
NEIGHBOURS = (
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 2),
    (2, 2),
    (2, 1),
    (2, 0),
    (1, 0),
)  # around the centre (1, 1), in turn

LIGHTNESS_LEVELS = 5
CHROMA_EDGES = (108, 120, 129, 136, 152)  # 8-bit Lab, 128 is grey: narrow near grey, where most pixels are
LAYOUT_SCALE = (0.4, 2.0, 2.0)  # chroma spans less of its range than lightness
FAINT_GRADIENT = (
    2.5  # grey levels per pixel; weaker cells count for less, Dalal and Triggs 2005 (CVPR), L2 norm
)

# Layout, colours, orientations, patterns. Chosen for cosine mAP on the training splits of Corel-1K and Caltech-101.
PART_WEIGHTS = (0.6, 1.0, 1.0, 1.4)


def _pattern_of_code() -> Int[np.ndarray, " codes"]:
    """Return the pattern of each 8-bit code: one per code of at most two changes around the ring, one for the rest.

    Source: Ojala et al. 2002, TPAMI 24:7, uniform patterns.
    """
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    uniform = (bits != np.roll(bits, 1, axis=1)).sum(axis=1) <= 2
    return np.where(uniform, np.cumsum(uniform) - 1, uniform.sum())


PATTERN_OF_CODE = _pattern_of_code()
PATTERNS = int(PATTERN_OF_CODE.max()) + 1
CHANNELS = 6 + ORIENTATIONS
DIM = (
    3 * LAYOUT_CELLS**2
    + LIGHTNESS_LEVELS * (len(CHROMA_EDGES) + 1) ** 2
    + ORIENTATIONS * CELLS**2
    + PATTERNS * PATTERN_CELLS**2
)


@final
class DescriptorBackbone:
    """Classical statistics of the central square, shrunk to 128 px.

    Embedding: four parts, each of fixed length: mean Lab colour of 4 x 4 cells; a Lab histogram (square roots, so that
    cosine is the Bhattacharyya coefficient); gradient orientations of 8 x 8 cells; local binary patterns of 2 x 2
    cells. The last two are centred, because what all pictures share would drown what tells them apart.
    Feature map, per cell: mean and standard deviation of L, a, b in [0, 1], then 8 orientations in [0, 1].
    """

    identity: str
    dim: int = DIM
    stride: int = SIDE_PX // CELLS

    def __init__(self) -> None:
        parameters = (
            VERSION,
            SIDE_PX,
            CELLS,
            LAYOUT_CELLS,
            PATTERN_CELLS,
            ORIENTATIONS,
            LIGHTNESS_LEVELS,
            CHROMA_EDGES,
            LAYOUT_SCALE,
            FAINT_GRADIENT,
            PART_WEIGHTS,
        )
        self.identity = f"descriptor@{hashlib.sha256(repr(parameters).encode()).hexdigest()[:12]}"
        self.preprocessing = Preprocessing(
            resize_px=SIDE_PX, crop_px=SIDE_PX, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        )
        self._square = InputSquare(preprocessing=self.preprocessing)

    def prepare(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        """Return the central square of one image, 128 px."""
        return self._square.cut(image)

    def extract(self, prepared: UInt8[np.ndarray, "n s s 3"]) -> Features:
        """Return the features of n prepared squares; each is computed by itself."""
        embeddings = np.empty((len(prepared), DIM), dtype=np.float32)
        feature_maps = np.empty((len(prepared), CHANNELS, CELLS, CELLS), dtype=np.float32)
        for row, square in enumerate(prepared):
            embeddings[row], feature_maps[row] = _describe(square)
        return Features(embeddings=embeddings, feature_maps=feature_maps)


def _describe(
    square: UInt8[np.ndarray, "s s 3"],
) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, "c h w"]]:
    lab = cv2.cvtColor(square, cv2.COLOR_RGB2LAB)
    colours = lab.astype(np.float32)
    orientations = _orientations(colours[..., 0])  # h w o
    parts = (
        (_cell_means(colours, LAYOUT_CELLS) - 128) * np.array(LAYOUT_SCALE, dtype=np.float32),
        np.sqrt(_colour_counts(lab)),
        orientations - orientations.mean(),
        _patterns(lab[..., 0]),
    )
    weighted = [weight * _unit(part.ravel()) for weight, part in zip(PART_WEIGHTS, parts, strict=True)]
    means = _cell_means(colours, CELLS)
    variances = np.maximum(_cell_means(colours**2, CELLS) - means**2, 0)
    cells = np.concatenate([means / 255, np.sqrt(variances) / 255, orientations], axis=2)  # h w c
    return np.concatenate(weighted).astype(np.float32), cells.transpose(2, 0, 1).astype(np.float32)


def _cell_means(pixels: Float32[np.ndarray, "s s c"], cells: int) -> Float32[np.ndarray, "cells cells c"]:
    means: Float32[np.ndarray, "cells cells c"] = cv2.resize(
        pixels, (cells, cells), interpolation=cv2.INTER_AREA
    )
    return means


def _colour_counts(lab: UInt8[np.ndarray, "s s 3"]) -> Int[np.ndarray, " bins"]:
    lightness = lab[..., 0].astype(np.intp) * LIGHTNESS_LEVELS // 256
    a, b = np.digitize(lab[..., 1], CHROMA_EDGES), np.digitize(lab[..., 2], CHROMA_EDGES)
    levels = len(CHROMA_EDGES) + 1
    bins = (lightness * levels + a) * levels + b
    return np.bincount(bins.ravel(), minlength=LIGHTNESS_LEVELS * levels**2)


def _orientations(lightness: Float32[np.ndarray, "s s"]) -> Float[np.ndarray, "h w o"]:
    """Return how much gradient each cell has in each direction, each cell scaled to length below 1."""
    smooth = cv2.GaussianBlur(lightness, (0, 0), 1.0)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1)
    strength = np.hypot(dx, dy)
    position = np.arctan2(dy, dx) % np.pi / np.pi * ORIENTATIONS
    lower = position.astype(np.intp)
    upper_share = position - lower
    first = _cell_of_pixels(CELLS) * ORIENTATIONS
    sums = np.zeros(CELLS**2 * ORIENTATIONS)
    for orientation, share in ((lower, 1 - upper_share), (lower + 1, upper_share)):
        bins = first + orientation % ORIENTATIONS
        sums += np.bincount(bins.ravel(), weights=(strength * share).ravel(), minlength=len(sums))
    cells = sums.reshape(CELLS, CELLS, ORIENTATIONS) / (SIDE_PX // CELLS) ** 2
    cells /= np.linalg.norm(cells, axis=2, keepdims=True) + FAINT_GRADIENT
    return cells


def _patterns(lightness: UInt8[np.ndarray, "s s"]) -> Float[np.ndarray, " bins"]:
    """Return square roots of the pattern counts of each cell, centred."""
    bordered = cv2.copyMakeBorder(lightness, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    codes = np.zeros_like(lightness)
    for bit, (y, x) in enumerate(NEIGHBOURS):
        codes |= (bordered[y : y + SIDE_PX, x : x + SIDE_PX] >= lightness).astype(np.uint8) << bit
    bins = _cell_of_pixels(PATTERN_CELLS) * PATTERNS + PATTERN_OF_CODE[codes]
    roots = np.sqrt(np.bincount(bins.ravel(), minlength=PATTERN_CELLS**2 * PATTERNS))
    roots -= roots.mean()
    return roots


def _cell_of_pixels(cells: int) -> Int[np.ndarray, "s s"]:
    row = np.arange(SIDE_PX) * cells // SIDE_PX
    return row[:, None] * cells + row


def _unit(part: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    length = np.linalg.norm(part)
    return part / length if length > 1e-6 else np.zeros_like(part)
