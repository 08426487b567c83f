"""The hashing benchmark: one command over the digits, going on after a stop, tables and verdicts against plain means."""

import math
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hashing.__main__ import main
from benchmarks.hashing.embeddings import embed
from benchmarks.hashing.goals import judge
from benchmarks.hashing.measure import Cell, measure
from benchmarks.hashing.methods import REFERENCES
from benchmarks.hashing.results import Results
from benchmarks.hashing.sets import SetError, find_set, read_set
from benchmarks.hashing.tables import goals_page, page
from service.usecases.evaluate import ASYMMETRIC, HAMMING, NO_CODES, EvalRow

REPOSITORY = Path(__file__).resolve().parents[2]
LENGTHS = (8, 16)
PLACE = ("digits", "pixels")
MEASURED = "2026-01-01, commit abc, a processor"


def cell(method, *, seed=0, setting="clean"):
    return Cell(set_name="digits", backbone="pixels", setting=setting, seed=seed, method=method)


def row(method, bits, level, *, seed=0, setting="clean", scoring=HAMMING):
    return EvalRow(
        setting=setting,
        method=method,
        scoring=scoring,
        bits=bits,
        seed=seed,
        map=level,
        precision_at_10=level / 2,
        recall_at_100=level / 4,
        precision_radius_2=math.nan if scoring == NO_CODES else level / 8,
        fit_s=1.0 + seed,
        encode_s=0.25,
    )


def filled(file, levels):
    """Return results with these mAPs by method, seed and length, in the order given."""
    results = Results(file)
    for (method, seed), maps in levels.items():
        rows = [row(method, bits, level, seed=seed) for bits, level in zip(LENGTHS, maps, strict=True)]
        results.add(cell(method, seed=seed), rows, measured=MEASURED)
    return results


