"""Feature sets: what is read from features.npz, by split, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from service.errors import InvalidArgumentError, NotFoundError
from service.vision.feature_set import is_feature_set, read_feature_set

SCENE6 = Path(__file__).resolve().parents[2] / "../shared/data/scene6"
FEATURES = np.arange(12, dtype=np.float64).reshape(4, 3)
MULTI_HOT = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], dtype=np.uint8)
NAMES = np.array(["sea", "sky"])
SPLIT = np.array(["train", "query", "train", "other"])


def write(folder, **changes):
    arrays = {"features": FEATURES, "labels": MULTI_HOT, "label_names": NAMES, "split": SPLIT} | changes
    np.savez(folder / "features.npz", **{name: array for name, array in arrays.items() if array is not None})
    return str(folder)


def test_rows_have_the_names_of_their_labels(tmp_path):
    read = read_feature_set(write(tmp_path))
    assert read.embeddings.dtype == np.float32
    np.testing.assert_array_equal(read.embeddings, FEATURES)
    assert read.labels == [("sea",), ("sea", "sky"), (), ("sky",)]
    assert read.names == ["row 0", "row 1", "row 2", "row 3"]
    assert read.rejected == []
    assert len(set(read.digests)) == 4


def test_class_numbers_are_labels_too(tmp_path):
    assert read_feature_set(write(tmp_path, labels=np.array([1, -1, 0, 1]))).labels == [
        *(("sky",), (), ("sea",), ("sky",))
    ]


def test_splits_select_rows_and_may_be_joined(tmp_path):
    folder = write(tmp_path)
    for splits, rows in (("train", [0, 2]), ("query+other", [1, 3])):
        read = read_feature_set(f"{folder}:{splits}")
        np.testing.assert_array_equal(read.embeddings, FEATURES[rows])
        assert read.names == [f"row {i}" for i in rows]


def test_a_folder_without_features_is_no_feature_set(tmp_path):
    assert not is_feature_set(str(tmp_path))
    assert is_feature_set(f"{write(tmp_path)}:train")
    with pytest.raises(NotFoundError, match="does not exist"):
        is_feature_set("/nowhere")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"features": FEATURES[0]},
            r"an array 'features' of finite numbers \(n, d\) with d of at least 1, got: float64 \(3,\)",
        ),
        ({"features": FEATURES[:, :0]}, r"with d of at least 1, got: float64 \(4, 0\)"),
        ({"features": FEATURES * np.nan}, "an array 'features' of finite numbers"),
        (
            {"features": FEATURES * 1e300},
            "got: NaN, infinity or numbers too large for float32 in 4 of 4 rows",
        ),
        (
            {"label_names": np.array(["sea", "sea"])},
            "a name of its own for every class in 'label_names', got: 'sea' repeatedly",
        ),
        (
            {"labels": MULTI_HOT[:2]},
            r"'labels' of 0 and 1 \(4, 2\), or class numbers -1 to 1 \(4,\), got: uint8",
        ),
        ({"labels": MULTI_HOT * 2}, "'labels' of 0 and 1"),
        ({"labels": np.array([0, 1, 2, 0])}, "class numbers -1 to 1"),
        ({"label_names": None}, "Expected an array 'label_names', got: features, labels, split"),
        ({"features": np.array([{}])}, "without pickled objects"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changes, words):
    with pytest.raises(InvalidArgumentError, match=words):
        read_feature_set(write(tmp_path, **changes))


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "features.npz").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(InvalidArgumentError, match=r"an .npz file without pickled objects"):
        read_feature_set(str(tmp_path))


def test_splits_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"no split 'test'. Splits there are: other, query, train"):
        read_feature_set(f"{write(tmp_path)}:test")
    with pytest.raises(
        InvalidArgumentError, match="no array 'split' of 4 texts, so 'train' cannot be selected"
    ):
        read_feature_set(f"{write(tmp_path, split=None)}:train")


@pytest.mark.skipif(not SCENE6.is_dir(), reason="the feature set scene6 is not there")
def test_scene6_is_read_as_its_description_says():
    read = read_feature_set(str(SCENE6))
    assert read.embeddings.shape == (1211, 294)
    assert sum(len(names) > 1 for names in read.labels) == 74
    assert {name for names in read.labels for name in names} == {
        *("Beach", "Sunset", "FallFoliage", "Field", "Mountain", "Urban")
    }
