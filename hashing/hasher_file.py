"""Hasher files: a fitted hasher with its provenance in one safetensors file, and what serves codes from it.

In: a fitted `JointHasher` or `DeepJointHasher` and where it came from. Out: a file, and from it the same hasher. Leaves the clock, the choice
of paths and the registration of models to the caller.

Convention: tensors are `mean`, `anchors`, `projection.BITS`, `association.SOURCE.TARGET` and, of a trunk,
`trunk.N.weight` and `trunk.N.bias`; the metadata key `polyhash`
holds one JSON object, whose `content` is the hash of all that decides codes and whose `checksum` is that of everything.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float, Float32, Shaped, UInt8

from hashing.codes import check_lengths
from hashing.durable_file import write_durably
from hashing.encoder import Encoder
from hashing.errors import EmbeddingError, HasherFileError
from hashing.features import FeatureKind, FeatureMap
from hashing.joint import JointHasher
from hashing.layout import CodeLayout
from hashing.objective import LossWeights, Topology

FORMAT_VERSION = 1

Tensors = dict[str, Shaped[np.ndarray, "..."]]


@runtime_checkable
class Estimator(Protocol):
    """What a file keeps of a fitted hasher: `JointHasher`, or `DeepJointHasher` where torch is at hand."""

    encoder_: Encoder
    lengths_: tuple[int, ...]
    classes_: Shaped[np.ndarray, " c"]
    objective_trace_: Float[np.ndarray, "steps 3"]
    n_features_in_: int

    def get_params(self) -> dict[str, Any]:
        """Return the arguments it was made with."""

    def transform(self, X: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a hasher came from.

    Attributes:
        name: What people call it; the first half of its identity.
        backbone_identity: The backbone whose embeddings it was fitted on.
        training_hash: SHA-256 (hex) of what it was fitted on.
        created_at: UTC, ISO 8601.
        polyhash_version: The version that fitted it.
    """

    name: str
    backbone_identity: str
    training_hash: str
    created_at: str
    polyhash_version: str

    def __post_init__(self) -> None:
        """Refuse names that would not survive in an identity or in the name of a file."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise HasherFileError(
                f"A hasher's name must be of letters, digits, '.', '_' and '-' (not first), got {self.name!r}."
            )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FittedHasher:
    """A fitted hasher that knows its origin, as the service uses it.

    Attributes:
        hasher: The fitted hasher.
        provenance: Its origin.
        identity: Name and content hash, `NAME@HEX12`.
    """

    hasher: Estimator
    provenance: Provenance
    identity: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash the content once."""
        object.__setattr__(self, "identity", hasher_identity(self.hasher, self.provenance))

    @property
    def backbone_identity(self) -> str:
        """Identity of the backbone whose embeddings it was fitted on."""
        return self.provenance.backbone_identity

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths in bits, ascending."""
        return self.hasher.encoder_.lengths

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a code record hold the code of which length."""
        return self.hasher.encoder_.layout

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths, laid out as `layout` says.

        Raises:
            EmbeddingError: The embeddings are of another width or not finite.
        """
        self._check(embeddings)
        return self.hasher.encoder_.records(embeddings)

    def project(self, embeddings: Float32[np.ndarray, "n d"]) -> dict[int, Float[np.ndarray, "n _bits"]]:
        """Return the scores of every length; raises as `encode` does."""
        self._check(embeddings)
        return self.hasher.encoder_.project(embeddings)

    def _check(self, embeddings: Float32[np.ndarray, "n d"]) -> None:
        expected = self.hasher.n_features_in_
        if embeddings.ndim != 2 or embeddings.shape[1] != expected:
            raise EmbeddingError(
                f"Hasher {self.provenance.name} expects embeddings of shape (n, {expected}), got {embeddings.shape}. "
                f"Use those of {self.backbone_identity}."
            )
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            raise EmbeddingError(
                f"Embeddings must be finite, got NaN or infinity in row {int(np.argmin(finite))} of {len(embeddings)}."
            )


def hasher_identity(hasher: Estimator, provenance: Provenance) -> str:
    """Return `NAME@HEX12`: the name and the hash of all that decides codes (not when or from what it was fitted)."""
    return f"{provenance.name}@{_content(hasher, provenance.backbone_identity)[:12]}"


def save_hasher(path: Path, hasher: Estimator, provenance: Provenance) -> None:
    """Write a fitted hasher; the file appears complete or not at all."""
    tensors = _tensors(hasher.encoder_)
    metadata: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "provenance": asdict(provenance),
        "parameters": _plain(hasher.get_params()),
        "settings": _settings(hasher.encoder_),
        "classes": hasher.classes_.tolist(),
        "objective_trace": hasher.objective_trace_.tolist(),
        "content": _content(hasher, provenance.backbone_identity),
    }
    if not isinstance(hasher, JointHasher):
        metadata["estimator"] = type(hasher).__name__
    metadata["checksum"] = _digest(tensors, metadata)
    content = safetensors.numpy.save(tensors, {"polyhash": json.dumps(metadata, sort_keys=True)})
    write_durably(path, content)


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
    if checksum != (found := _digest(tensors, metadata)):
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
    if metadata["content"] != (found := _content(hasher, provenance.backbone_identity)):
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


def _tensors(encoder: Encoder) -> Tensors:
    tensors: Tensors = {"mean": encoder.feature_map.mean, "anchors": encoder.feature_map.anchors}
    for depth, (weight, bias) in enumerate(encoder.feature_map.layers):
        tensors |= {f"trunk.{depth}.weight": weight, f"trunk.{depth}.bias": bias}
    tensors |= {f"projection.{bits}": P for bits, P in encoder.projections.items()}
    tensors |= {f"association.{s}.{t}": R for (s, t), R in encoder.associations.items()}
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _settings(encoder: Encoder) -> dict[str, Any]:
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


def _rebuild(tensors: Tensors, metadata: Mapping[str, Any]) -> Estimator:
    settings = metadata["settings"]
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
        joint=_tuple_of(settings["joint"]),
        nested=settings.get("nested", False),
    )
    _check_tensors(encoder, tensors)
    hasher = _estimator_class(metadata.get("estimator", "JointHasher"))(**_parameters(metadata["parameters"]))
    hasher.encoder_ = encoder
    hasher.lengths_ = lengths
    hasher.classes_ = np.array(metadata["classes"], dtype=None if metadata["classes"] else np.str_)
    hasher.objective_trace_ = np.array(metadata["objective_trace"])
    hasher.n_features_in_ = feature_map.n_inputs
    return hasher


def _estimator_class(name: str) -> Callable[..., Estimator]:
    if name == "JointHasher":
        return JointHasher
    if name == "DeepJointHasher":
        from hashing.deep.joint import DeepJointHasher  # noqa: PLC0415 - torch is for those who train or load one

        return DeepJointHasher
    raise ValueError(f"estimator must be JointHasher or DeepJointHasher, is {name!r}")


def _weights(settings: Mapping[str, Any]) -> LossWeights:
    plain = {name: _tuple_of(value) for name, value in settings.items()}
    return LossWeights(**plain | {"topology": Topology(settings["topology"])})


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: _tuple_of(value) for name, value in parameters.items()}
    if "balance" in plain:  # what it was called before classes could be weighted one by one
        plain["class_weight"] = "balanced" if plain.pop("balance") else None
    return plain


def _tuple_of(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return lists of JSON as the tuples they were."""
    return tuple(value) if isinstance(value, list) else value


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


def _content(hasher: Estimator, backbone_identity: str) -> str:
    encoder = hasher.encoder_
    return _digest(_tensors(encoder), {"backbone": backbone_identity, "settings": _settings(encoder)})


def _digest(tensors: Tensors, facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


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
