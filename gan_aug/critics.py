"""Critics: a trunk with heads, for one score or many, classes, attributes, codes (05-gan 1.4, 2).

In: images or points, the condition where a head or the input takes it. Out: `CriticOutput`.
LapGAN's critic, one per level, is in gan_aug.laplacian.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.blocks import NetShape
from gan_aug.conditioning import join
from gan_aug.errors import BatchError, RecipeError
from gan_aug.latents import Stage
from gan_aug.trunks import Trunk
from gan_aug.weights import PLAIN, Conv, Dense, WeightRule


class Head(Enum):
    """What a critic says of an image."""

    SCALAR = "scalar"  # one score
    PATCH = "patch"  # a score per patch
    PROJECTION = "projection"  # one score that depends on the condition (Miyato and Koyama 2018)
    CLASS = "class"  # one logit per class
    ATTRIBUTES = "attributes"  # one logit per attribute
    CODE = "code"  # InfoGAN's Q: logits of categories and means of numbers


SCORES = frozenset({Head.SCALAR, Head.PATCH, Head.PROJECTION})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CriticOutput:
    """Scores per scale, the outputs of the other heads, and the features of every block."""

    scores: tuple[Float[Tensor, "b ..."], ...]
    aux: Mapping[Head, Float[Tensor, "b k"]]
    feats: tuple[Tensor, ...]


@final
class Critic(nn.Module):
    """A trunk with one head for scores and any number of others.

    Args:
        shape: of the images, and of the condition.
        trunk: builds the trunk from the shape that it sees.
        heads: exactly one of the scores, and others.
        rule: of the heads' weights.
        joined: whether the condition joins the image as planes (Mirza and Osindero 2014).
    """

    def __init__(
        self,
        shape: NetShape,
        *,
        trunk: Callable[[NetShape], Trunk],
        heads: tuple[Head, ...] = (Head.SCALAR,),
        rule: WeightRule = PLAIN,
        joined: bool = False,
    ) -> None:
        super().__init__()
        self._check(shape, heads, joined=joined)
        planes = shape.d_condition if joined else 0
        self.joined = joined
        self.needs_condition = joined or Head.PROJECTION in heads
        self.trunk = trunk(replace(shape, channels=shape.channels + planes))
        self.aux_heads = nn.ModuleDict(
            {
                head.value: Dense(self.trunk.d_vector, shape.d_condition, rule=rule)
                for head in heads
                if head not in SCORES
            }
        )
        self.patch = Conv(self.trunk.d_map, 1, 3, rule=rule) if Head.PATCH in heads else None
        self.score = None if self.patch is not None else Dense(self.trunk.d_vector, 1, rule=rule)
        self.project = None
        if Head.PROJECTION in heads:
            self.project = Dense(shape.d_condition, self.trunk.d_vector, rule=rule, bias=False)

    @staticmethod
    def _check(shape: NetShape, heads: tuple[Head, ...], *, joined: bool) -> None:
        if len(SCORES.intersection(heads)) != 1:
            raise RecipeError(
                f"A critic needs exactly one head for scores (scalar, patch or projection), got {[h.value for h in heads]}."
            )
        if not shape.d_condition and (joined or {*heads} - {Head.SCALAR, Head.PATCH}):
            raise RecipeError(
                f"Heads {[h.value for h in heads]}{' and joined planes' if joined else ''} need a condition, and the "
                "shape has none. Give labelled data (d_condition), or an unconditional system."
            )

    def forward(
        self,
        x: Float[Tensor, "b c ..."],
        y: Float[Tensor, "b k"] | None = None,
        stage: Stage | None = None,
    ) -> CriticOutput:
        """Return scores, other heads and features.

        Args:
            x: images or points.
            y: the condition; used by joined planes and projection, else ignored.
            stage: of a growing trunk.

        Raises:
            BatchError: if the condition is needed and missing.
        """
        if self.needs_condition and y is None:
            raise BatchError("This critic judges images by their condition, got none. Pass y.")
        out = self.trunk(join(x, y) if self.joined else x, stage)
        if self.patch is not None:
            score = self.patch(out.map)
        elif self.score is not None:
            score = self.score(out.vector)
        if self.project is not None:
            score = score + (self.project(y) * out.vector).sum(1, keepdim=True)
        aux = {Head(name): head(out.vector) for name, head in self.aux_heads.items()}
        return CriticOutput(scores=(score,), aux=aux, feats=out.feats)
