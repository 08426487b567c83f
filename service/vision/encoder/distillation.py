"""What a student's maps cost against a teacher's: each term a function, and their weighted sum.

In: feature maps and embeddings of student and teacher, in the same projected directions. Out: scalars to descend on.
Where the targets come from is left to `target_cache`, the descent to `trainer`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, kl_div, log_softmax, normalize

from service.vision.encoder.network import embeddings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerms:
    """The terms of one batch, each a scalar, before weighting."""

    direction: Float[Tensor, ""]
    maps: Float[Tensor, ""]
    relations: Float[Tensor, ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """How much each term counts, and the temperature of the relations."""

    direction: float = 1.0
    maps: float = 1.0
    relations: float = 1.0
    temperature: float = 0.1

    def total(self, terms: LossTerms) -> Float[Tensor, ""]:
        """Return the weighted sum."""
        return self.direction * terms.direction + self.maps * terms.maps + self.relations * terms.relations


def distillation_terms(
    maps: Float[Tensor, "n d h w"],
    target_maps: Float[Tensor, "n d h w"],
    target_embeddings: Float[Tensor, "n d"],
    *,
    temperature: float,
) -> LossTerms:
    """Return the terms of n views, n at least 2."""
    embeddings = embeddings_of(maps)
    return LossTerms(
        direction=direction_loss(embeddings, target_embeddings),
        maps=map_loss(maps, target_maps),
        relations=relation_loss(embeddings, target_embeddings, temperature=temperature),
    )


def direction_loss(embeddings: Float[Tensor, "n d"], targets: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return one minus the cosine between embedding and target, averaged."""
    return (1 - cosine_similarity(embeddings, targets)).mean()


def map_loss(maps: Float[Tensor, "n d h w"], targets: Float[Tensor, "n d h w"]) -> Float[Tensor, ""]:
    """Return the squared distance of the cells in units of the targets' mean square: 1 for maps of zeros."""
    return (maps - targets).square().mean() / targets.square().mean().clamp_min(1e-8)


def relation_loss(
    embeddings: Float[Tensor, "n d"], targets: Float[Tensor, "n d"], *, temperature: float
) -> Float[Tensor, ""]:
    """Return how far the student's neighbours of each view in the batch are from the teacher's.

    Both turn the cosines of a view with the others into a distribution, softmax(cosine / temperature); the loss is the
    mean Kullback-Leibler divergence of the student's from the teacher's.

    Source: Fang et al. 2021 (ICLR, arXiv 2101.04731), SEED, eq. 4.
    Differs from the paper: the others are those of the batch instead of a queue, because cached targets need no
    momentum encoder.
    """
    return kl_div(
        _neighbour_logs(embeddings, temperature),
        _neighbour_logs(targets, temperature),
        reduction="batchmean",
        log_target=True,
    )


def _neighbour_logs(vectors: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, "n m"]:
    """Return the logarithms of each vector's distribution over the n - 1 others."""
    n = len(vectors)
    directions = normalize(vectors, dim=1)
    others = ~torch.eye(n, dtype=torch.bool, device=vectors.device)
    cosines = (directions @ directions.T)[others].view(n, n - 1)
    return log_softmax(cosines / temperature, dim=1)
