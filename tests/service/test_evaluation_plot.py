"""The evaluation plot: a PNG that depends on the figures alone, and labels that do not overlap."""

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.evaluation_plot import evaluation_plot_png, spread
from service.usecases.evaluate import EvalSummary


def summary(method, bits, mean, std=0.0):
    return EvalSummary(
        method=method,
        bits=bits,
        seeds=2,
        map_mean=mean,
        map_std=std,
        precision_at_10_mean=mean,
        precision_at_10_std=std,
    )


SUMMARIES = [
    summary("cosine", 0, 0.8),
    summary("chance", 0, 0.1),
    *(summary("jmh", bits, 0.7 + bits / 1000, 0.02) for bits in (16, 32, 64)),
    *(summary("lsh", bits, 0.3 + bits / 1000, 0.05) for bits in (16, 32, 64)),
]


def pixels(png):
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def coloured(png, hex_colour):
    """Return how many pixels have exactly this colour."""
    red, green, blue = bytes.fromhex(hex_colour.removeprefix("#"))
    return int((pixels(png) == (red, green, blue)).all(axis=2).sum())


def test_the_plot_is_a_png_and_the_same_every_time():
    first = evaluation_plot_png(SUMMARIES, title="scenes")
    assert first.startswith(b"\x89PNG")
    assert first == evaluation_plot_png(SUMMARIES, title="scenes")


def test_every_method_has_its_own_line():
    both = evaluation_plot_png(SUMMARIES, title="")
    one = evaluation_plot_png(SUMMARIES[:-3], title="")
    assert coloured(both, "#0072B2") > 500
    assert coloured(both, "#D55E00") > 500
    assert coloured(one, "#0072B2") > 500
    assert coloured(one, "#D55E00") == 0


def test_spread_over_seeds_is_a_band():
    def tinted(std):
        png = evaluation_plot_png([summary("m", bits, 0.5, std) for bits in (16, 64)], title="")
        return int((pixels(png)[:, :, 0] < 240).sum())

    assert tinted(0.2) > tinted(0.0) + 10_000


def test_the_order_of_the_lengths_changes_nothing():
    backwards = evaluation_plot_png([*SUMMARIES[:2], *SUMMARIES[4:1:-1], *SUMMARIES[:4:-1]], title="")
    assert backwards == evaluation_plot_png(SUMMARIES, title="")


@pytest.mark.parametrize("summaries", [SUMMARIES[:2], [summary("only", 64, 0.5)]])
def test_a_plot_of_little_is_still_a_plot(summaries):
    assert evaluation_plot_png(summaries, title="").startswith(b"\x89PNG")


def test_labels_that_meet_move_apart_by_the_gap():
    assert spread([0.1, 0.5, 0.52], gap=0.1) == pytest.approx([0.1, 0.5, 0.6])
    assert spread([0.5, 0.98, 0.99], gap=0.1) == pytest.approx([0.5, 0.9, 1.0])


@given(heights=st.lists(st.floats(0, 1), max_size=10).map(sorted))
def test_labels_keep_their_order_and_distance_below_the_top(heights):
    apart = spread(heights, gap=0.05)
    assert len(apart) == len(heights)
    assert all(high - low >= 0.05 - 1e-9 for low, high in pairwise(apart))
    assert all(height <= 1 for height in apart)
