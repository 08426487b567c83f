"""The jointly learned hasher: one fit gives codes of several lengths, as a scikit-learn transformer.

In: embeddings and, if there are any, labels. Out: code records, codes per length, real-valued projections. Leaves files
and provenance to `hasher_file`, the choice of hyper-parameters to `joint_cv`.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike
from sklearn.utils.validation import _check_sample_weight, validate_data

from hashing.encoder import Encoder
from hashing.errors import HashingError
from hashing.estimator import EncoderEstimator, seeded_rng
from hashing.features import FeatureKind, FeatureMap
from hashing.labels import ClassWeight, LabelInput, Labels, class_weights, read_labels, weigh
from hashing.layout import CodeLayout
from hashing.learned import Learned
from hashing.objective import LossWeights, Maps, Topology
from hashing.preparation import Preparation, prepare
from hashing.ridge import DEFAULT_LP
from hashing.solver import Solver, minimise
from hashing.training_set import TrainingSet

E = TypeVar("E", bound=Enum)


class JointHasher(EncoderEstimator):
    """Codes of several lengths, learned jointly from labels, features and each other.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        features: "rbf" (distances to anchors) or "linear".
        n_anchors: Anchors of "rbf"; None takes as many as there are rows, at most 1,000.
        normalize: Scale embeddings to unit length first.
        nu: Weight of the L-loss (features predict codes), one or one per ascending length. Larger trusts labels less:
            1 with beta 0.3 if many are wrong.
        beta: Weight of the Q-loss (codes of different lengths predict each other), one or one per length. Never above nu.
        lw: Ridge of the label maps.
        lp: Ridge of the projections; None takes 0.1 for "rbf" and 1 for "linear".
        lr: Ridge of the associations.
        topology: Which length predicts which: "all", "down" (longer predicts shorter) or "chain" (the next shorter).
        n_outer: Leave-one-out sweeps, at most.
        n_exact: Plain sweeps after them, at most; they end by themselves when nothing flips, but after a few
            mAP no longer moves.
        passes: Passes over the bits per sweep.
        joint_encoding: Encode new samples by minimising the objective over all lengths, not by the sign of the scores;
            one answer, or one per length unless nested.
        class_weight: None, what each class counts, or "balanced" so that rare classes count as much as common ones.
        robust: The error of a label (a distance; two one-hot labels are 1.4 apart) around which it counts less and
            less, for labels of which some are wrong; None trusts all alike. Says little unless nu is near 1: codes that
            hardly leave their start, the codewords of the labels, find all labels right.
        nested: Make every code the beginning of the next longer one, so that the longest holds all.
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
        # nu and beta: best on clean labels, validation queries of CIFAR-10 and Corel-1K training parts
        nu: float | Sequence[float] = 0.1,
        beta: float | Sequence[float] = 0.03,
        lw: float = 1.0,
        lp: float | None = None,
        lr: float = 1.0,
        topology: str = "all",
        n_outer: int = 8,
        n_exact: int = 6,
        passes: int = 3,
        joint_encoding: bool | Sequence[bool] = True,
        class_weight: ClassWeight = None,
        robust: float | None = None,
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
        self.class_weight = class_weight
        self.robust = robust
        self.nested = nested
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: LabelInput = None,
        *,
        sample_weight: ArrayLike | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> "JointHasher":
        """Learn the codes of all lengths from n embeddings.

        Args:
            X: Training embeddings. An array larger than memory may be mapped from a file.
            y: Labels in any form of `labels.read_labels`. Without labels, or with labels that tell no two samples
                apart, codes start from rotated principal components and only the L- and Q-losses act.
            sample_weight: What each sample counts in the M- and L-losses; None counts all alike.
            on_step: Is told (sweeps done, sweeps at most) during training.

        Raises:
            CodeLengthError: A length is no multiple of 8 up to 1,024.
            LabelError: The labels do not fit the samples.
            ValueError: X is not finite or has fewer than two rows, or a parameter is out of range.
        """
        return self.fit_prepared(self.prepare(X, y, sample_weight=sample_weight), on_step=on_step)

    def prepare(
        self, X: ArrayLike, y: LabelInput | Labels = None, *, sample_weight: ArrayLike | None = None
    ) -> Preparation:
        """Return what `fit` starts from; hashers that differ only in nu, beta and the like may share it.

        Takes and raises what `fit` does; labels that were read already are taken as they are, with their weights.
        """
        layout = CodeLayout.of(self.lengths, nested=self.nested)
        kind, weights = self._checked_parameters(layout)
        x: Float[np.ndarray, "n d"] = validate_data(
            self, X, dtype=(np.float64, np.float32), ensure_min_samples=2
        )
        given = isinstance(y, Labels)
        labels = y if isinstance(y, Labels) else read_labels(y, len(x))
        weights_of_classes = {} if given else class_weights(labels, self.class_weight)
        return prepare(
            x,
            weigh(labels, weights_of_classes) if weights_of_classes else labels,
            layout,
            kind=kind,
            normalize=self.normalize,
            n_anchors=self.n_anchors,
            ridge=weights.lp,
            sample_weight=self._checked_weight(sample_weight, x),
            rng=seeded_rng(self.random_state),
            class_weights=weights_of_classes,
        )

    def fit_prepared(
        self, preparation: Preparation, *, on_step: Callable[[int, int], None] | None = None
    ) -> "JointHasher":
        """Learn the codes of all lengths from prepared samples.

        Args:
            preparation: What `prepare` returned, of this hasher or of one with the same lengths, features and ridge lp.
            on_step: Is told (sweeps done, sweeps at most) during training.
        """
        layout = preparation.layout
        _, weights = self._checked_parameters(layout)
        solver = Solver(
            preparation.samples,
            weights,
            layout,
            preparation.start,
            preparation.ridge,
            leverages=preparation.leverages,
            robust=self.robust,
        )
        trace = minimise(
            solver, n_outer=self.n_outer, n_exact=self.n_exact, passes=self.passes, on_step=on_step
        )
        self.n_features_in_ = preparation.feature_map.n_inputs
        self.objective_trace_ = np.array(trace)
        self._learned = Learned(
            ridge=preparation.ridge,
            moments=solver.moments,
            books=preparation.books,
            classes=preparation.samples.labels.classes,
            class_weights=preparation.class_weights,
        )
        self._set_encoder(preparation.feature_map, solver.maps, weights, layout)
        return self

    def partial_fit(
        self, X: ArrayLike, y: LabelInput = None, *, sample_weight: ArrayLike | None = None
    ) -> "JointHasher":
        """Add samples to a fitted hasher: their codes are found with the maps as they are, then all maps anew.

        No sweep visits the earlier samples, whose codes stay: the cost is that of the new ones. Maps are the exact
        minimisers for all codes, earlier and new. Anchors, the mean, the codewords and the weights of known classes stay; a
        new class counts 1 and gets a codeword far from theirs. An estimator that is not fitted yet is fitted.

        Args:
            X: More embeddings.
            y: Their labels, of the same kind as before; may bring new classes.
            sample_weight: What each sample counts; None counts all alike.

        Raises:
            HashingError: The hasher was read from a file, which does not hold what it learned from.
            LabelError: The labels do not fit the samples or are of another kind than before.
            ValueError: X is not finite or of another width.
        """
        if not hasattr(self, "encoder_"):
            return self.fit(X, y, sample_weight=sample_weight)
        x = self._checked(X)
        if not hasattr(self, "_learned"):
            raise HashingError(
                "This hasher was read from a file, which does not hold the sums over what it learned from, so nothing can "
                "be added. Fit it anew on all samples."
            )
        encoder = self.encoder_
        labels = weigh(read_labels(y, len(x)), self._learned.class_weights)
        rng = seeded_rng(self.random_state)
        learned = self._learned.extended(labels, encoder.layout, rng)
        samples = TrainingSet(
            x,
            encoder.feature_map,
            learned.aligned(labels),
            sample_weight=self._checked_weight(sample_weight, x),
        )
        self._learned, maps = learned.added(
            samples, encoder.weights, encoder.layout, passes=self.passes, robust=self.robust
        )
        self._set_encoder(encoder.feature_map, maps, encoder.weights, encoder.layout)
        return self

    def _set_encoder(
        self, feature_map: FeatureMap, maps: Maps, weights: LossWeights, layout: CodeLayout
    ) -> None:
        joint = self.joint_encoding
        self.encoder_ = Encoder(
            feature_map=feature_map,
            projections={
                bits: maps.projection[:, part].astype(np.float32) for bits, part in layout.blocks.items()
            },
            associations={pair: R.astype(np.float32) for pair, R in maps.associations.items()},
            weights=weights,
            joint=bool(joint) if isinstance(joint, bool | np.bool_) else tuple(bool(each) for each in joint),
            nested=layout.nested,
        )
        self.lengths_ = layout.lengths
        self.classes_ = self._learned.classes

    def _checked_parameters(self, layout: CodeLayout) -> tuple[FeatureKind, LossWeights]:
        kind = _member(FeatureKind, "features", self.features)
        lp = DEFAULT_LP[kind] if self.lp is None else self.lp
        nu, beta = (_per_length(name, getattr(self, name), layout) for name in ("nu", "beta"))
        positive = {"nu": nu, "lw": self.lw, "lp": lp, "lr": self.lr, "passes": self.passes}
        for name, value in positive.items():
            if not np.all(np.asarray(value) > 0):
                raise ValueError(
                    f"The {name!r} parameter of JointHasher must be above 0. Got {value!r} instead."
                )
        for name, value in {"beta": beta, "n_outer": self.n_outer, "n_exact": self.n_exact}.items():
            if not np.all(np.asarray(value) >= 0):
                raise ValueError(
                    f"The {name!r} parameter of JointHasher must be 0 or more. Got {value!r} instead."
                )
        for name in ("n_anchors", "robust"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(
                    f"The {name!r} parameter of JointHasher must be None or above 0. "
                    f"Got {getattr(self, name)!r} instead."
                )
        joint = _per_length("joint_encoding", self.joint_encoding, layout)
        if layout.nested and isinstance(joint, tuple):
            raise ValueError(
                "The 'joint_encoding' parameter of JointHasher must be one answer if nested, as the codes share bits. "
                f"Got {joint!r} instead."
            )
        topology = _member(Topology, "topology", self.topology)
        return kind, LossWeights(
            nu=nu, beta=beta, lw=float(self.lw), lp=float(lp), lr=float(self.lr), topology=topology
        )

    def _checked_weight(
        self, sample_weight: ArrayLike | None, x: Float[np.ndarray, "n d"]
    ) -> Float64[np.ndarray, " n"] | None:
        if sample_weight is None:
            return None
        weight: Float64[np.ndarray, " n"] = _check_sample_weight(
            sample_weight, x, dtype=np.float64, ensure_non_negative=True
        )
        return weight


def _member(kind: type[E], name: str, value: str) -> E:
    choices = [member.value for member in kind]
    if value not in choices:
        raise ValueError(
            f"The {name!r} parameter of JointHasher must be one of {choices}. Got {value!r} instead."
        )
    return kind(value)


def _per_length(
    name: str,
    value: bool | float | Sequence[bool] | Sequence[float],  # noqa: FBT001 - a setting
    layout: CodeLayout,
) -> float | tuple[float, ...]:
    if np.ndim(value) == 0:
        return float(value)  # type: ignore[arg-type]  # a sequence has dimensions
    each = tuple(float(entry) for entry in value)  # type: ignore[union-attr]  # a number has none
    if len(each) != len(layout.lengths):
        raise ValueError(
            f"The {name!r} parameter of JointHasher must be one value or one per length, {len(layout.lengths)}. "
            f"Got {len(each)} values instead."
        )
    return each
