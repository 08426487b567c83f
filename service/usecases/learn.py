"""Learning a hasher from the embeddings of a store and giving every image its codes.

In: the catalog's embeddings and labels, and an estimator. Out: a registered, active hasher and its code records.
The objective and its solver are `hashing`'s; files are the caller's.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from service.errors import PreconditionError
from service.ports import Catalog, Hasher
from service.records import RecordChunk

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


def encode_catalog(
    catalog: Catalog, hasher: Hasher, *, on_progress: Callable[[int, int], None] | None = None
) -> int:
    """Write code records of `hasher` for every stored embedding and make it the active hasher.

    Args:
        catalog: Where embeddings are read and records written, all in one transaction.
        hasher: A registered hasher.
        on_progress: Called with (images encoded, images in all).

    Returns:
        How many images got a code record.
    """

    def chunks() -> Iterator[RecordChunk]:
        encoded, total = 0, catalog.counts().images
        for chunk in catalog.embeddings(backbone=hasher.backbone_identity):
            yield RecordChunk(
                image_ids=chunk.image_ids, records=hasher.encode(chunk.embeddings.astype(np.float32))
            )
            encoded += len(chunk.image_ids)
            if on_progress:
                on_progress(encoded, total)

    return catalog.replace_records(chunks(), hasher=hasher.identity)
