"""What decides the codes of a hasher, as tensors and settings: for a file that holds it and a hash that names it.

In: an encoder, or its tensors and settings. Out: the other, and hashes of both. Where they are kept is `hasher_file`'s.

Convention: tensors are `mean`, `anchors`, `projection.BITS`, `association.SOURCE.TARGET` and, of a trunk, `trunk.N.weight`
and `trunk.N.bias`; settings are JSON values.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Shaped

from hashing.codes import check_lengths
from hashing.encoder import Encoder
from hashing.features import FeatureKind, FeatureMap
from hashing.objective import LossWeights, Topology

Tensors = dict[str, Shaped[np.ndarray, "..."]]


def encoder_tensors(encoder: Encoder) -> Tensors:
    """Return the tensors of an encoder by name."""
    tensors: Tensors = {"mean": encoder.feature_map.mean, "anchors": encoder.feature_map.anchors}
    for depth, (weight, bias) in enumerate(encoder.feature_map.layers):
        tensors |= {f"trunk.{depth}.weight": weight, f"trunk.{depth}.bias": bias}
    tensors |= {f"projection.{bits}": P for bits, P in encoder.projections.items()}
    tensors |= {f"association.{s}.{t}": R for (s, t), R in encoder.associations.items()}
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def encoder_settings(encoder: Encoder) -> dict[str, Any]:
    """Return what decides codes besides the tensors, as JSON values."""
    settings = {
        "lengths": list(encoder.lengths),
        "kind": encoder.feature_map.kind.value,
        "normalize": encoder.feature_map.normalize,
        "width": encoder.feature_map.width,
        "weights": asdict(encoder.weights) | {"topology": encoder.weights.topology.value},
        "joint": encoder.joint,
    }
    # Named only where it is so: the identities of hashers that were saved before nested codes existed stay theirs.
    return settings | ({"nested": True} if encoder.nested else {})


def rebuild_encoder(tensors: Tensors, settings: Mapping[str, Any]) -> Encoder:
    """Return the encoder of which these are the tensors and settings.

    Raises:
        KeyError: A tensor or setting is missing.
        ValueError: A setting is unknown, or a tensor is of another shape or dtype, or not finite.
    """
    lengths = check_lengths(settings["lengths"])
    weights = _weights(settings["weights"])
    feature_map = FeatureMap(
        kind=FeatureKind(settings["kind"]),
        normalize=settings["normalize"],
        mean=tensors["mean"],
        anchors=tensors["anchors"],
        width=settings["width"],
        layers=tuple(
            (tensors[f"trunk.{depth}.weight"], tensors[f"trunk.{depth}.bias"])
            for depth in range(sum(re.fullmatch(r"trunk\.\d+\.weight", name) is not None for name in tensors))
        ),
    )
    encoder = Encoder(
        feature_map=feature_map,
        projections={bits: tensors[f"projection.{bits}"] for bits in lengths},
        associations={(s, t): tensors[f"association.{s}.{t}"] for s, t in weights.topology.pairs(lengths)},
        weights=weights,
        joint=from_json(settings["joint"]),
        nested=settings.get("nested", False),
    )
    _check_tensors(encoder, tensors)
    return encoder


def content_hash(encoder: Encoder, backbone_identity: str) -> str:
    """Return the SHA-256 (hex) of all that decides codes."""
    facts = {"backbone": backbone_identity, "settings": encoder_settings(encoder)}
    return digest(encoder_tensors(encoder), facts)


def digest(tensors: Tensors, facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of tensors and JSON values."""
    sha = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        sha.update(np.ascontiguousarray(tensor).data)
    return sha.hexdigest()


def from_json(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return lists of JSON as the tuples they were."""
    return tuple(value) if isinstance(value, list) else value


def _weights(settings: Mapping[str, Any]) -> LossWeights:
    plain = {name: from_json(value) for name, value in settings.items()}
    return LossWeights(**plain | {"topology": Topology(settings["topology"])})


def _check_tensors(encoder: Encoder, tensors: Tensors) -> None:
    n_features = len(encoder.feature_map.mean) + 1
    width = {bits: part.stop - part.start for bits, part in encoder.layout.blocks.items()}
    shapes: dict[str, tuple[int, ...]] = {
        f"projection.{bits}": (n_features, width[bits]) for bits in encoder.lengths
    }
    shapes |= {f"association.{s}.{t}": (width[s], width[t]) for s, t in encoder.associations}
    inputs = encoder.feature_map.n_inputs
    for depth, (weight, _) in enumerate(encoder.feature_map.layers):
        outputs = weight.shape[-1]
        shapes |= {
            f"trunk.{depth}.weight": (inputs, outputs),
            f"trunk.{depth}.bias": (outputs,),
            "mean": (outputs,),
        }
        inputs = outputs
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} must have shape {shape}, has {tensors[name].shape}")
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise ValueError(f"{name} must hold finite float32 numbers")
