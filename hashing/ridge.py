"""Ridge regression, the closed form behind every map of the hashers.

In: features and codes, or their Gram matrix and products. Out: maps. Which losses they serve is the callers' business.
"""

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from hashing.features import FeatureKind
from hashing.training_set import Chunk

# Best of a grid for "class codebook + ridge" on MobileNetV2 embeddings of CIFAR-10 and Corel-1K, on their query splits.
DEFAULT_LP = {FeatureKind.LINEAR: 1.0, FeatureKind.RBF: 0.1}


def solve_ridge(
    gram: Float64[np.ndarray, "s s"], products: Float64[np.ndarray, "s t"], *, ridge: float
) -> Float64[np.ndarray, "s t"]:
    """Return (gram + ridge I)^-1 products."""
    return np.asarray(scipy.linalg.solve(gram + ridge * np.eye(len(gram)), products, assume_a="pos"))


class GramRidge:
    """Ridge regression on features from sums over samples alone: factorised once, for every length and iteration.

    Attributes:
        gram: Phi^T E Phi.
        penalty: The ridge.
    """

    def __init__(self, gram: Float64[np.ndarray, "m m"], ridge: float) -> None:
        self.gram = gram
        self.penalty = ridge
        self._factor = scipy.linalg.cho_factor(gram + ridge * np.eye(len(gram)), lower=True)

    def solve(self, products: Float64[np.ndarray, "m bits"]) -> Float64[np.ndarray, "m bits"]:
        """Return P = (Phi^T E Phi + ridge I)^-1 products (01-hashing 1.5)."""
        projection: Float64[np.ndarray, "m bits"] = scipy.linalg.cho_solve(self._factor, products)
        return projection

    def leverages(self, chunk: Chunk) -> Float64[np.ndarray, " n"]:
        """Return e_i phi_i^T G phi_i: how much of its own code a sample finds in its score (01-hashing 1.5)."""
        whitened = scipy.linalg.solve_triangular(
            self._factor[0], chunk.features.T.astype(np.float64), lower=True
        )
        return np.asarray(chunk.feature_weights * np.einsum("mn,mn->n", whitened, whitened))


class FeatureRidge:
    """The same regression for features that are all at hand.

    Attributes:
        penalty: The ridge.
    """

    def __init__(self, features: Float64[np.ndarray, "n m"], ridge: float) -> None:
        self.penalty = ridge
        self._features = features
        self._ridge = GramRidge(features.T @ features, ridge)

    def fit(self, codes: Float64[np.ndarray, "n bits"]) -> Float64[np.ndarray, "m bits"]:
        """Return the projections P that minimise the L-loss of these codes."""
        return self._ridge.solve(self._features.T @ codes)
