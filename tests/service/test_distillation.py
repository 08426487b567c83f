"""Distilling: losses against loops, views and targets that repeat themselves, and runs that survive an interruption."""

import math

import numpy as np
import pytest
import torch

from service.errors import ConflictError, InvalidArgumentError
from service.vision.encoder.augmentation import Batch, augment, mirror, mix
from service.vision.encoder.distillation import (
    LossWeights,
    direction_loss,
    distillation_terms,
    map_loss,
    relation_loss,
)
from service.vision.encoder.teacher import TrainingSet, fit_projection
from service.vision.encoder.views import draw_view
from tests.service.distilling import arrays, cache_of, make_cache, render_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return render_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def cache(tmp_path, scenes):
    return make_cache(tmp_path / "cache", scenes)


# ---------------------------------------------------------------- losses


def unit(vector):
    return [x / math.sqrt(sum(y * y for y in vector)) for x in vector]


def dot(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.fixture
def pairs():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(5, 4, generator=generator), torch.randn(5, 4, generator=generator)


@pytest.fixture
def anchors():
    vectors = torch.randn(3, 4, generator=torch.Generator().manual_seed(6))
    return vectors / vectors.norm(dim=1, keepdim=True)


def test_the_direction_loss_is_one_minus_the_mean_cosine(pairs):
    student, teacher = (x.tolist() for x in pairs)
    expected = sum(1 - dot(unit(s), unit(t)) for s, t in zip(student, teacher, strict=True)) / 5
    assert direction_loss(*pairs).item() == pytest.approx(expected, rel=1e-5)


def test_the_relation_loss_is_the_divergence_of_the_likeness_to_anchors(pairs, anchors):
    def distribution(vector):
        weights = [math.exp(dot(unit(vector), anchor) / 0.2) for anchor in anchors.tolist()]
        return [weight / sum(weights) for weight in weights]

    expected = 0.0
    for student, teacher in zip(*(x.tolist() for x in pairs), strict=True):
        s, t = distribution(student), distribution(teacher)
        expected += sum(b * math.log(b / a) for a, b in zip(s, t, strict=True)) / 5
    assert relation_loss(*pairs, anchors, temperature=0.2).item() == pytest.approx(expected, rel=1e-4)


def test_the_map_loss_is_one_for_a_map_of_zeros_and_zero_for_the_target():
    target = torch.randn(2, 3, 2, 2)
    assert map_loss(torch.zeros_like(target), target).item() == pytest.approx(1)
    assert map_loss(target, target).item() == 0


def test_terms_are_weighted_and_summed(pairs, anchors):
    maps, targets = (x.reshape(5, 4, 1, 1) for x in pairs)
    terms = distillation_terms(maps, targets, pairs[1], anchors, temperature=0.1)
    weights = LossWeights(direction=2.0, maps=3.0, relations=5.0)
    expected = 2 * terms.direction + 3 * terms.maps + 5 * terms.relations
    assert weights.total(terms).item() == pytest.approx(expected.item())


def test_losses_agree_with_their_gradients(pairs, anchors):
    student = pairs[0].double().requires_grad_()
    teacher = pairs[1].double()
    assert torch.autograd.gradcheck(lambda x: direction_loss(x, teacher), student)
    assert torch.autograd.gradcheck(
        lambda x: relation_loss(x, teacher, anchors.double(), temperature=0.5), student
    )


# ---------------------------------------------------------------- views and augmentation


def test_views_lie_in_the_picture_and_have_the_promised_area():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 300, 2).tolist()
        left, top, right, bottom = draw_view(height, width, rng=rng).box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert (right - left) * (bottom - top) <= height * width * 1.0001


def test_a_mirrored_view_is_the_view_read_backwards():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    view = next(v for seed in range(9) if (v := draw_view(20, 30, rng=np.random.default_rng(seed))).mirrored)
    plain = type(view)(box=view.box, mirrored=False)
    np.testing.assert_array_equal(view.cut(image, side_px=8), plain.cut(image, side_px=8)[:, ::-1])


def a_batch():
    generator = torch.Generator().manual_seed(1)
    return Batch(
        pixels=torch.rand(4, 3, 8, 8, generator=generator),
        maps=torch.rand(4, 2, 2, 2, generator=generator),
        embeddings=torch.rand(4, 2, generator=generator),
    )


def test_mixing_is_linear_in_pictures_and_targets():
    batch, partners, shares = a_batch(), torch.tensor([1, 0, 3, 2]), torch.tensor([1.0, 0.25, 0.5, 0.0])
    mixed = mix(batch, partners, shares)
    for name in ("pixels", "maps", "embeddings"):
        for i in range(4):
            own, other = getattr(batch, name)[i], getattr(batch, name)[partners[i]]
            torch.testing.assert_close(getattr(mixed, name)[i], shares[i] * own + (1 - shares[i]) * other)


def test_mirroring_turns_pictures_and_maps_alike():
    batch = a_batch()
    turned = mirror(batch, torch.tensor([True, False, True, False]))
    torch.testing.assert_close(turned.pixels[0], batch.pixels[0].flip(2))
    torch.testing.assert_close(turned.maps[0], batch.maps[0].flip(2))
    torch.testing.assert_close(turned.pixels[1], batch.pixels[1])


