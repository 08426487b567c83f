"""The search and store benchmarks at tiny sizes: that they run, and that their recall agrees with brute force."""

import json
import os
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from benchmarks.search import lengths
from benchmarks.search.__main__ import main
from benchmarks.search.codes import LAYOUT, clustered, make_codes
from benchmarks.search.plot import draw
from benchmarks.search.results import Part, Row, read_all, write
from benchmarks.search.stores import installed
from benchmarks.search.tables import page
from benchmarks.search.timing import Turns, take_turns
from benchmarks.store.filling import fill
from benchmarks.store.swapping import swap_under_load
from service import compose

REPOSITORY = Path(__file__).resolve().parents[2]
N = 3000


@pytest.fixture(autouse=True)
def one_thread():
    before = faiss.omp_get_max_threads()
    yield
    faiss.omp_set_num_threads(before)


def brute_force_distances(codes, call):
    part = LAYOUT.record_slices[128]
    query = np.unpackbits(codes.queries[call, part])
    return (np.unpackbits(codes.records[:, part], axis=1) != query).sum(axis=1)


def some_part(**changes):
    given = {
        "name": "strategies",
        "kind": "uniform",
        "n": 1000,
        "bits": 128,
        "base": "flat, FAISS flat 128",
        "how": "some codes",
        "rows": [row("flat", "FAISS flat 128", 1.0), row("ours", "flat 128", 1.5), row("ours", "AUTO", 0.25)],
        "circumstances": "2026-01-01, commit abc, a processor",
        "raw_us": {"ours, AUTO": [[1.0, 2.0]]},
    }
    return Part(**{**given, **changes})


def row(case, side, ratio, **more):
    return Row(
        case=case,
        side=side,
        ratio=ratio,
        p50_us=80 * ratio,
        p99_us=200.0,
        recall=0.995,
        bytes_per_code=16.0,
        **more,
    )


def test_recall_of_every_strategy_agrees_with_brute_force(tmp_path):
    codes = clustered(N)
    part = lengths.measure_strategies(codes, keep=tmp_path, rounds=1, calls=1)
    assert sorted(file.name.split("-")[1] for file in tmp_path.iterdir()) == ["hnsw", "ivf"]
    recalls = {(row.case, row.side): row.recall for row in part.rows}
    assert recalls[lengths.FLAT] == recalls["ours", "flat 128"] == recalls[lengths.AUTO] == 1.0

    bare = faiss.IndexBinaryFlat(32)
    database, queries = codes.of(32)
    bare.add(database)
    near = 0
    for call in range(lengths.N_ASKED):
        distances = brute_force_distances(codes, call)
        tenth = sorted(distances.tolist())[9]
        (rows,) = bare.search(queries[call : call + 1], 10)[1]
        near += sum(distances[row] <= tenth for row in rows)
    assert recalls["ours", "flat 32"] == pytest.approx(near / (10 * lengths.N_ASKED))


def test_more_codes_begin_with_the_same_ones():
    few, many = clustered(100), clustered(10_000)
    assert np.array_equal(few.records, many.records[:100])
    assert np.array_equal(few.queries, many.queries)


def test_without_image_data_the_codes_are_clusters_and_say_so(tmp_path):
    codes = make_codes("enlarged", 50, name="cifar10", data=tmp_path, keep=tmp_path)
    assert codes.kind == "clustered"
    assert "no real codes: The data folder lacks cifar10/labels.csv" in codes.how


def test_a_ratio_is_the_median_over_rounds_of_ratios_of_medians():
    base = Turns(seconds=np.array([[1.0, 1.0, 9.0], [2.0, 2.0, 2.0], [4.0, 4.0, 4.0]]))
    side = Turns(seconds=np.array([[3.0, 3.0, 3.0], [2.0, 2.0, 90.0], [20.0, 20.0, 20.0]]))
    assert side.ratio_to(base) == 3.0


def test_sides_take_turns_whose_order_changes_from_round_to_round():
    said = []
    sides = {("x", name): lambda call, name=name: said.append(f"{name}{call}") for name in "ab"}
    turns = take_turns(sides, rounds=2, calls=2)
    assert " ".join(said) == "a0 b0 a0 a1 b0 b1 b2 b3 a2 a3"
    assert turns["x", "a"].seconds.shape == (2, 2)


def test_results_are_read_as_they_were_written_and_a_new_measurement_replaces_the_old_one(tmp_path):
    write(some_part(), tmp_path)
    write(some_part(how="the same again"), tmp_path)
    assert read_all(tmp_path) == [some_part(how="the same again")]


def test_the_page_gives_ratios_first_and_verdicts_by_plain_division():
    text = page([some_part()], command="the command", plotted=False)
    assert (
        "| AUTO at least 3 times as fast as FAISS flat 128 | 1,000 uniform, 128 bits | 4.0 x | yes |" in text
    )
    assert "| case | side | ratio | p50 µs | p99 µs | recall | bytes/code |" in text
    assert (
        "2026-01-01, commit abc, a processor. Codes: some codes. Medians of 1 rounds of 2 calls each" in text
    )


def test_the_picture_has_a_panel_of_time_and_one_of_memory():
    pictures = draw([some_part()])
    assert pictures["png"].startswith(b"\x89PNG")
    assert b"strategies" not in pictures["svg"]
    assert pictures["svg"].count(b'id="axes_') == 2


def test_one_command_measures_in_process_over_grpc_and_writes_the_page(tmp_path, capsys):
    main(
        [
            *("--sizes", "2000", "--kinds", "uniform", "--rounds", "2", "--calls", "2"),
            *("--parts", "filtered", "batch", "table", "stores"),
            *("--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")),
            *("--milvus-python", sys.executable),
        ]
    )
    said = capsys.readouterr().out
    assert "Milvus Lite and LanceDB are left out" in said
    parts = {(part.name, part.bits): part for part in read_all(tmp_path / "out")}
    assert set(parts) == {
        ("table", 16),
        *((name, bits) for name in ("filtered", "batch") for bits in (64, 128)),
    }
    cases = {row.case for row in parts["filtered", 64].rows if row.side == "gRPC"}
    assert cases == {"all", "50 %", "10 %", "1 %", "0.1 %", "1 % by score"}
    assert (tmp_path / "out" / "search.md").read_text(encoding="utf-8") in said


def test_an_interpreter_without_other_stores_has_none():
    assert installed(sys.executable) == {}


def test_a_filled_store_has_one_generation_of_all_images_and_swaps_it_under_load(tmp_path):
    folder = tmp_path / "store"
    fill(folder, 600, progress=lambda *_: None)
    with compose.open_session(folder, purpose="test") as session:
        assert len(session.application.gallery) == 600
        load = swap_under_load(session, threads=1, quiet_s=0.2)
    assert load.errors == []
    assert load.generations == {2, 3}
    assert set(load.stages_s) == {"encoding", "building", "loading"}
    assert load.percentile_ms("before", 50) > 0


@pytest.mark.slow
def test_the_store_benchmark_reports_starts_from_generation_and_sql(tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.store",
        "--images",
        "1000",
        "--rounds",
        "1",
        "--quiet-s",
        "0.2",
    ]
    command += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'proto'}"}
    ran = subprocess.run(  # noqa: S603 - our own command
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "out" / "store-1000.json").read_text(encoding="utf-8"))
    assert [start["images"] for some in found["starts"].values() for start in some] == [1000, 1000]
    assert [some[0]["generation"] for some in found["starts"].values()] == [2, 0]
    assert "errors of searches meanwhile" in ran.stdout
