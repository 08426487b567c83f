"""Where the joint training starts: class codewords for labelled samples, rotated principal components without labels.

In: features, labels, lengths, a random generator. Out: codes of every length. Never random: a random start collapses.
"""

import numpy as np
from jaxtyping import Float

from hashing.codebook import class_codebooks
from hashing.labels import Labels
from hashing.objective import Problem
from hashing.ridge import FeatureRidge
from hashing.rotation import rotated_axes
from hashing.solver import Codes


def codebook_codes(
    problem: Problem,
    labels: Labels,
    lengths: tuple[int, ...],
    *,
    nested: bool,
    ridge: FeatureRidge,
    rng: np.random.Generator,
) -> Codes:
    """Return the sign of the summed codewords of a sample's classes.

    Where the sum is zero or there are no labels, a projection fitted on the other samples decides.
    """
    books = class_codebooks(len(labels.classes), lengths, nested=nested, rng=rng)
    known = labels.labelled
    if not known.all():
        ridge = FeatureRidge(problem.features[known], ridge.penalty)
    codes: Codes = {}
    for bits, words in books.items():
        votes = np.sign(labels.targets @ words)
        predicted = problem.features @ ridge.fit(votes[known])
        codes[bits] = np.where(votes == 0, np.where(predicted > 0, 1.0, -1.0), votes)
    return codes


def rotated_codes(
    embeddings: Float[np.ndarray, "n d"], lengths: tuple[int, ...], rng: np.random.Generator
) -> Codes:
    """Return the signs of rotated principal component scores."""
    centred = embeddings - embeddings.mean(axis=0)
    return {bits: np.where(centred @ rotated_axes(centred, bits, rng) > 0, 1.0, -1.0) for bits in lengths}
