"""A store of any number of images without pictures: narrow random embeddings, codes of a real hasher, a label each.

In: a folder, a number. Out: a store with one generation of all its images, filled through the catalog in bulk.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from service import compose
from service.records import NewImage
from service.vision.backbones import DESCRIPTOR

LENGTHS = (16, 32, 64, 128)
DIM = 16  # embeddings stand beside what is measured
N_LEARNED = 256
N_LABELS = 10
CHUNK = 20_000

Progress = Callable[[int, int], None]


def fill(folder: Path, n: int, *, progress: Progress) -> None:
    """Make a store of n images and build its generation."""
    rng = np.random.default_rng(0)
    with compose.open_session(
        folder, purpose="benchmark", create=True, backbone=DESCRIPTOR
    ) as session:  # which no process loads torch for
        catalog, backbone = session.store.catalog, session.application.backbone.identity
        session.application.gallery.add(_images(0, _embeddings(rng, N_LEARNED), None))
        hasher = compose.fit_hasher(
            session, parameters={"lengths": LENGTHS, "n_anchors": 64, "random_state": 0}
        )
        compose.use_hasher(session, hasher)
        for start in range(N_LEARNED, n, CHUNK):
            embeddings = _embeddings(rng, min(CHUNK, n - start))
            records = hasher.encode(embeddings)
            catalog.add_images(_images(start, embeddings, records), backbone=backbone, hasher=hasher.identity)
            progress(start + len(embeddings), n)
        compose.use_hasher(session, hasher)  # a generation of all of them


def _embeddings(rng: np.random.Generator, n: int) -> Float32[np.ndarray, "n d"]:
    """Return embeddings as the catalog keeps them, so that their codes are those of a rebuild."""
    return rng.normal(size=(n, DIM)).astype(np.float16).astype(np.float32)


def _images(
    start: int, embeddings: Float32[np.ndarray, "n d"], records: UInt8[np.ndarray, "n record_bytes"] | None
) -> list[NewImage]:
    return [
        NewImage(
            sha256=hashlib.sha256(number.to_bytes(8, "little")).digest(),
            name=f"{number:08}.jpg",
            source="",
            stored=False,
            byte_size=0,
            width=1,
            height=1,
            format="NONE",
            labels=(f"label {int(10 * abs(embedding[0])) % N_LABELS}",),
            attributes={},
            embedding=embedding,
            record=None if records is None else records[number - start],
        )
        for number, embedding in enumerate(embeddings, start)
    ]
