"""The encoder's network and its weight file: shapes, a start that is a shortcut, and files that check themselves."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from service.errors import DataLossError, InvalidArgumentError, NotFoundError
from service.vision.encoder.network import EncoderNetwork, EncoderShape, ResidualBlock, embeddings_of
from service.vision.encoder.weight_file import encoder_file_bytes, read_encoder_file

SMALL = EncoderShape(stem=4, widths=(6, 8), depths=(1, 2), dim=5)


@pytest.fixture
def network():
    torch.manual_seed(3)
    return EncoderNetwork(SMALL).eval()


@pytest.fixture
def file(tmp_path, network):
    path = tmp_path / "small.safetensors"
    path.write_bytes(encoder_file_bytes(network, name="small", input_px=32, facts={"teacher": "t@1"}))
    return path


def rewritten(path, *, tensors=None, **metadata):
    """Write a weight file again with some of it changed."""
    with safe_open(path, framework="pt") as opened:
        kept = opened.metadata()
    save_file(tensors or load_file(path), path, metadata=kept | metadata)


def test_a_map_has_one_cell_per_stride_and_the_embedding_is_its_mean(network):
    maps = network(torch.randn(2, 3, 40, 40))
    assert (SMALL.stride, tuple(maps.shape)) == (8, (2, 5, 5, 5))
    cells = [
        [maps[i, c, y, x].item() for y in range(5) for x in range(5)] for i in range(2) for c in range(5)
    ]
    expected = torch.tensor([sum(row) / 25 for row in cells]).view(2, 5)
    torch.testing.assert_close(embeddings_of(maps), expected)


def test_the_default_network_has_between_one_and_three_million_weights():
    with torch.device("meta"):
        weights = sum(p.numel() for p in EncoderNetwork(EncoderShape()).parameters())
    assert 1e6 < weights < 3e6


def test_a_fresh_block_is_its_shortcut():
    torch.manual_seed(0)
    block = ResidualBlock(4, 4, stride=1).eval()
    EncoderNetwork(SMALL)
    network = EncoderNetwork(EncoderShape(stem=4, widths=(4,), depths=(2,), dim=2)).eval()
    inner = network.blocks[1]
    x = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(inner(x), torch.relu(x))
    assert not torch.allclose(block(x), torch.relu(x))


def test_odd_sizes_pass(network):
    assert tuple(network(torch.randn(1, 3, 37, 41)).shape) == (1, 5, 5, 6)


def test_a_shape_needs_a_depth_per_width():
    with pytest.raises(InvalidArgumentError, match="a width and a depth of at least 1 per stage"):
        EncoderShape(widths=(8, 16), depths=(1,))


def test_a_file_gives_back_the_network_rounded_to_half_precision(network, file):
    read = read_encoder_file(file)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(read.network(x), network(x), rtol=1e-2, atol=1e-2)
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            assert torch.equal(read.network.state_dict()[key], tensor.half().float())
    assert (read.input_px, read.facts, read.network.training) == (32, {"teacher": "t@1"}, False)
    assert read.identity.startswith("small@")


def test_writing_what_was_read_gives_the_same_identity(file, tmp_path):
    read = read_encoder_file(file)
    again = tmp_path / "again.safetensors"
    again.write_bytes(encoder_file_bytes(read.network, name="small", input_px=32))
    assert read_encoder_file(again).identity == read.identity


def test_a_changed_weight_is_noticed(file):
    tensors = load_file(file)
    tensors["head.bias"][0] += 1
    rewritten(file, tensors=tensors)
    with pytest.raises(DataLossError, match="are not those it was written with"):
        read_encoder_file(file)


def test_a_changed_input_size_is_noticed(file):
    rewritten(file, input_px="64")
    with pytest.raises(DataLossError, match="are not those it was written with"):
        read_encoder_file(file)


def test_a_cut_file_is_damaged(file):
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataLossError, match="is damaged or no safetensors file"):
        read_encoder_file(file)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="There is no encoder file"):
        read_encoder_file(tmp_path / "none")


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(InvalidArgumentError, match="is no encoder of polyhash: expected format"):
        read_encoder_file(tmp_path / "foreign")


def test_a_file_without_a_shape_is_refused(file):
    rewritten(file, shape="[]")
    with pytest.raises(InvalidArgumentError, match="does not describe its network"):
        read_encoder_file(file)


def test_weights_of_another_shape_are_refused(network, tmp_path):
    other = EncoderNetwork(EncoderShape(stem=4, widths=(6, 9), depths=(1, 2), dim=5))
    network.shape = other.shape  # says one thing, holds another
    path = tmp_path / "wrong"
    path.write_bytes(encoder_file_bytes(network, name="wrong", input_px=32))
    with pytest.raises(InvalidArgumentError, match=r"do not fit the shape it states: .* should be"):
        read_encoder_file(path)


def test_the_file_is_float16_and_says_what_it_is(file):
    assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}
    with safe_open(file, framework="pt") as opened:
        assert json.loads(opened.metadata()["shape"])["widths"] == [6, 8]
