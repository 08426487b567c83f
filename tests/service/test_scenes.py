"""Scenes: one geometry under all conditions, known boxes, and categories that colour alone does not give away."""

from hashlib import sha256
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import hog
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from service.errors import InvalidArgumentError
from service.scenes.affect import AFFECTS
from service.scenes.gallery import gallery
from service.scenes.render import render
from service.scenes.sampling import CATEGORIES, sample_scene
from service.scenes.scene import ALL_CONDITIONS, Conditions, Material, Polarity, Season, TimeOfDay, Weather

NIGHT = Conditions(time=TimeOfDay.NIGHT)
WINTER = Conditions(season=Season.WINTER)
STORM = Conditions(weather=Weather.STORM)
categories = pytest.mark.parametrize("category", CATEGORIES)


def digest(category, instance, conditions):
    return sha256(render(sample_scene(category, instance, 5), conditions, 96).image.tobytes()).hexdigest()


def mean_level(picture, mask):
    return float(picture.image[mask].mean())


@categories
def test_every_condition_shows_the_same_geometry_in_another_light(category):
    scene = sample_scene(category, 3, affect_share=1.0)
    pictures = [render(scene, conditions, 96) for conditions in ALL_CONDITIONS]
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture.segments, pictures[0].segments)
        assert picture.planted == pictures[0].planted
    for one, other in combinations(pictures, 2):
        assert np.abs(one.image.astype(int) - other.image).mean() > 0.5


@categories
def test_every_condition_keeps_the_edges_where_the_segments_have_them(category):
    """The map is no mere claim: colours jump where it says a part ends, by day and by night."""
    scene = sample_scene(category, 1)
    for conditions in (Conditions(), NIGHT, WINTER):
        picture = render(scene, conditions, 128)
        steps = np.abs(np.diff(picture.image.astype(int), axis=0)).sum(axis=2)
        edges = np.diff(picture.segments.astype(int), axis=0) != 0
        assert steps[edges].mean() > 2.0 * steps[~edges].mean()


