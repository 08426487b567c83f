"""Every critic at every size: heads, conditions, gradients, fading, per-sample scores."""

from functools import partial

import pytest
import torch

from gan_aug.blocks import NetShape
from gan_aug.critics import Critic, Head
from gan_aug.errors import BatchError, RecipeError
from gan_aug.growing import GrowingTrunk
from gan_aug.laplacian import LaplacianCritic, pyramid
from gan_aug.latents import Stage
from gan_aug.norms import Norm
from gan_aug.trunks import DcganTrunk, MlpTrunk, ResnetTrunk
from gan_aug.weights import SPECTRAL

TRUNKS = {
    "dcgan": partial(DcganTrunk, width=4, norm=Norm.INSTANCE),
    "resnet": partial(ResnetTrunk, width=2, rule=SPECTRAL, attention_at=8),
    "growing": partial(GrowingTrunk, width=4),
}
every_trunk = pytest.mark.parametrize("kind", TRUNKS)
AUX = (Head.CLASS, Head.ATTRIBUTES, Head.CODE)


def critic(kind="dcgan", size=16, **options):
    torch.manual_seed(0)
    return Critic(NetShape(channels=2, size=size, d_latent=1, d_condition=3), trunk=TRUNKS[kind], **options)


def images(size=16, n=4):
    return torch.randn(n, 2, size, size, generator=torch.Generator().manual_seed(0))


Y = torch.eye(3)[[0, 1, 2, 0]]


@every_trunk
@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_one_code_path_judges_images_of_every_size(kind, size):
    out = critic(kind, size, heads=(Head.SCALAR, *AUX))(images(size))
    assert [each.shape for each in out.scores] == [(4, 1)]
    assert {head: each.shape for head, each in out.aux.items()} == dict.fromkeys(AUX, (4, 3))
    assert len(out.feats) >= 2


@every_trunk
@pytest.mark.parametrize("head", [Head.SCALAR, Head.PATCH, Head.PROJECTION])
def test_a_gradient_reaches_every_parameter_of_a_critic(kind, head):
    net = critic(kind, heads=(head, Head.CLASS))
    for name, parameter in net.named_parameters():
        if name.endswith("gain"):
            parameter.data.fill_(0.5)
    out = net(images(), Y)
    (out.scores[0].square().mean() + out.aux[Head.CLASS].square().mean()).backward()
    for name, parameter in net.named_parameters():
        smaller = "from_image" in name and "from_image.2" not in name  # of sizes not in use
        assert smaller or parameter.grad.abs().max() > 0, name


def test_a_patch_head_scores_every_place():
    assert critic(heads=(Head.PATCH,))(images()).scores[0].shape == (4, 1, 4, 4)


def test_projection_adds_the_product_of_embedding_and_features():
    net = critic(heads=(Head.PROJECTION,))
    vector = net.trunk(images()).vector
    embedded = net.project.weight.T[[0, 1, 2, 0]]
    expected = net.score(vector) + torch.stack(
        [(e * v).sum()[None] for e, v in zip(embedded, vector, strict=True)]
    )
    torch.testing.assert_close(net(images(), Y).scores[0], expected)


@pytest.mark.parametrize("options", [{"joined": True}, {"heads": (Head.PROJECTION,)}])
def test_a_conditional_critic_heeds_its_condition_and_asks_for_it(options):
    net = critic(**options)
    assert not torch.allclose(net(images(), Y).scores[0], net(images(), Y.flip(1)).scores[0])
    with pytest.raises(BatchError, match="judges images by their condition, got none"):
        net(images())


def test_critics_refuse_heads_that_do_not_fit():
    with pytest.raises(RecipeError, match=r"exactly one head for scores .* got \['class'\]"):
        critic(heads=(Head.CLASS,))
    unconditional = NetShape(channels=2, size=16, d_latent=1)
    with pytest.raises(RecipeError, match=r"Heads \['scalar', 'code'\] need a condition"):
        Critic(unconditional, trunk=TRUNKS["dcgan"], heads=(Head.SCALAR, Head.CODE))
    with pytest.raises(RecipeError, match="and joined planes need a condition"):
        Critic(unconditional, trunk=TRUNKS["dcgan"], joined=True)


@pytest.mark.parametrize("kind", ["dcgan", "resnet"])
def test_a_score_does_not_depend_on_the_rest_of_the_batch(kind):
    net = critic(kind).eval()
    torch.testing.assert_close(net(images()).scores[0][:1], net(images()[:1]).scores[0])


def test_a_growing_trunk_fades_from_the_smaller_one():
    net = critic("growing").eval()
    x = images()
    smaller = torch.nn.functional.avg_pool2d(x, 2)
    torch.testing.assert_close(
        net(x, stage=Stage(size=16, alpha=0.0)).scores[0], net(smaller, stage=Stage(size=8)).scores[0]
    )
    assert net(x, stage=Stage(size=16)).scores[0].equal(net(x).scores[0])


def test_points_are_judged_by_a_small_network():
    net = Critic(NetShape(channels=2, size=None, d_latent=1), trunk=MlpTrunk)
    assert net(torch.zeros(5, 2)).scores[0].shape == (5, 1)


def test_widths_are_those_of_the_papers_plans():
    dcgan = DcganTrunk(NetShape(channels=3, size=64, d_latent=1))
    assert [conv.out_channels for conv in dcgan.convs] == [64, 128, 256, 512]
    biggan = ResnetTrunk(NetShape(channels=3, size=128, d_latent=1), width=96)
    assert [block.conv1.out_channels for block in biggan.blocks] == [96, 192, 384, 768, 1536]


def test_a_pyramid_critic_gives_one_score_per_level_each_from_its_own_image():
    torch.manual_seed(0)
    net = LaplacianCritic(NetShape(channels=2, size=32, d_latent=1, d_condition=3), width=3).eval()
    levels = pyramid(images(32))
    scores = net(levels, Y).scores
    assert [score.shape for score in scores] == [(4, 1)] * 3
    changed = net((levels[0] + 1, *levels[1:]), Y).scores
    assert [torch.equal(a, b) for a, b in zip(scores, changed, strict=True)] == [False, True, True]
    assert not torch.allclose(net(levels, Y.flip(1)).scores[1], scores[1])
