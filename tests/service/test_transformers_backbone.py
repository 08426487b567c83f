"""Models of transformers as backbones: values against the library's own processors and forward passes."""

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from service.errors import DataLossError, InvalidArgumentError, NotFoundError
from service.vision.transformers_backbone import BATCH_IMAGES, TransformersBackbone
from tests.contracts.backbone import BackboneContract, pictures

WEIGHTS = Path(__file__).resolve().parents[2] / "../shared/data/weights/mobilenet_v2_hf"

TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 60,
}
STAGES = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]}
SQUASHED = {"size": {"height": 32, "width": 32}}
CROPPED = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}


def dino_config(kind: type) -> transformers.PretrainedConfig:
    return kind(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)


def families() -> dict[str, tuple[transformers.PretrainedConfig, object]]:
    """Return per family a tiny config and the processor its real checkpoints come with."""
    t = transformers
    return {
        "dinov2": (dino_config(t.Dinov2Config), t.BitImageProcessorPil(**CROPPED)),
        "dinov2_registers": (dino_config(t.Dinov2WithRegistersConfig), t.BitImageProcessorPil(**CROPPED)),
        "vit": (t.ViTConfig(**TOWER), t.ViTImageProcessorPil(**SQUASHED)),
        "clip": (t.CLIPConfig(vision_config=TOWER, text_config=TEXT), t.CLIPImageProcessorPil(**CROPPED)),
        "siglip": (
            t.SiglipConfig(vision_config=TOWER, text_config=TEXT),
            t.SiglipImageProcessorPil(**SQUASHED),
        ),
        "mobilenet_v2": (
            t.MobileNetV2Config(depth_multiplier=0.25, finegrained_output=False, image_size=64),
            t.MobileNetV2ImageProcessorPil(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}),
        ),
        "resnet": (
            t.ResNetConfig(embedding_size=8, layer_type="basic", **STAGES),
            t.ConvNextImageProcessorPil(size={"shortest_edge": 64}),
        ),
        "convnext": (t.ConvNextConfig(**STAGES), t.ConvNextImageProcessorPil(size={"shortest_edge": 64})),
    }


MAPS = {  # channels, cells per side, stride
    "dinov2": (32, 4, 8),
    "dinov2_registers": (32, 4, 8),
    "vit": (32, 4, 8),
    "clip": (32, 4, 8),
    "siglip": (32, 4, 8),
    "mobilenet_v2": (320, 2, 32),
    "resnet": (24, 2, 32),
    "convnext": (24, 2, 32),
}


def settle_batch_norms_(model: nn.Module, pixels: torch.Tensor) -> None:
    """Give batch norms statistics and scales as of a trained network; fresh ones do almost nothing."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # average over the passes below
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.5, 0.5)
    with torch.no_grad():
        model.train()(pixels)
    model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for family, (config, processor) in families().items():
        model = transformers.AutoModel.from_config(config)
        if family in {"mobilenet_v2", "resnet"}:
            settle_batch_norms_(model, torch.randn(16, 3, 64, 64))
        model.save_pretrained(root / family)
        processor.save_pretrained(root / family)
    return {family: root / family for family in MAPS}


@pytest.fixture
def vit(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the ViT folder, to be damaged."""
    return shutil.copytree(folders["vit"], tmp_path / "vit")


@pytest.fixture(scope="module", params=sorted(MAPS))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def backbone(folders: dict[str, Path], family: str) -> TransformersBackbone:
    return TransformersBackbone.load(folders[family])


class TestTransformersAsBackbone(BackboneContract):
    """The contract, for every family."""


def processed(folder: Path, image: np.ndarray) -> torch.Tensor:
    """Return the network input (1, 3, s, s) that the folder's own image processor makes."""
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    processor = getattr(transformers, settings["image_processor_type"] + "Pil").from_pretrained(folder)
    return processor(image, return_tensors="pt")["pixel_values"]


def scaled(backbone: TransformersBackbone, squares: np.ndarray) -> torch.Tensor:
    """Return squares as network input, by the definition of mean and std."""
    values = (squares / 255 - backbone.preprocessing.mean) / backbone.preprocessing.std
    return torch.tensor(values.transpose(0, 3, 1, 2), dtype=torch.float32)


