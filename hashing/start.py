"""Where the joint training starts: class codewords for labelled samples, rotated principal components without labels.

In: features, labels, lengths, a random generator. Out: codes of every length. Never random: a random start collapses.
"""

import numpy as np
from jaxtyping import Float, Float64

from hashing.codebook import class_codebooks
from hashing.labels import Labels
from hashing.objective import Problem
from hashing.solver import Codes, FeatureRidge

ITQ_ROUNDS = 50  # Gong and Lazebnik, CVPR 2011


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
    """Return the signs of principal component scores, rotated to lie close to them (ITQ).

    Codes longer than the embeddings are joined from several rotations.

    Source: Gong and Lazebnik, Iterative Quantization, CVPR 2011.
    """
    centred = embeddings - embeddings.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    codes: Codes = {}
    for bits in lengths:
        width = min(bits, centred.shape[1])
        scores = centred @ axes[:, -width:]
        codes[bits] = np.hstack([_itq(scores, rng) for _ in range(-(-bits // width))])[:, :bits]
    return codes


def _itq(scores: Float64[np.ndarray, "n d"], rng: np.random.Generator) -> Float64[np.ndarray, "n d"]:
    rotation, _ = np.linalg.qr(rng.normal(size=(scores.shape[1], scores.shape[1])))
    for _ in range(ITQ_ROUNDS):
        codes = np.where(scores @ rotation > 0, 1.0, -1.0)
        u, _, vt = np.linalg.svd(scores.T @ codes)
        rotation = u @ vt
    return np.where(scores @ rotation > 0, 1.0, -1.0)
