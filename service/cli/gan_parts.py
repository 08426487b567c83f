"""What every system of gan_aug is made of, in words.

In: the recipes. Out: one plain dictionary per system, as `polyhash gan list --json` prints it.
"""

import inspect
from collections.abc import Callable
from typing import Any

from gan_aug.catalogue import RECIPES
from gan_aug.norms import Norm
from gan_aug.schedule import Phase
from gan_aug.system import Recipe
from gan_aug.weights import Constraint, WeightRule


def parts_of_all() -> list[dict[str, Any]]:
    """Return name, paper and parts of every system, in the order of the catalogue."""
    return [parts_of(recipe) for recipe in RECIPES.values()]


def parts_of(recipe: Recipe) -> dict[str, Any]:
    """Return what a system is made of: texts, and the list of what is particular about it."""
    builder = recipe.critic.keywords.get("trunk") or recipe.critic
    heads = [head.value for head in recipe.critic.keywords.get("heads", ())]
    losses = {
        f"{'+'.join(phase.train)}_loss": ", ".join(term.name for term in phase.terms)
        for phase in recipe.phases
    }
    return {
        "name": recipe.name,
        "paper": recipe.paper,
        "generator": _network(recipe.generator),
        "critic": " ".join([_network(builder), *heads]),
        **losses,
        "initialisation": recipe.initialisation.value,
        "extras": _extras(recipe),
    }


def _network(builder: Callable[..., Any]) -> str:
    """Return the class that a partial builds, with the kinds of norm and of weights that it is given or has by default."""
    options = {name: each.default for name, each in inspect.signature(builder).parameters.items()}
    norm, rule = options.get("norm"), options.get("rule")
    notes = []
    if isinstance(norm, Norm) and norm is not Norm.NONE:
        notes.append(f"{norm.value.replace('-', ' ')} norm")
    if isinstance(rule, WeightRule) and rule.constraint is not Constraint.NONE:
        notes.append(f"{rule.constraint.value} weights")
    name = str(getattr(builder, "func", builder).__name__)
    return f"{name} ({', '.join(notes)})" if notes else name


def _extras(recipe: Recipe) -> list[str]:
    """Return what is particular about how a system learns."""
    critic: Phase = recipe.phases[0]
    clips = [phase.clip_weights for phase in recipe.phases if phase.clip_weights is not None]
    found = {
        "labels": recipe.conditional,
        "labels join the image": recipe.critic.keywords.get("joined", False),
        f"code of {recipe.code.width if recipe.code else 0} numbers": recipe.code is not None,
        f"{critic.repeats} critic steps": critic.repeats > 1,
        f"weights within {clips[0] if clips else 0}": bool(clips),
        f"averaged by {recipe.average.decay if recipe.average else 0}": recipe.average is not None,
        f"grows from {recipe.growth.start if recipe.growth else 0} px": recipe.growth is not None,
        f"mixes styles of {recipe.mixing:.0%} of batches": recipe.mixing > 0,
    }
    return [note for note, holds in found.items() if holds]
