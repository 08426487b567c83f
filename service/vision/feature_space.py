"""A backbone as a space in which pictures of any origin are compared, such as those that a generator drew.

In: RGB images of one size. Out: one embedding each, under the name that figures are told with.
Fits `gan_aug.feature_space.FeatureSpace`; what is made of the embeddings is left to gan_aug.
"""

from typing import final

import numpy as np
from jaxtyping import Float32, UInt8

from service.ports import Backbone


@final
class BackboneSpace:
    """The embeddings of a backbone, after its own resizing and cropping."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    @property
    def name(self) -> str:
        """Network with the hash of its weights, layer, and side of its input square."""
        side = self._backbone.preprocessing.crop_px
        return f"{self._backbone.identity} embeddings at {side} px"

    def features(self, images: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n d"]:
        """Return the embedding of every image."""
        squares = np.stack([self._backbone.prepare(image) for image in images])
        return self._backbone.extract(squares).embeddings
