"""Backbones by name: what `--backbone` may say, turned into an object.

In: a spec (`encoder`, `descriptor`, a weight file, a model folder, or a hub name). Out: a ready Backbone. Loading is left to the
modules of the backbones; torch and transformers are imported only when a spec asks for them.
"""

import re
from pathlib import Path

from service.errors import NotFoundError
from service.ports import Backbone
from service.vision.descriptor import DescriptorBackbone

DEFAULT_BACKBONE = "encoder"
DESCRIPTOR = "descriptor"

# Weights that were released once stay, because stores refer to them: better ones come beside them, under the next number.
ENCODERS = {"encoder-1": "polyhash-encoder-1.safetensors"}
NEWEST_ENCODER = "encoder-1"

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

CHOICES = (
    "A backbone is one of: `encoder` (built in, learned); `descriptor` (built in, no weights); a weight file of `polyhash train encoder`"
    " (NAME.safetensors); the folder of a vision model in transformers' format"
    " (config.json, preprocessor_config.json, model.safetensors); a hub name OWNER/MODEL such as facebook/dinov2-small."
)


def load_backbone(spec: str) -> Backbone:
    """Return the backbone that a spec names. A folder of that name goes before a hub model.

    Raises:
        NotFoundError: There is no such folder or model, or it lacks a file.
        InvalidArgumentError: It is there, but cannot serve as a backbone.
        DataLossError: Its weights are damaged.
        UnavailableError: It is a hub name, and neither the cache nor the hub can give it.
    """
    spec = lasting_spec(spec)
    if spec == DESCRIPTOR:
        return DescriptorBackbone()
    if weights := built_in_weights(spec):
        return _load_encoder(weights)
    folder = Path(spec).expanduser()
    if spec and folder.is_file():
        return _load_encoder(folder)
    if not (spec and folder.is_dir()) and not HUB_NAME.fullmatch(spec):
        raise NotFoundError(
            f"There is no backbone {spec!r}. {CHOICES}", reason="BACKBONE_NOT_FOUND", backbone=spec
        )
    return _load_transformers(spec, folder)


def lasting_spec(spec: str) -> str:
    """Return a spec that means the same from any working folder and with any later version of polyhash."""
    if spec == DEFAULT_BACKBONE:
        return NEWEST_ENCODER
    if spec == DESCRIPTOR or spec in ENCODERS or not spec or not Path(spec).exists():
        return spec
    return str(Path(spec).absolute())


def built_in_weights(spec: str) -> Path | None:
    """Return the weight file that comes with the package and that a spec names, or None if it names none."""
    file = ENCODERS.get(lasting_spec(spec))
    return Path(__file__).with_name("encoder") / file if file else None


def _load_encoder(file: Path) -> Backbone:
    import torch  # noqa: PLC0415

    from service.vision.encoder.backbone import EncoderBackbone  # noqa: PLC0415

    torch.set_num_threads(1)  # as below
    return EncoderBackbone.load(file)


def _load_transformers(spec: str, folder: Path) -> Backbone:
    # seconds of import that the descriptor must not cost
    import torch  # noqa: PLC0415

    from service.vision.hub import fetch_model  # noqa: PLC0415
    from service.vision.transformers_backbone import TransformersBackbone  # noqa: PLC0415

    # Passes run beside each other, one per core. Threads inside a pass wait for each other at every layer, which on a
    # machine that does anything else costs several times what they bring.
    torch.set_num_threads(1)
    if folder.is_dir():
        return TransformersBackbone.load(folder)
    return TransformersBackbone.load(fetch_model(spec), name=spec.rpartition("/")[2])