def test_repeats_are_bit_identical_in_any_order_of_calls():
    wanted = [("city", 0, NIGHT), ("beach", 4, STORM), ("room", 2, Conditions()), ("forest", 1, WINTER)]
    forwards = [digest(*one) for one in wanted]
    backwards = [digest(*one) for one in reversed(wanted)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(wanted)


def test_instance_does_not_depend_on_how_many_others_are_drawn():
    last = list(gallery(3, seed=2, size_px=96, categories=["lake", "village"], conditions=[NIGHT]))[-1]
    alone = render(sample_scene("village", 2, 2), NIGHT, 96)
    np.testing.assert_array_equal(last.image, alone.image)


@categories
def test_scene_is_the_same_at_every_size(category):
    scene = sample_scene(category, 2, affect_share=1.0)
    small, large = render(scene, None, 96), render(scene, None, 288)
    assert np.mean(small.segments == large.segments[1::3, 1::3]) > 0.8
    reduced = large.image.reshape(96, 3, 96, 3, 3).mean(axis=(1, 3))
    assert np.abs(reduced - small.image).mean() < 12
    np.testing.assert_allclose(np.array(large.planted.box_xyxy) / 3, small.planted.box_xyxy, atol=2.0)


@given(size_px=st.integers(96, 150), instance=st.integers(0, 10**6), category=st.sampled_from(CATEGORIES))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_any_size_gives_a_square_rgb_picture_and_its_map(size_px, instance, category):
    picture = render(sample_scene(category, instance), None, size_px)
    assert picture.image.shape == (size_px, size_px, 3)
    assert picture.image.dtype == np.uint8
    assert picture.segments.shape == (size_px, size_px)
    assert picture.image.std() > 8


@categories
def test_two_instances_of_a_category_are_laid_out_differently(category):
    maps = []
    for instance in range(4):
        scene = sample_scene(category, instance, affect_share=0.0)
        kinds = np.array([list(Material).index(part.material) for part in scene.parts])
        maps.append(kinds[render(scene, None, 96).segments])
    for one, other in combinations(maps, 2):
        assert np.mean(one != other) > 0.05


def test_mean_colour_does_not_tell_the_category_but_layout_does():
    pictures = list(gallery(16, seed=1, size_px=96))
    labels = np.array([CATEGORIES.index(picture.category) for picture in pictures])
    query = np.array([picture.instance % 4 == 0 for picture in pictures])
    colour = np.array([picture.image.mean(axis=(0, 1)) for picture in pictures])
    layout = np.array(
        [
            hog(picture.image.mean(axis=2), orientations=8, pixels_per_cell=(12, 12), cells_per_block=(2, 2))
            for picture in pictures
        ]
    )

    def accuracy(classifier, features):
        return classifier.fit(features[~query], labels[~query]).score(features[query], labels[query])

    for classifier in (NearestCentroid(), KNeighborsClassifier(1), KNeighborsClassifier(5)):
        assert accuracy(classifier, colour) < 0.35
    assert accuracy(NearestCentroid(), layout) > 0.6


@pytest.mark.parametrize("instance", range(6))
def test_box_is_tight_around_what_is_seen_of_the_planted_object(instance):
    scene = sample_scene(CATEGORIES[instance], instance, affect_share=1.0)
    picture = render(scene, None, 100)
    seen = [(x, y) for y in range(100) for x in range(100) if scene.parts[picture.segments[y, x]].affective]
    columns, rows = zip(*seen, strict=True)
    assert picture.planted.box_xyxy == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
    assert len(seen) > 100 * 100 * 0.005


def test_planting_changes_nothing_but_the_planted_object():
    without, planted = (sample_scene("harbour", 7, affect_share=share) for share in (0.0, 1.0))
    assert without.affect is None
    assert render(without, None, 96).planted is None
    assert without.atmosphere == planted.atmosphere
    background = [part for part in planted.parts if not part.affective]
    assert len(background) == len(without.parts) < len(planted.parts)
    for one, other in zip(background, without.parts, strict=True):
        assert one.colour == other.colour
        for outline, expected in zip(one.outlines, other.outlines, strict=True):
            np.testing.assert_array_equal(outline, expected)


def test_four_scenes_in_ten_carry_an_affect_of_either_polarity_in_every_category():
    affects = {category: [sample_scene(category, i).affect for i in range(24)] for category in CATEGORIES}
    every = [affect for found in affects.values() for affect in found]
    assert 0.33 < np.mean([affect is not None for affect in every]) < 0.47
    assert {affect.kind for affect in every if affect} == {affect.kind for affect, _ in AFFECTS}
    for found in affects.values():
        assert {affect.polarity for affect in found if affect} == set(Polarity)
    for affect, _ in AFFECTS:
        assert -1 <= affect.valence <= 1
        assert (affect.valence > 0) == (affect.polarity is Polarity.POSITIVE)


@categories
def test_night_is_darker_than_day(category):
    scene = sample_scene(category, 6)
    assert render(scene, NIGHT, 96).image.mean() < 0.8 * render(scene, None, 96).image.mean()


def test_windows_are_lit_at_night():
    scene = sample_scene("city", 0, affect_share=0.0)
    day, night = render(scene, None, 192), render(scene, NIGHT, 192)
    lamps = np.isin(day.segments, [n for n, part in enumerate(scene.parts) if part.glow is not None])
    walls = np.isin(
        day.segments, [n for n, part in enumerate(scene.parts) if part.material is Material.MASONRY]
    )
    assert mean_level(night, lamps) > 1.3 * mean_level(night, walls)
    assert mean_level(day, lamps) < mean_level(day, walls)


def test_snow_lies_on_grass_in_winter_and_not_on_walls():
    scene = sample_scene("village", 0, affect_share=0.0)
    summer, winter = render(scene, None, 192), render(scene, WINTER, 192)
    grass, walls = (
        np.isin(summer.segments, [n for n, part in enumerate(scene.parts) if part.material is material])
        for material in (Material.GRASS, Material.MASONRY)
    )
    assert mean_level(winter, grass) > 1.2 * mean_level(summer, grass)
    assert mean_level(winter, walls) < 1.15 * mean_level(summer, walls)


def test_storm_and_winter_stay_outside_the_room():
    scene = sample_scene("room", 0, affect_share=0.0)
    clear = render(scene, None, 192)
    wild = render(scene, Conditions(season=Season.WINTER, weather=Weather.STORM), 192)
    indoors = np.array([part.sheltered for part in scene.parts])[clear.segments]
    ratio = wild.image[indoors].astype(float) / np.maximum(clear.image[indoors], 1)
    assert ratio.std() < 0.1
    outside = wild.image[~indoors].astype(float) / np.maximum(clear.image[~indoors], 1)
    assert outside.std() > 2 * ratio.std()


def test_unknown_category_is_refused_with_the_known_ones():
    with pytest.raises(InvalidArgumentError, match=r"no scene category .moon.\. Choose one of beach, bridge"):
        sample_scene("moon", 0)


@pytest.mark.parametrize("wrong", [{"instance": -1}, {"seed": -1}, {"affect_share": 1.5}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidArgumentError, match=r"at least 0 and affect_share in 0\.\.1, got"):
        sample_scene(**{"category": "lake", "instance": 0, **wrong})


@pytest.mark.parametrize("size_px", [95, 1025])
def test_sizes_out_of_range_are_refused(size_px):
    with pytest.raises(InvalidArgumentError, match=f"96 to 1024 px, got size_px={size_px}"):
        render(sample_scene("lake", 0), None, size_px)
