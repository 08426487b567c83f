"""Backbone specs: what each kind leads to, without a network."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest
import transformers

from service.errors import DataLossError, InvalidArgumentError, NotFoundError, UnavailableError
from service.vision.backbones import DEFAULT_BACKBONE, built_in_weights, lasting_spec, load_backbone
from service.vision.encoder.network import EncoderNetwork, EncoderShape
from service.vision.encoder.weight_file import encoder_file_bytes, read_encoder_file

COMMIT = "0123456789" * 4


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-vit"
    config = transformers.ViTConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=16,
        patch_size=8,
    )
    transformers.ViTModel(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub address where nothing listens."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


class NoSuchModel(BaseHTTPRequestHandler):
    """Answers as the hub does for an unknown model."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815  # named by http.server

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def hub_without_models(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    del hub_cache
    with HTTPServer(("127.0.0.1", 0), NoSuchModel) as server:
        monkeypatch.setattr(
            huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}"
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_the_default_is_the_encoder_that_comes_with_the_package():
    assert DEFAULT_BACKBONE == "encoder"
    weights = built_in_weights(DEFAULT_BACKBONE)
    assert weights.stat().st_size <= 8_000_000
    loaded = load_backbone(DEFAULT_BACKBONE)
    assert loaded.identity == read_encoder_file(weights).identity
    assert loaded.identity.startswith("polyhash-encoder@")


def test_the_descriptor_needs_no_weights():
    assert load_backbone("descriptor").identity.startswith("descriptor@")
    assert built_in_weights("descriptor") is None


def test_what_a_store_keeps_of_a_spec_means_the_same_from_any_folder_and_with_newer_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "descriptor").mkdir()
    monkeypatch.chdir(tmp_path)
    assert lasting_spec("mine") == str(tmp_path / "mine")
    assert [lasting_spec(spec) for spec in ("encoder", "encoder-1", "descriptor", "owner/model")] == [
        *("encoder-1", "encoder-1", "descriptor", "owner/model")
    ]
    assert load_backbone("encoder-1").identity == load_backbone("encoder").identity


def test_a_folder_is_loaded_and_names_the_backbone(model_folder: Path):
    assert load_backbone(str(model_folder)).identity.startswith("tiny-vit@")


def test_a_folder_may_be_relative(model_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(model_folder)
    assert load_backbone(".").identity == load_backbone(str(model_folder)).identity


def test_a_cached_hub_model_needs_no_network_and_is_the_same_as_its_folder(
    model_folder: Path, hub_cache: Path
):
    repository = hub_cache / "models--owner--tiny-vit"
    shutil.copytree(model_folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert load_backbone("owner/tiny-vit").identity == load_backbone(str(model_folder)).identity


@pytest.mark.timeout(20)
@pytest.mark.usefixtures("hub_cache")
def test_an_unreachable_hub_is_told_quickly_with_the_way_out(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(
        UnavailableError, match=r"did not answer.*hf download owner/model.*--backbone PATH"
    ) as raised:
        load_backbone("owner/model")
    assert raised.value.reason == "HUB_UNREACHABLE"
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("hub_without_models")
def test_a_model_that_the_hub_does_not_know_is_not_found():
    with pytest.raises(NotFoundError, match="the hub has no model of that name"):
        load_backbone("owner/model")


@pytest.mark.parametrize("spec", ["descriptr", "", "./nowhere", "/nowhere/at/all", "a/b/c"])
def test_an_unknown_spec_lists_what_is_possible(spec: str):
    with pytest.raises(
        NotFoundError, match=r"There is no backbone .*`encoder`.*`descriptor`.*folder.*hub name"
    ):
        load_backbone(spec)


def test_a_file_of_another_model_is_refused_in_favour_of_its_folder(model_folder: Path):
    with pytest.raises(
        InvalidArgumentError, match=r"is no encoder of polyhash.*for other models give their folder"
    ):
        load_backbone(str(model_folder / "model.safetensors"))


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path):
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataLossError, match="is damaged or no safetensors file"):
        load_backbone(str(tmp_path / "picture.jpg"))


def test_a_weight_file_of_our_own_is_a_backbone(tmp_path: Path):
    network = EncoderNetwork(EncoderShape(stem=4, widths=(8,), depths=(1,), dim=8)).eval()
    (tmp_path / "own.safetensors").write_bytes(encoder_file_bytes(network, name="own", input_px=32))
    backbone = load_backbone(str(tmp_path / "own.safetensors"))
    assert backbone.identity.startswith("own@")
    assert (backbone.dim, backbone.stride, backbone.preprocessing.crop_px) == (8, 4, 32)
