"""`polyhash index` and `stats`: what is taken, what is named and skipped, and what a run leaves when it is cut short."""

import json
import signal
import sqlite3
import time
import zlib
from contextlib import closing
from io import BytesIO
from struct import pack

import numpy as np
import pytest
from PIL import Image

from service.storage.database import open_database
from service.storage.store import Store
from tests.service.command import polyhash, start_polyhash, write_pictures

LONG_NAME = "n" * 196 + ".png"  # 200 characters
ODD_NAME = "ü 名前\u2028#%&?.png"


def picture(*, seed=0, size=(48, 36)):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def encoded(image, kind, **more):
    buffer = BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def bomb():
    """Return a PNG whose header promises 30,000 x 30,000 pixels."""
    chunks = (b"IHDR" + pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0), b"IDAT", b"IEND")
    body = b"".join(pack(">I", len(c) - 4) + c + pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def turned():
    """Return a JPEG of 48 x 36 stored pixels that is to be shown turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(seed=1), "JPEG", exif=exif)


GOOD = {
    "cmyk.jpg": encoded(picture(seed=2).convert("CMYK"), "JPEG"),
    "deep.png": encoded(Image.fromarray(np.arange(48 * 36, dtype=np.uint16).reshape(36, 48) * 37), "PNG"),
    "palette.png": encoded(picture(seed=3).quantize(16), "PNG"),
    "alpha.png": encoded(picture(seed=4).convert("RGBA"), "PNG"),
    "animated.gif": encoded(
        picture(seed=5), "GIF", save_all=True, append_images=[picture(seed=6), picture(seed=7)]
    ),
    "turned.jpg": turned(),
    LONG_NAME: encoded(picture(seed=8), "PNG"),
    ODD_NAME: encoded(picture(seed=9), "PNG"),
}
BAD = {
    "README": (b"These are my pictures.\n", "they look like text", "IMAGE_UNREADABLE"),
    "bomb.png": (bomb(), "is 30000 x 30000 pixels, the limit is", "IMAGE_TOO_LARGE"),
    "cut.jpg": (encoded(picture(), "JPEG")[:600], "truncated or corrupt", "IMAGE_UNREADABLE"),
    "cut.png": (encoded(picture(), "PNG")[:600], "truncated or corrupt", "IMAGE_UNREADABLE"),
    "empty.jpg": (b"", "is empty", "IMAGE_UNREADABLE"),
    "line\nbreak.jpg": (b"no", "they look like text", "IMAGE_UNREADABLE"),
    "text.jpg": (b"hello", "they look like text", "IMAGE_UNREADABLE"),
}


@pytest.fixture
def mixed(tmp_path):
    """A folder of odd but good pictures and of every kind of bad one."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name, content in GOOD.items():
        (folder / name).write_bytes(content)
    for name, (content, _, _) in BAD.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def photos(tmp_path):
    write_pictures(tmp_path / "photos", 6)
    return tmp_path / "photos"


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def images_of(store):
    with Store.open(store, purpose="test", writable=False) as opened:
        return opened.catalog.list_images(after_id=0, limit=10_000)


def test_bad_files_are_named_with_their_reason_and_the_others_are_taken(mixed, store):
    done = polyhash("index", mixed, "--store", store, "--lengths", "16,32", "--json")
    assert done.status == 0
    report = done.document
    assert (report["added"], report["known"], report["images"]) == (len(GOOD), 0, len(GOOD))
    assert report["lengths"] == [16, 32]
    assert report["hasher"].startswith("joint@")
    assert report["backbone"].startswith("polyhash-encoder@")
    assert report["sequence"] == len(GOOD)
    assert {skip["name"]: skip["reason"] for skip in report["skipped"]} == {
        name: reason for name, (_, _, reason) in BAD.items()
    }
    complaints = [line for line in done.err.split("\n") if line]
    assert len(complaints) == len(BAD)
    for name, (_, words, _) in BAD.items():
        (line,) = (c for c in complaints if c.startswith(f"polyhash: skipped {name.replace(chr(10), '␊')}: "))
        assert words in line


def test_odd_pictures_are_kept_as_what_they_are(mixed, store):
    polyhash("index", mixed, "--store", store)
    rows = {row.name: row for row in images_of(store)}
    assert set(rows) == set(GOOD)
    assert {rows[name].format for name in GOOD} == {"JPEG", "PNG", "GIF"}
    assert (rows["turned.jpg"].width, rows["turned.jpg"].height) == (36, 48)
    assert (rows["cmyk.jpg"].width, rows["cmyk.jpg"].height) == (48, 36)


def test_text_output_counts_new_known_and_skipped(mixed, store):
    done = polyhash("index", mixed, "--store", store)
    assert f"Added {len(GOOD)} images in " in done.out
    assert f"0 were there already, {len(BAD)} skipped." in done.out
    assert f"The gallery holds {len(GOOD)} images with codes of 16, 32, 64, 128 bits." in done.out
    again = polyhash("index", mixed, "--store", store)
    assert again.status == 0
    assert f"Added 0 images in 0.{again.out.partition(' in 0.')[2][0]} s, {len(GOOD)} were" in again.out


def test_when_all_images_are_bad_the_status_says_so(tmp_path, store):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "empty.jpg").write_bytes(b"")
    done = polyhash("index", tmp_path / "bad", "--store", store, "--json")
    assert (done.status, done.document["added"], len(done.document["skipped"])) == (1, 0, 1)


