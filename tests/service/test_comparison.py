"""Figures over seeds: means, deviations, and differences in pairs against their textbook formulas."""

import math

import pytest

from service.errors import InvalidArgumentError
from service.usecases.comparison import ALL_LENGTHS, compare, summarise
from service.usecases.evaluate import EvalRow


def row(method, bits, seed, value, *, setting="clean", scoring="hamming", radius=0.25):
    return EvalRow(
        setting=setting,
        method=method,
        scoring=scoring,
        bits=bits,
        seed=seed,
        map=value,
        precision_at_10=value / 2,
        recall_at_100=value / 4,
        precision_radius_2=radius,
        fit_s=1.0,
        encode_s=0.5,
    )


def test_summaries_hold_mean_and_sample_deviation_over_seeds():
    values = [0.2, 0.5, 0.35]
    rows = [row("m", 16, seed, value) for seed, value in enumerate(values)] + [row("m", 32, 0, 0.7)]
    first, second = summarise(rows)
    mean = sum(values) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert (first.setting, first.method, first.scoring, first.bits, first.seeds) == (
        *("clean", "m", "hamming"),
        *(16, 3),
    )
    assert (first.map_mean, first.map_std) == pytest.approx((mean, deviation))
    assert (first.precision_at_10_mean, first.precision_at_10_std) == pytest.approx((mean / 2, deviation / 2))
    assert (first.recall_at_100_mean, first.precision_radius_2_mean) == pytest.approx((mean / 4, 0.25))
    assert (second.bits, second.seeds, second.map_mean, second.map_std) == (32, 1, 0.7, 0.0)


def test_settings_and_scorings_are_summarised_apart():
    rows = [
        row("m", 8, 0, 0.1),
        row("m", 8, 0, 0.2, setting="noise"),
        row("m", 8, 0, 0.3, scoring="asymmetric"),
    ]
    assert [summary.map_mean for summary in summarise(rows)] == [0.1, 0.2, 0.3]


def test_methods_are_compared_in_pairs_with_the_interval_of_students_t():
    base, better = {8: [0.2, 0.6, 0.4], 16: [0.5, 0.5, 0.6]}, {8: [0.3, 0.6, 0.8], 16: [0.4, 0.7, 0.9]}
    rows = [
        row(method, bits, seed, values[seed])
        for method, by_length in (("sdh", base), ("jmh", better))
        for bits, values in by_length.items()
        for seed in range(3)
    ]
    by_bits = {comparison.bits: comparison for comparison in compare(rows, "sdh")}
    assert list(by_bits) == [8, 16, ALL_LENGTHS]
    expected = {8: [0.1, 0.0, 0.4], 16: [-0.1, 0.2, 0.3], ALL_LENGTHS: [0.0, 0.1, 0.35]}
    for bits, differences in expected.items():
        mean = sum(differences) / 3
        error = math.sqrt(sum((d - mean) ** 2 for d in differences) / 2 / 3)
        found = by_bits[bits]
        assert (found.method, found.seeds) == ("jmh", 3)
        assert found.difference == pytest.approx(mean)
        assert (found.low, found.high) == pytest.approx(
            (mean - 4.30265 * error, mean + 4.30265 * error), abs=1e-5
        )
    assert [by_bits[bits].share_above for bits in (8, 16, ALL_LENGTHS)] == pytest.approx([2 / 3] * 3)


def test_a_single_pair_has_no_interval_and_a_single_length_no_mean_over_lengths():
    (found,) = compare([row("a", 8, 0, 0.5), row("b", 8, 0, 0.75)], "a")
    assert (found.bits, found.seeds, found.difference, found.share_above) == (8, 1, 0.25, 1.0)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_pairs_share_setting_and_scoring_and_references_are_left_out():
    rows = [row("cosine", 0, 0, 0.9, scoring="none")]
    for setting, scoring, low in (
        ("clean", "hamming", 0.1),
        ("clean", "asymmetric", 0.3),
        ("few", "hamming", 0.5),
    ):
        rows += [row("a", 8, 0, low, setting=setting, scoring=scoring)]
        rows += [row("b", 8, 0, 2 * low, setting=setting, scoring=scoring)]
    found = {(c.setting, c.scoring): c.difference for c in compare(rows, "a")}
    assert found == pytest.approx(
        {("clean", "hamming"): 0.1, ("clean", "asymmetric"): 0.3, ("few", "hamming"): 0.5}
    )


def test_an_unknown_baseline_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"no method 'sdh' to compare with. Choose from a, b"):
        compare([row("a", 8, 0, 0.5), row("b", 8, 0, 0.75)], "sdh")


def test_the_mean_over_lengths_pairs_seeds_whatever_the_order_of_the_rows():
    """Lengths that were measured in another order, or for another set of seeds, still pair seed with seed."""
    above = {8: {0: 0.02, 1: -0.02, 2: 0.01}, 16: {1: -0.02, 0: 0.02}}
    rows = [row("base", bits, seed, 0.5) for bits, by_seed in above.items() for seed in by_seed]
    rows += [
        row("m", bits, seed, 0.5 + value)
        for bits, by_seed in above.items()
        for seed, value in by_seed.items()
    ]
    overall = next(result for result in compare(rows, "base") if result.bits == ALL_LENGTHS)
    assert (overall.seeds, overall.share_above) == (2, 0.5)
    assert overall.difference == pytest.approx(0)
    assert overall.high > 0.2  # of +0.02 and -0.02, not of two zeros


def test_only_seeds_and_settings_that_both_have_are_compared():
    rows = [row("base", bits, seed, 0.5) for bits in (8, 16) for seed in (0, 2)]
    rows += [row("m", bits, seed, 0.5 + 0.1 * seed) for bits in (8, 16) for seed in (0, 1)]
    rows += [row("m", 8, 0, 0.9, setting="few"), row("other", 8, 1, 0.9)]
    found = [(c.setting, c.method, c.bits, c.seeds, c.difference) for c in compare(rows, "base")]
    assert found == [
        ("clean", "m", 8, 1, 0.0),
        ("clean", "m", 16, 1, 0.0),
        ("clean", "m", ALL_LENGTHS, 1, 0.0),
    ]
