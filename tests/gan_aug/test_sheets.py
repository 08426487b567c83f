"""Sheets and curves: pixels in their places, files that are pictures."""

import json

import numpy as np
import torch
from PIL import Image

from gan_aug.sheets import GAP, image_grid, save_curves, save_sheet


def test_a_grid_holds_every_image_in_reading_order_on_white():
    images = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 1, 4, 4)
    sheet = image_grid(images, columns=3)
    assert sheet.shape == (2 * (4 + GAP) + GAP, 3 * (4 + GAP) + GAP, 3)
    shades = [sheet[GAP + r * (4 + GAP), GAP + c * (4 + GAP)].tolist() for r in range(2) for c in range(3)]
    assert shades == [[0] * 3, [64] * 3, [128] * 3, [191] * 3, [255] * 3, [255] * 3]
    assert (sheet[:GAP] == 255).all()


def test_colours_are_clipped_and_kept_apart():
    pixel = torch.tensor([3.0, -3.0, 0.0]).reshape(1, 3, 1, 1)
    assert image_grid(pixel)[GAP, GAP].tolist() == [255, 0, 128]


def test_images_points_and_curves_become_pictures(tmp_path):
    save_sheet(tmp_path / "a" / "images.png", torch.zeros(4, 3, 8, 8))
    save_sheet(tmp_path / "points.png", torch.zeros(4, 2), reference=torch.ones(4, 2))
    lines = [{"step": k, "loss": k / 2, "note": "text"} for k in range(3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    save_curves(tmp_path / "curves.png", tmp_path / "metrics.jsonl")
    for name in ("a/images.png", "points.png", "curves.png"):
        with Image.open(tmp_path / name) as image:
            assert np.asarray(image).std() > 0
