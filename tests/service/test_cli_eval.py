"""`polyhash eval hashing` on a small rendered gallery: figures as JSON, as a picture and as a table."""

import json
from itertools import product

import pytest

from service.scenes.gallery import write_gallery
from service.vision.descriptor import DescriptorBackbone
from tests.service.command import polyhash

METHODS = ("jmh", "lsh")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_gallery(folder, 8, size_px=96, categories=("beach", "city", "forest"))
    return folder


def evaluate(scenes, *arguments):
    return polyhash(
        *("eval", "hashing", "--train", f"{scenes}:train", "--database", f"{scenes}:train"),
        *("--query", f"{scenes}:query", "--lengths", "32,16", "--methods", ",".join(METHODS)),
        *arguments,
    )


def test_json_has_a_row_for_every_method_length_and_seed_and_says_where_it_comes_from(scenes):
    done = evaluate(scenes, "--seeds", "2", "--json", "-")
    assert (done.status, done.err) == (0, "")
    document = done.document
    assert set(document) == {"command", "commit", "date", "hardware", "results"}
    assert document["command"].startswith("polyhash eval hashing --train ")
    rows = document["results"]
    assert [(row["method"], row["bits"], row["seed"]) for row in rows] == [
        ("cosine", 0, 0),
        ("chance", 0, 0),
        *((method, bits, seed) for seed, method, bits in product(range(2), METHODS, (16, 32))),
    ]
    for row in rows:
        assert set(row) == {"method", "bits", "seed", "map", "precision_at_10", "fit_s", "encode_s"}
        assert 0 < row["map"] <= 1
        assert 0 < row["precision_at_10"] <= 1
    figures = {(row["method"], row["seed"], row["bits"]): row["map"] for row in rows}
    # 18 images, 6 relevant: random order expects H(18)-style 0.39; learned codes must do better
    assert figures["chance", 0, 0] < 0.5 < figures["jmh", 0, 32]


def test_the_figures_are_the_same_each_time(scenes):
    kept = [
        {key: value for key, value in row.items() if not key.endswith("_s")}
        for _ in range(2)
        for row in evaluate(scenes, "--seeds", "1", "--json", "-").document["results"]
    ]
    assert kept[: len(kept) // 2] == kept[len(kept) // 2 :]


def test_files_and_table_are_written(scenes, tmp_path):
    done = evaluate(scenes, "--seeds", "1", "--json", tmp_path / "f.json", "--plot", tmp_path / "p.png")
    assert done.status == 0
    assert len(json.loads((tmp_path / "f.json").read_text())["results"]) == 6
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    title, headings, *lines = done.out.splitlines()
    assert title.endswith(":train, descriptor")
    assert headings.split() == ["method", "bits", "mAP", "+-", "P@10", "seeds"]
    assert [line.split()[0] for line in lines] == ["cosine", "chance", "jmh", "jmh", "lsh", "lsh"]


def test_kept_embeddings_are_not_computed_again(scenes, tmp_path, monkeypatch):
    first = evaluate(scenes, "--seeds", "1", "--json", "-", "--cache", tmp_path / "cache")

    def computed(*_):
        raise AssertionError("embedded again")

    monkeypatch.setattr(DescriptorBackbone, "extract", computed)
    second = evaluate(scenes, "--seeds", "1", "--json", "-", "--cache", tmp_path / "cache")
    assert [row["map"] for row in second.document["results"]] == [
        row["map"] for row in first.document["results"]
    ]


def test_images_in_both_sets_and_bad_ones_are_told(scenes, tmp_path):
    folder = tmp_path / "set"
    for number, label in enumerate("ab" * 3):
        (folder / label).mkdir(parents=True, exist_ok=True)
        source = sorted(scenes.glob("*/*.jpg"))[number]
        (folder / label / source.name).write_bytes(source.read_bytes())
    (folder / "a" / "bad.jpg").write_bytes(b"")
    done = polyhash(
        *("eval", "hashing", "--train", folder, "--database", folder, "--query", folder),
        *("--methods", "lsh", "--lengths", "8", "--seeds", "1"),
    )
    assert done.status == 0
    assert done.err.splitlines() == [
        "polyhash: skipped a/bad.jpg: The image is empty: it has no bytes.",
        "6 images stand in both query and database; figures are higher for it.",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--methods", "jmh,magic"], 1, "There is no hashing method 'magic'. Choose from jmh"),
        (["--query", "/nowhere"], 1, "Image set '/nowhere' does not exist"),
        (["--label", "colour"], 1, "has no label column 'colour'"),
        (["--json", "/nowhere/f.json"], 1, "/nowhere/f.json: No such file or directory."),
        (["--plot", "/nowhere/p.png"], 1, "/nowhere/p.png: No such file or directory."),
        (["--backbone", "/nowhere"], 1, "/nowhere"),
        (["--lengths", "9"], 2, "multiples of 8"),
        (["--seeds", "0"], 2, "seeds"),
    ],
)
def test_mistakes_are_told_without_a_figure(scenes, arguments, status, words):
    done = evaluate(scenes, *arguments)
    assert (done.status, done.out) == (status, "")
    assert words in done.err
    if status == 1:
        assert done.err.startswith("polyhash: ")
        assert done.err.count("\n") == 1


def test_queries_without_a_relevant_image_are_told(scenes, tmp_path):
    other = tmp_path / "other" / "unheard"
    other.mkdir(parents=True)
    (other / "one.jpg").write_bytes(next(scenes.glob("beach/*.jpg")).read_bytes())
    done = evaluate(scenes, "--query", other.parent, "--seeds", "1")
    assert (done.status, done.out) == (1, "")
    assert "None of the 1 queries shares a label with any of the 18 images" in done.err
