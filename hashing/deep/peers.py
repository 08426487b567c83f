"""The deep peers: hash heads of the literature on the same trunk, with the same number of steps as the deep joint hasher.

In: embeddings and labels. Out: code records, codes, scores. Samples without a known class are left out, as their losses
have nothing to say of them. Leaves losses to `losses` and the loop to `training`.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from hashing.deep.losses import conflict_weights, csq_loss, orthohash_loss, similarity_distillation
from hashing.deep.training import Budget, Objective, seeded_generator, train
from hashing.deep.trunk import HashNetwork, Scores, convert, join
from hashing.errors import LabelError
from hashing.features import FeatureMap
from hashing.labels import Labels
from hashing.peers.projection import ProjectionHasher, Projections


class DeepPeer(ProjectionHasher, ABC):
    """A hash head on a trunk of its own for every length, or one for all if `nested`.

    Args:
        lengths: Code lengths in bits, multiples of 8 up to 1,024.
        hidden: Widths of the trunk's layers.
        dropout: Share of a layer's outputs that a training step leaves out.
        normalize: Scale embeddings to unit length first.
        epochs: How often every sample is seen, for every trunk.
        batch_size: Samples per step.
        learning_rate: Of AdamW at the start; it falls along a half cosine.
        weight_decay: Of AdamW.
        device: What torch trains on, such as "cuda"; None takes the CPU.
        random_state: Seed of centres, weights, batches and dropout.
    """

    _nested = False
    _batch_norm = False

    def __init__(
        self,
        *,
        lengths: Sequence[int] = (16, 32, 64, 128),
        hidden: Sequence[int] = (512,),
        dropout: float = 0.2,
        normalize: bool = True,
        epochs: int = 40,
        batch_size: int = 128,
        learning_rate: float = 5e-3,  # better for all three than 1e-3 on scikit-learn digits, starting at random
        weight_decay: float = 1e-2,
        device: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.lengths = lengths
        self.hidden = hidden
        self.dropout = dropout
        self.normalize = normalize
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    @abstractmethod
    def _objective(self, labels: Labels, lengths: tuple[int, ...], rng: np.random.Generator) -> Objective:
        """Return what a network of these lengths is trained for."""

    def _learn(
        self,
        embeddings: Float[np.ndarray, "n d"],
        labels: Labels,
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> tuple[FeatureMap, Projections]:
        if not labels.informative:
            raise LabelError(
                f"{type(self).__name__} learns from labels alone: expected at least two samples of different classes, "
                f"got {labels.counts}. Label samples of at least two classes, or use DeepJointHasher, which needs no labels."
            )
        rows = np.flatnonzero((labels.targets * (labels.weights > 0)).any(axis=1))
        known = Labels(targets=labels.targets[rows], weights=labels.weights[rows], classes=labels.classes)
        groups = [lengths] if self._nested else [(bits,) for bits in lengths]
        networks = [self._train(embeddings[rows], known, group, rng) for group in groups]
        feature_map, projections = join([convert(network, embeddings[rows]) for network in networks])
        return feature_map, {bits: P.astype(np.float64) for bits, P in projections.items()}

    def _train(
        self,
        embeddings: Float[np.ndarray, "n d"],
        labels: Labels,
        lengths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> HashNetwork:
        device = torch.device(self.device or "cpu")
        x = torch.tensor(embeddings, dtype=torch.float32, device=device)
        network = HashNetwork(
            x.shape[1],
            lengths,
            hidden=self.hidden,
            dropout=self.dropout,
            normalize=self.normalize,
            nested=self._nested,
            batch_norm=self._batch_norm,
            generator=seeded_generator(int(rng.integers(2**31)), torch.device("cpu")),
        ).to(device)
        network.standardise_(x)
        budget = Budget(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        generator = seeded_generator(int(rng.integers(2**31)), device)
        train(network, x, self._objective(labels, lengths, rng), budget, generator=generator)
        return network


@final
class CSQHasher(DeepPeer):
    """Every bit a classifier of one bit of the sample's hash centre; one network per length.

    Source: CSQ, Yuan et al., Central similarity quantization for efficient image and video retrieval, CVPR 2020.
    """

    def _objective(self, labels: Labels, lengths: tuple[int, ...], rng: np.random.Generator) -> Objective:
        return _CentralSimilarity(labels, lengths, torch.device(self.device or "cpu"), rng)


@final
class OrthoHashHasher(DeepPeer):
    """One softmax over cosines to the classes' binary codewords, scores normalised over the batch; one network per length.

    Source: OrthoHash, Hoe et al., One loss for all: deep hashing with a single cosine similarity based learning
        objective, NeurIPS 2021.
    """

    _batch_norm = True

    def _objective(self, labels: Labels, lengths: tuple[int, ...], rng: np.random.Generator) -> Objective:
        return _CosineMargin(labels, lengths, torch.device(self.device or "cpu"), rng)


@final
class NHLHasher(DeepPeer):
    """Nested codes from one head: CSQ on every prefix, weights that settle conflicts, longer codes teaching shorter ones.

    Source: NHL, Nested hash layer, arXiv 2412.08922. Differs from the published code: the base loss is CSQ's indeed.
    """

    _nested = True

    def _objective(self, labels: Labels, lengths: tuple[int, ...], rng: np.random.Generator) -> Objective:
        return _NestedCentralSimilarity(labels, lengths, torch.device(self.device or "cpu"), rng)


def hash_centres(n_classes: int, bits: int, rng: np.random.Generator) -> Float64[np.ndarray, "c bits"]:
    """Return a codeword (+1/-1) per class: rows of a Hadamard matrix and their negatives, or random balanced words.

    Source: CSQ, Yuan et al., CVPR 2020, algorithm 1.
    """
    if bits & (bits - 1) == 0 and n_classes <= 2 * bits:
        rows = np.asarray(scipy.linalg.hadamard(bits), dtype=np.float64)
        return np.asarray(np.vstack([rows, -rows])[:n_classes])
    balanced = np.repeat([1.0, -1.0], [bits // 2, bits - bits // 2])
    return np.array([rng.permutation(balanced) for _ in range(n_classes)])


def centroids(
    targets: Float64[np.ndarray, "n c"], centres: Float64[np.ndarray, "c bits"], rng: np.random.Generator
) -> Float64[np.ndarray, "n bits"]:
    """Return every sample's centre: the bitwise vote of its classes' centres, ties as one random word says."""
    votes = targets @ centres
    return np.asarray(np.where(votes == 0, rng.choice((-1.0, 1.0), size=centres.shape[1]), np.sign(votes)))


class _CentralSimilarity:
    """CSQ, for every length of the network."""

    def __init__(
        self, labels: Labels, lengths: tuple[int, ...], device: torch.device, rng: np.random.Generator
    ) -> None:
        self.weights = torch.tensor(labels.weights.max(axis=1), dtype=torch.float32, device=device)
        self.centres: Scores = {}
        for bits in lengths:
            wanted = centroids(labels.targets, hash_centres(len(labels.classes), bits, rng), rng)
            self.centres[bits] = torch.tensor(wanted, dtype=torch.float32, device=device)

    def start_epoch(self, network: HashNetwork, x: Float[Tensor, "n ..."]) -> None:
        """Nothing is kept fixed but the centres."""

    def loss(
        self, network: HashNetwork, scores: Scores, rows: Int[Tensor, " batch"], progress: float
    ) -> Float[Tensor, ""]:
        """Return the sum over the lengths."""
        del network, progress
        return torch.stack(list(self.losses(scores, rows).values())).sum()

    def losses(self, scores: Scores, rows: Int[Tensor, " batch"]) -> dict[int, Float[Tensor, ""]]:
        """Return the loss of every length."""
        return {bits: csq_loss(f, self.centres[bits][rows], self.weights[rows]) for bits, f in scores.items()}


class _NestedCentralSimilarity:
    """NHL over CSQ."""

    def __init__(
        self, labels: Labels, lengths: tuple[int, ...], device: torch.device, rng: np.random.Generator
    ) -> None:
        self._base = _CentralSimilarity(labels, lengths, device, rng)

    def start_epoch(self, network: HashNetwork, x: Float[Tensor, "n ..."]) -> None:
        """Nothing is kept fixed but the centres."""

    def loss(
        self, network: HashNetwork, scores: Scores, rows: Int[Tensor, " batch"], progress: float
    ) -> Float[Tensor, ""]:
        """Return the weighted sum over the lengths and what neighbouring lengths teach."""
        del progress
        losses = self._base.losses(scores, rows)
        shared = network.head(network.lengths[-1]).weight
        gradients = [
            torch.autograd.grad(loss, shared, retain_graph=True)[0][:bits] for bits, loss in losses.items()
        ]
        total = torch.stack(
            [weight * loss for weight, loss in zip(conflict_weights(gradients), losses.values(), strict=True)]
        ).sum()
        for short, long in itertools.pairwise(network.lengths):
            total = total + similarity_distillation(scores[short], scores[long])
        return total


class _CosineMargin:
    """OrthoHash."""

    def __init__(
        self, labels: Labels, lengths: tuple[int, ...], device: torch.device, rng: np.random.Generator
    ) -> None:
        (bits,) = lengths
        self.targets = torch.tensor(labels.targets, dtype=torch.float32, device=device)
        self.entry_weights = torch.tensor(labels.weights, dtype=torch.float32, device=device)
        words = hash_centres(len(labels.classes), bits, rng)
        self.words = torch.tensor(words, dtype=torch.float32, device=device)

    def start_epoch(self, network: HashNetwork, x: Float[Tensor, "n ..."]) -> None:
        """Nothing is kept fixed but the codewords."""

    def loss(
        self, network: HashNetwork, scores: Scores, rows: Int[Tensor, " batch"], progress: float
    ) -> Float[Tensor, ""]:
        """Return the loss of the only length."""
        del network, progress
        (f,) = scores.values()
        return orthohash_loss(f, self.words, self.targets[rows], self.entry_weights[rows])
