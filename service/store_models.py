"""Which backbone and which hasher a store uses: the registered ones, or given ones that are registered.

In: a store, a spec or file that a caller gave. Out: the models, and rows in the catalog that name them. Loading is left to
`vision` and `hashing`, what the models are used for to `compose`.
"""

import shlex
from pathlib import Path

from hashing.errors import HasherFileError
from hashing.fitted_hasher import Estimator, FittedHasher, Provenance
from hashing.hasher_file import load_hasher
from service.errors import ConflictError, ModelMismatchError
from service.ports import Backbone, Catalog
from service.records import ModelKind
from service.storage.store import Store
from service.usecases.loading import encode_lacking
from service.vision.backbones import DEFAULT_BACKBONE, lasting_spec, load_backbone
from service.workers import find_backbone, find_hasher, save_fitted


def find_or_register_backbone(store: Store, which: str) -> Backbone:
    """Return a backbone by the identity of a registered one, or by a spec, and register it."""
    if any(model.identity == which for model in store.catalog.models()):
        return find_backbone(store, which)
    spec = lasting_spec(which)
    backbone = load_backbone(spec)
    _register_backbone(store.catalog, backbone, spec)
    return backbone


def _register_backbone(catalog: Catalog, backbone: Backbone, spec: str) -> None:
    catalog.register_model(
        backbone.identity,
        ModelKind.BACKBONE,
        path=spec,  # follows a folder that was moved
        metadata={"dim": backbone.dim, "stride": backbone.stride},
    )


def choose_backbone(catalog: Catalog, spec: str | None, *, register: bool) -> Backbone:
    """Return the backbone of a store: the registered one, or the one of a spec, which must be the same if there is one.

    Raises:
        ModelMismatchError: The store uses another.
    """
    active = catalog.active_model(ModelKind.BACKBONE)
    chosen = lasting_spec(spec or (active.path if active else DEFAULT_BACKBONE))
    backbone = load_backbone(chosen)
    if active and active.identity != backbone.identity:
        raise ModelMismatchError(
            f"The store uses backbone {active.identity}, got {backbone.identity}. Leave --backbone out, index into a new "
            "store, or go over to it: `polyhash rebuild --kind extract`.",
            expected=active.identity,
            found=backbone.identity,
        )
    if register:
        _register_backbone(catalog, backbone, chosen)
    return backbone


def active_hasher(store: Store) -> FittedHasher | None:
    """Return the hasher that a store uses, or None before there is one.

    Raises:
        HasherFileError: Its file is missing or damaged; the message says how to replace it.
    """
    identity = active_identity(store)
    if not identity:
        return None
    try:
        return find_hasher(store, identity)
    except HasherFileError as error:
        again = shlex.join(["polyhash", "train", "hasher", "--store", str(store.folder)])
        raise HasherFileError(
            f"The hasher of the store cannot be used: {error} To replace it: {again}"
        ) from error


def active_identity(store: Store) -> str:
    """Return the identity of the hasher that a store uses, or an empty string."""
    active = store.catalog.active_model(ModelKind.HASHER)
    return active.identity if active else ""


def given_hasher(store: Store, backbone: Backbone, file: Path) -> FittedHasher:
    """Return the hasher of a file; a store without one takes it and encodes its images.

    Raises:
        ModelMismatchError: It was fitted on another backbone.
        ConflictError: The store uses another.
    """
    estimator, provenance = load_hasher(file)
    given = FittedHasher(hasher=estimator, provenance=provenance)
    if given.backbone_identity != backbone.identity:
        raise ModelMismatchError(
            f"Hasher {given.identity} was fitted on embeddings of {given.backbone_identity}, the store uses "
            f"{backbone.identity}. Give the hasher of that backbone, or leave --hasher out to learn one.",
            expected=backbone.identity,
            found=given.backbone_identity,
        )
    active = store.catalog.active_model(ModelKind.HASHER)
    if active and active.identity != given.identity:
        raise ConflictError(
            f"The store uses hasher {active.identity}, got {given.identity}. Index into a new store to use another.",
            reason="HASHER_CONFLICT",
        )
    if not active:
        register_hasher(store, estimator, provenance)
        encode_lacking(store.catalog, given)
        store.catalog.activate_model(given.identity)
    return given


def register_hasher(store: Store, estimator: Estimator, provenance: Provenance) -> FittedHasher:
    """Put a fitted estimator into a store, as a file and in the catalog, without using it yet."""
    fitted = save_fitted(store, estimator, provenance)
    store.catalog.register_model(
        fitted.identity, ModelKind.HASHER, path=fitted.path, metadata=fitted.metadata
    )
    return FittedHasher(hasher=estimator, provenance=provenance)
