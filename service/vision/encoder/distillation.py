"""What a student's maps cost against a teacher's: each term a function, and their weighted sum.

In: feature maps and embeddings of student and teacher, in the same projected directions. Out: scalars to descend on.
Where the targets come from is left to `target_cache`, the descent to `trainer`.
"""

from dataclasses import dataclass

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

    direction: float = 2.0
    maps: float = 0.5
    relations: float = 1.0
    temperature: float = 0.1

    def total(self, terms: LossTerms) -> Float[Tensor, ""]:
        """Return the weighted sum."""
        return self.direction * terms.direction + self.maps * terms.maps + self.relations * terms.relations


def distillation_terms(
    maps: Float[Tensor, "n d h w"],
    target_maps: Float[Tensor, "n d h w"],
    target_embeddings: Float[Tensor, "n d"],
    anchors: Float[Tensor, "m d"],
    *,
    temperature: float,
) -> LossTerms:
    """Return the terms of n views beside m anchors of length 1."""
    embeddings = embeddings_of(maps)
    return LossTerms(
        direction=direction_loss(embeddings, target_embeddings),
        maps=map_loss(maps, target_maps),
        relations=relation_loss(embeddings, target_embeddings, anchors, temperature=temperature),
    )


def direction_loss(embeddings: Float[Tensor, "n d"], targets: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return one minus the cosine between embedding and target, averaged."""
    return (1 - cosine_similarity(embeddings, targets)).mean()


def map_loss(maps: Float[Tensor, "n d h w"], targets: Float[Tensor, "n d h w"]) -> Float[Tensor, ""]:
    """Return the squared distance of the cells in units of the targets' mean square: 1 for maps of zeros."""
    return (maps - targets).square().mean() / targets.square().mean().clamp_min(1e-8)


def relation_loss(
    embeddings: Float[Tensor, "n d"],
    targets: Float[Tensor, "n d"],
    anchors: Float[Tensor, "m d"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Return how far a view's neighbours by the student are from those by the teacher.

    Both turn the cosines of a view with the anchors into a distribution, softmax(cosine / temperature); the loss is the
    mean Kullback-Leibler divergence of the student's from the teacher's.

    Source: Fang et al. 2021 (ICLR, arXiv 2101.04731), SEED, eq. 4.
    Differs from the paper: the anchors are a fixed sample of the teacher's targets instead of a queue of the last
    batches. Cached targets allow that, and in a short run it is what teaches fastest (decision 0010).
    """
    return kl_div(
        _neighbour_logs(embeddings, anchors, temperature),
        _neighbour_logs(targets, anchors, temperature),
        reduction="batchmean",
        log_target=True,
    )


def _neighbour_logs(
    vectors: Float[Tensor, "n d"], anchors: Float[Tensor, "m d"], temperature: float
) -> Float[Tensor, "n m"]:
    """Return the logarithms of each vector's distribution over the anchors."""
    return log_softmax(normalize(vectors, dim=1) @ anchors.T / temperature, dim=1)