def test_the_command_measures_only_what_a_stopped_run_lacks(tmp_path):
    cells = [cell(REFERENCES), cell("itq"), cell("lsh")]
    embeddings = embed(*PLACE, data=tmp_path, keep=tmp_path)
    before = Results(tmp_path / "rows")
    for each in cells:
        rows = measure(each, embeddings, lengths=LENGTHS, asymmetric=each.method == "lsh")
        before.add(each, rows, measured=MEASURED)
    lines = (tmp_path / "rows").read_text().splitlines()
    (tmp_path / "rows").write_text("\n".join(lines)[:-5])  # killed while the last line was written

    command = [sys.executable, "-m", "benchmarks.hashing", "--sets", "digits", "--methods", "itq,lsh"]
    command += [
        "--settings",
        "clean",
        "--lengths",
        "8,16",
        "--seeds",
        "1",
        "--first-seed",
        "0",
        "--jobs",
        "1",
    ]
    command += ["--asymmetric", "lsh", "--out", str(tmp_path / "pages")]
    command += ["--cache", str(tmp_path), "--results", str(tmp_path / "rows")]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert "2 of 3 fits were measured before" in told.stderr
    after = (tmp_path / "rows").read_text().splitlines()
    assert after[: len(lines) - 1] == lines[:-1]
    assert len(after) == len(lines) + 4  # the one cut off, and the four of that fit
    rows = {(r.method, r.scoring, r.bits): r.map for r in Results(tmp_path / "rows").rows(PLACE)}
    assert rows == {(r.method, r.scoring, r.bits): r.map for r in before.rows(PLACE)}
    assert set(rows) == {
        ("cosine", NO_CODES, 0),
        ("chance", NO_CODES, 0),
        *((method, HAMMING, bits) for method in ("itq", "lsh") for bits in LENGTHS),
        *(("lsh", ASYMMETRIC, bits) for bits in LENGTHS),
    }
    assert 0.09 < rows["chance", NO_CODES, 0] < 0.12 < rows["lsh", HAMMING, 8] < rows["itq", HAMMING, 8]
    text = (tmp_path / "pages" / "digits-pixels.md").read_text()
    level = rows["itq", HAMMING, 16]
    assert f"| **{level:.3f}** |".replace("0.", ".") in text
    assert str(tmp_path) not in text
    assert text in told.stdout


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--settings", "clean,dirty", "there is no setting 'dirty', choose from clean, noise, few, unseen"),
        ("--lengths", "x", "expected whole numbers separated by commas, for example 16,32,64, got 'x'"),
        ("--lengths", "9", "multiples of 8"),
        ("--jobs", "0", "expected at least 1, got 0"),
        ("--seeds", "0", "expected at least 1, got 0"),
        ("--seeds", "few", "invalid"),
        ("--asymmetric", "jmh,magic", "There is no hashing method 'magic'. Choose from"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(monkeypatch, capsys, option, value, words):
    monkeypatch.setattr(sys, "argv", ["benchmarks.hashing", option, value])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    last = told.err.splitlines()[-1]
    assert f"error: argument {option}: " in last
    assert words in last


def test_pages_of_the_rows_so_far_are_written_without_measuring(tmp_path, monkeypatch, capsys):
    filled(tmp_path / "rows", {("itq", 0): (0.5, 0.6)})
    command = [
        "hashing",
        "--print-only",
        "--results",
        str(tmp_path / "rows"),
        "--out",
        str(tmp_path / "pages"),
    ]
    monkeypatch.setattr(sys, "argv", command)
    main()
    assert "| itq | 0 | **.500** | **.600** |" in capsys.readouterr().out
    written = (tmp_path / "pages" / "digits-pixels.md").read_text()
    assert "python -m benchmarks.hashing\n" in written
    assert (tmp_path / "pages" / "goals.md").exists()
    raw = (tmp_path / "pages" / "rows.csv").read_text().splitlines()
    assert raw[1:] == [
        f"digits,pixels,clean,itq,hamming,{bits},0,{level}"
        for bits, level in ((8, "0.50000"), (16, "0.60000"))
    ]
    overview = (tmp_path / "pages" / "overview.md").read_text()
    assert "| digits pixels | clean |" in overview
    assert overview.count("**.550**") == 1  # the mean of both lengths, of the one method measured


def test_ctrl_c_ends_the_run_and_its_workers_with_one_line(tmp_path):
    command = [sys.executable, "-m", "benchmarks.hashing", "--sets", "digits", "--settings", "clean"]
    command += ["--methods", "lsh,csq", "--seeds", "20", "--out", str(tmp_path / "pages")]
    command += ["--cache", str(tmp_path), "--results", str(tmp_path / "rows"), "--jobs", "1"]
    running = subprocess.Popen(  # noqa: S603 - ours
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "rows").exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, "")
    assert err.splitlines()[1:] == ["Interrupted; run again to go on."]
    assert Results(tmp_path / "rows").places() == [PLACE]
    assert not (tmp_path / "pages").exists()


def test_a_table_has_means_over_seeds_and_their_deviation(tmp_path):
    levels = {("itq", 0): (0.5, 0.6), ("lsh", 0): (0.2, 0.3), ("itq", 1): (0.7, 0.8), ("lsh", 1): (0.1, 0.4)}
    text = page(filled(tmp_path / "rows", levels), PLACE, command="the command")
    deviation = statistics.stdev([0.55, 0.75])
    itq = f"**.600** | **.700** | **.650** +- .{round(1000 * deviation)} | **.325** | **.163** | **.081** | 1.50 | 0.25"
    assert f"| itq | 0-1 | {itq} |" in text
    assert "| lsh | 0-1 | .150 | .350 | .250 +- .000 |" in text
    assert MEASURED in text
    assert "the command" in text


def test_goals_are_judged_by_paired_differences(tmp_path):
    levels = {
        ("jmh", 0): (0.50, 0.60),
        ("sdh", 0): (0.46, 0.57),  # 4 and 3 points below
        ("jmh", 1): (0.52, 0.58),
        ("sdh", 1): (0.50, 0.53),  # 2 and 5 points below
        ("jmh", 2): (0.90, 0.90),  # without a partner
    }
    results = filled(tmp_path / "rows", levels)
    (verdict,) = judge(results.rows(PLACE), multi_label=False)
    assert verdict.overall.seeds == 2
    assert verdict.overall.difference == pytest.approx(0.035)
    assert verdict.worst.difference == pytest.approx(0.03)
    assert verdict.worst.bits == 8
    assert verdict.met
    text = goals_page(results, command="the command")
    assert "| jmh - sdh | +3.50 | +3.50 to +3.50 | +3.00 at 8 | 2 of 2 | mean >= +3.0 | yes |" in text


