"""Hasher files: a fitted hasher with its provenance in one safetensors file.

In: a fitted `JointHasher` or `DeepJointHasher` and where it came from. Out: a file, and from it the same hasher. Leaves
the clock, the choice of paths and the registration of models to the caller.

Convention: tensors are those of `hasher_content`; the metadata key `polyhash` holds one JSON object, whose `content` is the
hash of all that decides codes and whose `checksum` is that of everything.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from hashing.durable_file import DISK, Disk, write_durably
from hashing.errors import HasherFileError
from hashing.fitted_hasher import Estimator, Provenance
from hashing.hasher_content import (
    Tensors,
    content_hash,
    digest,
    encoder_settings,
    encoder_tensors,
    from_json,
    rebuild_encoder,
)
from hashing.joint import JointHasher

FORMAT_VERSION = 1


def save_hasher(path: Path, hasher: Estimator, provenance: Provenance, *, disk: Disk = DISK) -> None:
    """Write a fitted hasher; the file appears complete or not at all."""
    tensors = encoder_tensors(hasher.encoder_)
    metadata: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "provenance": asdict(provenance),
        "parameters": _plain(hasher.get_params()),
        "settings": encoder_settings(hasher.encoder_),
        "classes": hasher.classes_.tolist(),
        "objective_trace": hasher.objective_trace_.tolist(),
        "content": content_hash(hasher.encoder_, provenance.backbone_identity),
    }
    if not isinstance(hasher, JointHasher):
        metadata["estimator"] = type(hasher).__name__
    metadata["checksum"] = digest(tensors, metadata)
    content = safetensors.numpy.save(tensors, {"polyhash": json.dumps(metadata, sort_keys=True)})
    write_durably(path, content, disk=disk)


def load_hasher(path: Path) -> tuple[Estimator, Provenance]:
    """Return a saved hasher and its provenance.

    Raises:
        HasherFileError: The file is absent, no hasher, damaged, or of another format version.
    """
    tensors, metadata = _read(path)
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise HasherFileError(
            f"{path} has hasher format {version}, this version reads format {FORMAT_VERSION}. Train the hasher again."
        )
    checksum = metadata.pop("checksum", None)
    if checksum != (found := digest(tensors, metadata)):
        raise HasherFileError(
            f"{path} is damaged: its checksum is {checksum}, its content has {found}. Restore or train it again."
        )
    try:
        hasher = _rebuild(tensors, metadata)
        provenance = Provenance(**metadata["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise HasherFileError(
            f"{path} is not a consistent hasher: {error}. Train the hasher again."
        ) from error
    if metadata["content"] != (found := content_hash(hasher.encoder_, provenance.backbone_identity)):
        raise HasherFileError(
            f"{path} claims content {metadata['content']}, its tensors have {found}. Train the hasher again."
        )
    return hasher, provenance


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError as error:
        raise HasherFileError(f"There is no hasher at {path}.") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise HasherFileError(f"{path} is not a hasher file or is damaged: {error}.") from error
    try:
        metadata = json.loads(header["polyhash"])
    except (KeyError, ValueError) as error:
        raise HasherFileError(f"{path} is a safetensors file but holds no polyhash hasher.") from error
    if not isinstance(metadata, dict):
        raise HasherFileError(f"{path} is a safetensors file but holds no polyhash hasher.")
    return tensors, metadata


def _rebuild(tensors: Tensors, metadata: Mapping[str, Any]) -> Estimator:
    encoder = rebuild_encoder(tensors, metadata["settings"])
    hasher = _estimator_class(metadata.get("estimator", "JointHasher"))(**_parameters(metadata["parameters"]))
    hasher.encoder_ = encoder
    hasher.lengths_ = encoder.lengths
    hasher.classes_ = np.array(metadata["classes"], dtype=None if metadata["classes"] else np.str_)
    hasher.objective_trace_ = np.array(metadata["objective_trace"])
    hasher.n_features_in_ = encoder.feature_map.n_inputs
    return hasher


def _estimator_class(name: str) -> Callable[..., Estimator]:
    if name == "JointHasher":
        return JointHasher
    if name == "DeepJointHasher":
        from hashing.deep.joint import DeepJointHasher  # noqa: PLC0415 - torch is for those who train or load one

        return DeepJointHasher
    raise ValueError(f"estimator must be JointHasher or DeepJointHasher, is {name!r}")


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: from_json(value) for name, value in parameters.items()}
    if "balance" in plain:  # what it was called before classes could be weighted one by one
        plain["class_weight"] = "balanced" if plain.pop("balance") else None
    return plain


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON values; a generator object, which is no value, is left out."""
    plain = dict(parameters)
    if isinstance(plain["random_state"], np.random.RandomState):
        plain["random_state"] = None
    return {name: _plain_value(value) for name, value in plain.items()}


def _plain_value(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): float(weight) for name, weight in value.items()}
    return [_plain_value(entry) for entry in value] if isinstance(value, list | tuple) else value
