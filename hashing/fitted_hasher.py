"""A fitted hasher that knows where it came from, as the service uses it.

In: a fitted `JointHasher` or `DeepJointHasher` and its origin. Out: code records under an identity. Leaves files to
`hasher_file`.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Shaped, UInt8

from hashing.encoder import Encoder
from hashing.errors import EmbeddingError, HasherFileError
from hashing.hasher_content import content_hash
from hashing.layout import CodeLayout


@runtime_checkable
class Estimator(Protocol):
    """What a file keeps of a fitted hasher: `JointHasher`, or `DeepJointHasher` where torch is at hand."""

    encoder_: Encoder
    lengths_: tuple[int, ...]
    classes_: Shaped[np.ndarray, " c"]
    objective_trace_: Float[np.ndarray, "steps 3"]
    n_features_in_: int

    def get_params(self) -> dict[str, Any]:
        """Return the arguments it was made with."""

    def transform(self, X: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a hasher came from.

    Attributes:
        name: What people call it; the first half of its identity.
        backbone_identity: The backbone whose embeddings it was fitted on.
        training_hash: SHA-256 (hex) of what it was fitted on.
        created_at: UTC, ISO 8601.
        polyhash_version: The version that fitted it.
    """

    name: str
    backbone_identity: str
    training_hash: str
    created_at: str
    polyhash_version: str

    def __post_init__(self) -> None:
        """Refuse names that would not survive in an identity or in the name of a file."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise HasherFileError(
                f"A hasher's name must be of letters, digits, '.', '_' and '-' (not first), got {self.name!r}."
            )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FittedHasher:
    """A fitted hasher that knows its origin, as the service uses it.

    Attributes:
        hasher: The fitted hasher.
        provenance: Its origin.
        identity: Name and content hash, `NAME@HEX12`.
    """

    hasher: Estimator
    provenance: Provenance
    identity: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash the content once."""
        object.__setattr__(self, "identity", hasher_identity(self.hasher, self.provenance))

    @property
    def backbone_identity(self) -> str:
        """Identity of the backbone whose embeddings it was fitted on."""
        return self.provenance.backbone_identity

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths in bits, ascending."""
        return self.hasher.encoder_.lengths

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a code record hold the code of which length."""
        return self.hasher.encoder_.layout

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths, laid out as `layout` says.

        Raises:
            EmbeddingError: The embeddings are of another width or not finite.
        """
        self._check(embeddings)
        return self.hasher.encoder_.records(embeddings)

    def project(self, embeddings: Float32[np.ndarray, "n d"]) -> dict[int, Float[np.ndarray, "n _bits"]]:
        """Return the scores of every length; raises as `encode` does."""
        self._check(embeddings)
        return self.hasher.encoder_.project(embeddings)

    def _check(self, embeddings: Float32[np.ndarray, "n d"]) -> None:
        expected = self.hasher.n_features_in_
        if embeddings.ndim != 2 or embeddings.shape[1] != expected:
            raise EmbeddingError(
                f"Hasher {self.provenance.name} expects embeddings of shape (n, {expected}), got {embeddings.shape}. "
                f"Use those of {self.backbone_identity}."
            )
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            raise EmbeddingError(
                f"Embeddings must be finite, got NaN or infinity in row {int(np.argmin(finite))} of {len(embeddings)}."
            )


def hasher_identity(hasher: Estimator, provenance: Provenance) -> str:
    """Return `NAME@HEX12`: the name and the hash of all that decides codes (not when or from what it was fitted)."""
    return f"{provenance.name}@{content_hash(hasher.encoder_, provenance.backbone_identity)[:12]}"
