"""Feature sets: embeddings computed elsewhere, with labels, for evaluations that need no pictures.

In: `SET` or `SET:SPLIT+SPLIT`, where SET is a folder with a `features.npz`. Out: the same as from embedding an image set.
Pictures are left to `datasets`, computing embeddings to `service.usecases.embed`.
"""

import hashlib
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from service.errors import InvalidArgumentError
from service.usecases.embed import EmbeddedSet
from service.vision.datasets import parse_set_spec
from service.vision.labels_table import SET_INVALID

FEATURES = "features.npz"


def is_feature_set(spec: str) -> bool:
    """Return whether SET or SET:SPLIT has features in place of pictures; raises as `open_image_set` if it is no folder."""
    return (parse_set_spec(spec)[0] / FEATURES).is_file()


def read_feature_set(spec: str) -> EmbeddedSet:
    """Return the features that `spec` names, one row per image.

    The arrays of `features.npz` are: `features`, real (n, d), finite as float32; `labels`, multi-hot (n, c), or class
    numbers (n,) with -1 for unlabelled; `label_names`, c different texts; and if there are splits, `split`, n texts.

    Args:
        spec: `SET`, `SET:SPLIT` or `SET:SPLIT+SPLIT` for the rows whose `split` has one of the values.

    Raises:
        NotFoundError: There is no such folder.
        InvalidArgumentError: The file cannot be read, or its arrays do not fit; there is no such split.
    """
    folder, splits = parse_set_spec(spec)
    path = folder / FEATURES
    arrays = _read(path)
    features = _features(path, arrays["features"])
    labels = _names(path, arrays, len(features))
    rows = np.flatnonzero(_selected(path, arrays.get("split"), splits, len(features))).tolist()
    return EmbeddedSet(
        embeddings=features[rows],
        labels=[labels[i] for i in rows],
        names=[f"row {i}" for i in rows],
        digests=[hashlib.sha256(features[i].tobytes()).digest() for i in rows],
        rejected=[],
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise _unfit(path, "an .npz file without pickled objects", str(error)) from error
    if missing := [name for name in ("features", "labels", "label_names") if name not in arrays]:
        raise _unfit(path, f"an array {missing[0]!r}", ", ".join(arrays) or "no array")
    return arrays


def _features(path: Path, features: Shaped[np.ndarray, "..."]) -> Float32[np.ndarray, "n d"]:
    expected = "an array 'features' of finite numbers (n, d) with d of at least 1"
    if features.ndim != 2 or features.shape[1] == 0 or features.dtype.kind not in "fiu":
        raise _unfit(path, expected, f"{features.dtype} {features.shape}")
    with np.errstate(over="ignore"):  # told below
        features = features.astype(np.float32)
    if wrong := np.count_nonzero(~np.isfinite(features).all(axis=1)):
        raise _unfit(
            path,
            expected,
            f"NaN, infinity or numbers too large for float32 in {wrong} of {len(features)} rows",
        )
    return features


def _names(path: Path, arrays: dict[str, np.ndarray], n: int) -> list[tuple[str, ...]]:
    labels, names = arrays["labels"], [str(name) for name in arrays["label_names"].ravel()]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise _unfit(
            path, "a name of its own for every class in 'label_names'", f"{repeated[0]!r} repeatedly"
        )
    if labels.shape == (n, len(names)) and np.isin(labels, (0, 1)).all():
        return [tuple(names[k] for k in np.flatnonzero(row)) for row in labels]
    if labels.shape == (n,) and labels.dtype.kind in "iu" and np.isin(labels, range(-1, len(names))).all():
        return [(names[k],) if k >= 0 else () for k in labels.tolist()]
    raise _unfit(
        path,
        f"'labels' of 0 and 1 ({n}, {len(names)}), or class numbers -1 to {len(names) - 1} ({n},)",
        f"{labels.dtype} {labels.shape}",
    )


def _selected(
    path: Path, split: Shaped[np.ndarray, "..."] | None, wanted: Sequence[str], n: int
) -> Bool[np.ndarray, " n"]:
    if not wanted:
        return np.ones(n, dtype=bool)
    if split is None or split.shape != (n,):
        raise InvalidArgumentError(
            f"{path} has no array 'split' of {n} texts, so {'+'.join(wanted)!r} cannot be selected. "
            "Name the set without a split; --holdout draws queries.",
            field="split",
        )
    there = sorted({str(name) for name in split})
    if unknown := [name for name in wanted if name not in there]:
        raise InvalidArgumentError(
            f"{path} has no split {unknown[0]!r}. Splits there are: {', '.join(there)}.",
            field="split",
            splits=", ".join(there),
        )
    return np.isin(split, list(wanted))


def _unfit(path: Path, expected: str, got: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{path} cannot be used. Expected {expected}, got: {got}.", reason=SET_INVALID
    )
