"""The fitted encoder: embeddings to scores and codes of every length.

In: embeddings. Out: real-valued scores, codes, code records. Knows nothing of training.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from hashing.codes import pack_codes, record_bytes
from hashing.features import FeatureMap
from hashing.objective import LossWeights, Pair
from hashing.solver import CodeEnergy, Codes, association_energy, descend_bits_

CHUNK = 4096  # rows at a time: bounds memory
PASSES = 2  # of joint encoding, 01-hashing 1.6


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What encodes: a feature map, projections, and associations if the lengths are encoded jointly.

    Parts are float32, products float64: rounding then depends on the batch far below what decides a bit.

    Attributes:
        feature_map: Embeddings to features.
        projections: Features to scores, by code length in ascending order.
        associations: Codes of one length to codes of another.
        weights: The loss weights it was fitted with; joint encoding minimises the same objective.
        joint: Whether the lengths of a sample are encoded jointly, or each by the sign of its scores.
    """

    feature_map: FeatureMap
    projections: dict[int, Float32[np.ndarray, "m _bits"]]
    associations: dict[Pair, Float32[np.ndarray, "_source _target"]]
    weights: LossWeights
    joint: bool

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths in bits, ascending."""
        return tuple(self.projections)

    def project(self, embeddings: Float[np.ndarray, "n d"]) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        """Return the scores of every length, for ranking by score times stored signs (asymmetric distance)."""
        features = self.feature_map(embeddings)
        return {bits: features @ P.astype(np.float64) for bits, P in self.projections.items()}

    def encode(self, embeddings: Float[np.ndarray, "n d"]) -> dict[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the packed codes of every length."""
        chunks = list(self._signs(embeddings))
        return {
            bits: np.concatenate([pack_codes(codes[bits]) for codes in chunks])
            if chunks
            else np.empty((0, bits // 8), dtype=np.uint8)
            for bits in self.lengths
        }

    def records(self, embeddings: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths side by side, shortest first."""
        records = np.hstack(list(self.encode(embeddings).values()))
        assert records.shape[1] == record_bytes(self.lengths)  # noqa: S101 - our own invariant
        return records

    def _signs(self, embeddings: Float[np.ndarray, "n d"]) -> Iterator[Codes]:
        betas = self.weights.associations(self.lengths)
        associations = {pair: R.astype(np.float64) for pair, R in self.associations.items()}
        for start in range(0, len(embeddings), CHUNK):
            scores = self.project(embeddings[start : start + CHUNK])
            codes = {bits: np.where(f > 0, 1.0, -1.0) for bits, f in scores.items()}
            if self.joint:
                for bits in reversed(self.lengths):
                    linear, curvature = association_energy(codes, associations, betas, bits)
                    _agree_(codes[bits], linear + self.weights.nu * scores[bits], curvature)
            yield codes


def _agree_(
    codes: Float64[np.ndarray, "n bits"],
    linear: Float64[np.ndarray, "n bits"],
    curvature: Float64[np.ndarray, "bits bits"],
) -> None:
    """Lower the label-free part of the objective in the codes of one length."""
    n, bits = codes.shape
    no_labels = {"label_map": np.zeros((bits, 0)), "label_weights": np.zeros((n, 1))}
    descend_bits_(codes, CodeEnergy(linear=linear, curvature=curvature, **no_labels), passes=PASSES)
