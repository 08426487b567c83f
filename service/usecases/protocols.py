"""What a hashing method is measured on: the sets as they are, wrong labels, few labels, or classes it never saw.

In: labelled embeddings and a seed. Out: one trial, the same for every method that is given the same seed, so that methods
are compared in pairs. Fitting and scoring are left to `evaluate`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

import numpy as np
from jaxtyping import Float32, Int64

from service.errors import InvalidArgumentError

Names = tuple[str, ...]  # the classes of one image; empty where unlabelled


class Setting(Enum):
    """What is done to the sets before a method learns."""

    CLEAN = "clean"  # nothing
    NOISE = "noise"  # a share of the training labels is wrong
    FEW = "few"  # only a share of the training images has labels
    UNSEEN = "unseen"  # training on some classes, retrieval of the others


# Each draw has its own stream: two settings of one seed have nothing in common but the training sample.
_STREAMS = {Setting.NOISE: 1, Setting.FEW: 2, Setting.UNSEEN: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledEmbeddings:
    """Embeddings with the class names of their images; empty where unlabelled."""

    embeddings: Float32[np.ndarray, "n d"]
    labels: Sequence[Names]

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.labels)

    def take(self, rows: Int64[np.ndarray, " m"]) -> "LabelledEmbeddings":
        """Return the images of these rows."""
        return LabelledEmbeddings(
            embeddings=self.embeddings[rows], labels=[self.labels[i] for i in rows.tolist()]
        )

    def relabelled(self, labels: Sequence[Names]) -> "LabelledEmbeddings":
        """Return the same images with other labels."""
        return LabelledEmbeddings(embeddings=self.embeddings, labels=labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What every method learns from, what is searched, and what is searched for."""

    train: LabelledEmbeddings
    database: LabelledEmbeddings
    query: LabelledEmbeddings


def draw_trial(
    setting: Setting,
    *,
    train: LabelledEmbeddings,
    database: LabelledEmbeddings,
    query: LabelledEmbeddings,
    seed: int,
    train_per_label: int | None = None,
    noise: float = 0.4,
    labelled: float = 0.1,
    unseen: float = 0.3,
) -> Trial:
    """Return the sets of one setting and seed; labels of database and queries are never made wrong or hidden.

    Args:
        setting: What is done to the sets.
        train: What the methods learn from; may be the database.
        database: What is searched.
        query: What is searched for.
        seed: Of every draw.
        train_per_label: Learn only from this many images of every label; None from all.
        noise: NOISE replaces the labels of exactly this share of the labelled training images: by another class drawn
            uniformly, or where images have several labels, by those of another image that differ.
        labelled: FEW keeps the labels of this share of every class, of one image at least; the others stay, unlabelled.
        unseen: UNSEEN holds out this share of the classes, two at least. Training images with one of them are dropped,
            as unlabelled ones are; database and queries keep the images with one of them, and only those labels.

    Raises:
        InvalidArgumentError: A share is out of range, or the sets have too few classes for the setting.
    """
    rng = np.random.default_rng([seed, _STREAMS.get(setting, 0)])
    if setting is Setting.UNSEEN:
        _check_share("unseen", unseen)
        classes = _classes(database.labels) & _classes(query.labels)
        held_out = _draw_classes(classes, unseen, rng=rng)
        train = _without(train, held_out)
        database, query = _within(database, held_out), _within(query, held_out)
    if train_per_label is not None:
        train = train.take(sample_per_label(train.labels, train_per_label, rng=np.random.default_rng(seed)))
    match setting:
        case Setting.CLEAN | Setting.UNSEEN:
            pass
        case Setting.NOISE:
            _check_share("noise", noise)
            train = train.relabelled(_with_noise(train.labels, noise, rng=rng))
        case Setting.FEW:
            _check_share("labelled", labelled)
            train = train.relabelled(_with_few(train.labels, labelled, rng=rng))
        case _:
            assert_never(setting)
    return Trial(train=train, database=database, query=query)


