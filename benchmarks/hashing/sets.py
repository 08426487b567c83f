"""The image sets that hashing methods are compared on: what is searched, what is searched for, what is trained on.

In: a set's name, and the file of its embeddings. Out: train, database and query sets. Making that file is left to
`embeddings`, what is done to labels to `service.usecases.protocols`.

Convention: queries are in no other part, and nothing that is searched was trained on (01-hashing 2.1, protocol I).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from service.usecases.protocols import LabelledEmbeddings, Trial, hold_out, sample_per_label

WHOLE = "all"  # the one part of a set whose queries are drawn
LABEL_SEPARATOR = "|"


class SetError(Exception):
    """There is no such set, it is not in the data folder, or it has no such backbone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSet:
    """One set and its protocol.

    Attributes:
        backbones: What may embed it.
        splits: The splits that are read; of two, the second is searched for unless queries are drawn.
        n_queries: How many queries are drawn of all images, anew for each seed; None takes the second split.
        train_per_label: Train on so many images per class of the first split, drawn anew for each seed, and search the
            rest: nothing that is searched was trained on.
        train_share: The same as a share of the first split.
        database_size: Search only a part of this size, drawn anew for each seed; None searches all.
        multi_label: Images have several labels.
    """

    backbones: tuple[str, ...] = ("mobilenet_v2", "descriptor")
    splits: tuple[str, str] | None = None
    n_queries: int | None = None
    train_per_label: int | None = None
    train_share: float | None = None
    database_size: int | None = None
    multi_label: bool = False


SETS = {
    "corel1k": BenchmarkSet(splits=("train", "query"), n_queries=100, train_share=0.5),
    "caltech101": BenchmarkSet(splits=("train", "query"), n_queries=523, train_share=0.5),
    "mnist10k": BenchmarkSet(n_queries=1000, train_share=0.3),
    "coco128": BenchmarkSet(splits=("train", "val"), train_share=0.5, multi_label=True),
    "digits": BenchmarkSet(n_queries=300, train_share=0.5, backbones=("pixels",)),
    "scene6": BenchmarkSet(n_queries=250, train_share=0.5, backbones=("features",), multi_label=True),
    "cifar10": BenchmarkSet(splits=("train", "query"), n_queries=1000, train_per_label=500),
}


def find_set(name: str) -> BenchmarkSet:
    """Return the set that a name means: NAME, or NAME@SIZE to search a part of its database.

    Raises:
        SetError: There is no such set.
    """
    base, _, size = name.partition("@")
    if base not in SETS or not re.fullmatch(r"(@[1-9]\d*)?", name[len(base) :]):
        raise SetError(
            f"There is no set {name!r}. Choose from {', '.join(SETS)}; NAME@SIZE searches part of one."
        )
    return replace(SETS[base], database_size=int(size)) if size else SETS[base]


def read_set(file: Path, chosen: BenchmarkSet, *, seed: int) -> Trial:
    """Return train, database and query sets from a file of `embeddings`; the seed draws queries unless a split names them."""
    with np.load(file) as archive:
        parts = [_part(archive, split) for split in chosen.splits or (WHOLE,)]
    if chosen.n_queries is None:
        train, query = parts
    else:
        images = _joined(parts)
        train, query = hold_out(images, chosen.n_queries / len(images), seed=seed)
    database, train = _apart(train, chosen, seed=seed)
    if chosen.database_size and chosen.database_size < len(database):
        order = np.random.default_rng(seed).permutation(len(database))
        database = database.take(np.sort(order[: chosen.database_size]))
    return Trial(train=train, database=database, query=query)


def _apart(
    images: LabelledEmbeddings, chosen: BenchmarkSet, *, seed: int
) -> tuple[LabelledEmbeddings, LabelledEmbeddings]:
    """Return what is searched and what is trained on."""
    if chosen.train_share:
        return hold_out(images, chosen.train_share, seed=seed)
    picked = sample_per_label(images.labels, chosen.train_per_label or 1, rng=np.random.default_rng(seed))
    rest = np.setdiff1d(np.arange(len(images)), picked)
    return images.take(rest), images.take(picked)


def _joined(parts: Sequence[LabelledEmbeddings]) -> LabelledEmbeddings:
    return LabelledEmbeddings(
        embeddings=np.concatenate([part.embeddings for part in parts]),
        labels=[label for part in parts for label in part.labels],
    )


def _part(parts: "np.lib.npyio.NpzFile", name: str) -> LabelledEmbeddings:
    labels = [
        tuple(joined.split(LABEL_SEPARATOR)) if joined else () for joined in parts[f"{name}/labels"].tolist()
    ]
    return LabelledEmbeddings(embeddings=parts[f"{name}/embeddings"].astype(np.float32), labels=labels)
