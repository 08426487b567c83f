"""The sets of an evaluation: opened, embedded where they hold pictures, and divided into what is learned from and searched.

In: SETs as typed. Out: labelled embeddings. What is unlike the person may expect is said on the way.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli import console

if TYPE_CHECKING:
    from service.usecases.embed import EmbeddedSet
    from service.usecases.protocols import LabelledEmbeddings


def open_sets(
    specs: Sequence[str], *, label: str | None, backbone: str | None, cache: Path | None
) -> "tuple[dict[str, EmbeddedSet], str]":
    """Return every set with its embeddings, and what made them."""
    from service.errors import InvalidArgumentError
    from service.vision.feature_set import is_feature_set, read_feature_set

    ready = [spec for spec in specs if is_feature_set(spec)]
    if not ready:
        return _embed_sets(specs, label=label, backbone=backbone, cache=cache)
    if pictures := [spec for spec in specs if spec not in ready]:
        raise InvalidArgumentError(
            f"{ready[0]!r} holds features and {pictures[0]!r} pictures, which cannot be compared. "
            "Give sets of one kind."
        )
    if label:
        raise InvalidArgumentError(
            f"{ready[0]!r} holds features, whose labels have no columns. Leave --label out.", field="label"
        )
    if backbone:
        console.say("The sets hold features, so --backbone is not used.")
    sets = {spec: read_feature_set(spec) for spec in ready}
    widths = {spec: embedded.embeddings.shape[1] for spec, embedded in sets.items()}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{width} of {spec!r}" for spec, width in widths.items())
        raise InvalidArgumentError(
            f"Features of different width cannot be compared: {told}. Give sets of the same features."
        )
    return sets, "features"


def _embed_sets(
    specs: Sequence[str], *, label: str | None, backbone: str | None, cache: Path | None
) -> "tuple[dict[str, EmbeddedSet], str]":
    from service import compose
    from service.usecases.embed import embed_set
    from service.vision.backbones import DEFAULT_BACKBONE, load_backbone
    from service.vision.datasets import open_image_set
    from service.vision.embedding_cache import EmbeddingCache

    loaded = load_backbone(backbone or DEFAULT_BACKBONE)
    memory = EmbeddingCache(cache, backbone_identity=loaded.identity, dim=loaded.dim) if cache else None
    sets = {}
    for spec in specs:
        images = open_image_set(spec, label=label)
        with console.progress(f"Embedding {images.name}", total=len(images), unit="images") as meter:
            sets[spec] = embed_set(
                images, loaded, decode=compose.decoder(loaded), memory=memory, on_progress=meter
            )
        for skip in sets[spec].rejected:
            console.complain(f"skipped {skip.name}: {skip.error}")
    return sets, loaded.identity.partition("@")[0]


def divide(
    sets: "Mapping[str, EmbeddedSet]", *, train: str, database: str, query: str | None, holdout: float | None
) -> "tuple[LabelledEmbeddings, LabelledEmbeddings, LabelledEmbeddings]":
    """Return what is learned from, searched and searched for, after telling of images in two of them.

    Raises:
        InvalidArgumentError: No image that is searched, or searched for, has a label; the share cannot be held out.
    """
    from service.errors import InvalidArgumentError
    from service.usecases.embed import shared_images
    from service.usecases.protocols import LabelledEmbeddings, hold_out

    for spec in dict.fromkeys(spec for spec in (database, query) if spec):
        if not any(sets[spec].labels):
            raise InvalidArgumentError(
                f"Measuring needs labels, but none of the {len(sets[spec].labels):,} images of {spec!r} has one. Give a "
                "folder of class subfolders, a labels.csv with a label column, or a features.npz with labelled rows."
            )
    parts = {
        spec: LabelledEmbeddings(embeddings=embedded.embeddings, labels=embedded.labels)
        for spec, embedded in sets.items()
    }
    if query:
        for role, spec in {"database": database, "training": train}.items():
            if (shared := shared_images(sets[query], sets[spec])) and (
                role == "database" or train != database
            ):
                console.say(f"{shared} images stand in both query and {role}; figures are higher for it.")
        return parts[train], parts[database], parts[query]
    searched, asked = hold_out(parts[database], holdout or 0, seed=0)
    if train == database:
        return searched, searched, asked
    if shared := shared_images(sets[train], sets[database]):
        console.say(f"{shared} images stand in both training and database, so queries may be trained on.")
    return parts[train], searched, asked
