"""Recipes as data, and the systems built from them: networks, the tensors of a step, samples (05-gan 2).

In: a recipe, the shape of the data. Out: a `System`. The named recipes are in gan_aug.recipes, training in
gan_aug.trainer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gan_aug.blocks import NetShape, down, up
from gan_aug.conditioning import InfoCode
from gan_aug.data import Batch
from gan_aug.decoders import Decoder, MlpDecoder
from gan_aug.errors import BatchError, RecipeError
from gan_aug.laplacian import LaplacianDecoder, pyramid
from gan_aug.latents import Latents, Stage, draw_latents, random_stream
from gan_aug.schedule import Average, Growth, Phase
from gan_aug.terms import Step
from gan_aug.trunks import MlpTrunk
from gan_aug.weights import PLAIN, Initialisation, WeightRule, initialise_


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named system as data.

    Args:
        name: by which it is asked for.
        paper: authors, year, where.
        generator: builds the generator of images; a partial of a decoder class.
        critic: builds its critic; a partial of a critic class.
        phases: of every step, in order.
        d_latent: width of z.
        conditional: whether labels are used.
        code: what InfoGAN's code is made of.
        initialisation: of all networks; those for points are drawn by Kaiming's rule.
        average: of the generator's weights, which then make the samples.
        growth: of the image size.
        mixing: probability that a batch mixes two styles.
        point_rule: of the critic's weights where points take the place of images.
    """

    name: str
    paper: str
    generator: partial[Any]  # of a Decoder; a partial of a subclass is none of its base to mypy
    critic: partial[Any]
    phases: tuple[Phase, ...]
    d_latent: int = 128
    conditional: bool = False
    code: InfoCode | None = None
    initialisation: Initialisation = Initialisation.ORTHOGONAL
    average: Average | None = None
    growth: Growth | None = None
    mixing: float = 0.0
    point_rule: WeightRule = PLAIN

    @property
    def parts(self) -> tuple[str, ...]:
        """What the system is made of, in words: networks, then the terms of every phase."""
        trunk = self.critic.keywords.get("trunk")
        heads = [head.value for head in self.critic.keywords.get("heads", ())]
        critic = _class_name(trunk) if trunk else _class_name(self.critic)
        phases = [f"{'+'.join(p.train)}: {', '.join(t.name for t in p.terms)}" for p in self.phases]
        return (_class_name(self.generator), " ".join([critic, *heads]), *phases)


def _class_name(builder: Any) -> str:  # noqa: ANN401  # a class, or a partial of one
    return str(getattr(builder, "func", builder).__name__)


