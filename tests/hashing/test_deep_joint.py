"""The deep joint hasher as a scikit-learn estimator, its file, its seeds, and that its codes find what they should."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks

from hashing.codes import hamming_distances
from hashing.deep.joint import DeepJointHasher
from hashing.errors import HasherFileError
from hashing.fitted_hasher import FittedHasher, Provenance, hasher_identity
from hashing.hasher_content import digest
from hashing.hasher_file import load_hasher, save_hasher
from hashing.joint import JointHasher

LENGTHS = (8, 16, 32)
QUICK = {"lengths": (8, 16), "hidden": (16,), "epochs": 2, "batch_size": 16, "random_state": 0}
PROVENANCE = Provenance(
    name="deep",
    backbone_identity="descriptor@0123456789ab",
    training_hash="00ff",
    created_at="2026-01-02T03:04:05+00:00",
    polyhash_version="0.1.0",
)

# Run under a type checker of arguments, arguments of a wrong type never reach the estimator's own refusal.
TYPE_CHECKED = {
    "check_do_not_raise_errors_in_init_or_set_params": "passes an int as lengths",
    "check_estimator_sparse_array": "passes a sparse array",
    "check_estimator_sparse_matrix": "passes a sparse matrix",
    "check_transformer_data_not_an_array": "passes labels that are no sequence",
}


@parametrize_with_checks(
    [DeepJointHasher(**QUICK)],
    expected_failed_checks=lambda _: TYPE_CHECKED if hasattr(DeepJointHasher.fit, "__wrapped__") else {},
)
def test_it_keeps_the_conventions_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order][:1160].astype(np.float32), y[order][:1160]  # 60 queries, 500 database, 600 training


@pytest.fixture(scope="module")
def fitted(digits):
    x, y = digits
    return DeepJointHasher(lengths=LENGTHS, random_state=0).fit(x[560:], y[560:])


def small(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(size=(n, 6)) + 2 * np.eye(6)[y]).astype(np.float32), y


def mean_average_precision(hasher, digits, bits):
    """Return mAP with ties resolved in expectation, by a plain loop over groups of equal distance."""
    x, y = digits
    codes = hasher.encode(x[:560])[bits]
    values = []
    for row, hits in zip(
        hamming_distances(codes[:60], codes[60:]), y[:60, None] == y[None, 60:560], strict=True
    ):
        before = found = value = 0.0
        for distance in np.unique(row):
            group = row == distance
            n, r = group.sum(), hits[group].sum()
            for j in range(1, n + 1):
                others = (j - 1) * (r - 1) / (n - 1) if n > 1 else 0
                value += r / n * (found + 1 + others) / (before + j)
            before, found = before + n, found + r
        values.append(value / hits.sum())
    return float(np.mean(values))


def test_labels_give_codes_that_find_the_class_at_every_length(digits, fitted):
    for bits, least in zip(LENGTHS, (0.93, 0.95, 0.95), strict=True):
        assert mean_average_precision(fitted, digits, bits) > least


def test_nested_codes_are_prefixes_and_find_the_class_too(digits):
    x, y = digits
    hasher = DeepJointHasher(lengths=LENGTHS, nested=True, epochs=20, random_state=0).fit(x[560:], y[560:])
    codes = hasher.encode(x[:50])
    assert (codes[16] == codes[32][:, :2]).all()
    assert hasher.transform(x[:50]).shape == (50, 4)
    for bits in LENGTHS:
        assert mean_average_precision(hasher, digits, bits) > 0.88


def test_samples_without_labels_help_to_nothing_worse_than_few_labels_alone(digits):
    x, y = digits
    few = np.where(np.arange(600) < 150, y[560:], -1)
    hasher = DeepJointHasher(lengths=LENGTHS, epochs=20, random_state=0).fit(x[560:], few)
    assert min(mean_average_precision(hasher, digits, bits) for bits in LENGTHS) > 0.8


def test_codes_without_labels_are_far_from_random(digits):
    x, _ = digits
    hasher = DeepJointHasher(lengths=LENGTHS, epochs=5, random_state=0).fit(x[560:])
    assert hasher.classes_.size == 0
    assert min(mean_average_precision(hasher, digits, bits) for bits in LENGTHS) > 0.3  # the prior is 0.1


@pytest.mark.parametrize("relaxation", ["straight_through", "tanh"])
def test_training_lowers_the_label_loss_of_a_network_too_small_to_start_well(digits, relaxation):
    x, y = digits
    hasher = DeepJointHasher(
        lengths=LENGTHS, hidden=(24,), dropout=0.0, epochs=15, relaxation=relaxation, random_state=0
    ).fit(x[560:], y[560:])
    assert hasher.objective_trace_.shape == (16, 3)
    assert hasher.objective_trace_[-1, 0] < 0.8 * hasher.objective_trace_[0, 0]


def test_the_trace_ends_with_the_losses_of_the_codes_it_gives():
    x, y = small()
    hasher = DeepJointHasher(**QUICK, topology="down").fit(x, y)
    scores = hasher.project(x)
    B = {bits: np.where(f > 0, 1.0, -1.0) for bits, f in scores.items()}
    Y = np.eye(3)[y]
    labels = 0.0
    for bits, codes in B.items():
        W = np.linalg.solve(codes.T @ codes + np.eye(bits), codes.T @ Y)
        labels += bits * (((Y - codes @ W) ** 2).sum() + (W**2).sum())
    P = {bits: hasher.encoder_.projections[bits][:-1] for bits in B}
    features = 0.1 * sum(((B[bits] - scores[bits]) ** 2).sum() + 30 * (P[bits] ** 2).sum() for bits in B)
    R = hasher.encoder_.associations[16, 8]
    association = 0.03 * (((B[8] - B[16] @ R) ** 2).sum() + (R**2).sum())
    assert hasher.objective_trace_[-1] == pytest.approx([labels, features, association], rel=1e-3)


@pytest.mark.parametrize("relaxation", ["straight_through", "tanh"])
@pytest.mark.parametrize(
    "y",
    [
        ["a", "a", "b", None] * 10,
        [("a", "b"), ("b",), (), ("a",)] * 10,
        np.array([[1, np.nan], [0, 1], [np.nan, np.nan], [1, 1]] * 10),
        [3] * 40,
    ],
    ids=["names", "collections", "matrix with gaps", "one class"],
)
def test_every_form_of_labels_gives_codes(y, relaxation):
    x = small(40)[0]
    hasher = DeepJointHasher(**QUICK, relaxation=relaxation, class_weight="balanced").fit(x, y)
    assert hasher.transform(x).shape == (40, 3)
    assert len(np.unique(hasher.transform(x), axis=0)) > 1


def test_the_same_seed_gives_the_same_bits_whatever_the_global_state():
    x, y = small()
    torch.manual_seed(1)
    first = DeepJointHasher(**QUICK).fit(x, y)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = clone(first).fit(x, y)
    assert (torch.get_rng_state() == before).all()
    assert hasher_identity(first, PROVENANCE) == hasher_identity(second, PROVENANCE)
    other = clone(first).set_params(random_state=1).fit(x, y)
    assert hasher_identity(first, PROVENANCE) != hasher_identity(other, PROVENANCE)


@pytest.mark.parametrize("parameters", [{}, {"nested": True}, {"joint_encoding": True, "hidden": (16, 8)}])
def test_a_loaded_hasher_gives_the_same_codes_and_facts(tmp_path, parameters):
    x, y = small()
    hasher = DeepJointHasher(**QUICK | parameters).fit(x, y)
    save_hasher(tmp_path / "file", hasher, PROVENANCE)
    loaded, provenance = load_hasher(tmp_path / "file")
    assert isinstance(loaded, DeepJointHasher)
    assert loaded.get_params() == hasher.get_params()
    assert (loaded.transform(x) == hasher.transform(x)).all()
    assert loaded.n_features_in_ == 6
    assert loaded.classes_.tolist() == [0, 1, 2]
    assert hasher_identity(loaded, provenance) == hasher_identity(hasher, PROVENANCE)
    served = FittedHasher(hasher=loaded, provenance=provenance)
    assert (served.encode(x) == hasher.transform(x)).all()


def test_the_file_of_a_joint_hasher_says_nothing_of_trunks(tmp_path):
    save_hasher(tmp_path / "file", JointHasher(lengths=(8,), random_state=0).fit(*small()), PROVENANCE)
    with safe_open(tmp_path / "file", framework="np") as file:
        assert "estimator" not in json.loads(file.metadata()["polyhash"])
        assert sorted(file.keys()) == ["anchors", "mean", "projection.8"]
    assert isinstance(load_hasher(tmp_path / "file")[0], JointHasher)


def forge(path, change):
    """Save the file again, sums made right, after `change(tensors, metadata)` wrote into its parts."""
    import safetensors.numpy  # noqa: PLC0415 - forging a file is this function's own business

    with safe_open(path, framework="np") as file:
        metadata = json.loads(file.metadata()["polyhash"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    change(tensors, metadata)
    metadata.pop("checksum")
    metadata["checksum"] = digest(tensors, metadata)
    safetensors.numpy.save_file(tensors, path, {"polyhash": json.dumps(metadata)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, metadata: metadata.update(estimator="Oracle"), "estimator must be .*, is 'Oracle'"),
        (lambda tensors, _: tensors.update({"trunk.0.bias": np.zeros(3, "f4")}), r"trunk.0.bias must have shape \(16,\)"),
        (lambda tensors, _: tensors.pop("trunk.0.bias"), "not a consistent hasher: 'trunk.0.bias'"),
        (lambda tensors, _: tensors.update({"trunk.0.weight": np.zeros((6, 9), "f4")}), r"must have shape \(9,\)"),
    ],
)  # fmt: skip
def test_a_well_summed_but_inconsistent_trunk_is_refused(tmp_path, change, message):
    save_hasher(tmp_path / "file", DeepJointHasher(**QUICK).fit(*small()), PROVENANCE)
    forge(tmp_path / "file", change)
    with pytest.raises(HasherFileError, match=message):
        load_hasher(tmp_path / "file")


def test_a_last_block_is_tuned_in_a_copy_and_makes_the_embeddings():
    x, y = small()
    activations = np.repeat(x[:, :, None], 4, axis=2)  # n, channels, positions
    block = torch.nn.Sequential(torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten(), torch.nn.Linear(6, 5))
    given = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    hasher = DeepJointHasher(**QUICK).fit(activations, y, last_block=block)
    assert all((tensor == given[name]).all() for name, tensor in block.state_dict().items())
    assert not torch.equal(hasher.last_block_[2].weight, block[2].weight)
    with torch.no_grad():
        embeddings = hasher.last_block_(torch.tensor(activations)).numpy()
    assert hasher.n_features_in_ == 5
    assert hasher.transform(embeddings).shape == (60, 3)


def test_a_block_that_makes_no_embeddings_is_refused():
    block = torch.nn.Identity()
    with pytest.raises(
        ValueError, match=r"last_block must make embeddings .* made \(1, 6, 4\) of \(1, 6, 4\)"
    ):
        DeepJointHasher(**QUICK).fit(np.zeros((4, 6, 4), "f4"), [0, 1, 0, 1], last_block=block)


def test_progress_reaches_the_caller():
    steps = []
    DeepJointHasher(**QUICK).fit(*small(), on_step=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"nu": 0.0}, r"'nu' parameter of DeepJointHasher must be above 0\. Got 0\.0"),
        ({"beta": -1.0}, r"'beta' parameter of DeepJointHasher must be 0 or more\. Got -1\.0"),
        ({"dropout": 1.0}, r"'dropout' parameter of DeepJointHasher must be from 0 to below 1\. Got 1\.0"),
        ({"hidden": ()}, r"'hidden' .* must be one or more widths above 0\. Got \[\]"),
        ({"topology": "ring"}, r"'topology' .* must be one of \['all', 'down', 'chain'\]\. Got 'ring'"),
        ({"relaxation": "hope"}, r"'relaxation' .* one of \['straight_through', 'tanh'\]\. Got 'hope'"),
    ],
)
def test_parameters_out_of_range_are_refused_at_fit(parameters, message):
    with pytest.raises(ValueError, match=message):
        DeepJointHasher(**parameters).fit(np.eye(4), [0, 1, 0, 1])
