"""Our own encoder as a backbone.

In: a weight file, then RGB uint8 images. Out: embeddings and feature maps. Which file a spec means is left to `backbones`,
what is in a file to `weight_file`.
"""

from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from service.records import Features, Preprocessing
from service.vision.batch_norms import fold_batch_norms
from service.vision.encoder.network import EncoderNetwork, embeddings_of
from service.vision.encoder.weight_file import read_encoder_file
from service.vision.forward_pool import ForwardPool
from service.vision.preprocessing import InputSquare

MEAN = (0.5, 0.5, 0.5)  # pixels go in as -1 to 1
STD = (0.5, 0.5, 0.5)
BATCH_IMAGES = 16  # per pass and core; 8 and 32 are no faster


@final
class EncoderBackbone:
    """An encoder of ours on the CPU, in float32, batch norms folded. The embedding is the mean of the feature map.

    Rows agree with those of another batch split to about 1e-5 of their size.
    """

    def __init__(self, network: EncoderNetwork, *, identity: str, input_px: int) -> None:
        """Take a network in eval mode.

        Args:
            network: Left as it is.
            identity: `NAME@HEX12`.
            input_px: Side of its input square.
        """
        self._identity = identity
        self._stride = network.shape.stride
        self._square = InputSquare(
            preprocessing=Preprocessing(resize_px=input_px, crop_px=input_px, mean=MEAN, std=STD)
        )
        ramp = torch.linspace(-1, 1, 3 * input_px**2).view(1, 3, input_px, input_px)
        folded = fold_batch_norms(network.eval(), lambda candidate: maps_of(candidate, ramp))
        self._network = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in stubs
        self._dim = network.shape.dim
        example = self._forward(np.zeros((1, input_px, input_px, 3), dtype=np.uint8))
        self._pool = ForwardPool(self._forward, example=example, batch_images=BATCH_IMAGES)

    @classmethod
    def load(cls, path: Path) -> "EncoderBackbone":
        """Return the backbone in a weight file; raises as `read_encoder_file`."""
        file = read_encoder_file(path)
        return cls(file.network, identity=file.identity, input_px=file.input_px)

    @property
    def identity(self) -> str:
        """`NAME@HEX12`: the hash is over shape and weights."""
        return self._identity

    @property
    def dim(self) -> int:
        """Width d of the embeddings."""
        return self._dim

    @property
    def stride(self) -> int:
        """Input pixels per feature map cell."""
        return self._stride

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
        maps = maps_of(self._network, scaled(torch.tensor(prepared)))
        return Features(
            embeddings=np.ascontiguousarray(embeddings_of(maps).numpy()),
            feature_maps=np.ascontiguousarray(maps.numpy()),
        )


def scaled(squares: UInt8[Tensor, "n s s 3"]) -> Tensor:
    """Return squares as network input, `n 3 s s`, channels last in memory, from -1 to 1."""
    return squares.permute(0, 3, 1, 2).float() * (2 / 255) - 1


def maps_of(network: nn.Module, pixels: Tensor) -> Tensor:
    """Return the feature maps that a network, folded or not, makes of scaled pixels."""
    maps: Tensor = network(pixels)
    return maps
