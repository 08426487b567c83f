"""The input square: how an image is resized, cropped and scaled before a network or descriptor sees it.

In: RGB uint8 images, or a model folder whose JSON says how its model was trained. Out: uint8 squares, and the mean and
std that later turn them into network input. Loading the model itself is left to `transformers_backbone`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from service.errors import InvalidArgumentError, NotFoundError
from service.records import Preprocessing

CONVNEXT_CROPS_BELOW_PX = 384  # ConvNextImageProcessor squashes at this size and above


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSquare:
    """Resizing and centre crop of one backbone.

    Attributes:
        preprocessing: Sizes in pixels, mean and std.
        resample: Pillow's filter.
    """

    preprocessing: Preprocessing
    resample: Image.Resampling = Image.Resampling.BILINEAR

    def cut(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        """Return the square of one image of any size from 1 x 1 pixel.

        Only the cropped part is computed, so a strip of 1 x 100,000 pixels costs no more than a photograph. Values are
        those of resizing all and then cropping, up to the rounding between Pillow's two passes.
        """
        side = self.preprocessing.crop_px
        box = self._crop_box(*image.shape[:2])
        return np.array(Image.fromarray(image).resize((side, side), self.resample, box=box))

    def _crop_box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the crop, in pixels of the image."""
        resize_px, side = self.preprocessing.resize_px, self.preprocessing.crop_px
        keep_aspect = self.preprocessing.keep_aspect
        shorter = min(width, height)
        resized_width = resize_px * width // shorter if keep_aspect else resize_px
        resized_height = resize_px * height // shorter if keep_aspect else resize_px
        x, y = (resized_width - side) // 2, (resized_height - side) // 2
        x_scale, y_scale = width / resized_width, height / resized_height
        # min(): the far edge may exceed the image by a rounding error, which Pillow refuses
        right, bottom = min((x + side) * x_scale, width), min((y + side) * y_scale, height)
        return (x * x_scale, y * y_scale, right, bottom)


def read_input_square(folder: Path) -> InputSquare:
    """Return what the folder's preprocessor_config.json (or processor_config.json) says.

    Torchvision is not needed: the JSON is read, not the image processor class that it names.

    Raises:
        NotFoundError: Neither file is there.
        InvalidArgumentError: It asks for something that is no square, or a value is missing or wrong.
    """
    settings, file = _read_settings(folder)
    try:
        return _parse_settings(settings)
    except (KeyError, TypeError, ValueError) as error:
        what = f"value {error} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidArgumentError(
            f"Cannot prepare images as {file} says: {what}. Expected size, crop_size, image_mean and image_std of a"
            " square RGB input, as image processors of transformers write them.",
            reason="PREPROCESSING_INVALID",
        ) from error


def _read_settings(folder: Path) -> tuple[Mapping[str, Any], Path]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        file = folder / name
        if file.is_file():
            try:
                content = json.loads(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InvalidArgumentError(
                    f"{file} is no JSON ({error}). Copy the file again from where the model came from.",
                    reason="PREPROCESSING_INVALID",
                ) from error
            # transformers 5 writes the image processor of CLIP and its like into processor_config.json
            return content.get("image_processor", content), file
    raise NotFoundError(
        f"{folder} has no preprocessor_config.json, so size, mean and std of its input are unknown and would have to"
        " be guessed. Copy that file from where the model came from.",
        reason="PREPROCESSING_NOT_FOUND",
    )


def _parse_settings(settings: Mapping[str, Any]) -> InputSquare:
    resize_px, crop_px, keep_aspect = _geometry(settings)
    if crop_px > resize_px:
        raise ValueError(f"the crop of {crop_px} px is larger than the resized image of {resize_px} px")
    # uint8 * factor, minus mean, over std, is put as uint8 / 255, minus mean', over std'
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    if not factor > 0:
        raise ValueError(f"rescale_factor must be above 0, got {factor}")
    unit = 255 * factor
    normalise = settings.get("do_normalize", True)
    mean = _channels(settings["image_mean"] if normalise else [0, 0, 0])
    std = _channels(settings["image_std"] if normalise else [1, 1, 1])
    if not min(std) > 0:
        raise ValueError(f"std must be above 0, got {list(std)}")
    return InputSquare(
        preprocessing=Preprocessing(
            resize_px=resize_px,
            crop_px=crop_px,
            mean=(mean[0] / unit, mean[1] / unit, mean[2] / unit),
            std=(std[0] / unit, std[1] / unit, std[2] / unit),
            keep_aspect=keep_aspect,
        ),
        resample=Image.Resampling(settings.get("resample", Image.Resampling.BILINEAR)),
    )


def _geometry(settings: Mapping[str, Any]) -> tuple[int, int, bool]:
    """Return (resize_px, crop_px, keep_aspect)."""
    size = settings["size"]
    crops = bool(settings.get("do_center_crop", False))
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size if crops else None
    if "crop_pct" in settings:  # ConvNeXt's and ResNet's processor: the crop follows from the size
        side = int(shortest or _side(size))
        keep_aspect = side < CONVNEXT_CROPS_BELOW_PX
        return int(side / (settings["crop_pct"] or 0.875)) if keep_aspect else side, side, keep_aspect
    crop_px = _side(settings["crop_size"]) if crops else None
    if shortest is not None:
        return int(shortest), crop_px or int(shortest), True
    side = _side(size)
    return side, crop_px or side, False


def _side(size: object) -> int:
    if isinstance(size, Mapping):
        height, width = size["height"], size["width"]
        if height != width:
            raise ValueError(f"the size {height} x {width} is no square")
        return int(height)
    return int(str(size))


def _channels(values: object) -> tuple[float, float, float]:
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(f"mean and std need three values, got {values}")
    return float(values[0]), float(values[1]), float(values[2])
