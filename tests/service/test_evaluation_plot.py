"""The evaluation plot: a PNG that depends on the figures alone, and labels that do not overlap."""

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.evaluation_plot import curve_plot_png, evaluation_plot_png, mean_curve, spread
from service.usecases.comparison import EvalSummary
from service.usecases.evaluate import PrCurve


def summary(method, bits, mean, std=0.0, *, setting="clean", scoring="hamming"):
    return EvalSummary(
        setting=setting,
        method=method,
        scoring=scoring,
        bits=bits,
        seeds=2,
        map_mean=mean,
        map_std=std,
        precision_at_10_mean=mean,
        precision_at_10_std=std,
        recall_at_100_mean=mean,
        precision_radius_2_mean=mean,
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
        return int((pixels(png).min(axis=2) < 240).sum())

    assert tinted(0.2) > tinted(0.0) + 10_000


def test_asymmetric_scoring_is_a_line_of_its_own():
    more = [summary("jmh", bits, 0.9, scoring="asymmetric") for bits in (16, 32, 64)]
    both = evaluation_plot_png([*SUMMARIES, *more], title="")
    assert coloured(both, "#0072B2") > coloured(evaluation_plot_png(SUMMARIES, title=""), "#0072B2") + 500


def test_there_is_a_panel_for_every_setting():
    def size(*settings):
        png = evaluation_plot_png(
            [summary("jmh", bits, 0.5, setting=setting) for setting in settings for bits in (8, 16)], title=""
        )
        return Image.open(BytesIO(png)).size

    width, height = size("clean")
    assert size("clean", "noise") == (2 * width, height)
    assert size("clean", "noise", "few", "unseen") == (2 * width, 2 * height)


def test_the_highlighted_method_is_drawn_stronger_than_any_other():
    names = [f"m{number}" for number in range(15)]
    png = evaluation_plot_png(
        [
            summary(name, bits, 0.9 - place / 20)
            for place, name in enumerate([*names, "jmh"])
            for bits in (8, 64)
        ],
        title="",
    )
    others = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46", "#2B2B2B")
    lines_each = (3, 2, 2, 2, 2, 2, 2)
    strongest = max(coloured(png, c) / n for c, n in zip(others, lines_each, strict=True))
    assert coloured(png, "#0072B2") > 1.5 * strongest


def curve(method, seed, precision, *, bits=8, setting="clean"):
    recall = np.linspace(0, 1, len(precision))
    return PrCurve(
        setting=setting, method=method, bits=bits, seed=seed, recall=recall, precision=np.array(precision)
    )


def test_curves_are_means_over_the_seeds_that_have_a_precision():
    recall, precision = mean_curve(
        [curve("jmh", 0, [np.nan, np.nan, 0.6, 0.2]), curve("jmh", 1, [np.nan, 0.9, 0.4, 0.2])]
    )
    np.testing.assert_allclose(recall, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(precision, [0.9, 0.5, 0.2])


def test_curves_have_a_panel_per_length_and_a_row_per_setting():
    def drawn(lengths, settings):
        curves = [
            curve(method, 0, [level, level / 2, 0.1], bits=bits, setting=setting)
            for setting in settings
            for method, level in (("jmh", 0.9), ("lsh", 0.5))
            for bits in lengths
        ]
        return curve_plot_png(curves, title="")

    one = drawn([8], ["clean"])
    assert coloured(one, "#0072B2") > 500
    assert coloured(one, "#D55E00") > 300
    width, height = Image.open(BytesIO(one)).size
    assert Image.open(BytesIO(drawn([8, 16], ["clean"]))).size == (2 * width, height)
    assert Image.open(BytesIO(drawn([8, 16, 32], ["clean", "few"]))).size == (3 * width, 2 * height)


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
