"""Index throughput beside the backbone's own forward pass, on one image set, in one run.

`python -m benchmarks.ingest SET --backbone B` prints images/s of the whole `polyhash index` run (read, decode, embed,
encode, SQL) and of the forward pass alone on squares prepared beforehand, and their ratio. Both use the same threads.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.circumstances import circumstances
from service import compose
from service.ports import Backbone
from service.usecases.ingest import Accepted
from service.usecases.reading import CHUNK_IMAGES, in_chunks
from service.vision.datasets import ImageSet


def forward_rate(backbone: Backbone, images: ImageSet) -> float:
    """Return images/s of the backbone alone, on squares prepared beforehand."""
    squares = [backbone.prepare(compose.decode(image.read()).pixels) for image in images]
    batches = [np.stack(batch) for batch in in_chunks(squares)]
    backbone.extract(batches[0])  # warm up
    started = time.perf_counter()
    for batch in batches:
        backbone.extract(batch)
    return len(squares) / (time.perf_counter() - started)


def index_rate(spec: str, backbone: str, hasher: Path, folder: Path) -> float:
    """Return images/s from opening the set to the last acknowledgement, with codes of a ready hasher."""
    images = compose.open_image_set(spec)
    with compose.open_application(
        folder, purpose="benchmark", create=True, backbone=backbone, hasher_file=hasher
    ) as application:
        started = time.perf_counter()
        added = sum(isinstance(outcome, Accepted) for outcome in application.ingestor.run(in_chunks(images)))
        return added / (time.perf_counter() - started)
