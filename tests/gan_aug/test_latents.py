"""Latent inputs: reproducible, truncated, mixed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_aug.errors import RecipeError
from gan_aug.latents import draw_latents, random_stream, truncated_normal


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.floats(0.02, 3), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_truncation_redraws_every_number_beyond_the_threshold(threshold, seed):
    z = truncated_normal(20, 5, threshold=threshold, generator=generator(seed))
    assert z.abs().max() <= threshold
    plain = truncated_normal(20, 5, threshold=None, generator=generator(seed))
    inside = plain.abs() <= threshold
    assert z[inside].equal(plain[inside])


def test_a_threshold_that_would_redraw_nearly_all_is_refused():
    with pytest.raises(RecipeError, match=r"threshold must be at least 0\.02, got 0\.0"):
        truncated_normal(1, 1, threshold=0.0, generator=generator())


def test_latents_follow_from_the_generator_and_mix_styles_as_often_as_asked():
    def draw(rng):
        return draw_latents(3, 4, generator=rng, noise_planes=(4, 8), layers=6, mixing=0.9)

    first, second = draw(generator()), draw(generator())
    assert first.z.equal(second.z)
    assert [plane.shape for plane in first.noise] == [(3, 1, 4, 4), (3, 1, 8, 8)]
    assert all(map(torch.equal, first.noise, second.noise))
    rng = generator()
    drawn = [draw(rng) for _ in range(200)]
    mixed = [each.cut for each in drawn if each.z_mixed is not None]
    assert 0.84 < len(mixed) / 200 < 0.96
    assert set(mixed) == {1, 2, 3, 4, 5}


def test_streams_of_one_seed_differ_by_purpose_and_from_a_plain_generator():
    def draw(rng):
        return torch.randn(4, generator=rng)

    streams = [draw(random_stream(0, purpose)) for purpose in ("weights", "training", "sheets")]
    streams += [draw(random_stream(1, "weights")), draw(generator(0))]
    assert len({tuple(each.tolist()) for each in streams}) == 5
    assert draw(random_stream(0, "weights")).equal(streams[0])
