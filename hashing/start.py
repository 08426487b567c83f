"""Where the joint training starts: class codewords for labelled samples, rotated principal components without labels.

In: a training set, class codebooks or a random generator. Out: codes of every length. Never random: a random start
collapses.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Float64, Int8

from hashing.features import evenly_spaced, scaled
from hashing.layout import CodeLayout
from hashing.ridge import GramRidge
from hashing.rotation import fit_rotation, principal_axes, rotated_axes
from hashing.training_set import CHUNK, TrainingSet


def codebook_codes(
    samples: TrainingSet,
    books: Mapping[int, Float64[np.ndarray, "c _bits"]],
    layout: CodeLayout,
    ridge: GramRidge,
) -> Int8[np.ndarray, "columns n"]:
    """Return the sign of the summed codewords of a sample's classes.

    Where the sum is zero or there are no labels, a projection fitted on the other samples decides.
    """
    words = join_books(books, layout)
    votes = np.empty((layout.n_columns, len(samples)), dtype=np.int8)
    for chunk in samples.chunks():
        votes[:, chunk.rows] = np.sign(words.T @ chunk.targets.T)
    open_bits = votes == 0
    if open_bits.any():
        known = samples.labels.labelled
        if not known.all():
            ridge = GramRidge(samples.gram(labelled=True), ridge.penalty)
        _predict_(votes, open_bits, known, samples, ridge)
    return votes


def _predict_(
    votes: Int8[np.ndarray, "columns n"],
    open_bits: Bool[np.ndarray, "columns n"],
    known: Bool[np.ndarray, " n"],
    samples: TrainingSet,
    ridge: GramRidge,
) -> None:
    """Fill open bits by the projection of the known samples' votes."""
    products: Float64[np.ndarray, "m columns"] = np.zeros((len(ridge.gram), len(votes)))
    for chunk in samples.chunks():
        weighted = votes[:, chunk.rows] * (chunk.feature_weights * known[chunk.rows])
        products += chunk.features.T @ weighted.T
    projection = ridge.solve(products)
    for chunk in samples.chunks():
        scores = projection.T @ chunk.features.T
        part = votes[:, chunk.rows]
        part[open_bits[:, chunk.rows]] = np.where(scores > 0, 1, -1)[open_bits[:, chunk.rows]]


def join_books(
    books: Mapping[int, Float64[np.ndarray, "c _bits"]], layout: CodeLayout
) -> Float64[np.ndarray, "c columns"]:
    """Return the codewords of all lengths in the columns of the layout."""
    return np.hstack(
        [books[bits][:, bits - (part.stop - part.start) :] for bits, part in layout.blocks.items()]
    )


def rotated_codes(
    embeddings: Float[np.ndarray, "n d"], *, normalize: bool, layout: CodeLayout, rng: np.random.Generator
) -> Int8[np.ndarray, "columns n"]:
    """Return the signs of rotated principal component scores.

    Nested codes rotate the leading components for the shortest length and the next ones for every further length.
    Components and rotations are those of a sample of the rows if there are many, which bounds memory.
    """
    some = scaled(evenly_spaced(embeddings), normalize)
    mean = some.mean(axis=0)
    axes = (
        _nested_axes(some - mean, layout, rng)
        if layout.nested
        else np.hstack([rotated_axes(some - mean, bits, rng) for bits in layout.lengths])
    )
    codes = np.empty((layout.n_columns, len(embeddings)), dtype=np.int8)
    for start in range(0, len(embeddings), CHUNK):
        rows = slice(start, start + CHUNK)
        codes[:, rows] = np.where(axes.T @ (scaled(embeddings[rows], normalize) - mean).T > 0, 1, -1)
    return codes


def _nested_axes(
    centred: Float[np.ndarray, "n d"], layout: CodeLayout, rng: np.random.Generator
) -> Float64[np.ndarray, "d columns"]:
    leading = principal_axes(centred)
    axes = []
    for part in layout.blocks.values():
        width = part.stop - part.start
        own = leading[:, part]
        if own.shape[1] < width:  # no components are left, so all are rotated anew
            axes.append(rotated_axes(centred, width, rng))
        else:
            axes.append(own @ fit_rotation(centred @ own, rng))
    return np.hstack(axes)