def test_a_goal_missed_at_one_length_is_not_met(tmp_path):
    levels = {("jmh", 0): (0.500, 0.60), ("separate", 0): (0.503, 0.50)}
    results = filled(tmp_path / "rows", levels)
    (verdict,) = judge(results.rows(PLACE), multi_label=False)
    assert not verdict.met
    assert [verdict.met for verdict in judge(results.rows(PLACE), multi_label=True)] == [False, True]


def test_a_failure_is_told_until_rows_mend_it(tmp_path):
    results = filled(tmp_path / "rows", {("lsh", 0): (0.2, 0.3)})
    results.add_failure(cell("itq"), "ValueError: too few rows", measured=MEASURED)
    again = Results(tmp_path / "rows")
    assert "- itq (clean 0): ValueError: too few rows" in page(again, PLACE, command="")
    assert again.missing([cell("lsh"), cell("itq")], LENGTHS, asymmetric=()) == [cell("itq")]
    again.add(cell("itq"), [row("itq", bits, 0.5) for bits in LENGTHS], measured=MEASURED)
    assert Results(tmp_path / "rows").failures(PLACE) == []


def test_rows_survive_the_file_and_ask_for_no_second_fit(tmp_path):
    results = Results(tmp_path / "rows")
    references = [row(name, 0, 0.1, scoring=NO_CODES) for name in ("cosine", "chance")]
    results.add(cell(REFERENCES), references, measured=MEASURED)
    again = Results(tmp_path / "rows")
    assert [r.method for r in again.rows(PLACE)] == ["cosine", "chance"]
    assert math.isnan(again.rows(PLACE)[0].precision_radius_2)
    assert again.missing([cell(REFERENCES)], LENGTHS, asymmetric=()) == []
    assert again.missing([cell(REFERENCES, seed=1)], LENGTHS, asymmetric=()) == [cell(REFERENCES, seed=1)]


def test_a_set_may_be_searched_in_part():
    assert find_set("cifar10@10000").database_size == 10_000
    assert find_set("cifar10").database_size is None
    for wrong in ("cifar100", "cifar10@", "cifar10@0", "cifar10@ten"):
        with pytest.raises(SetError, match=rf"There is no set '{wrong}'. Choose from corel1k"):
            find_set(wrong)


def test_queries_of_every_split_are_drawn_anew_for_each_seed_and_in_no_other_part(tmp_path):
    chosen = replace(find_set("corel1k"), n_queries=10)
    everything = np.arange(40, dtype=np.float32)[:, None]
    labels = np.array(["a", "b"] * 20)
    arrays = {"train/embeddings": everything[:30], "train/labels": labels[:30]}
    np.savez(
        tmp_path / "set.npz", **arrays, **{"query/embeddings": everything[30:], "query/labels": labels[30:]}
    )
    draws = [read_set(tmp_path / "set.npz", chosen, seed=seed) for seed in (5, 6)]
    for trial in draws:
        parts = [
            set(part.embeddings[:, 0].astype(int).tolist())
            for part in (trial.train, trial.database, trial.query)
        ]
        assert [len(part) for part in parts] == [15, 15, 10]
        assert set.union(*parts) == set(range(40))
        assert all(
            label == ("ab"[int(value) % 2],)
            for value, label in zip(trial.query.embeddings[:, 0], trial.query.labels, strict=True)
        )
    assert set(draws[0].query.embeddings[:, 0]) != set(draws[1].query.embeddings[:, 0])
    fixed = read_set(tmp_path / "set.npz", replace(chosen, n_queries=None), seed=5)
    np.testing.assert_array_equal(fixed.query.embeddings, everything[30:])