def sample_per_label(
    labels: Sequence[Names], per_label: int, *, rng: np.random.Generator
) -> Int64[np.ndarray, " m"]:
    """Return the rows, ascending, of a random sample that has `per_label` images of every label, or all there are.

    An image of several labels may be drawn for any of them, so that a label can come to more. Unlabelled images are
    left out.

    Raises:
        InvalidArgumentError: per_label is below 1.
    """
    if per_label < 1:
        raise InvalidArgumentError(
            f"A sample needs at least 1 training image per label, got {per_label}.", field="train_per_label"
        )
    members = _members(labels)
    picked = {i for name in sorted(members) for i in rng.permutation(members[name])[:per_label].tolist()}
    return np.array(sorted(picked), dtype=np.int64)


def hold_out(
    images: LabelledEmbeddings, share: float, *, seed: int
) -> tuple[LabelledEmbeddings, LabelledEmbeddings]:
    """Return the images without a random share of them, and that share, each in the order of the images.

    Raises:
        InvalidArgumentError: The share is out of range, or leaves one side empty.
    """
    _check_share("holdout", share)
    n_out = round(share * len(images))
    if not 0 < n_out < len(images):
        raise InvalidArgumentError(
            f"A share of {share:g} of {len(images)} images leaves no queries or no database. Give another --holdout.",
            field="holdout",
        )
    order = np.random.default_rng(seed).permutation(len(images)).astype(np.int64)
    return images.take(np.sort(order[n_out:])), images.take(np.sort(order[:n_out]))


def _with_noise(labels: Sequence[Names], share: float, *, rng: np.random.Generator) -> list[Names]:
    known = [i for i, names in enumerate(labels) if names]
    kinds = sorted({tuple(sorted(labels[i])) for i in known})
    if len(kinds) < 2:
        raise InvalidArgumentError(
            f"Wrong labels need training images of at least 2 classes, got {len(kinds)}. Leave out the setting noise.",
            field="settings",
        )
    single = all(len(kind) == 1 for kind in kinds)
    donors = kinds if single else [tuple(sorted(labels[i])) for i in known]
    noisy = list(labels)
    for i in rng.choice(known, size=round(share * len(known)), replace=False).tolist():
        own = tuple(sorted(labels[i]))
        while (drawn := donors[rng.integers(len(donors))]) == own:
            pass
        noisy[i] = drawn
    return noisy


def _with_few(labels: Sequence[Names], share: float, *, rng: np.random.Generator) -> list[Names]:
    members = _members(labels)
    kept: set[int] = set()
    for name in sorted(members, key=lambda name: (len(members[name]), name)):  # rare ones first: they need it
        missing = max(1, round(share * len(members[name]))) - len(kept.intersection(members[name]))
        others = [i for i in members[name] if i not in kept]
        kept.update(rng.permutation(others)[: max(0, missing)].tolist())
    return [names if i in kept else () for i, names in enumerate(labels)]


def _draw_classes(classes: Collection[str], share: float, *, rng: np.random.Generator) -> set[str]:
    if len(classes) < 4:
        raise InvalidArgumentError(
            f"Unseen classes need at least 4 classes that database and queries share, 2 to learn from and 2 to "
            f"retrieve; got {len(classes)}. Leave out the setting unseen.",
            field="settings",
        )
    n_out = min(max(2, round(share * len(classes))), len(classes) - 2)
    return set(rng.permutation(sorted(classes))[:n_out].tolist())


def _without(images: LabelledEmbeddings, held_out: Collection[str]) -> LabelledEmbeddings:
    rows = [i for i, names in enumerate(images.labels) if names and not set(names) & set(held_out)]
    if not rows:
        raise InvalidArgumentError(
            f"Without the classes held out ({', '.join(sorted(held_out))}) no training image is left. "
            "Hold out a smaller share with --unseen.",
            field="unseen",
        )
    return images.take(np.array(rows, dtype=np.int64))


def _within(images: LabelledEmbeddings, held_out: Collection[str]) -> LabelledEmbeddings:
    labels = [tuple(name for name in names if name in held_out) for names in images.labels]
    rows = np.array([i for i, names in enumerate(labels) if names], dtype=np.int64)
    return images.relabelled(labels).take(rows)


def _members(labels: Sequence[Names]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    for i, names in enumerate(labels):
        for name in names:
            members.setdefault(name, []).append(i)
    return members


def _classes(labels: Iterable[Names]) -> set[str]:
    return {name for names in labels for name in names}


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise InvalidArgumentError(f"The share --{name} must lie between 0 and 1, got {share:g}.", field=name)
