"""`polyhash train hasher`: a store gets new codes, and the hasher can be carried away as a file."""

import pytest

from hashing.hasher_file import load_hasher
from tests.service.command import polyhash, write_pictures


@pytest.fixture
def store(tmp_path):
    write_pictures(tmp_path / "photos" / "a", 4)
    write_pictures(tmp_path / "photos" / "b", 4, seed=1)
    assert polyhash("index", tmp_path / "photos", "--store", tmp_path / "store", "--lengths", "8").status == 0
    return tmp_path / "store"


def test_new_codes_replace_the_old(store):
    done = polyhash("train", "hasher", "--store", store, "--lengths", "32,16", "--seed", "3", "--json")
    assert done.status == 0
    assert (done.document["lengths"], done.document["images"]) == ([16, 32], 8)
    found = polyhash("search", "1", "--store", store, "--json").document
    assert (found["bits"], found["hasher"], len(found["hits"])) == (32, done.document["hasher"], 7)
    assert polyhash("search", "1", "--store", store, "--bits", "8").status == 1


def test_the_file_serves_another_store(store, tmp_path):
    file = tmp_path / "mine.safetensors"
    done = polyhash("train", "hasher", "--store", store, "--features", "linear", "--out", file)
    assert done.status == 0
    assert "16, 32, 64, 128 bits, 8 images encoded." in done.out
    assert load_hasher(file)[0].features == "linear"
    polyhash("index", tmp_path / "photos", "--store", tmp_path / "other", "--hasher", file)
    one, two = (
        polyhash("search", "2", "--store", folder, "--json").document
        for folder in (store, tmp_path / "other")
    )
    assert (one["code"], one["hits"], one["hasher"]) == (two["code"], two["hits"], two["hasher"])


def test_mistakes_are_told_before_anything_is_learned(store, tmp_path):
    before = polyhash("stats", "--store", store, "--json").document
    missing = tmp_path / "none" / "file"
    done = polyhash("train", "hasher", "--store", store, "--out", missing)
    assert (done.status, done.err) == (1, f"polyhash: {missing}: No such file or directory.\n")
    assert polyhash("train", "hasher", "--store", store, "--features", "cubic").status == 2
    assert polyhash("train", "hasher", "--store", store, "--lengths", "10").status == 2
    done = polyhash("train", "hasher", "--store", tmp_path / "none")
    assert (done.status, "is no polyhash store" in done.err) == (1, True)
    assert polyhash("stats", "--store", store, "--json").document == before


def test_too_few_images_are_told(tmp_path):
    write_pictures(tmp_path / "one", 1)
    polyhash("index", tmp_path / "one", "--store", tmp_path / "lonely")
    done = polyhash("train", "hasher", "--store", tmp_path / "lonely")
    assert (done.status, done.out) == (1, "")
    assert "at least 2 images" in done.err