@final
class System:
    """The networks of a recipe, and what a step makes of a batch.

    Args:
        recipe: which.
        channels: of the images, or coordinates of the points.
        size: side of the images in px; none for points, for which both networks are of three dense layers.
        classes: number of classes or attributes of the data.
        width: of both networks in place of the recipe's.
        seed: of the initial weights.

    Raises:
        RecipeError: if the recipe needs labels or images and the data has none.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        channels: int,
        size: int | None,
        classes: int = 0,
        width: int | None = None,
        seed: int = 0,
    ) -> None:
        d_condition = recipe.code.width if recipe.code else classes if recipe.conditional else 0
        self.recipe = recipe
        self.shape = NetShape(channels=channels, size=size, d_latent=recipe.d_latent, d_condition=d_condition)
        if recipe.conditional and not classes:
            raise RecipeError(f"{recipe.name} learns from labels, and the data has none. Give labelled data.")
        generator, critic = _builders(recipe, width, points=size is None)
        self.generator: Decoder = generator(self.shape)
        self.critic = critic(self.shape)
        self.nets: dict[str, nn.Module] = {"generator": self.generator, "critic": self.critic}
        rng = random_stream(seed, "weights")
        for net in self.nets.values():
            # Small weights that suit batch normalisation would silence dense layers without it.
            initialise_(net, Initialisation.KAIMING if size is None else recipe.initialisation, rng)

    def tensors(self, batch: Batch, generator: torch.Generator, stage: Stage | None = None) -> Step:
        """Return the tensors of one step; the fake images have a graph if the generator is not frozen.

        Args:
            batch: on the device of the networks.
            generator: of all random numbers, on the same device.
            stage: of a growing system.

        Raises:
            BatchError: if labels are needed and missing.
        """
        if self.recipe.conditional and batch.y is None:
            raise BatchError(f"{self.recipe.name} learns from labels, and the batch has none.")
        real_y = batch.y if self.recipe.conditional else None
        n = len(batch.images)
        real: Any = batch.images if stage is None else fade(batch.images, stage)
        if isinstance(self.generator, LaplacianDecoder):
            # Conditions stay with the real coarse images that the levels refine.
            real, fake_y = pyramid(real), real_y
            fake: Any = self.generator.refine(self._latents(n, fake_y, generator), real)
        else:
            fake_y = self._conditions(n, real_y, generator)
            latents = self._latents(n, fake_y, generator, mixing=self.recipe.mixing)
            fake = self.generator(latents, stage)

        def judge(images: Any, y: Tensor | None) -> Any:  # noqa: ANN401  # tensors, or LapGAN's tuples
            return self.critic(images, y, stage)

        return Step(
            nets=self.nets,
            judge=judge,
            real=real,
            fake=fake,
            real_y=real_y,
            fake_y=fake_y,
            generator=generator,
            code=self.recipe.code,
        )

    def _conditions(self, n: int, real_y: Tensor | None, generator: torch.Generator) -> Tensor | None:
        """Return codes, or the batch's own conditions in another order, or none."""
        if self.recipe.code is not None:
            return self.recipe.code.draw(n, generator)
        if real_y is None:
            return None
        return real_y[torch.randperm(n, generator=generator, device=generator.device)]

    def _latents(self, n: int, y: Tensor | None, generator: torch.Generator, **options: Any) -> Latents:  # noqa: ANN401  # of draw_latents
        return draw_latents(
            n,
            self.shape.d_latent,
            y=y,
            generator=generator,
            noise_planes=self.generator.noise_planes,
            layers=self.generator.style_layers,
            **options,
        )

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator,
        y: Float[Tensor, "n k"] | None = None,
        stage: Stage | None = None,
        threshold: float | None = None,
        psi: float = 1.0,
        net: nn.Module | None = None,
    ) -> Float[Tensor, "n c ..."]:
        """Return generated images or points, in evaluation mode, which is left as it was.

        Args:
            n: how many.
            generator: of all random numbers, on the device of the networks.
            y: their conditions; codes are drawn if the system has them and none are given.
            stage: of a growing system; full size by default.
            threshold: truncation of z (BigGAN).
            psi: truncation of styles (StyleGAN).
            net: the generator to use, such as its moving average.

        Raises:
            BatchError: if conditions are needed and missing, or do not fit.
        """
        if y is None and self.recipe.code is not None:
            y = self.recipe.code.draw(n, generator)
        k = self.shape.d_condition
        if (y.shape if y is not None else (n, 0)) != (n, k):
            raise BatchError(
                f"{self.recipe.name} makes {n} images from conditions of {k} numbers each, got "
                f"{'none' if y is None else tuple(y.shape)}."
            )
        decoder = self.generator if net is None else net
        training = decoder.training
        latents = self._latents(n, y, generator, threshold=threshold, psi=psi)
        images: Tensor = decoder.eval()(latents, stage)
        decoder.train(training)
        return images


def fade(images: Float[Tensor, "b c h w"], stage: Stage) -> Float[Tensor, "b c h2 w2"]:
    """Return real images as a stage sees them: of its size, and as coarse as what it fades from."""
    while images.shape[-1] > stage.size:
        images = down(images)
    return images if stage.alpha == 1.0 else torch.lerp(up(down(images)), images, stage.alpha)


def _builders(
    recipe: Recipe, width: int | None, *, points: bool
) -> tuple[Callable[[NetShape], Decoder], Callable[[NetShape], nn.Module]]:
    options: dict[str, Any] = {} if width is None else {"width": width}
    trunk = recipe.critic.keywords.get("trunk")
    if not points:
        critic = partial(recipe.critic, trunk=partial(trunk, **options)) if trunk else recipe.critic
        return partial(recipe.generator, **options), critic if trunk else partial(critic, **options)
    if trunk is None or recipe.growth is not None:
        raise RecipeError(f"{recipe.name} is made of sizes of images, and points have none. Give images.")
    plane = partial(MlpTrunk, rule=recipe.point_rule, **options)
    return partial(MlpDecoder, **options), partial(recipe.critic, trunk=plane)
