"""Every decoder at every size: shapes, gradients, conditions, fading, styles."""

from functools import partial

import pytest
import torch

from gan_aug.blocks import NetShape
from gan_aug.decoders import DcganDecoder, MlpDecoder, ResnetDecoder
from gan_aug.errors import BatchError, RecipeError
from gan_aug.growing import ProgressiveDecoder, StyleDecoder
from gan_aug.laplacian import LaplacianDecoder, enlarge, pyramid
from gan_aug.latents import Latents, Stage, draw_latents
from gan_aug.norms import Norm
from gan_aug.weights import SPECTRAL, Initialisation, initialise_

DECODERS = {
    "dcgan": partial(DcganDecoder, width=4),
    "resnet": partial(ResnetDecoder, width=2),
    "biggan": partial(
        ResnetDecoder, width=2, norm=Norm.CONDITIONAL_BATCH, rule=SPECTRAL, embedding=5, attention_at=16
    ),
    "progressive": partial(ProgressiveDecoder, width=4),
    "style": partial(StyleDecoder, width=6),
    "laplacian": partial(LaplacianDecoder, width=3, hidden=8),
}
every_decoder = pytest.mark.parametrize("kind", DECODERS)


def shape(size=16, d_condition=3):
    return NetShape(channels=2, size=size, d_latent=10, d_condition=d_condition)


def latents(decoder, n=3, seed=0, **options):
    y = torch.eye(3)[:n] if decoder.shape.d_condition else None
    return draw_latents(
        n, 10, y=y, noise_planes=decoder.noise_planes, layers=decoder.style_layers,
        generator=torch.Generator().manual_seed(seed), **options,
    )  # fmt: skip


def build(kind, **options):
    decoder = DECODERS[kind](shape(**options))
    initialise_(decoder, Initialisation.ORTHOGONAL, torch.Generator().manual_seed(0))
    return decoder


@every_decoder
@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("d_condition", [0, 3])
def test_one_code_path_makes_images_of_every_size(kind, size, d_condition):
    decoder = build(kind, size=size, d_condition=d_condition)
    images = decoder(latents(decoder))
    assert images.shape == (3, 2, size, size)
    assert torch.isfinite(images).all()


