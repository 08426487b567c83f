"""`polyhash eval hashing` on a small rendered gallery: figures as JSON, as a picture and as a table."""

import json
import re
from itertools import product

import numpy as np
import pytest

from hashing.methods import HASHING_METHODS
from hashing.peers.lsh import LSHHasher
from service.scenes.gallery import write_gallery
from service.usecases.protocols import Setting
from service.vision.encoder.backbone import EncoderBackbone
from tests.service.command import ROOT, polyhash, unfolded

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
    assert set(document) == {"command", "commit", "date", "hardware", "results", "failures"}
    assert document["failures"] == []
    assert document["command"].startswith("polyhash eval hashing --train ")
    rows = document["results"]
    assert [(row["method"], row["bits"], row["seed"]) for row in rows] == [
        ("cosine", 0, 0),
        ("chance", 0, 0),
        *((method, bits, seed) for seed, method, bits in product(range(2), METHODS, (16, 32))),
    ]
    for row in rows:
        assert set(row) == {
            *("setting", "method", "scoring", "bits", "seed", "map", "precision_at_10"),
            *("recall_at_100", "precision_radius_2", "fit_s", "encode_s"),
        }
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
    files = ("--json", tmp_path / "f.json", "--plot", tmp_path / "p.png", "--plot-pr", tmp_path / "pr.png")
    done = evaluate(scenes, "--seeds", "1", *files)
    assert done.status == 0
    assert len(json.loads((tmp_path / "f.json").read_text())["results"]) == 6
    for name in ("p.png", "pr.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    title, headings, *lines = done.out.splitlines()
    assert title.endswith(":train, polyhash-encoder")
    assert headings.split() == [
        *("setting", "method", "scoring", "bits", "mAP", "+-", "P@10", "R@100", "P", "radius", "2", "seeds")
    ]
    assert [line.split()[1] for line in lines] == ["cosine", "chance", "jmh", "jmh", "lsh", "lsh"]


def test_kept_embeddings_are_not_computed_again(scenes, tmp_path, monkeypatch):
    first = evaluate(scenes, "--seeds", "1", "--json", "-", "--cache", tmp_path / "cache")

    def computed(*_):
        raise AssertionError("embedded again")

    monkeypatch.setattr(EncoderBackbone, "extract", computed)
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
        (["--settings", "clean,dirty"], 2, "Settings are some of"),
        (["--settings", "unseen"], 1, "Unseen classes need at least 4 classes"),
        (["--settings", "clean,unseen"], 1, "Unseen classes need at least 4 classes"),
        (["--baseline", "itq"], 2, "got 'itq' of jmh, lsh"),
        (["--baseline", ""], 2, "got '' of jmh, lsh"),
        (["--methods", "lsh", "--baseline", "lsh"], 2, "one of several --methods"),
        (["--noise", "0"], 2, "above 0 and below 1, got 0"),
        (["--labelled", "1"], 2, "above 0 and below 1, got 1"),
        (["--unseen", "nan"], 2, "above 0 and below 1, got nan"),
        (["--plot", "-"], 2, "Give the name of a file"),
        (["--plot-pr", "-"], 2, "Give the name of a file"),
        (["--holdout", "0.5"], 2, "Give either --query SET or --holdout SHARE"),
        (["--seeds", "0"], 2, "seeds"),
    ],
)
def test_mistakes_are_told_without_a_figure(scenes, arguments, status, words):
    done = evaluate(scenes, *arguments)
    assert (done.status, done.out) == (status, "")
    assert words in unfolded(done.err)
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


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Return a folder of five blobs of features, those of a query apart by split."""
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    classes = np.arange(100) % 5
    centres = rng.normal(size=(5, 12))
    np.savez(
        folder / "features.npz",
        features=(centres[classes] + 0.3 * rng.normal(size=(100, 12))).astype(np.float32),
        labels=classes,
        label_names=np.array([*"abcde"]),
        split=np.where(rng.random(100) < 0.2, "query", "train"),
    )
    return folder


def of_features(folder, *arguments):
    return polyhash(
        *("eval", "hashing", "--methods", "codebook,lsh", "--lengths", "8,16", "--seeds", "2"),
        *("--train", folder, *arguments),
    )


def test_features_are_measured_in_every_setting_without_a_backbone(features):
    split = (f"{features}:train", "--query", f"{features}:query")
    done = of_features(*split, "--settings", "clean,noise,few,unseen", "--asymmetric", "--json", "-")
    assert (done.status, done.err) == (0, "")
    rows = done.document["results"]
    per_fit = 2 * 2 * 2 * 2  # methods, lengths, seeds, scorings
    assert [sum(row["setting"] == name for row in rows) for name in ("clean", "noise", "few", "unseen")] == [
        *(per_fit + 2, per_fit + 2, per_fit + 2, per_fit + 4)
    ]
    best = {row["method"]: row["map"] for row in rows if (row["setting"], row["bits"]) == ("clean", 16)}
    assert best["codebook"] > 0.9


def test_shares_change_the_settings(features):
    split = (
        f"{features}:train",
        "--query",
        f"{features}:query",
        "--json",
        "-",
        "--settings",
        "noise,few,unseen",
    )
    usual, other = (
        of_features(*split, *shares).document["results"]
        for shares in ((), ("--noise", "0.8", "--labelled", "0.9", "--unseen", "0.6"))
    )
    for setting in ("noise", "few", "unseen"):
        one, two = (
            [row["map"] for row in rows if (row["setting"], row["method"]) == (setting, "codebook")]
            for rows in (usual, other)
        )
        assert one != two


def test_a_share_of_the_database_can_be_held_out_as_queries(features):
    done = of_features(features, "--holdout", "0.25", "--backbone", "descriptor")
    assert done.status == 0
    assert done.err.splitlines() == ["The sets hold features, so --backbone is not used."]
    assert done.out.splitlines()[0] == f"25 % of {features.name} against the rest, features"


@pytest.mark.parametrize("share", ["0", "1", "1.5", "nan"])
def test_a_share_that_leaves_one_side_empty_is_wrong_usage(features, share):
    done = of_features(features, "--holdout", share)
    assert (done.status, "must be above 0 and below 1, got" in done.err) == (2, True)


def test_what_a_later_setting_lacks_is_told_before_any_fit(scenes, monkeypatch):
    def fitted(*_):
        raise AssertionError("fitted in vain")

    monkeypatch.setattr(LSHHasher, "fit", fitted)
    done = evaluate(scenes, "--methods", "lsh", "--settings", "clean,unseen")
    assert (done.status, "Unseen classes need at least 4 classes" in done.err) == (1, True)


def test_pictures_without_labels_cannot_be_measured(scenes, tmp_path):
    for source in sorted(scenes.glob("beach/*.jpg")):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    done = polyhash("eval", "hashing", "--train", tmp_path, "--holdout", "0.5")
    assert (done.status, done.out) == (1, "")
    assert f"none of the 8 images of '{tmp_path}' has one. Give a folder of class subfolders" in done.err


def test_spaces_after_commas_are_no_mistake(features):
    done = of_features(
        *(features, "--holdout", "0.25", "--methods", "codebook, lsh"),
        *("--lengths", "8, 16", "--settings", "clean, few", "--json", "-"),
    )
    assert done.status == 0
    assert {row["method"] for row in done.document["results"]} >= {"codebook", "lsh"}


def test_training_on_held_out_queries_is_told(features):
    done = of_features(f"{features}:train", "--database", features, "--holdout", "0.25")
    assert done.status == 0
    assert "images stand in both training and database, so queries may be trained on." in done.err


def test_training_on_queries_is_told(features):
    done = of_features(features, "--database", f"{features}:train", "--query", f"{features}:query")
    assert done.status == 0
    assert "images stand in both query and training; figures are higher for it." in done.err


def test_methods_are_compared_in_pairs_with_the_baseline(features):
    done = of_features(features, "--holdout", "0.25", "--baseline", "lsh")
    lines = done.out.splitlines()
    at = lines.index("Above lsh, in pairs over seeds, with 95 % intervals")
    assert lines[at + 1].split() == ["setting", "method", "scoring", "bits", "mAP", "from", "to", "above"]
    assert [line.split()[3] for line in lines[at + 2 :]] == ["8", "16", "all"]
    assert all(line.split()[4].startswith("+0.") for line in lines[at + 2 :])
    assert all(line.endswith("2/2") for line in lines[at + 2 :])


def test_a_method_that_fails_leaves_the_figures_of_the_others(features, tmp_path):
    options = ("--holdout", "0.25", "--methods", "scdh,lsh", "--lengths", "8", "--settings", "clean,few")
    files = ("--json", tmp_path / "f.json", "--plot", tmp_path / "p.png", "--plot-pr", tmp_path / "pr.png")
    done = of_features(features, *options, *files, "--baseline", "scdh")
    assert done.status == 0
    told = done.err.splitlines()
    assert [line.split(": Codes of SCDHHasher")[0] for line in told] == [
        *("polyhash: scdh failed (few, seed 0)", "polyhash: scdh failed (few, seed 1)")
    ]
    document = json.loads((tmp_path / "f.json").read_text())
    assert [(f["setting"], f["method"], f["seed"]) for f in document["failures"]] == [
        *(("few", "scdh", 0), ("few", "scdh", 1))
    ]
    assert "more labelled samples than bits" in document["failures"][0]["reason"]
    measured = {(row["setting"], row["method"]) for row in document["results"] if row["bits"]}
    assert measured == {("clean", "scdh"), ("clean", "lsh"), ("few", "lsh")}
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("p.png", "pr.png"))
    lines = done.out.splitlines()
    compared = lines[lines.index("Above scdh, in pairs over seeds, with 95 % intervals") + 2 :]
    assert [line.split()[:2] for line in compared] == [["clean", "lsh"]]


def test_a_setting_without_any_figure_is_a_failure(features, tmp_path):
    options = ("--holdout", "0.25", "--methods", "scdh", "--lengths", "8")
    partly = of_features(features, *options, "--settings", "clean,few", "--json", "-")
    assert partly.status == 1
    assert {row["setting"] for row in partly.document["results"] if row["bits"]} == {"clean"}
    files = ("--plot", tmp_path / "p.png", "--plot-pr", tmp_path / "pr.png")
    alone = ("--settings", "few", "--methods", "scdh,lsh", "--baseline", "scdh")
    uncompared = of_features(features, *options, *alone)
    assert (uncompared.status, "Above scdh" in uncompared.out) == (0, False)
    assert "No other method was measured where scdh was, so there is nothing to compare." in uncompared.err
    nothing = of_features(features, *options, "--settings", "few", *files)
    assert (nothing.status, list(tmp_path.iterdir())) == (1, [])
    assert nothing.err.endswith("No method was measured, so there is nothing to plot.\n")


def test_features_and_pictures_cannot_be_mixed(features, scenes):
    done = of_features(features, "--query", f"{scenes}:query")
    assert (done.status, done.out) == (1, "")
    assert "holds features and" in done.err
    assert "Give sets of one kind." in done.err


def test_features_have_no_label_columns_and_one_width(features, tmp_path):
    done = of_features(features, "--holdout", "0.2", "--label", "colour")
    assert (done.status, "Leave --label out" in done.err) == (1, True)
    np.savez(
        tmp_path / "features.npz",
        features=np.zeros((2, 3)),
        labels=np.eye(2),
        label_names=np.array(["a", "b"]),
    )
    done = of_features(features, "--query", tmp_path)
    assert (done.status, "Features of different width cannot be compared: 12 of" in done.err) == (1, True)


def test_neither_queries_nor_a_share_of_them_is_wrong_usage(features):
    done = of_features(features)
    assert (done.status, "Give either --query SET or --holdout SHARE" in done.err) == (2, True)


def test_the_help_names_every_method():
    done = polyhash("eval", "hashing", "--help")
    assert done.status == 0
    assert all(name in done.out for name in HASHING_METHODS)


def test_the_readme_names_every_method_setting_and_option():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in HASHING_METHODS if f"`{name}`" not in readme] == []
    assert [setting.value for setting in Setting if f"`{setting.value}`" not in readme] == []
    for command in ("eval", "train"):
        done = polyhash(command, "hashing" if command == "eval" else "hasher", "--help")
        options = set(re.findall(r"^│ +(?:\* +)?(--[a-z-]+)", done.out, re.MULTILINE)) - {"--help"}
        assert len(options) > 10
        assert sorted(option for option in options if option not in readme) == []
