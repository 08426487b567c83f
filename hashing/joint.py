"""The jointly learned hasher: one fit gives codes of several lengths, as a scikit-learn transformer.

In: embeddings and, if there are any, labels. Out: code records, codes per length, real-valued projections. Leaves files
and provenance to `hasher_file`.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float64, UInt8
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hashing.codes import check_lengths, record_bytes
from hashing.encoder import Encoder
from hashing.features import FeatureKind, fit_features, unit_rows
from hashing.labels import LabelInput, read_labels
from hashing.objective import LossWeights, Problem, Topology
from hashing.ridge import DEFAULT_LP, FeatureRidge
from hashing.solver import Solver, minimise
from hashing.start import codebook_codes, rotated_codes

E = TypeVar("E", bound=Enum)


class JointHasher(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """Codes of several lengths, learned jointly from labels, features and each other.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes as many as there are rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        nu: Weight of the L-loss (features predict codes). Larger trusts labels less: 1 with beta 0.3 if many are wrong.
        beta: Weight of the Q-loss (codes of different lengths predict each other). Never above nu.
        lw: Ridge of the label maps.
        lp: Ridge of the projections; None takes 0.1 for "rbf" and 1 for "linear".
        lr: Ridge of the associations.
        topology: Which length predicts which: "all", "down" (longer predicts shorter) or "chain" (the next shorter).
        n_outer: Leave-one-out sweeps, at most.
        n_exact: Plain sweeps after them, at most; they end by themselves when nothing flips, but after a few
            mAP no longer moves.
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
        nu: float = 0.1,  # nu and beta: best on clean labels, validation queries of CIFAR-10 and Corel-1K training parts
        beta: float = 0.03,
        lw: float = 1.0,
        lp: float | None = None,
        lr: float = 1.0,
        topology: str = "all",
        n_outer: int = 8,
        n_exact: int = 6,
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

    def fit(
        self,
        X: ArrayLike,
        y: LabelInput = None,
        *,
        on_step: Callable[[int, int], None] | None = None,
    ) -> "JointHasher":
        """Learn the codes of all lengths from n embeddings.

        Args:
            X: Training embeddings.
            y: Labels in any form of `labels.read_labels`. Without labels, or with labels that tell no two samples
                apart, codes start from rotated principal components and only the L- and Q-losses act.
            on_step: Is told (sweeps done, sweeps at most) during training.

        Raises:
            CodeLengthError: A length is no multiple of 8 up to 1,024.
            LabelError: The labels do not fit the samples.
            ValueError: X is not finite or has fewer than two rows, or a parameter is out of range.
        """
        lengths = check_lengths(self.lengths)
        kind, weights = self._checked_parameters()
        x: Float[np.ndarray, "n d"] = validate_data(
            self, X, dtype=(np.float64, np.float32), ensure_min_samples=2
        )
        labels = read_labels(y, len(x), balance=self.balance)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        feature_map = fit_features(x, kind=kind, normalize=self.normalize, n_anchors=self.n_anchors, rng=rng)
        problem = Problem(features=feature_map(x), targets=labels.targets, label_weights=labels.weights)
        ridge = FeatureRidge(problem.features, weights.lp)
        if labels.informative:
            start = codebook_codes(problem, labels, lengths, nested=self.nested, ridge=ridge, rng=rng)
        else:
            start = rotated_codes(unit_rows(x) if self.normalize else x.astype(np.float64), lengths, rng)
        solver = Solver(problem, weights, start, ridge)
        trace = minimise(
            solver, n_outer=self.n_outer, n_exact=self.n_exact, passes=self.passes, on_step=on_step
        )
        self.encoder_ = Encoder(
            feature_map=feature_map,
            projections={bits: solver.solution.projections[bits].astype(np.float32) for bits in lengths},
            associations={pair: R.astype(np.float32) for pair, R in solver.solution.associations.items()},
            weights=weights,
            joint=self.joint_encoding,
        )
        self.lengths_ = lengths
        self.classes_ = labels.classes
        self.objective_trace_ = np.array(trace)
        return self

    def transform(self, X: ArrayLike) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths side by side, shortest first."""
        return self.encoder_.records(self._checked(X))

    def encode(self, X: ArrayLike) -> dict[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the packed codes of every length."""
        return self.encoder_.encode(self._checked(X))

    def project(self, X: ArrayLike) -> dict[int, Float64[np.ndarray, "n _bits"]]:
        """Return the scores of every length; their product with stored signs ranks finer than Hamming distance."""
        return self.encoder_.project(self._checked(X))

    def _checked_parameters(self) -> tuple[FeatureKind, LossWeights]:
        kind = _member(FeatureKind, "features", self.features)
        lp = DEFAULT_LP[kind] if self.lp is None else self.lp
        positive = {"nu": self.nu, "lw": self.lw, "lp": lp, "lr": self.lr, "passes": self.passes}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(
                    f"The {name!r} parameter of JointHasher must be above 0. Got {value!r} instead."
                )
        for name, value in {"beta": self.beta, "n_outer": self.n_outer, "n_exact": self.n_exact}.items():
            if not value >= 0:
                raise ValueError(
                    f"The {name!r} parameter of JointHasher must be 0 or more. Got {value!r} instead."
                )
        if self.n_anchors is not None and self.n_anchors < 1:
            raise ValueError(
                f"The 'n_anchors' parameter of JointHasher must be None or above 0. Got {self.n_anchors!r} instead."
            )
        topology = _member(Topology, "topology", self.topology)
        weights = LossWeights(
            nu=float(self.nu),
            beta=float(self.beta),
            lw=float(self.lw),
            lp=float(lp),
            lr=float(self.lr),
            topology=topology,
        )
        return kind, weights

    def _checked(self, X: ArrayLike) -> Float[np.ndarray, "n d"]:
        check_is_fitted(self)
        checked: Float[np.ndarray, "n d"] = validate_data(
            self, X, dtype=(np.float64, np.float32), reset=False
        )
        return checked

    @property
    def _n_features_out(self) -> int:
        return record_bytes(self.lengths_)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are uint8 whatever goes in
        return tags


def _member(kind: type[E], name: str, value: str) -> E:
    choices = [member.value for member in kind]
    if value not in choices:
        raise ValueError(
            f"The {name!r} parameter of JointHasher must be one of {choices}. Got {value!r} instead."
        )
    return kind(value)
