"""The deep joint hasher: the joint objective over a small network, with the interface and encoder of `JointHasher`.

In: embeddings (or what a backbone's last block reads) and, if there are any, labels. Out: code records, codes, scores.
Encoding runs on the converted network, without torch.
"""

import copy
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data
from torch import Tensor, nn

from hashing.codes import check_lengths
from hashing.deep.objective import JointObjective, Relaxation
from hashing.deep.start import start_heads_
from hashing.deep.training import Budget, Views, seeded_generator, train
from hashing.deep.trunk import CHUNK, HashNetwork, convert
from hashing.encoder import Encoder
from hashing.estimator import EncoderEstimator, seeded_rng
from hashing.labels import ClassWeight, LabelInput, read_labels
from hashing.objective import LossWeights, Topology


@final
class DeepJointHasher(EncoderEstimator):
    """Codes of several lengths from one small network, learned jointly from labels, features and each other.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        hidden: Widths of the shared trunk's layers.
        dropout: Share of a layer's outputs that a training step leaves out.
        normalize: Scale embeddings to unit length first.
        nu: Weight of the L-loss (quantisation of the learned features).
        beta: Weight of the Q-loss (codes of different lengths predict each other).
        lw: Ridge of the label maps.
        lp: Ridge of the projections. More trusts labels less: 200 with dropout 0.5 if many are wrong.
        lr: Ridge of the associations.
        topology: Which length predicts which: "all", "down" (longer predicts shorter) or "chain" (the next shorter).
        relaxation: How gradients pass the sign: "tanh", growing sharper, or "straight_through".
        epochs: How often every sample is seen.
        batch_size: Samples per step.
        learning_rate: Of AdamW at the start; it falls along a half cosine.
        weight_decay: Of AdamW.
        joint_encoding: Encode new samples by minimising the objective over all lengths, not by the sign of the scores.
        class_weight: What a class counts, or "balanced"; as `labels.read_labels` takes it.
        nested: One head, of which each shorter code is a prefix.
        device: What torch trains on, such as "cuda"; None takes the CPU.
        random_state: Seed of codebooks, weights, batches and dropout.

    Attributes:
        encoder_: What encodes.
        lengths_: Code lengths, ascending.
        classes_: The classes seen, empty without labels.
        objective_trace_: The weighted M-, L- and Q-loss of all samples before and after every epoch, (epochs + 1, 3).
        n_features_in_: Width of the embeddings.
        last_block_: The tuned copy of `last_block`, if there was one; embeddings are what it makes of its inputs.

    Source: the objective is that of `JointHasher`; the growing sharpness is that of HashNet, Cao et al., ICCV 2017.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        hidden: Sequence[int] = (512,),
        dropout: float = 0.2,
        normalize: bool = True,
        nu: float = 0.1,
        beta: float = 0.03,
        lw: float = 1.0,
        lp: float = 30.0,  # best of 1, 30, 200, 1000 on scikit-learn digits, clean and with 40 % wrong labels
        lr: float = 1.0,
        topology: str = "all",
        relaxation: str = "tanh",
        epochs: int = 40,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        joint_encoding: bool = False,
        class_weight: ClassWeight = None,
        nested: bool = False,
        device: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.hidden = hidden
        self.dropout = dropout
        self.normalize = normalize
        self.nu = nu
        self.beta = beta
        self.lw = lw
        self.lp = lp
        self.lr = lr
        self.topology = topology
        self.relaxation = relaxation
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.joint_encoding = joint_encoding
        self.class_weight = class_weight
        self.nested = nested
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: LabelInput = None,
        *,
        last_block: nn.Module | None = None,
        views: Views | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> "DeepJointHasher":
        """Learn the codes of all lengths from n samples.

        Args:
            X: Training embeddings; with a last block its inputs, (n, ...).
            y: Labels in any form of `labels.read_labels`.
            last_block: The end of a backbone, from activations to (n, d) embeddings. A copy is trained along, at a
                tenth of the learning rate, its dropout off and its running statistics as they are.
            views: Makes the inputs of (epoch, rows) anew for every batch, for instance augmented.
            on_step: Is told (steps done, steps in all) during training.

        Raises:
            CodeLengthError: A length is no multiple of 8 up to 1,024.
            LabelError: The labels do not fit the samples.
            HashingError: Training diverged.
            ValueError: X is not finite or has fewer than two rows, or a parameter is out of range.
        """
        lengths = check_lengths(self.lengths)
        weights, relaxation, budget = self._checked_parameters()
        block = None if last_block is None else copy.deepcopy(last_block)
        x, dim = self._inputs(X, block)
        labels = read_labels(y, len(x), class_weight=self.class_weight)
        rng = seeded_rng(self.random_state)
        network = HashNetwork(
            dim,
            lengths,
            hidden=self.hidden,
            dropout=self.dropout,
            normalize=self.normalize,
            nested=self.nested,
            block=block,
            generator=seeded_generator(int(rng.integers(2**31)), torch.device("cpu")),
        ).to(x.device)
        network.standardise_(x)
        start_heads_(network, x, labels, ridge=self.lp, rng=rng)
        objective = JointObjective(labels, weights, relaxation=relaxation, device=x.device)
        generator = seeded_generator(int(rng.integers(2**31)), x.device)
        train(network, x, objective, budget, generator=generator, views=views, on_step=on_step)
        objective.start_epoch(network, x)  # the maps of the final codes
        self.encoder_ = self._encoder(network, x, objective)
        self.lengths_ = lengths
        self.classes_ = labels.classes
        self.objective_trace_ = np.array(objective.trace)
        self.last_block_ = None if block is None else block.cpu()
        return self

    def _inputs(self, X: ArrayLike, block: nn.Module | None) -> tuple[Float[Tensor, "n ..."], int]:
        """Return the network's inputs on the device, and the width of the embeddings; the block is moved there too."""
        device = torch.device(self.device or "cpu")
        if block is None:
            checked = validate_data(self, X, dtype=(np.float64, np.float32), ensure_min_samples=2)
            return torch.tensor(checked, dtype=torch.float32, device=device), checked.shape[1]
        activations = check_array(X, dtype=(np.float64, np.float32), ensure_min_samples=2, allow_nd=True)
        x = torch.tensor(activations, dtype=torch.float32, device=device)
        with torch.no_grad():
            embedding = block.to(device).eval()(x[:1])
        if embedding.ndim != 2:
            raise ValueError(
                f"last_block must make embeddings of shape (n, d) of its inputs, made {tuple(embedding.shape)} of "
                f"{tuple(x[:1].shape)}. Add its pooling to it."
            )
        self.n_features_in_ = embedding.shape[1]
        return x, embedding.shape[1]

    def _encoder(self, network: HashNetwork, x: Float[Tensor, "n ..."], objective: JointObjective) -> Encoder:
        with torch.no_grad():
            embeddings = torch.cat([network.embeddings(part) for part in torch.split(x, CHUNK)]).cpu().numpy()
        feature_map, projections = convert(network, embeddings)
        return Encoder(
            feature_map=feature_map,
            projections={bits: projections[bits][:, -network.added_bits(bits) :] for bits in network.lengths},
            associations={pair: R.cpu().numpy() for pair, R in objective.associations.items()},
            weights=objective.weights,
            joint=bool(self.joint_encoding),
            nested=self.nested,
        )

    def _checked_parameters(self) -> tuple[LossWeights, Relaxation, Budget]:
        positive = {"nu": self.nu, "lw": self.lw, "lp": self.lp, "lr": self.lr}
        for name, value in positive.items():
            self._require(name, value, "above 0", holds=value > 0)
        self._require("beta", self.beta, "0 or more", holds=self.beta >= 0)
        self._require("dropout", self.dropout, "from 0 to below 1", holds=0 <= self.dropout < 1)
        hidden = list(self.hidden)
        self._require("hidden", hidden, "one or more widths above 0", holds=min(hidden, default=0) > 0)
        topologies = [member.value for member in Topology]
        self._require("topology", self.topology, f"one of {topologies}", holds=self.topology in topologies)
        relaxations = [member.value for member in Relaxation]
        known = self.relaxation in relaxations
        self._require("relaxation", self.relaxation, f"one of {relaxations}", holds=known)
        weights = LossWeights(
            nu=float(self.nu),
            beta=float(self.beta),
            lw=float(self.lw),
            lp=float(self.lp),
            lr=float(self.lr),
            topology=Topology(self.topology),
        )
        budget = Budget(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        return weights, Relaxation(self.relaxation), budget

    def _require(self, name: str, value: object, constraint: str, *, holds: bool) -> None:
        if not holds:
            raise ValueError(
                f"The {name!r} parameter of DeepJointHasher must be {constraint}. Got {value!r} instead."
            )
