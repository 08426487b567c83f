"""Weights of an encoder in one safetensors file of float16, which says of itself what it is and what it hashes to.

In: a network and facts about it. Out: the bytes of a file, and the network in such a file after every check. What the
file's network is used for is left to `backbone`.

Convention: the identity is `NAME@HEX12`, the first digits of the sha256 over shape, names, dtypes and bytes of the tensors.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from service.errors import DataLossError, InvalidArgumentError, NotFoundError
from service.vision.encoder.network import EncoderNetwork, EncoderShape

FORMAT = "polyhash-encoder-1"
HEX_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFile:
    """What a weight file holds.

    Attributes:
        network: In float32 and eval mode.
        identity: `NAME@HEX12`, checked.
        input_px: Side of the square it was trained on.
        facts: What the writer noted: teacher, recipe, data.
    """

    network: EncoderNetwork
    identity: str
    input_px: int
    facts: Mapping[str, str]


def encoder_file_bytes(
    network: EncoderNetwork, *, name: str, input_px: int, facts: Mapping[str, str] | None = None
) -> bytes:
    """Return the bytes of a weight file.

    Args:
        network: Its floating weights are rounded to float16.
        name: First part of the identity: letters, digits, `.`, `_` and `-`.
        input_px: Side of the input square.
        facts: Strings that a model card needs, kept in the file.
    """
    tensors = {
        key: tensor.detach().to("cpu", torch.float16, copy=True, memory_format=torch.contiguous_format)
        for key, tensor in network.state_dict().items()
        if tensor.is_floating_point()  # batch norms also count batches, which nobody reads
    }
    shape = json.dumps(asdict(network.shape), sort_keys=True)
    own = {
        "format": FORMAT,
        "shape": shape,
        "input_px": str(input_px),
        "identity": f"{name}@{_digest(shape, input_px, tensors)}",
    }
    return save(tensors, metadata={**(facts or {}), **own})


def read_encoder_file(path: Path) -> EncoderFile:
    """Return what a weight file holds.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: It is no encoder of ours, or of a format or shape that this version does not know.
        DataLossError: It is cut short, or its tensors are not those it was written with.
    """
    if not path.is_file():
        raise NotFoundError(
            f"There is no encoder file {path}. Give a file that `polyhash train encoder --out` wrote.",
            reason="ENCODER_NOT_FOUND",
        )
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  # no mapping
    except SafetensorError as error:
        raise DataLossError(
            f"The encoder file {path} is damaged or no safetensors file: {error}. Give a file that `polyhash train encoder"
            " --out` wrote, or copy it again.",
            reason="ENCODER_DAMAGED",
        ) from error
    return _checked(path, metadata, tensors)


def _checked(path: Path, metadata: dict[str, str], tensors: dict[str, Tensor]) -> EncoderFile:
    if metadata.get("format") != FORMAT:
        raise InvalidArgumentError(
            f"{path} is no encoder of polyhash: expected format {FORMAT!r}, got {metadata.get('format')!r}. Give a file"
            " that `polyhash train encoder --out` wrote; for other models give their folder.",
            reason="ENCODER_FOREIGN",
        )
    try:
        described = json.loads(metadata["shape"])
        shape = EncoderShape(
            stem=described["stem"],
            widths=tuple(described["widths"]),
            depths=tuple(described["depths"]),
            dim=described["dim"],
        )
        input_px = int(metadata["input_px"])
        identity = metadata["identity"]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{path} does not describe its network as format {FORMAT} does: {error}. Write it again with"
            " `polyhash train encoder`.",
            reason="ENCODER_FOREIGN",
        ) from error
    found = _digest(metadata["shape"], input_px, tensors)
    if identity.rpartition("@")[2] != found:
        raise DataLossError(
            f"The weights in {path} are not those it was written with: its identity is {identity!r}, its content hashes"
            f" to {found!r}. Install polyhash again, or copy the file again.",
            reason="ENCODER_DAMAGED",
        )
    network = EncoderNetwork(shape)
    _load_(network, tensors, path)
    facts = {
        key: value
        for key, value in metadata.items()
        if key not in {"format", "shape", "input_px", "identity"}
    }
    return EncoderFile(network=network.eval(), identity=identity, input_px=input_px, facts=facts)


def _load_(network: EncoderNetwork, tensors: dict[str, Tensor], path: Path) -> None:
    own = network.state_dict()
    expected = {key: tuple(tensor.shape) for key, tensor in own.items() if tensor.is_floating_point()}
    got = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    different = sorted(key for key in expected.keys() | got.keys() if expected.get(key) != got.get(key))
    if different:
        key = different[0]
        raise InvalidArgumentError(
            f"The weights in {path} do not fit the shape it states: {key} should be {expected.get(key, 'absent')}, is"
            f" {got.get(key, 'absent')}. Write it again with `polyhash train encoder`.",
            reason="ENCODER_FOREIGN",
        )
    network.load_state_dict({**own, **{key: tensor.float() for key, tensor in tensors.items()}})


def _digest(shape: str, input_px: int, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(f"{FORMAT} {shape} {input_px}\n".encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:HEX_DIGITS]