def direct_pass(folder: Path, pixels: torch.Tensor) -> transformers.utils.ModelOutput:
    """Return what transformers alone computes."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return getattr(model, "vision_model", model)(pixel_values=pixels)


def test_embeddings_and_maps_are_those_of_transformers(
    folders: dict[str, Path], family: str, backbone: TransformersBackbone
):
    squares = np.stack([backbone.prepare(image) for image in pictures(2 * BATCH_IMAGES + 1)])
    output = direct_pass(folders[family], scaled(backbone, squares))
    features = backbone.extract(squares)
    np.testing.assert_allclose(features.embeddings, output.pooler_output.flatten(1), rtol=1e-3, atol=1e-4)
    hidden = output.last_hidden_state.numpy()
    channels, cells, stride = MAPS[family]
    assert features.feature_maps.shape[1:] == (channels, cells, cells)
    assert backbone.stride == stride
    for y in range(cells):
        for x in range(cells):
            token = hidden[:, :, y, x] if hidden.ndim == 4 else hidden[:, y * cells + x - cells * cells]
            np.testing.assert_allclose(features.feature_maps[:, :, y, x], token, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["mobilenet_v2", "resnet"], indirect=True)
def test_the_embedding_of_a_plain_network_is_the_mean_of_its_map(backbone: TransformersBackbone):
    features = backbone.extract(np.stack([backbone.prepare(image) for image in pictures(3)]))
    np.testing.assert_allclose(features.feature_maps.mean((2, 3)), features.embeddings, rtol=1e-4, atol=1e-5)


def test_preparation_is_that_of_the_image_processor(
    folders: dict[str, Path], family: str, backbone: TransformersBackbone
):
    """Up to half a grey level on average: Pillow rounds between its two passes."""
    for image in pictures(5, seed=4):
        ours = scaled(backbone, backbone.prepare(image)[None])
        gap = (ours - processed(folders[family], image)).abs() * 255 * max(backbone.preprocessing.std)
        assert gap.mean() < 0.5
        assert gap.max() < 9


# ---------------------------------------------------------------- folders of other shapes


def test_a_classifier_without_pooler_gives_its_class_token(folders: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "classifier"
    torch.manual_seed(1)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**TOWER)).eval()
    model.save_pretrained(folder)
    shutil.copy(folders["vit"] / "preprocessor_config.json", folder)
    backbone = TransformersBackbone.load(folder)
    squares = np.stack([backbone.prepare(image) for image in pictures(2)])
    with torch.no_grad():
        hidden = model.vit(scaled(backbone, squares)).last_hidden_state
    embeddings = backbone.extract(squares).embeddings
    np.testing.assert_allclose(embeddings, hidden[:, 0], rtol=1e-3, atol=1e-4)


def test_half_precision_weights_compute_in_float32(vit: Path):
    weights = load_file(vit / "model.safetensors")
    halved = {key: value.half() for key, value in weights.items()}
    save_file(halved, vit / "model.safetensors", {"format": "pt"})
    half = TransformersBackbone.load(vit)
    save_file({k: v.float() for k, v in halved.items()}, vit / "model.safetensors", {"format": "pt"})
    full = TransformersBackbone.load(vit)
    squares = np.stack([full.prepare(image) for image in pictures(2)])
    np.testing.assert_array_equal(half.extract(squares).embeddings, full.extract(squares).embeddings)


def test_sharded_weights_load_as_one_file_does(folders: dict[str, Path], tmp_path: Path):
    transformers.AutoModel.from_pretrained(folders["vit"]).save_pretrained(tmp_path, max_shard_size="20KB")
    shutil.copy(folders["vit"] / "preprocessor_config.json", tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    sharded, whole = TransformersBackbone.load(tmp_path), TransformersBackbone.load(folders["vit"])
    squares = np.stack([whole.prepare(image) for image in pictures(2)])
    np.testing.assert_array_equal(sharded.extract(squares).embeddings, whole.extract(squares).embeddings)


# ---------------------------------------------------------------- identity and quiet


def test_identity_stands_for_name_weights_config_and_preprocessing(vit: Path):
    first = TransformersBackbone.load(vit).identity
    assert re.fullmatch(r"vit@[0-9a-f]{12}", first)
    assert TransformersBackbone.load(vit).identity == first
    assert TransformersBackbone.load(vit, name="my model").identity == first.replace("vit@", "my-model@")
    seen = {first}
    edit_(vit / "preprocessor_config.json", resample=3)
    seen.add(TransformersBackbone.load(vit).identity)
    edit_(vit / "config.json", layer_norm_eps=1e-6)
    seen.add(TransformersBackbone.load(vit).identity)
    weights = load_file(vit / "model.safetensors")
    weights["layernorm.bias"][0] += 1
    save_file(weights, vit / "model.safetensors", {"format": "pt"})
    seen.add(TransformersBackbone.load(vit).identity)
    assert len(seen) == 4


def test_loading_prints_nothing_and_leaves_logging_as_it_was(
    folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
):
    before = transformers.logging.get_verbosity()
    TransformersBackbone.load(folders["clip"])  # its text tower is left out, which transformers would report
    assert capfd.readouterr() == ("", "")
    assert transformers.logging.get_verbosity() == before == logging.WARNING
    assert transformers.logging.is_progress_bar_enabled()


# ---------------------------------------------------------------- errors


def edit_(file: Path, **change: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


def test_a_folder_without_config_is_not_found(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"no model folder: it has no config\.json"):
        TransformersBackbone.load(tmp_path)


def test_a_folder_without_weights_is_not_found(vit: Path):
    (vit / "model.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"config\.json but no model\.safetensors"):
        TransformersBackbone.load(vit)


def test_pickled_weights_are_refused_and_the_way_out_is_told(vit: Path):
    (vit / "model.safetensors").rename(vit / "pytorch_model.bin")
    with pytest.raises(
        InvalidArgumentError, match=r"pytorch_model\.bin: pickles can run code.*save_pretrained"
    ):
        TransformersBackbone.load(vit)


def test_damaged_weights_are_data_loss(vit: Path):
    file = vit / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataLossError, match="are damaged"):
        TransformersBackbone.load(vit)


def test_weights_that_lack_a_layer_are_refused(vit: Path):
    weights = load_file(vit / "model.safetensors")
    del weights["layernorm.bias"]
    save_file(weights, vit / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        InvalidArgumentError, match=r"1 of vit's tensors are missing, the first is layernorm\.bias"
    ):
        TransformersBackbone.load(vit)


def test_weights_of_another_size_are_refused(vit: Path):
    edit_(vit / "config.json", hidden_size=64)
    with pytest.raises(InvalidArgumentError, match="cannot be loaded"):
        TransformersBackbone.load(vit)


def test_an_unknown_model_type_is_refused(vit: Path):
    edit_(vit / "config.json", model_type="nonesuch")
    with pytest.raises(InvalidArgumentError, match="none that transformers knows"):
        TransformersBackbone.load(vit)


def test_a_model_with_code_of_its_own_is_refused(vit: Path):
    edit_(vit / "config.json", model_type="nonesuch", auto_map={"AutoConfig": "code.Config"})
    with pytest.raises(InvalidArgumentError, match="trust_remote_code"):
        TransformersBackbone.load(vit)


def test_a_text_model_is_refused(tmp_path: Path):
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=1, vocab_size=40
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(InvalidArgumentError, match="holds a bert model, which does not read images"):
        TransformersBackbone.load(tmp_path)


def test_a_square_that_the_model_does_not_take_is_refused(vit: Path):
    edit_(vit / "preprocessor_config.json", size={"height": 48, "width": 48})
    with pytest.raises(InvalidArgumentError, match="gives no embedding and map for one 48 px square"):
        TransformersBackbone.load(vit)


# ---------------------------------------------------------------- real weights


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs the project's shared data: weights/mobilenet_v2_hf")
def test_the_imagenet_mobilenet_has_the_shapes_its_readme_names():
    backbone = TransformersBackbone.load(WEIGHTS)
    features = backbone.extract(np.stack([backbone.prepare(image) for image in pictures(2)]))
    assert re.fullmatch(r"mobilenet_v2_hf@[0-9a-f]{12}", backbone.identity)
    assert (backbone.dim, backbone.stride, backbone.preprocessing.resize_px) == (1280, 32, 256)
    assert features.feature_maps.shape == (2, 1280, 7, 7)
