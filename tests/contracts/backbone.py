"""What every Backbone must do; subclass `BackboneContract` and give it a fixture `backbone`."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.ports import Backbone
from service.records import Features

ODD_SIZES = [(1, 1), (1, 7), (9, 1), (1, 3000), (2500, 3), (37, 53), (640, 480), (1200, 1600)]


def pictures(n: int, *, seed: int = 0) -> list[np.ndarray]:
    """Return n RGB images of different sizes and brightness: a colour ramp with noise."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(n):
        height, width = rng.integers(40, 200, size=2)
        ramp = np.linspace(0, 200, width)[None, :, None] * rng.random(3) + 6 * i
        images.append(np.clip(ramp + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8))
    return images


class BackboneContract:
    """Laws of a Backbone, with values where they can be known without knowing the model."""

    @pytest.fixture
    def prepared(self, backbone: Backbone) -> np.ndarray:
        return np.stack([backbone.prepare(image) for image in pictures(11)])

    @pytest.fixture
    def features(self, backbone: Backbone, prepared: np.ndarray) -> Features:
        return backbone.extract(prepared)

    def test_identity_is_a_plain_name_and_twelve_hex_digits(self, backbone: Backbone):
        assert re.fullmatch(r"[A-Za-z0-9._-]+@[0-9a-f]{12}", backbone.identity)

    def test_preprocessing_crops_within_the_resized_image(self, backbone: Backbone):
        preprocessing = backbone.preprocessing
        assert 1 <= preprocessing.crop_px <= preprocessing.resize_px
        assert len(preprocessing.mean) == len(preprocessing.std) == 3
        assert all(std > 0 for std in preprocessing.std)

    @pytest.mark.parametrize(("height", "width"), ODD_SIZES)
    def test_prepare_makes_the_input_square_of_any_size(self, backbone: Backbone, height: int, width: int):
        image = np.full((height, width, 3), (200, 100, 7), dtype=np.uint8)
        square = backbone.prepare(image)
        side = backbone.preprocessing.crop_px
        assert square.shape == (side, side, 3)
        assert square.dtype == np.uint8
        assert (square == [200, 100, 7]).all()

    def test_prepare_leaves_its_image_alone_and_takes_views(self, backbone: Backbone):
        image = pictures(1)[0]
        before = image.copy()
        mirrored = backbone.prepare(image[:, ::-1])
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(mirrored, backbone.prepare(np.ascontiguousarray(image[:, ::-1])))

    def test_prepare_gives_the_same_from_many_threads(self, backbone: Backbone):
        images = pictures(8) * 4
        with ThreadPoolExecutor(8) as threads:
            squares = list(threads.map(backbone.prepare, images))
        for image, square in zip(images, squares, strict=True):
            np.testing.assert_array_equal(square, backbone.prepare(image))

    def test_features_have_the_promised_shapes_and_are_finite_float32(
        self, backbone: Backbone, features: Features
    ):
        assert features.embeddings.shape == (11, backbone.dim)
        n, _, height, width = features.feature_maps.shape
        assert (n, height) == (11, width)
        assert abs(backbone.stride * height - backbone.preprocessing.crop_px) < backbone.stride
        for array in (features.embeddings, features.feature_maps):
            assert array.dtype == np.float32
            assert np.isfinite(array).all()

    def test_a_row_does_not_depend_on_the_others(
        self, backbone: Backbone, prepared: np.ndarray, features: Features
    ):
        order = np.random.default_rng(1).permutation(len(prepared))
        shuffled = backbone.extract(prepared[order])
        alone = [backbone.extract(square[None]) for square in prepared]
        for name in ("embeddings", "feature_maps"):
            whole = getattr(features, name)
            tolerance = {"rtol": 1e-4, "atol": 1e-4 * np.abs(whole).max()}
            np.testing.assert_allclose(getattr(shuffled, name), whole[order], **tolerance)
            np.testing.assert_allclose(
                np.concatenate([getattr(one, name) for one in alone]), whole, **tolerance
            )

    def test_the_same_input_gives_the_same_bits(
        self, backbone: Backbone, prepared: np.ndarray, features: Features
    ):
        again = backbone.extract(prepared.copy())
        np.testing.assert_array_equal(again.embeddings, features.embeddings)
        np.testing.assert_array_equal(again.feature_maps, features.feature_maps)

    def test_different_pictures_get_different_embeddings(self, features: Features):
        gaps = np.abs(features.embeddings[:, None] - features.embeddings[None]).max(axis=2)
        assert (gaps[~np.eye(len(gaps), dtype=bool)] > 1e-6).all()

    def test_a_flat_picture_has_finite_features(self, backbone: Backbone):
        side = backbone.preprocessing.crop_px
        flat = backbone.extract(
            np.stack([np.full((side, side, 3), v, dtype=np.uint8) for v in (0, 128, 255)])
        )
        assert np.isfinite(flat.embeddings).all()
        assert np.isfinite(flat.feature_maps).all()

    def test_no_pictures_give_no_rows_of_the_same_width(self, backbone: Backbone, features: Features):
        side = backbone.preprocessing.crop_px
        none = backbone.extract(np.zeros((0, side, side, 3), dtype=np.uint8))
        assert none.embeddings.shape == (0, backbone.dim)
        assert none.feature_maps.shape == (0, *features.feature_maps.shape[1:])
        assert none.embeddings.dtype == none.feature_maps.dtype == np.float32
