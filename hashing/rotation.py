"""Principal axes rotated until the signs of the scores lie close to them (ITQ): the best codes without labels.

In: centred samples. Out: axes. Which samples, and what becomes of the signs, is the caller's.
"""

import numpy as np
from jaxtyping import Float64

ROUNDS = 50  # Gong and Lazebnik


def rotated_axes(
    centred: Float64[np.ndarray, "n d"], bits: int, rng: np.random.Generator
) -> Float64[np.ndarray, "d bits"]:
    """Return `bits` axes whose signs are a code.

    Where there are more bits than principal axes, several rotations of all axes are joined, each from a random start of
    its own.

    Source: Gong and Lazebnik, Iterative quantization: a Procrustean approach to learning binary codes, CVPR 2011.
    """
    leading = principal_axes(centred)[:, :bits]
    scores = centred @ leading
    n_rotations = -(-bits // leading.shape[1])
    return np.hstack([leading @ fit_rotation(scores, rng) for _ in range(n_rotations)])[:, :bits]


def principal_axes(centred: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "d rank"]:
    """Return the principal axes of centred samples, largest variance first, at least one; none without variance."""
    variances, axes = np.linalg.eigh(centred.T @ centred)
    rank = np.count_nonzero(variances > variances[-1] * len(variances) * np.finfo(float).eps)
    return axes[:, ::-1][:, : max(1, rank)]


def fit_rotation(scores: Float64[np.ndarray, "n r"], rng: np.random.Generator) -> Float64[np.ndarray, "r r"]:
    """Return a rotation R that makes ||sign(scores R) - scores R|| small: a fixed point of the two half steps."""
    rotation, _ = np.linalg.qr(rng.normal(size=(scores.shape[1], scores.shape[1])))
    for _ in range(ROUNDS):
        signs = np.where(scores @ rotation > 0, 1.0, -1.0)
        u, _, vt = np.linalg.svd(scores.T @ signs)
        rotation = u @ vt
    return rotation
