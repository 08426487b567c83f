"""The fitted encoder: embeddings to scores and codes of every length.

In: embeddings. Out: real-valued scores, codes, code records. Knows nothing of training.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from hashing.codes import pack_codes
from hashing.energy import CodeEnergy, SharedCurvature, descend_bits_
from hashing.features import FeatureMap
from hashing.layout import CodeLayout
from hashing.objective import LossWeights, Pair, association_curvature

CHUNK = 4096  # rows at a time: bounds memory
PASSES = 2  # of joint encoding, 01-hashing 1.6


@final
@dataclass(frozen=True, kw_only=True)
class Encoder:
    """What encodes: a feature map, projections, and associations if the lengths are encoded jointly.

    Parts are float32, products float64: rounding then depends on the batch far below what decides a bit.

    Attributes:
        feature_map: Embeddings to features.
        projections: Features to the scores of the bits that each length adds, ascending; all of its bits unless nested.
        associations: Codes of one length to codes of another.
        weights: The loss weights it was fitted with; joint encoding minimises the same objective.
        joint: Which lengths are encoded jointly, rather than each by the sign of its scores: all, none, or one answer
            per length.
        nested: Whether every code is a prefix of the next longer one.
    """

    feature_map: FeatureMap
    projections: dict[int, Float32[np.ndarray, "m _bits"]]
    associations: dict[Pair, Float32[np.ndarray, "_source _target"]]
    weights: LossWeights
    joint: bool | tuple[bool, ...]
    nested: bool = False

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths in bits, ascending."""
        return tuple(self.projections)

    @cached_property
    def layout(self) -> CodeLayout:
        """Which columns and bytes belong to which length."""
        return CodeLayout(self.lengths, self.nested)

    def project(self, embeddings: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        """Return the scores of every length, for ranking by score times stored signs (asymmetric distance)."""
        scores = (self._projection.T @ self.feature_map(embeddings).T).T
        return {bits: scores[:, part] for bits, part in self.layout.columns.items()}

    def encode(self, embeddings: Float[np.ndarray, "n d"]) -> dict[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the packed codes of every length."""
        return self.layout.split(self.records(embeddings))

    def records(self, embeddings: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths side by side, shortest first; the longest code if nested."""
        records = np.empty((len(embeddings), self.layout.record_bytes), dtype=np.uint8)
        start = 0
        for codes in self._signs(embeddings):
            records[start : start + codes.shape[1]] = pack_codes(codes.T)
            start += codes.shape[1]
        return records

    @cached_property
    def _projection(self) -> Float64[np.ndarray, "m columns"]:
        return np.hstack(list(self.projections.values())).astype(np.float64)

    @cached_property
    def _curvature(self) -> SharedCurvature:
        associations = {pair: R.astype(np.float64) for pair, R in self.associations.items()}
        return SharedCurvature(association_curvature(associations, self.weights, self.layout))

    @cached_property
    def _joint_blocks(self) -> list[slice]:
        """Return the columns that are encoded jointly, longest codes first."""
        joint = self.joint if isinstance(self.joint, tuple) else (self.joint,) * len(self.lengths)
        return [part for part, wanted in zip(self.layout.blocks.values(), joint, strict=True) if wanted][::-1]

    def _signs(self, embeddings: Float[np.ndarray, "n d"]) -> Iterator[Float64[np.ndarray, "columns _n"]]:
        nu = self.weights.of_features(self.layout)[:, None]
        for start in range(0, len(embeddings), CHUNK):
            scores = self._projection.T @ self.feature_map(embeddings[start : start + CHUNK]).T
            codes = np.where(scores > 0, 1.0, -1.0)
            if self._joint_blocks:
                energy = CodeEnergy(linear=nu * scores, curvatures=[self._curvature])
                descend_bits_(codes, energy, blocks=self._joint_blocks, passes=PASSES)
            yield codes
