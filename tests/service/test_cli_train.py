"""`polyhash train hasher`: a store gets new codes, and the hasher can be carried away as a file."""

import numpy as np
import pytest

from hashing.hasher_file import load_hasher
from hashing.joint import JointHasher
from hashing.joint_cv import CANDIDATES
from service.storage.store import Store
from tests.service.command import polyhash, unfolded, write_pictures

ALL_LENGTHS = (16, 32, 64, 128)


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


def records_of(store, hasher):
    """Return the stored code records by image id."""
    with Store.open(store, purpose="test", writable=False) as opened:
        (chunk,) = opened.catalog.records(hasher=hasher)
    return {
        image_id: record.tobytes()
        for image_id, record in zip(chunk.image_ids.tolist(), chunk.records, strict=True)
    }


def found(store, query, bits):
    done = polyhash("search", query, "--store", store, "--bits", bits, "-k", 99, "--json")
    assert (done.status, done.err) == (0, "")
    return [(hit["distance"], hit["image_id"]) for hit in done.document["hits"]]


def test_nested_codes_take_the_bytes_of_the_longest_and_are_searched_at_every_length(store, tmp_path):
    before = polyhash("train", "hasher", "--store", store, "--json").document
    done = polyhash("train", "hasher", "--store", store, "--nested", "--json").document
    assert ((before["nested"], before["record_bytes"]), (done["nested"], done["record_bytes"])) == (
        (False, 30),
        (True, 16),
    )
    write_pictures(tmp_path / "later", 1, seed=2)
    assert polyhash("index", tmp_path / "later", "--store", store).status == 0
    records = records_of(store, done["hasher"])
    assert (len(records), {len(record) for record in records.values()}) == (9, {16})
    for bits in ALL_LENGTHS:
        ranked = {
            query: sorted(
                (
                    (
                        int.from_bytes(records[query][: bits // 8]) ^ int.from_bytes(record[: bits // 8])
                    ).bit_count(),
                    image_id,
                )
                for image_id, record in records.items()
            )
            for query in (1, 9)
        }
        assert found(store, 1, bits) == [hit for hit in ranked[1] if hit[1] != 1]
        assert found(store, tmp_path / "later" / "000.png", bits) == ranked[9]


def test_a_store_goes_from_nested_codes_to_others_and_back(store):
    hashers = []
    for more in (["--nested"], [], ["--nested"]):
        hashers.append(polyhash("train", "hasher", "--store", store, *more, "--json").document["hasher"])
        assert [len(found(store, 1, bits)) for bits in ALL_LENGTHS] == [7] * 4
    assert hashers[0] == hashers[2] != hashers[1]
    models = polyhash("stats", "--store", store, "--json").document["models"]
    assert {
        model["identity"]: model["metadata"]["nested"] for model in models if model["identity"] in hashers
    } == {hashers[0]: True, hashers[1]: False}


def test_the_weights_reach_the_hasher(store, tmp_path):
    file = tmp_path / "mine.safetensors"
    weights = ["--class-weight", "balanced", "--robust", "1.5", "--nu", "0.5", "--beta", "0"]
    assert polyhash("train", "hasher", "--store", store, *weights, "--out", file).status == 0
    hasher = load_hasher(file)[0]
    assert (hasher.class_weight, hasher.robust, hasher.nu, hasher.beta) == ("balanced", 1.5, 0.5, 0)
    polyhash("train", "hasher", "--store", store, "--out", file)
    plain, default = load_hasher(file)[0].get_params(), JointHasher().get_params()
    names = ("class_weight", "robust", "nu", "beta", "nested")
    assert [plain[name] for name in names] == [default[name] for name in names]


def test_the_weights_are_chosen_by_validation_on_demand(store, tmp_path):
    write_pictures(tmp_path / "more" / "a", 6, seed=2)
    write_pictures(tmp_path / "more" / "b", 6, seed=3)
    polyhash("index", tmp_path / "more", "--store", store)
    options = ["--tune", "--lengths", "8,16", "--features", "linear", "--robust", "2"]
    file = tmp_path / "tuned.safetensors"
    done = polyhash("train", "hasher", "--store", store, *options, "--out", file, "--json")
    assert done.status == 0
    tuned = load_hasher(file)[0]
    assert (tuned.features, tuned.robust) == ("linear", 2)
    for name in ("nu", "beta"):
        assert set(np.ravel(getattr(tuned, name))) <= {candidate[name] for candidate in CANDIDATES}
    (model,) = (
        model
        for model in polyhash("stats", "--store", store, "--json").document["models"]
        if model["identity"] == done.document["hasher"]
    )
    for name in ("nu", "beta"):  # stats tell what was chosen
        assert np.ravel(model["metadata"][name]).tolist() == np.ravel(getattr(tuned, name)).tolist()
    assert len(found(store, 1, 8)) == 19


def test_weights_are_either_given_or_chosen(store):
    done = polyhash("train", "hasher", "--store", store, "--tune", "--beta", "0.1")
    assert (done.status, "it chooses nu and beta itself" in done.err) == (2, True)


def test_the_file_serves_another_store(store, tmp_path):
    file = tmp_path / "mine.safetensors"
    done = polyhash("train", "hasher", "--store", store, "--features", "linear", "--out", file)
    assert done.status == 0
    assert "16, 32, 64, 128 bits, 8 images encoded in 30 bytes each." in done.out
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


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--nu", 0, "a finite number above 0, got 0"),
        ("--robust", "inf", "a finite number above 0, got inf"),
        ("--beta", -1, "a finite number of 0 or more, got -1"),
        ("--beta", "nan", "a finite number of 0 or more, got nan"),
        ("--beta", "inf", "a finite number of 0 or more, got inf"),
        ("--class-weight", "rare", "'rare' is not one of"),
        ("--seed", -1, "greater than or equal to 0"),
        ("--seed", 2**32, "less than or equal to 4294967295"),
        ("--beta", 0.2, "expected 0 to 0.1, got 0.2. Give"),
        ("--nu", 0.01, "expected 0 to 0.01, got 0.03 by default."),
    ],
)
def test_weights_that_cannot_be_are_wrong_usage(tmp_path, option, value, message):
    done = polyhash("train", "hasher", "--store", tmp_path / "any", option, value)
    assert (done.status, message in unfolded(done.err)) == (2, True)


