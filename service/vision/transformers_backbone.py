"""Vision models of `transformers` as backbones: DINOv2, CLIP and SigLIP towers, ViT, MobileNetV2, ResNet, ConvNeXt.

In: a model folder (config.json, preprocessor_config.json, safetensors), then RGB uint8 images. Out: embeddings and
feature maps. What a spec such as a hub name means is left to `backbones`; image geometry to `preprocessing`.
"""

import hashlib
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging

from service.errors import DataLossError, InvalidArgumentError, NotFoundError
from service.records import Features, Preprocessing
from service.vision.batch_norms import fold_batch_norms
from service.vision.forward_pool import ForwardPool
from service.vision.preprocessing import InputSquare, read_input_square

# Small: one pass stays in the cache. MobileNetV2 on one core is about a third slower with 32.
BATCH_IMAGES = 8

# Weights that a checkpoint may lack, because classifiers and self-supervised training leave them out.
OPTIONAL_WEIGHTS = re.compile(r"(^|\.)(pooler\.|mask_token$)")


@final
class TransformersBackbone:
    """A vision model of `transformers` on the CPU, in float32.

    Embedding: the model's own pooled output (average of the map for MobileNetV2, ResNet and ConvNeXt, attention pooling
    for SigLIP, normalised class token for DINOv2 and CLIP); the class token itself where the checkpoint holds no pooler
    weights (ViT classifiers). Feature map: the last hidden state; class and register tokens are dropped and patch
    tokens put back on their grid. Rows agree with those of another batch split to about 1e-4 of their size.
    """

    def __init__(self, model: nn.Module, *, identity: str, square: InputSquare, pooled: bool = True) -> None:
        """Take a loaded model.

        Args:
            model: Takes `pixel_values` and returns `last_hidden_state` (and `pooler_output`).
            identity: `NAME@HEX12`.
            square: How its images are prepared.
            pooled: Whether its `pooler_output` can be used.

        Raises:
            InvalidArgumentError: The model does not take such squares, or gives no map.
        """
        self._identity = identity
        self._square = square
        self._pooled = pooled
        mean, std = (torch.tensor(values) for values in (square.preprocessing.mean, square.preprocessing.std))
        self._scale = (1 / (255 * std)).view(1, 3, 1, 1)
        self._shift = (-mean / std).view(1, 3, 1, 1)
        try:
            model = fold_batch_norms(model.eval(), self._last_hidden_state)
            self._model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in stubs
            side = square.preprocessing.crop_px
            example = self._forward(np.zeros((1, side, side, 3), dtype=np.uint8))
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise InvalidArgumentError(
                f"{identity} gives no embedding and map for one {square.preprocessing.crop_px} px square: {error} Choose"
                " a model for images whose preprocessor_config.json fits it, such as DINOv2, ViT or MobileNetV2.",
                reason="BACKBONE_UNSUPPORTED",
            ) from error
        self._dim, self._cells = int(example.embeddings.shape[1]), int(example.feature_maps.shape[3])
        self._pool = ForwardPool(self._forward, example=example, batch_images=BATCH_IMAGES)

    @classmethod
    def load(cls, folder: Path, *, name: str | None = None) -> "TransformersBackbone":
        """Return the backbone in a model folder.

        Args:
            folder: Holds config.json, preprocessor_config.json and model.safetensors (or its shards).
            name: Goes into the identity; the folder's own name by default.

        Raises:
            NotFoundError: The folder or one of its files is missing.
            InvalidArgumentError: No vision model, no safetensors, or weights that do not fit the config.
            DataLossError: The weights are damaged.
        """
        weights = weight_files(folder)
        with _quiet_transformers():
            config = _vision_config(folder)
            square = read_input_square(folder)
            model, missing = _load_model(folder, config)
        return cls(
            model,
            identity=f"{_plain(name or folder.resolve().name)}@{_digest(folder, weights)[:12]}",
            square=square,
            pooled=not any("pooler." in key for key in missing),
        )

    @property
    def identity(self) -> str:
        """`NAME@HEX12`: the hash is over weights, config and preprocessing, so it changes with any of them."""
        return self._identity

    @property
    def dim(self) -> int:
        """Width d of the embeddings."""
        return self._dim

    @property
    def stride(self) -> int:
        """Input pixels per feature map cell, rounded."""
        return round(self.preprocessing.crop_px / self._cells)

    @property
    def preprocessing(self) -> Preprocessing:
        """How `prepare` makes the input square."""
        return self._square.preprocessing

    def prepare(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        """Return the input square of one image, in unscaled bytes."""
        return self._square.cut(image)

    def extract(self, prepared: UInt8[np.ndarray, "n s s 3"]) -> Features:
        """Return the features of n prepared squares. Batches run beside each other, one per core."""
        return self._pool.run(prepared)

    @torch.inference_mode()
    def _forward(self, prepared: UInt8[np.ndarray, "n s s 3"]) -> Features:
        pixels = torch.tensor(prepared).permute(0, 3, 1, 2)  # n 3 s s, channels last in memory
        output = self._model(pixel_values=pixels * self._scale + self._shift)
        feature_maps, class_tokens = _split_tokens(
            output.last_hidden_state,
            side_px=prepared.shape[1],
            patch_px=getattr(self._model.config, "patch_size", 1),
        )
        pooled = output.get("pooler_output") if self._pooled else None
        if pooled is None:
            pooled = feature_maps.mean((2, 3)) if class_tokens is None else class_tokens
        return Features(
            embeddings=np.ascontiguousarray(pooled.flatten(1).numpy()),
            feature_maps=np.ascontiguousarray(feature_maps.numpy()),
        )

    def _last_hidden_state(self, model: nn.Module) -> Tensor:
        """Return what a model makes of one fixed picture, a ramp."""
        side = self.preprocessing.crop_px
        hidden: Tensor = model(
            pixel_values=torch.linspace(-1, 1, 3 * side * side).view(1, 3, side, side)
        ).last_hidden_state
        return hidden


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder that would be loaded.

    Raises:
        NotFoundError: The folder, its config.json or its weights are missing.
        InvalidArgumentError: The weights are there as pickles only.
    """
    if not (folder / "config.json").is_file():
        raise NotFoundError(
            f"{folder} is no model folder: it has no config.json. Give a folder that `save_pretrained` of transformers"
            " wrote, or a downloaded snapshot of a hub model.",
            reason="MODEL_NOT_FOUND",
        )
    whole, shards = folder / "model.safetensors", sorted(folder.glob("model-*-of-*.safetensors"))
    if whole.is_file():
        return [whole]
    if shards and (folder / "model.safetensors.index.json").is_file():
        return shards
    pickles = sorted(file.name for file in folder.glob("*.bin"))
    if pickles:
        raise InvalidArgumentError(
            f"{folder} has its weights as {', '.join(pickles)}: pickles can run code when read and are refused. Convert"
            " them where you trust them: AutoModel.from_pretrained(FOLDER).save_pretrained(NEW) writes safetensors.",
            reason="PICKLED_WEIGHTS",
        )
    raise NotFoundError(
        f"{folder} has a config.json but no model.safetensors. Download the model again, with its weights.",
        reason="MODEL_NOT_FOUND",
    )


def _vision_config(folder: Path) -> Any:  # noqa: ANN401  # transformers has one config class per family
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (KeyError, OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"The config.json in {folder} is none that transformers knows: {error}",
            reason="BACKBONE_UNSUPPORTED",
        ) from error
    config = getattr(config, "vision_config", config)  # CLIP and SigLIP: leave the text tower on disk
    if getattr(MODEL_MAPPING.get(type(config), None), "main_input_name", "") != "pixel_values":
        raise InvalidArgumentError(
            f"{folder} holds a {config.model_type} model, which does not read images. Choose a vision model, such as"
            " DINOv2, CLIP, SigLIP, ViT, MobileNetV2, ResNet or ConvNeXt.",
            reason="BACKBONE_UNSUPPORTED",
        )
    return config


def _load_model(folder: Path, config: Any) -> tuple[nn.Module, set[str]]:  # noqa: ANN401  # same
    """Return the model in float32 and which of its weights the folder lacks."""
    try:
        model, info = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise DataLossError(
            f"The weights in {folder} are damaged: {error}. Download or copy the model again.",
            reason="MODEL_DAMAGED",
        ) from error
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise InvalidArgumentError(
            f"The model in {folder} cannot be loaded: {error}", reason="BACKBONE_UNSUPPORTED"
        ) from error
    missing = set(info["missing_keys"])
    needed = sorted(key for key in missing if not OPTIONAL_WEIGHTS.search(key))
    if needed:
        raise InvalidArgumentError(
            f"The weights in {folder} do not fit its config.json: {len(needed)} of {config.model_type}'s tensors are"
            f" missing, the first is {needed[0]}. Take both files from the same model.",
            reason="WEIGHTS_INCOMPLETE",
        )
    return model, missing


def _split_tokens(
    hidden: Float[Tensor, "n c h w"] | Float[Tensor, "n t c"],
    *,
    side_px: int,
    patch_px: int,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c"] | None]:
    """Return the map, and the class token where there is one. Special tokens stand in front of the patches."""
    if hidden.ndim == 4:
        return hidden, None
    count = hidden.shape[1]
    side = min(math.isqrt(count), side_px // patch_px)  # the former alone where patches merge, as in Swin
    specials = count - side * side
    grid = hidden[:, specials:].transpose(1, 2)  # n c patches
    return grid.reshape(*grid.shape[:2], side, side), hidden[:, 0] if specials else None


def _digest(folder: Path, weights: list[Path]) -> str:
    """Return the sha256 over all that decides what the model computes."""
    configs = [folder / name for name in ("config.json", "preprocessor_config.json", "processor_config.json")]
    digest = hashlib.sha256()
    for file in [*configs, *weights]:
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "model"


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep progress bars and load reports out of our caller's output; they were checked here anyway."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
