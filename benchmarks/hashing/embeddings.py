"""Embeddings of the benchmark's sets, computed once and kept in one file per set and backbone.

In: a data folder with the image sets and weights, and a cache folder. Out: files that `sets.read_set` reads, named by
what they were made from, so that a changed set or backbone is embedded anew.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import load_digits

from benchmarks.hashing.sets import LABEL_SEPARATOR, WHOLE, BenchmarkSet, SetError, find_set
from service import compose
from service.cli import console
from service.ports import Backbone
from service.usecases.embed import embed_set
from service.usecases.protocols import LabelledEmbeddings
from service.vision.backbones import load_backbone
from service.vision.datasets import open_image_set
from service.vision.embedding_cache import EmbeddingCache
from service.vision.feature_set import FEATURES, read_feature_set

WEIGHTS = {"mobilenet_v2": "weights/mobilenet_v2_hf"}  # folders in the data; other backbones are built in

Parts = Mapping[str, LabelledEmbeddings]


def embed(name: str, backbone: str, *, data: Path, keep: Path) -> Path:
    """Return the file of a set's embeddings, making it where it is missing.

    Args:
        name: As for `find_set`.
        backbone: One of the set's backbones.
        data: Folder of the image sets and weights.
        keep: Cache folder, for the file and for the embeddings of single pictures (`EmbeddingCache`).

    Raises:
        SetError: The set has no such backbone, or is not in the data folder.
        PolyhashError: The set or the backbone cannot be read.
    """
    chosen, base = find_set(name), name.partition("@")[0]
    if backbone not in chosen.backbones:
        raise SetError(f"Set {base} has no {backbone!r}. Choose from {', '.join(chosen.backbones)}.")
    if backbone == "pixels":
        return _kept(keep / f"{base}-scikit-learn-{sklearn.__version__}.npz", _digits)
    table = data / base / (FEATURES if backbone == "features" else "labels.csv")
    if not table.is_file():
        raise SetError(f"The data folder lacks {base}/{table.name}. Give the folder that has it with --data.")
    stem = f"{base}-{hashlib.sha256(table.read_bytes()).hexdigest()[:12]}"
    if backbone == "features":
        return _kept(keep / f"{stem}.npz", lambda: _feature_table(table.parent))
    loaded = _backbone(str(data / WEIGHTS[backbone]) if backbone in WEIGHTS else backbone)
    return _kept(
        keep / f"{stem}-{loaded.identity}.npz", lambda: _pictures(table.parent, chosen, loaded, keep)
    )


_backbone = cache(load_backbone)  # seconds each


def _kept(file: Path, make: Callable[[], Parts]) -> Path:
    if file.is_file():
        return file
    arrays: dict[str, np.ndarray] = {}
    for name, part in make().items():
        arrays[f"{name}/embeddings"] = part.embeddings
        arrays[f"{name}/labels"] = np.array([LABEL_SEPARATOR.join(names) for names in part.labels])
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    with unfinished.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    unfinished.replace(file)
    return file


def _pictures(folder: Path, chosen: BenchmarkSet, backbone: Backbone, keep: Path) -> Parts:
    memory = EmbeddingCache(keep, backbone_identity=backbone.identity, dim=backbone.dim)
    parts = {}
    for split in chosen.splits or (WHOLE,):
        images = open_image_set(f"{folder}:{split}" if chosen.splits else str(folder))
        with console.progress(f"Embedding {images.name}", total=len(images), unit="images") as meter:
            embedded = embed_set(
                images, backbone, decode=compose.decoder(backbone), memory=memory, on_progress=meter
            )
        for skip in embedded.rejected:
            console.complain(f"skipped {skip.name}: {skip.error}")
        parts[split] = LabelledEmbeddings(embeddings=embedded.embeddings, labels=embedded.labels)
    return parts


def _feature_table(folder: Path) -> Parts:
    table = read_feature_set(str(folder))
    return {WHOLE: LabelledEmbeddings(embeddings=table.embeddings, labels=table.labels)}


def _digits() -> Parts:
    pixels, classes = load_digits(return_X_y=True)
    labels = [(str(digit),) for digit in classes.tolist()]
    return {WHOLE: LabelledEmbeddings(embeddings=pixels.astype(np.float32), labels=labels)}