@every_decoder
def test_a_gradient_reaches_every_parameter_of_a_decoder(kind):
    decoder = build(kind)
    for name, parameter in decoder.named_parameters():
        if "gain" in name:
            parameter.data.fill_(0.5)  # gains that start at zero hold their inputs' gradients back
    images = decoder(latents(decoder))
    (images * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    fading = {"progressive": "to_image", "style": "to_image"}.get(kind)  # those of smaller sizes
    for name, parameter in decoder.named_parameters():
        assert (
            parameter.grad is None
            if fading and fading in name and f"{fading}.2" not in name
            else (parameter.grad.abs().max() > 0)
        ), name


@every_decoder
def test_the_condition_changes_the_image(kind):
    decoder = build(kind).eval()
    x = latents(decoder)
    other = Latents(z=x.z, y=x.y.flip(1), noise=x.noise)
    assert not torch.allclose(decoder(x), decoder(other))


def test_points_are_made_without_bounds():
    decoder = MlpDecoder(NetShape(channels=2, size=None, d_latent=10))
    x = draw_latents(5, 10, generator=torch.Generator().manual_seed(0))
    assert decoder(x).shape == (5, 2)


def test_widths_are_those_of_the_papers_plans():
    dcgan = DcganDecoder(NetShape(channels=3, size=64, d_latent=100))
    assert [conv.in_channels for conv in dcgan.convs] == [512, 256, 128, 64]
    progressive = ProgressiveDecoder(NetShape(channels=3, size=128, d_latent=512))
    assert [conv.in_channels for conv in progressive.to_image] == [512, 512, 512, 512, 256, 128]
    style = StyleDecoder(NetShape(channels=3, size=16, d_latent=512))
    assert len(style.mapping) == 8
    assert style.style_layers == 6


@pytest.mark.parametrize("kind", ["progressive", "style"])
def test_fading_starts_at_the_old_network_and_ends_at_the_new_one(kind):
    decoder = build(kind).eval()
    x = latents(decoder)
    old, new = decoder(x, Stage(size=8)), decoder(x, Stage(size=16))
    assert old.shape[-1] == 8
    torch.testing.assert_close(
        decoder(x, Stage(size=16, alpha=0.0)), old.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )
    half = decoder(x, Stage(size=16, alpha=0.5))
    torch.testing.assert_close(half, (old.repeat_interleave(2, 2).repeat_interleave(2, 3) + new) / 2)
    assert decoder(x).equal(new)
    with pytest.raises(RecipeError, match=r"Sizes grow through \(4, 8, 16\) px, got a stage of 12 px"):
        decoder(x, Stage(size=12))


def test_hierarchical_latents_give_every_block_its_own_chunk():
    decoder = build("biggan").eval()
    assert decoder.chunks == [4, 3, 3]
    x = latents(decoder)
    changed = x.z.clone()
    changed[:, -3:] = 1.0
    seen = []
    handles = [b.register_forward_hook(lambda _m, _i, out: seen.append(out)) for b in decoder.blocks]
    decoder(x)
    decoder(Latents(z=changed, y=x.y))
    assert seen[0].equal(seen[2])
    assert not torch.allclose(seen[1], seen[3])
    assert len(handles) == 2


def test_style_mixing_takes_later_layers_from_the_second_vector():
    decoder = build("style").eval()
    x, other = latents(decoder), latents(decoder, seed=1)
    swapped = Latents(z=x.z, y=x.y, noise=x.noise, z_mixed=other.z, cut=6)
    assert decoder(swapped).equal(decoder(x))
    from_start = Latents(z=x.z, y=x.y, noise=x.noise, z_mixed=other.z, cut=0)
    assert decoder(from_start).equal(decoder(Latents(z=other.z, y=x.y, noise=x.noise)))
    half = decoder(Latents(z=x.z, y=x.y, noise=x.noise, z_mixed=other.z, cut=3))
    assert not torch.allclose(half, decoder(x))


def test_truncation_pulls_the_first_eight_styles_to_their_running_mean():
    decoder = build("style", size=64)
    x = latents(decoder)
    before = decoder.mean_style.clone()
    mean = decoder.map(x.z, x.y).mean(0)
    torch.testing.assert_close(decoder.mean_style, before * 0.995 + mean * 0.005)
    decoder.eval()
    truncated = Latents(z=x.z, y=x.y, noise=x.noise, psi=0.0)
    styles = decoder._styles(truncated)
    assert all(w.equal(decoder.mean_style.expand(3, -1)) for w in styles[:8])
    own = decoder.map(x.z, x.y)
    torch.testing.assert_close(torch.stack(styles[8:]), torch.stack([own, own]))
    half = decoder._styles(Latents(z=x.z, y=x.y, noise=x.noise, psi=0.5))[0]
    torch.testing.assert_close(half, (own + decoder.mean_style) / 2)


def test_style_decoder_says_how_many_planes_of_noise_it_takes():
    decoder = build("style")
    with pytest.raises(
        BatchError, match=r"takes 6 planes of noise, got 0\. Draw latents with its noise_planes"
    ):
        decoder(Latents(z=torch.zeros(1, 10), y=torch.zeros(1, 3)))


def test_pyramid_levels_learn_from_the_real_coarse_image_only():
    decoder = build("laplacian", size=32)
    x = latents(decoder)
    real = pyramid(torch.randn(3, 2, 32, 32, generator=torch.Generator().manual_seed(2)))
    assert [level.shape[-1] for level in real] == [8, 16, 32]
    made = decoder.refine(x, real)
    torch.testing.assert_close(made[2], decoder.levels[1](enlarge(real[1]), x.y, x.noise[1]))
    made[2].sum().backward()
    assert all(each.grad is None for each in (*decoder.hidden.parameters(), *decoder.levels[0].parameters()))
    sampled = made[0]
    for level, noise in zip(decoder.levels, x.noise, strict=True):
        sampled = level(enlarge(sampled), x.y, noise)
    torch.testing.assert_close(decoder(x), sampled)
