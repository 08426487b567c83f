"""Feature spaces: pixels, batches, perceptual vectors against the distance written out, refusals."""

import numpy as np
import pytest
import torch

from gan_aug.errors import BatchError
from gan_aug.feature_space import (
    BATCH,
    FeatureSpace,
    PixelSpace,
    check_comparable,
    embed,
    perceptual_vectors,
    rgb_bytes,
)


class CountingSpace:
    name = "first pixel"

    def __init__(self) -> None:
        self.batches = []

    def features(self, images):
        self.batches.append(len(images))
        return images[:, 0, 0].astype(np.float32)


def test_images_become_bytes_clipped_and_grey_ones_take_their_channel_three_times():
    grey = torch.tensor([-1.0, 0.0, 1.0, 7.0]).reshape(1, 1, 2, 2)
    expected = np.array([[0, 128], [255, 255]], dtype=np.uint8)
    assert np.array_equal(rgb_bytes(grey), np.stack([expected] * 3, -1)[None])
    colour = torch.stack([torch.full((2, 2), -1.0), torch.zeros(2, 2), torch.ones(2, 2)])[None]
    assert rgb_bytes(colour)[0, 1, 0].tolist() == [0, 128, 255]
    with pytest.raises(BatchError, match=r"1 or 3 channels to be embedded, got 2"):
        rgb_bytes(torch.zeros(1, 2, 4, 4))


def test_pixels_are_a_space_whose_numbers_are_the_pixels():
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    space: FeatureSpace = PixelSpace()
    expected = np.array([[value / 255 for value in range(12)], [value / 255 for value in range(12, 24)]])
    np.testing.assert_allclose(space.features(images), expected, rtol=1e-6)
    assert space.name == "pixels"


def test_images_are_embedded_a_batch_at_a_time_and_stay_in_order():
    images = np.random.default_rng(0).integers(0, 256, (2 * BATCH + 3, 2, 2, 3), dtype=np.uint8)
    space = CountingSpace()
    features = embed(images, space)
    assert np.array_equal(features, images[:, 0, 0])
    assert space.batches == [BATCH, BATCH, 3]
    with pytest.raises(BatchError, match="images to embed in first pixel, got none"):
        embed(images[:0], space)


def test_squared_distances_of_perceptual_vectors_are_perceptual_distances():
    rng = np.random.default_rng(1)
    maps = [rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 6, 2, 2))]
    expected = 0.0
    for layer in maps:
        _, _, height, width = layer.shape
        for row in range(height):
            for column in range(width):
                a, b = (each[:, row, column] / np.linalg.norm(each[:, row, column]) for each in layer)
                expected += sum((a - b) ** 2) / (height * width)
    first, second = perceptual_vectors(maps)
    assert np.square(first - second).sum() == pytest.approx(expected, rel=1e-5)


def test_a_dark_pixel_of_no_activation_is_no_division_by_zero():
    (vector,) = perceptual_vectors([np.zeros((1, 3, 2, 2))])
    assert not vector.any()


def test_samples_that_cannot_be_compared_are_refused():
    good = np.zeros((4, 3), dtype=np.float32)
    with pytest.raises(BatchError, match="needs at least 5 real samples, got 4"):
        check_comparable(good, good, at_least=5)
    with pytest.raises(BatchError, match="needs at least 4 generated samples, got 3"):
        check_comparable(good, good[:3], at_least=4)
    with pytest.raises(BatchError, match="Features of generated samples must be finite"):
        check_comparable(good, np.full((4, 3), np.nan), at_least=1)
    with pytest.raises(BatchError, match="got 3 numbers per real sample and 2 per generated one"):
        check_comparable(good, good[:, :2], at_least=1)