def test_too_few_images_are_told(tmp_path):
    write_pictures(tmp_path / "one", 1)
    polyhash("index", tmp_path / "one", "--store", tmp_path / "lonely")
    done = polyhash("train", "hasher", "--store", tmp_path / "lonely")
    assert (done.status, done.out) == (1, "")
    assert "at least 2 images" in done.err


def test_a_hasher_that_is_damaged_or_missing_is_replaced_by_learning_again(store):
    learned = polyhash("train", "hasher", "--store", store, "--json").document["hasher"]
    before = found(store, 1, 16)
    file = store / "models" / f"{learned}.safetensors"
    for break_it in (lambda: file.write_bytes(file.read_bytes()[:-9] + b"123456789"), file.unlink):
        break_it()
        done = polyhash("search", "1", "--store", store)
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("polyhash: The hasher of the store cannot be used: ")
        assert done.err.endswith(f"To replace it: polyhash train hasher --store {store}\n")
        again = polyhash("train", "hasher", "--store", store, "--json")
        assert (again.status, again.document["hasher"], again.document["images"]) == (0, learned, 8)
        assert found(store, 1, 16) == before
    file.unlink()
    other = polyhash("train", "hasher", "--store", store, "--lengths", "8", "--json")
    assert (other.status, other.document["lengths"], len(found(store, 1, 8))) == (0, [8], 7)


def test_options_that_act_on_labels_say_so_where_there_are_none(tmp_path):
    write_pictures(tmp_path / "photos", 6)
    options = ("--store", tmp_path / "store", "--lengths", "8")
    assert polyhash("index", tmp_path / "photos", *options).status == 0
    plain = polyhash("train", "hasher", *options, "--json")
    weighted = polyhash("train", "hasher", *options, "--class-weight", "balanced", "--robust", "2", "--json")
    tuned = polyhash("train", "hasher", *options, "--tune", "--json")
    assert (plain.status, weighted.status, tuned.status) == (0, 0, 0)
    assert plain.err == ""
    assert weighted.err == "No image of the store has a label, so --class-weight, --robust had no effect.\n"
    assert tuned.err == "No image of the store has a label, so --tune had no effect.\n"
    assert plain.document["hasher"] == weighted.document["hasher"] == tuned.document["hasher"]


def test_a_network_head_is_learned_and_searched_like_any_hasher(store, tmp_path):
    file = tmp_path / "deep.safetensors"
    done = polyhash(
        "train", "hasher", "--store", store, "--deep", "--lengths", "8,16", "--out", file, "--json"
    )
    assert done.status == 0
    assert done.document["lengths"] == [8, 16]
    assert load_hasher(file)[0].encoder_.feature_map.layers
    assert len(found(store, "1", 16)) == 7
    for wrong in (["--tune"], ["--robust", "2"], ["--features", "linear"]):
        done = polyhash("train", "hasher", "--store", store, "--deep", *wrong)
        assert (done.status, "knows neither --tune nor --robust nor --features" in unfolded(done.err)) == (
            2,
            True,
        )
