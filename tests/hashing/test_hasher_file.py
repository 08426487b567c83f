"""Hasher files: the same codes after a round trip, identities, and refusal of everything that is not whole."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from hashing.errors import EmbeddingError, HasherFileError
from hashing.fitted_hasher import FittedHasher, Provenance, hasher_identity
from hashing.hasher_content import digest
from hashing.hasher_file import load_hasher, save_hasher
from hashing.joint import JointHasher

PROVENANCE = Provenance(
    name="joint",
    backbone_identity="descriptor@0123456789ab",
    training_hash="00ff",
    created_at="2026-01-02T03:04:05+00:00",
    polyhash_version="0.1.0",
)


def sample(n=80, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 10)).astype(np.float32), np.array(["a", "b", "c", "d"])[np.arange(n) % 4]


def fit(**parameters):
    return JointHasher(**{"lengths": (8, 16), "random_state": 0, **parameters}).fit(*sample())


@pytest.fixture(scope="module")
def hasher():
    return fit()


@pytest.fixture
def path(tmp_path, hasher):
    path = tmp_path / "joint.safetensors"
    save_hasher(path, hasher, PROVENANCE)
    return path


def rewrite(path, change):
    """Save the file again after `change(tensors, metadata)` wrote into its parts."""
    with safe_open(path, framework="np") as file:
        metadata = json.loads(file.metadata()["polyhash"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    change(tensors, metadata)
    safetensors.numpy.save_file(tensors, path, {"polyhash": json.dumps(metadata)})


@pytest.mark.parametrize(
    "parameters",
    [
        {"features": "linear"},
        {"features": "rbf", "n_anchors": 9},
        {"topology": "chain", "joint_encoding": False},
        {"lengths": (32,), "nu": np.float64(0.2), "random_state": np.random.RandomState(0)},
    ],
)
def test_a_loaded_hasher_gives_the_same_codes_and_facts(tmp_path, parameters):
    hasher = fit(**parameters)
    save_hasher(tmp_path / "file", hasher, PROVENANCE)
    loaded, provenance = load_hasher(tmp_path / "file")
    x = sample(seed=1)[0]
    assert (loaded.transform(x) == hasher.transform(x)).all()
    assert provenance == PROVENANCE
    assert loaded.lengths_ == hasher.lengths_
    assert loaded.classes_.tolist() == ["a", "b", "c", "d"]
    assert (loaded.objective_trace_ == hasher.objective_trace_).all()
    assert loaded.n_features_in_ == 10
    assert loaded.topology == hasher.topology


def test_a_hasher_fitted_without_labels_survives_the_round_trip(tmp_path):
    hasher = JointHasher(lengths=(8,), random_state=0).fit(sample()[0])
    save_hasher(tmp_path / "file", hasher, PROVENANCE)
    assert load_hasher(tmp_path / "file")[0].classes_.size == 0


def test_identity_is_the_name_and_twelve_hex_digits_and_survives_the_round_trip(hasher, path):
    identity = hasher_identity(hasher, PROVENANCE)
    name, digits = identity.split("@")
    assert name == "joint"
    assert len(digits) == 12
    assert int(digits, 16) >= 0
    assert hasher_identity(*load_hasher(path)) == identity


def test_identity_follows_what_decides_codes_and_nothing_else(hasher):
    identity = hasher_identity(hasher, PROVENANCE)
    later = dataclasses.replace(PROVENANCE, created_at="2027-01-01T00:00:00+00:00")
    elsewhere = dataclasses.replace(PROVENANCE, backbone_identity="other@0123456789ab")
    assert hasher_identity(fit(), later) == identity
    assert hasher_identity(hasher, elsewhere) != identity
    assert hasher_identity(fit(random_state=1), PROVENANCE) != identity
    assert hasher_identity(fit(joint_encoding=False), PROVENANCE) != identity


def test_the_same_fit_writes_the_same_bytes(tmp_path, path):
    save_hasher(tmp_path / "again", fit(), PROVENANCE)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_saving_replaces_a_file_and_leaves_nothing_beside_it(path, hasher):
    save_hasher(path, hasher, PROVENANCE)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_save_that_fails_leaves_the_old_file(path, hasher, monkeypatch):
    old = path.read_bytes()

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hashing.durable_file.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_hasher(path, hasher, PROVENANCE)
    assert path.read_bytes() == old


def test_any_flipped_byte_is_noticed(path):
    content = path.read_bytes()
    for position in np.random.default_rng(0).choice(len(content), size=60, replace=False):
        damaged = bytearray(content)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(HasherFileError, match=r"damaged|not a hasher|holds no|format|consistent"):
            load_hasher(path)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(HasherFileError, match="is not a hasher file or is damaged"):
        load_hasher(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HasherFileError, match=r"There is no hasher at .*nowhere"):
        load_hasher(tmp_path / "nowhere")


@pytest.mark.parametrize("metadata", [None, {"polyhash": "not JSON"}, {"polyhash": "[]"}])
def test_a_foreign_safetensors_file_is_refused(tmp_path, metadata):
    safetensors.numpy.save_file({"x": np.zeros(3)}, tmp_path / "foreign", metadata)
    with pytest.raises(HasherFileError, match="is a safetensors file but holds no polyhash hasher"):
        load_hasher(tmp_path / "foreign")


def test_another_format_version_names_both(path):
    rewrite(path, lambda _, metadata: metadata.update(format_version=7))
    with pytest.raises(HasherFileError, match="has hasher format 7, this version reads format 1"):
        load_hasher(path)


def test_changed_facts_fail_the_checksum_and_both_sums_are_named(path):
    rewrite(path, lambda _, metadata: metadata["provenance"].update(backbone_identity="x@0"))
    with pytest.raises(HasherFileError, match=r"is damaged: its checksum is \w{64}, its content has \w{64}"):
        load_hasher(path)


def inconsistent(change):
    """Return a change that also makes the checksum right again."""

    def forge(tensors, metadata):
        change(tensors, metadata)
        metadata.pop("checksum")
        metadata["checksum"] = digest(tensors, metadata)

    return forge


def drop(tensors, _):
    del tensors["projection.8"]


def reshape(tensors, _):
    tensors["projection.8"] = tensors["projection.8"][:, :4].copy()


def poison(tensors, _):
    tensors["mean"] = np.full_like(tensors["mean"], np.nan)


def misname(_, metadata):
    metadata["parameters"]["speed"] = 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, "is not a consistent hasher: 'projection.8'"),
        (reshape, r"projection.8 must have shape \(81, 8\), has \(81, 4\)"),
        (poison, "mean must hold finite float32 numbers"),
        (misname, "unexpected keyword argument 'speed'"),
        (lambda _, metadata: metadata.update(content="0"), r"claims content 0, its tensors have \w{64}"),
    ],
)
def test_a_well_summed_but_inconsistent_file_is_refused(path, change, message):
    rewrite(path, inconsistent(change))
    with pytest.raises(HasherFileError, match=message):
        load_hasher(path)


@pytest.mark.parametrize("name", ["", "a@b", "../a", "a/b", "-a"])
def test_names_that_break_identities_are_refused(name):
    with pytest.raises(HasherFileError, match="name must be of letters, digits"):
        dataclasses.replace(PROVENANCE, name=name)


def test_a_fitted_hasher_serves_records_scores_and_its_origin(hasher):
    fitted = FittedHasher(hasher=hasher, provenance=PROVENANCE)
    x = sample(seed=1)[0]
    assert (fitted.encode(x) == hasher.transform(x)).all()
    assert (fitted.project(x)[16] == hasher.project(x)[16]).all()
    assert fitted.lengths == (8, 16)
    assert fitted.backbone_identity == "descriptor@0123456789ab"
    assert fitted.identity == hasher_identity(hasher, PROVENANCE)


def test_embeddings_of_another_width_are_refused(hasher):
    fitted = FittedHasher(hasher=hasher, provenance=PROVENANCE)
    with pytest.raises(
        EmbeddingError, match=r"expects embeddings of shape \(n, 10\), got \(2, 11\). Use those of desc"
    ):
        fitted.encode(np.zeros((2, 11), dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused_by_row(hasher, bad):
    x = np.zeros((3, 10), dtype=np.float32)
    x[1, 4] = bad
    with pytest.raises(EmbeddingError, match="got NaN or infinity in row 1 of 3"):
        FittedHasher(hasher=hasher, provenance=PROVENANCE).encode(x)