def test_augmenting_repeats_itself_and_stays_in_range():
    views = torch.randint(
        0, 256, (16, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    maps, embeddings = torch.rand(16, 2, 2, 2), torch.rand(16, 2)
    one, other = (
        augment(
            *(views, maps, embeddings),
            side_px=32,
            cells=2,
            mix_share=0.5,
            generator=torch.Generator().manual_seed(7),
        )
        for _ in range(2)
    )
    assert torch.equal(one.pixels, other.pixels)
    assert one.pixels.min() >= -1
    assert one.pixels.max() <= 1
    assert not torch.equal(one.pixels, views.permute(0, 3, 1, 2) / 127.5 - 1)


def test_smaller_views_have_maps_of_fewer_cells_with_the_same_means():
    views = torch.full((8, 32, 32, 3), 100, dtype=torch.uint8)
    views[:, :, 16:] = 200
    maps, embeddings = torch.rand(8, 2, 4, 4), torch.rand(8, 2)
    batch = augment(
        *(views, maps, embeddings),
        side_px=16,
        cells=2,
        mix_share=0.0,
        generator=torch.Generator().manual_seed(7),
    )
    assert batch.pixels.shape == (8, 3, 16, 16)
    assert batch.maps.shape == (8, 2, 2, 2)
    torch.testing.assert_close(batch.maps.mean((2, 3)), maps.mean((2, 3)))
    left, right = batch.pixels[..., 2].mean((1, 2)), batch.pixels[..., 13].mean((1, 2))
    assert ((left - right).abs() > 0.1).all()  # either way round, as half of them are mirrored


# ---------------------------------------------------------------- teacher and cache


def test_a_projection_commutes_with_averaging_and_keeps_the_strongest_directions_apart():
    rng = np.random.default_rng(0)
    sample = (rng.normal(size=(400, 5)) * [5, 3, 1, 0.1, 0.1]).astype(np.float32)
    projection = fit_projection(sample, 3, flattening=0.0)
    projected = projection(sample[:, :, None, None])[:, :, 0, 0]
    covariance = np.cov(projected.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-5)
    assert np.trace(covariance) == pytest.approx(1, rel=1e-3)
    maps = rng.normal(size=(2, 5, 3, 3)).astype(np.float32)
    means = projection(maps.mean((2, 3))[:, :, None, None])[:, :, 0, 0]
    np.testing.assert_allclose(projection(maps).mean((2, 3)), means, atol=1e-5)


def test_a_second_run_gives_the_same_views_and_targets(cache, tmp_path, scenes):
    again = cache_of(tmp_path / "again", scenes)
    again.fill(lambda *_: None)
    for one, other in zip(arrays(cache), arrays(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_filling_goes_on_where_it_stopped_and_gives_the_same(cache, tmp_path, scenes, monkeypatch):
    monkeypatch.setattr("service.vision.encoder.target_cache.PASS_VIEWS", 8)
    stopped = cache_of(tmp_path / "stopped", scenes)
    with pytest.raises(KeyboardInterrupt):
        stopped.fill(interrupting_after(10))
    done = len(stopped.ready())
    assert 0 < done < len(cache.ready())
    asked = []
    more = cache_of(tmp_path / "stopped", scenes)
    more.fill(lambda _stage, count, _total: asked.append(count))
    assert asked[0] > done
    for one, other in zip(arrays(cache)[:1], arrays(more)[:1], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(arrays(cache)[1:], arrays(more)[1:], strict=True):
        np.testing.assert_allclose(one.astype(float), other.astype(float), atol=2e-3)


def interrupting_after(rows):
    def report(stage, done, _total):
        if stage.startswith("Asking") and done >= rows:
            raise KeyboardInterrupt

    return report


@pytest.mark.usefixtures("cache")
def test_a_cache_of_something_else_is_refused(tmp_path, scenes):
    with pytest.raises(
        ConflictError, match="views and targets of another run: its seed is 0, this run's is 1"
    ):
        cache_of(tmp_path / "cache", scenes, seed=1)


def test_a_share_of_a_set_takes_every_so_many_pictures(scenes):
    few = TrainingSet(spec=str(scenes), views=0.25)
    names = [image.name for image in TrainingSet(spec=str(scenes), views=3.0)]
    assert [image.name for image in few] == names[::4]
    assert (len(few), few.views_per_image) == (len(names[::4]), 1)


def test_too_few_views_are_refused(tmp_path, scenes):
    with pytest.raises(InvalidArgumentError, match="learned from more than 6 views, got"):
        cache_of(tmp_path, scenes, views=0.15)


def test_a_picture_that_cannot_be_read_is_named_and_left_out(tmp_path, scenes):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, file in enumerate(sorted(scenes.rglob("*.jpg"))[:12]):
        (photos / f"{i}.jpg").write_bytes(file.read_bytes() if i else b"no picture")
    made = cache_of(tmp_path / "cache", photos)
    assert [rejected.name for rejected in made.fill(lambda *_: None)] == ["0.jpg"]
    assert made.ready().tolist() == list(range(1, 12))
