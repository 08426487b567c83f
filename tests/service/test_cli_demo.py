"""`polyhash demo` from pictures to page through real gRPC, on a small gallery."""

import csv
import re
from functools import partial

import pytest

from service.cli import demo
from service.scenes import gallery
from tests.service.command import polyhash, write_pictures


@pytest.fixture
def small(monkeypatch):
    """Make the rendered gallery small: two categories, five scenes of each, under a third of the conditions."""
    monkeypatch.setattr(demo, "SCENES_PER_CATEGORY", 5)
    monkeypatch.setattr(
        gallery, "write_gallery", partial(gallery.write_gallery, size_px=96, categories=("beach", "harbour"))
    )


def precision(folder, *, bits):
    """Return the share of hits with the query's label, over searches of the command line instead of the server."""
    shares = []
    with (folder / "scenes" / "labels.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            if row["split"] == "query":
                done = polyhash(
                    *("search", folder / "scenes" / row["file"], "--store", folder / "store"),
                    *("--bits", bits, "-k", 10, "--json"),
                )
                hits = done.document["hits"]
                shares.append(sum(hit["labels"] == [row["label"]] for hit in hits) / len(hits))
    return sum(shares) / len(shares)


@pytest.mark.usefixtures("small")
def test_scenes_are_rendered_searched_and_shown_and_a_second_run_goes_on(tmp_path):
    done = polyhash("demo", "--out", tmp_path / "demo", "--json")
    assert done.status == 0, done.err
    report = done.document
    rendered = sum(1 for _ in (tmp_path / "demo" / "scenes").glob("*/*.jpg"))
    assert report["images"] + report["queries"] == rendered
    assert report["skipped"] == 0
    assert list(report["precision_at_10"]) == ["16", "32", "64", "128"]
    assert report["precision_at_10"]["16"] == pytest.approx(precision(tmp_path / "demo", bits=16))
    assert re.search(rf"Serving {report['images']} images on 127.0.0.1:\d+", done.err)
    page = tmp_path / "demo" / "index.html"
    assert report["page"] == str(page)
    text = page.read_text(encoding="utf-8")
    shown = min(demo.SHOWN_QUERIES, report["queries"])
    assert text.count("data:image/jpeg;base64,") == shown * (1 + demo.SHOWN_HITS)
    assert "harbour" in text
    again = polyhash("demo", "--out", tmp_path / "demo", "--json").document
    assert again == report


def test_own_unlabelled_pictures_are_shown_without_a_precision(tmp_path):
    write_pictures(tmp_path / "mine", 15)
    (tmp_path / "mine" / "notes.txt").write_text("hello")
    done = polyhash("demo", "--photos", tmp_path / "mine", "--out", tmp_path / "demo", "--json")
    assert done.status == 0, done.err
    report = done.document
    assert (report["images"], report["skipped"], report["queries"]) == (15, 1, demo.SHOWN_QUERIES)
    assert set(report["precision_at_10"].values()) == {None}
    text = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == demo.SHOWN_QUERIES * (1 + demo.SHOWN_HITS)
    spoken = polyhash("demo", "--photos", tmp_path / "mine", "--out", tmp_path / "demo")
    assert f"Look at {tmp_path / 'demo' / 'index.html'}" in spoken.out
    assert re.search(r"^ *16 +- +2\s*$", spoken.out, flags=re.MULTILINE)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_own_pictures_are_told(tmp_path, count):
    write_pictures(tmp_path / "mine", count)
    done = polyhash("demo", "--photos", tmp_path / "mine", "--out", tmp_path / "demo")
    assert (done.status, done.out) == (1, "")
    assert "polyhash: The demo has nothing to search" in done.err


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    done = polyhash("demo", "--out", tmp_path / "file" / "demo")
    assert (done.status, done.out) == (1, "")
    assert done.err == f"polyhash: {tmp_path / 'file' / 'demo'}: Not a directory.\n"
