"""Sampling: which scene a category, an instance number and a seed stand for.

In: those three. Out: a `Scene`. Geometry, light, texture and affect have a random stream each, so that none of them
changes when another is changed.
"""

import zlib
from collections.abc import Callable

import numpy as np

from service.errors import InvalidArgumentError
from service.scenes.affect import plant_affect
from service.scenes.geometry.greens import compose_field, compose_forest, compose_garden
from service.scenes.geometry.interiors import compose_room
from service.scenes.geometry.settlements import compose_city, compose_street, compose_village
from service.scenes.geometry.shores import compose_beach, compose_lake
from service.scenes.geometry.sketch import Sketch
from service.scenes.geometry.waterfronts import compose_bridge, compose_harbour
from service.scenes.geometry.wilds import compose_desert, compose_glacier, compose_mountain
from service.scenes.palette import sample_atmosphere
from service.scenes.scene import Scene

_COMPOSITIONS: dict[str, Callable[[Sketch], None]] = {
    "beach": compose_beach,
    "bridge": compose_bridge,
    "city": compose_city,
    "desert": compose_desert,
    "field": compose_field,
    "forest": compose_forest,
    "garden": compose_garden,
    "glacier": compose_glacier,
    "harbour": compose_harbour,
    "lake": compose_lake,
    "mountain": compose_mountain,
    "room": compose_room,
    "street": compose_street,
    "village": compose_village,
}
CATEGORIES = tuple(_COMPOSITIONS)
DEFAULT_AFFECT_SHARE = 0.4


def sample_scene(
    category: str, instance: int, seed: int = 0, *, affect_share: float = DEFAULT_AFFECT_SHARE
) -> Scene:
    """Return the scene of a category, an instance and a seed: always the same for the same arguments.

    Args:
        category: One of `CATEGORIES`.
        instance: Number inside the category, at least 0.
        seed: Seed of the gallery, at least 0.
        affect_share: Probability that an affective object is planted; the rest of the scene does not depend on it.

    Raises:
        InvalidArgumentError: An argument is not one of these.
    """
    if category not in _COMPOSITIONS:
        raise InvalidArgumentError(
            f"There is no scene category {category!r}. Choose one of {', '.join(CATEGORIES)}.",
            field="category",
        )
    if instance < 0 or seed < 0 or not 0.0 <= affect_share <= 1.0:
        raise InvalidArgumentError(
            "instance and seed must be at least 0 and affect_share in 0..1, "
            f"got instance={instance}, seed={seed}, affect_share={affect_share}."
        )
    geometry, light, texture, affect = (
        np.random.default_rng(stream)
        for stream in np.random.SeedSequence([seed, zlib.crc32(category.encode()), instance]).spawn(4)
    )
    light_x = float(light.uniform(0.35, 1.0) * light.choice([-1.0, 1.0]))
    sketch = Sketch(rng=geometry, light_x=light_x)
    _COMPOSITIONS[category](sketch)
    sketch.rng = affect
    planted = plant_affect(sketch) if affect.random() < affect_share else None
    return Scene(
        category=category,
        instance=instance,
        seed=seed,
        horizon=sketch.horizon,
        waterline=sketch.waterline,
        atmosphere=sample_atmosphere(light, light_x=light_x, horizon=sketch.horizon),
        parts=tuple(sketch.parts),
        shadows=tuple(sketch.shadows),
        texture_seed=int(texture.integers(2**32)),
        affect=planted,
    )
