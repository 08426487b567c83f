"""The descriptor: the backbone contract, and its parts against plain loops."""

import math

import cv2
import numpy as np
import pytest

from service.records import Features
from service.vision.descriptor import DescriptorBackbone
from tests.contracts.backbone import BackboneContract

LAYOUT, COLOURS, ORIENTATIONS, PATTERNS = slice(0, 48), slice(48, 228), slice(228, 740), slice(740, 976)


@pytest.fixture
def backbone() -> DescriptorBackbone:
    return DescriptorBackbone()


class TestDescriptorAsBackbone(BackboneContract):
    """The contract."""


def features_of(square: np.ndarray) -> Features:
    return DescriptorBackbone().extract(square[None])


def stripes(period_px: int, *, upright: bool) -> np.ndarray:
    """Return a grey 128 px square of smooth stripes."""
    wave = (127 + 100 * np.sin(2 * np.pi * np.arange(128) / period_px)).astype(np.uint8)
    square = np.tile(wave, (128, 1))
    return np.repeat((square if upright else square.T)[..., None], 3, axis=2)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)


def test_each_part_has_its_own_fixed_length(backbone: DescriptorBackbone):
    embedding = features_of(noise(0)).embeddings[0]
    lengths = [np.linalg.norm(embedding[part]) for part in (LAYOUT, COLOURS, ORIENTATIONS, PATTERNS)]
    np.testing.assert_allclose(lengths, [0.6, 1.0, 1.0, 1.4], rtol=1e-5)
    assert backbone.dim == len(embedding) == 976


def test_the_map_holds_the_mean_and_deviation_of_each_cell():
    square = np.zeros((128, 128, 3), dtype=np.uint8)
    square[16:32, 48:64] = 255  # cell (1, 3) is white
    square[64:80:2, 0:16] = 255  # cell (4, 0) is half white
    lightness, deviation = features_of(square).feature_maps[0, 0], features_of(square).feature_maps[0, 3]
    expected = np.zeros((8, 8))
    expected[1, 3], expected[4, 0] = 1, 0.5
    np.testing.assert_allclose(lightness, expected, atol=1e-6)
    expected[1, 3] = 0
    np.testing.assert_allclose(deviation, expected, atol=1e-3)


@pytest.mark.parametrize(("upright", "orientation"), [(True, 0), (False, 4)])
def test_stripes_show_in_the_orientation_across_them(upright, orientation):
    orientations = features_of(stripes(16, upright=upright)).feature_maps[0, 6:]
    assert (orientations.argmax(axis=0) == orientation).all()
    assert orientations[orientation].min() > 0.5
    others = np.delete(orientations, orientation, axis=0)
    np.testing.assert_allclose(others, 0, atol=1e-3)


def plain_orientations(grey: np.ndarray) -> np.ndarray:
    """Return the oriented gradients of 8 x 8 cells, pixel by pixel."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    padded = np.pad(smooth, 1, mode="reflect")
    cells = np.zeros((8, 8, 8))
    for y in range(128):
        for x in range(128):
            dx, dy = padded[y + 1, x + 2] - padded[y + 1, x], padded[y + 2, x + 1] - padded[y, x + 1]
            position = math.atan2(dy, dx) % math.pi / math.pi * 8
            share = position - int(position)
            cells[y // 16, x // 16, int(position) % 8] += math.hypot(dx, dy) * (1 - share) / 256
            cells[y // 16, x // 16, (int(position) + 1) % 8] += math.hypot(dx, dy) * share / 256
    return cells / (np.linalg.norm(cells, axis=2, keepdims=True) + 2.5)


def test_orientations_agree_with_a_plain_sum():
    grey = np.random.default_rng(5).integers(0, 2, (128, 128), dtype=np.uint8) * 255  # exact in Lab
    features = features_of(np.repeat(grey[..., None], 3, axis=2))
    expected = plain_orientations(grey)
    np.testing.assert_allclose(features.feature_maps[0, 6:], expected.transpose(2, 0, 1), atol=1e-5)
    centred = (expected - expected.mean()).ravel()
    np.testing.assert_allclose(
        features.embeddings[0, ORIENTATIONS], centred / np.linalg.norm(centred), atol=1e-4
    )


def test_the_histogram_counts_every_pixel_once():
    square = np.zeros((128, 128, 3), dtype=np.uint8)
    square[:32] = 255  # a quarter white, the rest black
    colours = features_of(square).embeddings[0, COLOURS]
    np.testing.assert_allclose(np.sort(colours)[-2:], [0.5, np.sqrt(0.75)], rtol=1e-6)
    assert np.count_nonzero(colours) == 2


def plain_pattern_counts(grey: np.ndarray) -> np.ndarray:
    """Return uniform pattern counts of 2 x 2 cells, pixel by pixel."""
    rank = {}
    for code in range(256):
        ring = [code >> bit & 1 for bit in range(8)]
        if sum(ring[i] != ring[i - 1] for i in range(8)) <= 2:
            rank[code] = len(rank)
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    counts = np.zeros((2, 2, 59))
    for y in range(128):
        for x in range(128):
            code = 0
            for bit, (dy, dx) in enumerate(ring):
                neighbour = grey[min(max(y + dy, 0), 127), min(max(x + dx, 0), 127)]
                code |= int(neighbour >= grey[y, x]) << bit
            counts[y // 64, x // 64, rank.get(code, 58)] += 1
    return counts.ravel()


def test_patterns_agree_with_a_plain_count():
    grey = np.random.default_rng(3).integers(0, 2, (128, 128), dtype=np.uint8) * 255  # exact in Lab
    roots = np.sqrt(plain_pattern_counts(grey))
    roots -= roots.mean()
    patterns = features_of(np.repeat(grey[..., None], 3, axis=2)).embeddings[0, PATTERNS]
    np.testing.assert_allclose(patterns, 1.4 * roots / np.linalg.norm(roots), atol=1e-5)


def test_alike_pictures_are_nearer_than_unlike_ones():
    squares = [
        stripes(16, upright=True),
        stripes(18, upright=True),
        stripes(16, upright=False),
        noise(1),
        noise(2),
    ]
    rows = DescriptorBackbone().extract(np.stack(squares)).embeddings
    cosines = rows @ rows.T / (np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(rows, axis=1))
    np.fill_diagonal(cosines, -1)
    assert cosines[0].argmax() == 1
    assert cosines[3].argmax() == 4


def test_the_identity_stands_for_these_numbers():
    """When this fails, embeddings of old stores no longer match: that must be on purpose."""
    assert DescriptorBackbone().identity == "descriptor@a0e6c45b6167"
    ramp = np.arange(128 * 128 * 3, dtype=np.uint32).reshape(128, 128, 3) % 251
    embedding = features_of(ramp.astype(np.uint8)).embeddings[0]
    assert (embedding.sum(), embedding[::100].sum()) == pytest.approx((3.1840, 0.0244), abs=1e-3)
