"""What a hasher is learned from: the embeddings of a store with their labels.

In: the catalog. Out: a training set with a digest for its provenance. The objective and its solver are `hashing`'s; encoding
is `loading`'s and `rebuild`'s.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from service.errors import PreconditionError
from service.ports import Catalog

MIN_TRAINING_IMAGES = 2  # one embedding has no variance to code


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Embeddings of a store with the labels of their images.

    Attributes:
        embeddings: Rows in ascending image id.
        labels: Class names per row; empty where unlabelled.
        digest: sha256 (hex) over ids, embeddings and labels, for provenance.
    """

    embeddings: Float32[np.ndarray, "n d"]
    labels: list[tuple[str, ...]]
    digest: str


def read_training_set(catalog: Catalog, *, backbone: str) -> TrainingSet:
    """Return all embeddings of a backbone with their labels.

    Raises:
        PreconditionError: Fewer than MIN_TRAINING_IMAGES have an embedding of this backbone.
    """
    digest = hashlib.sha256(backbone.encode())
    embeddings: list[np.ndarray] = []
    labels: list[tuple[str, ...]] = []
    for chunk in catalog.embeddings(backbone=backbone):
        digest.update(chunk.image_ids.tobytes())
        digest.update(chunk.embeddings.tobytes())
        digest.update(repr(list(chunk.labels)).encode())
        embeddings.append(chunk.embeddings.astype(np.float32))
        labels.extend(chunk.labels)
    if len(labels) < MIN_TRAINING_IMAGES:
        raise PreconditionError(
            f"A hasher needs at least {MIN_TRAINING_IMAGES} images with embeddings of {backbone}, the store has "
            f"{len(labels)}. Index images first.",
            reason="TOO_FEW_IMAGES",
            images=len(labels),
        )
    return TrainingSet(embeddings=np.concatenate(embeddings), labels=labels, digest=digest.hexdigest())
