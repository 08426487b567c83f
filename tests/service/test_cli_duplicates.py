"""`polyhash duplicates`: clusters as compared by hand, a page that stands alone, and words for what they may be instead."""

import shutil
from itertools import product

import numpy as np
import pytest
from PIL import Image

from service import compose
from service.cli import duplicates
from service.storage.store import Store
from tests.service.command import polyhash, unfolded, write_pictures

COUNT = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store of unlabelled pictures, of which the first two were saved again, brighter by one step."""
    folder = tmp_path_factory.mktemp("duplicates")
    write_pictures(folder / "photos", COUNT)
    for number in (0, 1):
        pixels = np.asarray(Image.open(folder / "photos" / f"{number:03d}.png"))
        brighter = np.minimum(pixels, 254) + np.uint8(1)
        Image.fromarray(brighter).save(folder / "photos" / f"again-{number}.png")
    assert polyhash("index", folder / "photos", "--store", folder / "store", "--lengths", "16,64").status == 0
    return folder / "store"


def by_hand(store, radius):
    """Return the clusters as sets of ids, by comparing all pairs of the longest codes and following chains."""
    with Store.open(store, purpose="test", writable=False) as opened:
        (hasher,) = (model for model in opened.catalog.models() if model.kind.value == "hasher")
        (chunk,) = opened.catalog.records(hasher=hasher.identity)
    codes = dict(zip(chunk.image_ids.tolist(), chunk.records[:, 2:], strict=True))
    clusters = [{image_id} for image_id in codes]
    for (a, code_a), (b, code_b) in product(codes.items(), repeat=2):
        if np.unpackbits(code_a ^ code_b).sum() <= radius:
            joined = [cluster for cluster in clusters if cluster & {a, b}]
            clusters = [cluster for cluster in clusters if cluster not in joined] + [set().union(*joined)]
    return sorted((sorted(cluster) for cluster in clusters if len(cluster) > 1), key=lambda c: (-len(c), c))


def found(store, *arguments):
    done = polyhash("duplicates", "--store", store, "--json", *arguments)
    assert done.status == 0, done.err
    return [[image["image_id"] for image in cluster["images"]] for cluster in done.document["clusters"]]


@pytest.mark.parametrize("radius", [0, 4, 12, 24, 64, 1000])
def test_clusters_are_those_of_comparing_all_pairs(store, radius):
    assert found(store, "--max-distance", radius) == by_hand(store, radius)


def test_pictures_saved_again_are_found_by_default(store):
    done = polyhash("duplicates", "--store", store, "--json").document
    assert (done["bits"], done["max_distance"], done["images"]) == (64, 4, COUNT + 2)
    names = [{image["name"] for image in cluster["images"]} for cluster in done["clusters"]]
    assert {"000.png", "again-0.png"} in names
    assert {"001.png", "again-1.png"} in names
    for cluster in done["clusters"]:
        distances = [image["distance"] for image in cluster["images"]]
        assert (distances[0], max(distances)) == (0, cluster["widest"])


def test_the_table_names_the_first_images(store):
    title, headings, *rows = polyhash("duplicates", "--store", store).out.splitlines()
    assert title == f"{len(rows)} clusters within 4 of 64 bits, among 10 images"
    assert headings.split() == ["cluster", "images", "widest", "first", "images"]
    expected = by_hand(store, 4)
    assert [row.split()[:2] for row in rows] == [
        [str(number), str(len(cluster))] for number, cluster in enumerate(expected, start=1)
    ]
    assert "again-0.png" in rows[0]


def test_a_long_list_is_cut_where_it_says_so(store, monkeypatch):
    monkeypatch.setattr(duplicates, "SHOWN_CLUSTERS", 1)
    monkeypatch.setattr(duplicates, "SHOWN_NAMES", 1)
    *_, row, rest = polyhash("duplicates", "--store", store).out.splitlines()
    assert row.rstrip().endswith(", ...")
    assert rest == f"... and {len(by_hand(store, 4)) - 1} smaller ones; --json lists all."


def test_the_page_shows_every_picture_of_the_clusters(store, tmp_path):
    page = tmp_path / "page.html"
    done = polyhash("duplicates", "--store", store, "--html", page)
    assert f"Page of the clusters: {page}" in done.err
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == sum(map(len, by_hand(store, 4)))
    assert "Near duplicates of store" in text
    assert "again-0.png" in text
    done = polyhash("duplicates", "--store", store, "--html", tmp_path / "none" / "page.html")
    assert (done.status, done.out) == (1, "")


def test_deleted_images_repeat_nothing(store, tmp_path):
    copy = shutil.copytree(store, tmp_path / "store")
    first, *_ = by_hand(copy, 4)
    with compose.open_session(copy, purpose="test") as session:
        for image_id in first[1:]:
            session.application.gallery.delete(image_id)
    assert found(copy) == by_hand(copy, 4)
    assert first[0] not in {image_id for cluster in found(copy) for image_id in cluster}


def test_no_duplicates_and_too_many_are_both_told(store, tmp_path):
    write_pictures(tmp_path / "photos", 6)
    unlike = ("--backbone", "descriptor")  # to the encoder, noise is noise
    polyhash("index", tmp_path / "photos", "--store", tmp_path / "store", "--lengths", "64", *unlike)
    done = polyhash("duplicates", "--store", tmp_path / "store", "--max-distance", 0)
    assert (done.out, done.err) == ("No near duplicates within 0 of 64 bits, among 6 images\n", "")
    done = polyhash("duplicates", "--store", store, "--max-distance", 64)
    assert (
        "10 of 10 images are in clusters. If the hasher was learned from labels, these are rather labels"
        in done.err
    )


def test_a_store_without_codes_has_nothing_to_compare(tmp_path):
    write_pictures(tmp_path / "photos", 1)
    polyhash("index", tmp_path / "photos", "--store", tmp_path / "store")
    done = polyhash("duplicates", "--store", tmp_path / "store")
    assert (done.status, "has no hasher yet" in done.err) == (1, True)
    assert polyhash("duplicates", "--store", tmp_path / "store", "--max-distance", -1).status == 2


@pytest.fixture
def saved_again(store, tmp_path):
    """Return a copy of the store and a folder with the picture of image 5, saved with other bytes."""
    shutil.copytree(store, tmp_path / "store")
    (tmp_path / "more").mkdir()
    names = {row["image_id"]: row["name"] for row in compose_rows(store)}
    Image.open(store.parent / "photos" / names[5]).save(tmp_path / "more" / "again.png", compress_level=0)
    return tmp_path / "store", tmp_path / "more"


def compose_rows(store):
    with Store.open(store, purpose="test", writable=False) as opened:
        return [
            {"image_id": row.image_id, "name": row.name}
            for row in opened.catalog.list_images(after_id=0, limit=99)
        ]


def test_a_new_picture_that_repeats_another_is_told_where_that_is_asked_for(saved_again):
    store, more = saved_again
    done = polyhash("index", more, "--store", store, "--near-duplicates", "flag:0", "--json")
    assert "again.png nearly repeats image 5 (0 bits differ)." in done.err
    assert (done.document["added"], done.document["near_duplicates"]) == (1, 1)


def test_a_new_picture_that_repeats_another_is_refused_where_that_is_asked_for(saved_again):
    store, more = saved_again
    done = polyhash("index", more, "--store", store, "--near-duplicates", "reject:2", "--json")
    (skipped,) = done.document["skipped"]
    assert (skipped["name"], skipped["reason"]) == ("again.png", "NEAR_DUPLICATE")
    assert "image 5" in skipped["message"]
    assert done.document["images"] == COUNT + 2
    assert (
        polyhash("index", more, "--store", store, "--json").document["added"] == 1
    )  # nobody looks by default


@pytest.mark.parametrize("rule", ["flag", "reject:", "keep:3", "flag:-1", "flag:two"])
def test_a_rule_that_is_none_is_wrong_usage(saved_again, rule):
    store, more = saved_again
    done = polyhash("index", more, "--store", store, "--near-duplicates", rule)
    assert done.status == 2
    assert "expected allow, flag:BITS or reject:BITS" in unfolded(done.err)


def test_a_first_run_says_that_it_cannot_look(saved_again, tmp_path):
    _, more = saved_again
    done = polyhash("index", more, "--store", tmp_path / "new", "--near-duplicates", "flag:3")
    assert "no codes yet, so this run does not look for near duplicates" in done.err