def test_an_empty_folder_is_no_failure(tmp_path, store):
    (tmp_path / "none").mkdir()
    done = polyhash("index", tmp_path / "none", "--store", store, "--json")
    assert (done.status, done.document["images"], done.document["lengths"]) == (0, 0, [])


def test_one_image_waits_for_others_to_learn_codes_with(tmp_path, store, photos):
    write_pictures(tmp_path / "one", 1, seed=5)
    done = polyhash("index", tmp_path / "one", "--store", store, "--json")
    assert (done.status, done.document["images"], done.document["lengths"]) == (0, 1, [])
    assert "No codes yet: they are learned from 2 images on" in done.err
    more = polyhash("index", photos, "--store", store, "--json").document
    assert (more["added"], more["images"], more["lengths"]) == (6, 7, [16, 32, 64, 128])


def test_copies_are_kept_on_demand(photos, store):
    assert polyhash("index", photos, "--store", store, "--copy").status == 0
    assert all(row.stored for row in images_of(store))
    assert sum(path.is_file() for path in (store / "originals").rglob("*")) == 6


def test_labels_come_from_the_chosen_column_and_splits_select(photos, store):
    lines = ["file,label,mood,split"] + [
        f"{n:03d}.png,x,{'calm' if n % 2 else 'wild'},{'train' if n < 4 else 'query'}" for n in range(6)
    ]
    (photos / "labels.csv").write_text("\n".join(lines))
    polyhash("index", f"{photos}:train", "--store", store, "--label", "mood")
    stats = polyhash("stats", "--store", store, "--json").document
    assert stats["labels"] == {"calm": 2, "wild": 2}
    assert {row.attributes["label"] for row in images_of(store)} == {"x"}
    missing = polyhash("index", photos, "--store", store, "--label", "colour")
    assert (missing.status, missing.out) == (1, "")
    assert "has no label column 'colour'. Columns there are: label, mood, split" in missing.err


def test_stats_say_what_a_store_holds(photos, store):
    polyhash("index", photos, "--store", store, "--lengths", "24")
    done = polyhash("stats", "--store", store)
    assert done.status == 0
    for words in ("code records", "polyhash-encoder@", "joint@", "Labels"):
        assert words in done.out
    document = polyhash("stats", "--store", store, "--json").document
    assert (document["images"], document["code_records"], document["last_sequence"]) == (6, 6, 6)


def test_lengths_that_the_stores_hasher_lacks_are_refused_before_any_work(photos, store, tmp_path):
    polyhash("index", photos, "--store", store, "--lengths", "16")
    write_pictures(tmp_path / "more", 2, seed=9)
    refused = polyhash("index", tmp_path / "more", "--store", store, "--lengths", "32,8")
    assert refused.status == 1
    assert "The store has codes of 16 bits, --lengths asks for 8,32. Leave it out" in refused.err
    assert len(images_of(store)) == 6
    assert polyhash("index", photos, "--store", store, "--lengths", "16").status == 0


@pytest.mark.parametrize(
    ("lengths", "words"),
    [("16,x", "whole numbers separated by commas"), ("12", "multiples of 8"), ("16,16", "must differ")],
)
def test_lengths_that_no_code_can_have_are_wrong_usage(photos, store, lengths, words):
    done = polyhash("index", photos, "--store", store, "--lengths", lengths)
    assert (done.status, done.out, store.exists()) == (2, "", False)
    assert words in " ".join(done.err.replace("│", " ").split())


def one_sentence(done):
    """Check that a command failed with one line on standard error only; returns it."""
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("polyhash: ")
    assert done.err.count("\n") == 1
    assert done.err.endswith(".\n")
    return done.err


