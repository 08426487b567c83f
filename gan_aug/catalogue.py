"""The list of all named systems.

In: a name. Out: a `Recipe`, or every system's card. Leaves what they are to the recipes.
"""

from dataclasses import dataclass
from typing import final

from gan_aug.errors import RecipeError
from gan_aug.recipes import (
    ACGAN,
    CGAN,
    DRAGAN_SYSTEM,
    GAN,
    GAN_NS,
    HINGE_GAN,
    INFOGAN,
    LSGAN,
    MATCHING_GAN,
    ORTHOGONAL_GAN,
    PROJECTION,
    R1_GAN,
    R2_GAN,
    SNGAN,
    WGAN,
    WGAN_DIV_SYSTEM,
    WGAN_GP_SYSTEM,
    WGAN_LP_SYSTEM,
)
from gan_aug.recipes_multiscale import BIGGAN, LAPGAN, PROGAN, STYLEGAN
from gan_aug.system import Recipe

RECIPES = {
    recipe.name: recipe
    for recipe in (
        GAN,
        GAN_NS,
        LSGAN,
        HINGE_GAN,
        CGAN,
        MATCHING_GAN,
        ACGAN,
        PROJECTION,
        INFOGAN,
        WGAN,
        WGAN_GP_SYSTEM,
        WGAN_LP_SYSTEM,
        R1_GAN,
        R2_GAN,
        WGAN_DIV_SYSTEM,
        DRAGAN_SYSTEM,
        SNGAN,
        ORTHOGONAL_GAN,
        LAPGAN,
        PROGAN,
        BIGGAN,
        STYLEGAN,
    )
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SystemCard:
    """A line of the list of systems."""

    name: str
    paper: str
    parts: tuple[str, ...]


def systems() -> tuple[SystemCard, ...]:
    """Return every system with its paper and its parts."""
    return tuple(SystemCard(name=each.name, paper=each.paper, parts=each.parts) for each in RECIPES.values())


def recipe_named(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        RecipeError: if no system has this name.
    """
    if name not in RECIPES:
        raise RecipeError(f"There is no system {name!r}. Choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
