"""Our own encoder as a backbone: the contract, and values against the network it was loaded from."""

import numpy as np
import pytest
import torch

from service.errors import DataLossError
from service.vision.encoder.backbone import BATCH_IMAGES, EncoderBackbone, scaled
from service.vision.encoder.network import EncoderNetwork, EncoderShape
from service.vision.encoder.weight_file import encoder_file_bytes
from tests.contracts.backbone import BackboneContract, pictures
from tests.service.test_batch_norms import settle_

SHAPE = EncoderShape(stem=4, widths=(8, 12), depths=(2, 1), dim=16)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    network = EncoderNetwork(SHAPE).eval()
    settle_(network)
    return network


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "tiny.safetensors"
    path.write_bytes(encoder_file_bytes(network, name="tiny", input_px=48))
    return path


class TestEncoderBackbone(BackboneContract):
    @pytest.fixture
    def backbone(self, file):
        return EncoderBackbone.load(file)

    def test_values_are_those_of_the_network_in_half_precision(self, backbone, network):
        squares = np.stack([backbone.prepare(image) for image in pictures(BATCH_IMAGES + 3)])
        features = backbone.extract(squares)
        rounded = EncoderNetwork(SHAPE).eval()
        rounded.load_state_dict(
            {k: v.half().float() if v.is_floating_point() else v for k, v in network.state_dict().items()}
        )
        pixels = torch.tensor(squares.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
        with torch.no_grad():
            expected = rounded(pixels).numpy()
        np.testing.assert_allclose(features.feature_maps, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(features.embeddings, expected.mean((2, 3)), rtol=1e-3, atol=1e-4)

    def test_batch_norms_are_folded_away(self, backbone):
        assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in backbone._network.modules())

    def test_it_sees_the_whole_shorter_side(self, backbone):
        preprocessing = backbone.preprocessing
        assert (preprocessing.resize_px, preprocessing.crop_px, backbone.stride) == (48, 48, 8)


def test_bytes_become_minus_one_to_one():
    square = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    torch.testing.assert_close(scaled(square).flatten(), torch.tensor([-1.0, -0.6, 1.0]))


def test_damaged_weights_are_refused(file, tmp_path):
    content = bytearray(file.read_bytes())
    content[-5] ^= 64
    (tmp_path / "damaged").write_bytes(content)
    with pytest.raises(DataLossError, match="are not those it was written with"):
        EncoderBackbone.load(tmp_path / "damaged")
