"""`polyhash search`: hits as compared by hand, a page that stands alone, and clear words for what cannot be searched."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from hashing.layout import CodeLayout
from service.storage.store import Store
from tests.service.command import polyhash, start_polyhash, write_pictures

COUNT = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_pictures(folder, COUNT)
    write_pictures(folder / "<i>new", 1, seed=4)
    return folder


@pytest.fixture(scope="module")
def store(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "store"
    assert polyhash("index", photos, "--store", folder, "--lengths", "16,64").status == 0
    return folder


@pytest.fixture(scope="module")
def codes(store):
    """The stored codes of 16 and of 64 bits by image id."""
    with Store.open(store, purpose="test", writable=False) as opened:
        (hasher,) = (m for m in opened.catalog.models() if m.kind.value == "hasher")
        (chunk,) = opened.catalog.records(hasher=hasher.identity)
    parts = CodeLayout((16, 64)).record_slices
    return {
        bits: dict(zip(chunk.image_ids.tolist(), chunk.records[:, parts[bits]], strict=True))
        for bits in (16, 64)
    }


def by_hand(code, codes, *, without=None):
    """Return (distance, id) of all images, from the definition."""
    return sorted(
        (int(np.unpackbits(code ^ other).sum()), image_id)
        for image_id, other in codes.items()
        if image_id != without
    )


def hits(document):
    return [(hit["distance"], hit["image_id"]) for hit in document["hits"]]


def search(store, *arguments):
    done = polyhash("search", *arguments, "--store", store, "--json")
    assert (done.status, done.err) == (0, "")
    return done.document


@pytest.mark.parametrize("bits", [16, 64])
def test_a_picture_finds_itself_first_and_the_others_by_distance(photos, store, codes, bits):
    for image_id in (1, 5):  # 000.png and 004.png, ids ascend in the order of the folder
        (row,) = (
            hit
            for hit in search(store, photos / f"{image_id - 1:03d}.png", "--bits", bits)["hits"]
            if hit["image_id"] == image_id
        )
        assert (row["distance"], row["name"]) == (0, f"{image_id - 1:03d}.png")
        found = search(store, photos / f"{image_id - 1:03d}.png", "--bits", bits, "-k", 99)
        assert hits(found) == by_hand(codes[bits][image_id], codes[bits])
        assert found["code"] == codes[bits][image_id].tobytes().hex()


def test_an_image_by_id_is_left_out_of_its_answer(store, codes):
    found = search(store, "3", "-k", 99)
    assert found["bits"] == 64
    assert hits(found) == by_hand(codes[64][3], codes[64], without=3)
    assert [hit["rank"] for hit in found["hits"]] == list(range(1, COUNT + 1))


def test_k_and_the_largest_distance_cut_the_answer(store, codes):
    expected = by_hand(codes[64][3], codes[64], without=3)
    assert hits(search(store, "3", "-k", 4)) == expected[:4]
    limit = expected[5][0]
    assert hits(search(store, "3", "-k", 99, "--max-distance", limit)) == [
        pair for pair in expected if pair[0] <= limit
    ]
    assert search(store, "3", "--max-distance", 0)["hits"] == [
        hit for hit in search(store, "3", "-k", 99)["hits"] if hit["distance"] == 0
    ]


def test_a_file_wins_over_an_id_of_that_name(photos, store, tmp_path, monkeypatch):
    (tmp_path / "3").write_bytes((photos / "007.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert (0, 8) in hits(search(store, "3"))


def test_the_table_shows_rank_distance_labels_and_name(store):
    done = polyhash("search", "1", "--store", store, "-k", 99)
    assert (done.status, done.err) == (0, "")
    title, headings, *lines = done.out.splitlines()
    assert title == f"{COUNT} hits at 64 bits"
    assert headings.split() == ["rank", "distance", "id", "labels", "name"]
    assert len(lines) == COUNT
    assert any(line.endswith("<i>new/000.png") for line in (line.rstrip() for line in lines))


def test_the_page_stands_alone_and_shows_query_and_hits(photos, store, tmp_path):
    page = tmp_path / "hits.html"
    done = polyhash("search", photos / "001.png", "--store", store, "-k", 99, "--html", page)
    assert done.status == 0
    assert done.err == f"Contact sheet: {page}\n"
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|(src|href)\s*=\s*[\"']?(?!data:)\w|url\(", text)
    pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)
    assert len(pictures) == 1 + COUNT + 1
    for jpeg in pictures:
        assert max(Image.open(BytesIO(base64.b64decode(jpeg))).size) <= 240
    for hit in search(store, photos / "001.png", "-k", 99)["hits"]:
        assert hit["name"].replace("<", "&lt;").replace(">", "&gt;") in text
    assert "<i>new" not in text


def test_the_page_of_an_id_shows_that_image_and_what_is_gone_is_told(store, photos, tmp_path):
    lost = photos / "010.png"
    content = lost.read_bytes()
    lost.unlink()
    try:
        done = polyhash("search", "1", "--store", store, "-k", 99, "--html", tmp_path / "page.html")
    finally:
        lost.write_bytes(content)
    assert done.status == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == COUNT
    assert "is gone from where it was indexed" in text


def one_sentence(done):
    """Check that a command failed with one line on standard error only; returns it."""
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("polyhash: ")
    assert done.err.count("\n") == 1
    assert done.err.endswith(".\n")
    return done.err


def test_a_page_that_cannot_be_written_is_told(store, tmp_path):
    missing = tmp_path / "none" / "page.html"
    done = polyhash("search", "1", "--store", store, "--html", missing)
    assert one_sentence(done) == f"polyhash: {missing}: No such file or directory.\n"
    assert "Is a directory" in one_sentence(polyhash("search", "1", "--store", store, "--html", tmp_path))


def test_a_page_from_before_outlives_a_search_that_fails(store, tmp_path):
    (tmp_path / "page.html").write_text("from before")
    polyhash("search", "99", "--store", store, "--html", tmp_path / "page.html")
    polyhash("search", "99", "--store", store, "--html", tmp_path / "other.html")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"page.html": "from before"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["99"], "No image 99 with a code in the gallery"),
        (["0"], "No image 0 with a code in the gallery"),
        ([str(2**63 - 1)], f"No image {2**63 - 1} with a code"),
        ([str(2**63)], "is neither an image file nor the id of an image"),
        (["none.jpg"], "none.jpg is neither an image file nor the id of an image"),
        (["x" * 300], "File name too long"),
        (["1", "--bits", "32"], "codes of 16, 64 bits, got bits = 32"),
        (["1", "-k", "0"], "k must be from 1 to 10000, got 0"),
        (["1", "--max-distance", "-1"], "max_distance must be 0 or more bits, got -1"),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_sentence(store, arguments, words):
    assert words in one_sentence(polyhash("search", *arguments, "--store", store))


def test_a_query_that_is_no_picture_is_told(store, tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    assert "they look like text" in one_sentence(polyhash("search", tmp_path / "text.jpg", "--store", store))


def test_a_missing_or_uncoded_store_is_told(photos, tmp_path):
    assert "Make one with `polyhash index SET --store" in one_sentence(
        polyhash("search", "1", "--store", tmp_path / "none")
    )
    (tmp_path / "empty").mkdir()
    polyhash("index", tmp_path / "empty", "--store", tmp_path / "store")
    assert "no hasher yet" in one_sentence(
        polyhash("search", photos / "000.png", "--store", tmp_path / "store")
    )


def test_searching_leaves_the_store_to_its_writer(store):
    with Store.create_or_open(store, purpose="test"):
        assert len(search(store, "1")["hits"]) == 10


def test_a_reader_that_goes_away_is_met_without_a_word(store):
    with start_polyhash("search", "1", "--store", store, "--json") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
