"""The jointly learned hasher: one fit gives codes of several lengths, as a scikit-learn transformer.

In: embeddings and, if there are any, labels. Out: code records, codes per length, real-valued projections. Leaves files
and provenance to `hasher_file`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Float64, UInt8
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hashing.codes import check_lengths, record_bytes
from hashing.encoder import Encoder
from hashing.features import FeatureKind, fit_features
from hashing.labels import Labels, read_labels
from hashing.objective import LossWeights, Problem, Topology
from hashing.solver import Codes, FeatureRidge, Solver, minimise
from hashing.start import codebook_codes, principal_scores, rotated_codes


class JointHasher(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """Codes of several lengths, learned jointly from labels, features and each other.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes as many as there are rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        nu: Weight of the L-loss (features predict codes). Larger trusts noisy labels less.
        beta: Weight of the Q-loss (codes of different lengths predict each other). Never above nu.
        lw: Ridge of the label maps.
        lp: Ridge of the projections; None takes 0.1 for "rbf" and 1 for "linear".
        lr: Ridge of the associations.
        topology: Which length predicts which: "all", "down" (longer predicts shorter) or "chain" (the next shorter).
        n_outer: Leave-one-out sweeps, at most.
        n_exact: Plain sweeps after them, at most; they end by themselves when nothing flips.
        passes: Passes over the bits per sweep.
        joint_encoding: Encode new samples by minimising the objective over all lengths, not by the sign of the scores.
        balance: Let rare classes count as much as common ones.
        nested: Start from codebooks of which each is a prefix of the next longer one.
        random_state: Seed of codebooks, anchors and rotations.

    Attributes:
        encoder_: What encodes.
        lengths_: Code lengths, ascending.
        classes_: The classes seen, empty without labels.
        objective_trace_: The weighted M-, L- and Q-loss before and after every sweep, (steps, 3).
        n_features_in_: Width of the embeddings.

    Source: JMH (Liu et al., AAAI 2019) names the three kinds of information and the cyclic closed-form updates; formulas
        are reconstructed. Differs from the paper: starts from class codebooks and sweeps leave-one-out first, because
        every code otherwise votes for itself.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        features: str = "rbf",
        n_anchors: int | None = None,
        normalize: bool = True,
        nu: float = 0.1,
        beta: float = 0.03,
        lw: float = 1.0,
        lp: float | None = None,
        lr: float = 1.0,
        topology: str = "all",
        n_outer: int = 8,
        n_exact: int = 30,
        passes: int = 3,
        joint_encoding: bool = True,
        balance: bool = False,
        nested: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.features = features
        self.n_anchors = n_anchors
        self.normalize = normalize
        self.nu = nu
        self.beta = beta
        self.lw = lw
        self.lp = lp
        self.lr = lr
        self.topology = topology
        self.n_outer = n_outer
        self.n_exact = n_exact
        self.passes = passes
        self.joint_encoding = joint_encoding
        self.balance = balance
        self.nested = nested
        self.random_state = random_state
