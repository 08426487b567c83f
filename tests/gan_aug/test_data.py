"""Data sets and the loader: values, order, restoring, refusals."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gan_aug.data import Dataset, Loader, digits, folder, grid, ring
from gan_aug.errors import BatchError
from gan_aug.sprites import ATTRIBUTES, Identity, render, sprites


def points(n):
    return Dataset(samples=np.arange(n, dtype=np.float32)[:, None])


@given(st.integers(1, 9), st.integers(1, 7), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_a_loader_gives_every_sample_once_per_epoch_and_goes_on_from_any_position(n, size, seed):
    loader = Loader(points(n), batch_size=size, seed=seed)
    batches = [loader.next().images.flatten().tolist() for _ in range(2 * n)]
    stream = [each for batch in batches for each in batch]
    assert all(sorted(stream[k * n : (k + 1) * n]) == list(range(n)) for k in range(2 * size))
    assert loader.epoch == 2 * size
    again = Loader(points(n), batch_size=size, seed=seed)
    again.position = size * n
    assert again.next().images.flatten().tolist() == batches[n]


def test_epochs_and_seeds_have_orders_of_their_own():
    def order(seed):
        loader = Loader(points(50), batch_size=50, seed=seed)
        return [tuple(loader.next().images.flatten().tolist()) for _ in range(2)]

    assert len({*order(0), *order(1)}) == 4


def test_images_come_as_numbers_from_minus_one_to_one_with_their_labels():
    samples = np.array([0, 255], np.uint8).repeat(64).reshape(2, 1, 8, 8)
    data = Dataset(samples=samples, y=np.eye(2, dtype=np.float32), names=("dark", "light"))
    batch = data.batch(np.array([1, 0]))
    assert batch.images[:, 0, 0, 0].tolist() == [1, -1]
    assert batch.y.tolist() == [[0, 1], [1, 0]]
    assert data.first_conditions(3).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_data_sets_refuse_what_does_not_fit():
    with pytest.raises(BatchError, match="at least one sample"):
        points(0)
    with pytest.raises(BatchError, match=r"must be square, got \(8, 9\) px"):
        Dataset(samples=np.zeros((1, 1, 8, 9), np.uint8))
    with pytest.raises(BatchError, match=r"1 samples with 2 names need labels of that shape, got \(1, 3\)"):
        Dataset(samples=np.zeros((1, 2), np.float32), y=np.zeros((1, 3), np.float32), names=("a", "b"))
    with pytest.raises(BatchError, match="have no labels"):
        points(1).first_conditions(1)


def test_digits_have_ten_classes_and_the_size_asked_for():
    data = digits(16)
    assert data.samples.shape == (1797, 1, 16, 16)
    assert data.y.sum(0).astype(int).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.samples.max() > 250
    zero, one = (data.samples[data.y.argmax(1) == k, 0, 7:9, 7:9].mean() for k in (0, 1))
    assert zero < 60 < one  # a zero is hollow


@pytest.mark.parametrize(("mixture", "modes"), [(ring(), 8), (grid(), 25)])
def test_mixtures_scatter_evenly_around_their_centres(mixture, modes):
    data = mixture.dataset(4000, seed=0)
    assert len(mixture.centres) == modes
    offsets = data.samples - mixture.centres[data.y.argmax(1)]
    assert offsets.std() == pytest.approx(mixture.deviation, rel=0.05)
    assert data.y.sum(0).min() > 0.7 * 4000 / modes


def test_mixtures_have_the_authors_scale():
    assert np.linalg.norm(ring().centres, axis=1) == pytest.approx([2 / 1.414] * 8)
    assert sorted({round(float(x), 4) for x in grid().centres.flatten()}) == [
        round(2 * k / 2.828, 4) for k in range(-2, 3)
    ]


def save(path, colour, size=(12, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_a_folder_becomes_squares_with_its_subfolders_as_classes(tmp_path):
    save(tmp_path / "cats" / "a.png", "red")
    save(tmp_path / "dogs" / "b.jpg", "blue", size=(8, 20))
    save(tmp_path / "dogs" / "c.png", "lime")
    data = folder(tmp_path, size=16)
    assert data.samples.shape == (3, 3, 16, 16)
    assert data.names == ("cats", "dogs")
    assert data.y.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert data.samples[0, :, 5, 5].tolist() == [255, 0, 0]


def test_a_flat_folder_is_unlabelled_and_crops_the_middle(tmp_path):
    image = Image.new("RGB", (24, 8), "black")
    image.paste("white", (8, 0, 16, 8))
    image.save(tmp_path / "a.png")
    data = folder(tmp_path, size=8)
    assert data.y is None
    assert (data.samples == 255).all()


def test_a_folder_without_images_or_with_a_damaged_one_is_refused(tmp_path):
    with pytest.raises(BatchError, match="No image"):
        folder(tmp_path, size=8)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BatchError, match=r"a\.png cannot be read as an image"):
        folder(tmp_path, size=8)


@pytest.mark.parametrize("k", range(6), ids=ATTRIBUTES)
def test_an_attribute_changes_its_own_part_of_a_face_and_leaves_the_background(k):
    identity = Identity.draw(np.random.default_rng(0))
    for seed in range(5):
        off = np.random.default_rng(seed).integers(0, 2, 6).astype(np.float32)
        off[k] = 0
        on = off.copy()
        on[k] = 1
        before, after = (render(each, identity, size=64).astype(int) for each in (off, on))
        changed = (before != after).any(0)
        assert 0.004 < changed.mean() < 0.6
        assert not changed[:, [0, -1]].any()
        assert not changed[-3:].any()


def test_faces_follow_from_the_seed_and_hold_every_mix_of_attributes():
    data = sprites(300, size=16, seed=1)
    again = sprites(300, size=16, seed=1)
    assert (data.samples == again.samples).all()
    assert data.samples.shape == (300, 3, 16, 16)
    assert len(Counter(map(tuple, data.y.tolist()))) > 60
    assert len({each.tobytes() for each in data.samples}) == 300
    with pytest.raises(BatchError, match=r"A face has 6 attributes, got \(5,\)"):
        render(np.zeros(5), Identity.draw(np.random.default_rng(0)), size=16)


def test_labels_reach_a_loader():
    batch = Loader(sprites(4, size=8), batch_size=3).next()
    assert batch.images.dtype is torch.float32
    assert batch.y.shape == (3, 6)