def test_a_missing_set_is_told(tmp_path, store):
    assert "does not exist. Give a folder" in one_sentence(
        polyhash("index", tmp_path / "no", "--store", store)
    )
    assert not store.exists()


def test_a_file_is_no_set(photos, store):
    assert "is no folder" in one_sentence(polyhash("index", photos / "000.png", "--store", store))


def test_a_store_path_that_is_a_file_or_a_foreign_folder_is_refused(photos, tmp_path):
    assert "is a file; a store is a folder" in one_sentence(
        polyhash("index", photos, "--store", photos / "000.png")
    )
    assert "is no store and not empty" in one_sentence(polyhash("index", photos, "--store", photos))
    assert sorted(path.name for path in photos.iterdir()) == [f"{n:03d}.png" for n in range(6)]
    assert "is no polyhash store" in one_sentence(polyhash("stats", "--store", tmp_path))


def test_a_store_of_another_format_is_refused(photos, store):
    polyhash("index", photos, "--store", store)
    card = json.loads((store / "polyhash.json").read_text())
    (store / "polyhash.json").write_text(json.dumps(card | {"format_version": 9}))
    for command in (("index", photos), ("stats",), ("search", "1"), ("serve",), ("train", "hasher")):
        assert "store of format version 9, this polyhash reads version 1" in one_sentence(
            polyhash(*command, "--store", store)
        )


def test_another_backbone_than_the_stores_is_refused(photos, store):
    polyhash("index", photos, "--store", store)
    with closing(sqlite3.connect(store / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE models SET identity = 'older@000000000000' WHERE kind = 'backbone'")
    done = polyhash("index", photos, "--store", store, "--backbone", "descriptor")
    assert "uses backbone older@000000000000, got descriptor@" in one_sentence(done)


def test_a_damaged_or_missing_hasher_file_is_told(photos, store, tmp_path):
    (tmp_path / "hasher").write_bytes(b"not a hasher")
    done = polyhash("index", photos, "--store", store, "--hasher", tmp_path / "hasher")
    assert "not a hasher file or is damaged" in one_sentence(done)
    done = polyhash("index", photos, "--store", store, "--hasher", tmp_path / "none")
    assert "There is no hasher at" in one_sentence(done)


def test_a_store_that_another_process_writes_is_left_alone(photos, store):
    with Store.create_or_open(store, purpose="a long rebuild"):
        done = polyhash("index", photos, "--store", store)
    assert "is being written by process" in one_sentence(done)
    assert "a long rebuild" in done.err


# ---------------------------------------------------------------- cut short

MANY = 300


@pytest.fixture
def many(tmp_path):
    """So many pictures that a run can be cut short, each twice under two names at the start and the end."""
    folder = tmp_path / "many"
    write_pictures(folder, MANY)
    for number in range(5):
        (folder / f"twin-{number}.png").write_bytes((folder / f"{number:03d}.png").read_bytes())
    return folder


def images_now(store):
    """Return how many images another process has committed so far."""
    try:
        with closing(sqlite3.connect(f"file:{store / 'catalog.sqlite'}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM images").fetchone()[0]
    except sqlite3.OperationalError:  # no catalog yet
        return 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_run_cut_short_goes_on_where_it_was(many, store, number, status):
    process = start_polyhash("index", many, "--store", store)
    deadline = time.monotonic() + 60
    while images_now(store) < 40 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert err == ("polyhash: Interrupted.\n" if number == signal.SIGINT else "")
    before = images_of(store)
    assert 40 <= len(before) < MANY
    report = polyhash("index", many, "--store", store, "--json").document
    assert (report["added"], report["known"]) == (MANY - len(before), len(before) + 5)
    after = images_of(store)
    assert after[: len(before)] == before
    assert [row.name for row in after] == [f"{number:03d}.png" for number in range(MANY)]
    assert report["images"] == polyhash("stats", "--store", store, "--json").document["code_records"] == MANY


@pytest.mark.parametrize(("option", "used"), [([], "FULL"), (["--synchronous", "normal"], "NORMAL")])
def test_commits_are_as_durable_as_asked_for(photos, tmp_path, monkeypatch, option, used):
    seen = []

    def spy(url, **options):
        seen.append(options.get("synchronous", "FULL"))
        return open_database(url, **options)

    polyhash("index", photos, "--store", tmp_path / "mine")
    monkeypatch.setattr("service.storage.store.open_database", spy)
    assert polyhash("index", photos, "--store", tmp_path / "mine", *option).status == 0
    assert seen == [used]
    assert polyhash("index", photos, "--store", tmp_path / "mine", "--synchronous", "off").status == 2
