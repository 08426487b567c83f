"""Settings of an evaluation: what is drawn, that seeds pair it, and that nothing else is touched."""

from collections import Counter

import numpy as np
import pytest

from service.errors import InvalidArgumentError
from service.usecases.protocols import LabelledEmbeddings, Setting, draw_trial, hold_out, sample_per_label


def images(labels):
    """Return one-dimensional embeddings that say which row they were."""
    rows = np.arange(len(labels), dtype=np.float32)[:, None]
    return LabelledEmbeddings(embeddings=rows, labels=[tuple(names) for names in labels])


def rows_of(part):
    return part.embeddings[:, 0].astype(int).tolist()


SINGLE = images([name for name in "abcdefghij" for _ in range(20)])
PAIRS = images([pair for pair in ("ab", "bc", "cd", "de", "e", "f") for _ in range(15)])
QUERY = images("abcdefghij")


def draw(setting, *, train=SINGLE, database=SINGLE, query=QUERY, seed=0, **shares):
    return draw_trial(setting, train=train, database=database, query=query, seed=seed, **shares)


def test_clean_sets_are_left_as_they_are():
    trial = draw(Setting.CLEAN)
    assert (trial.train, trial.database, trial.query) == (SINGLE, SINGLE, QUERY)


@pytest.mark.parametrize("setting", list(Setting))
def test_a_seed_draws_the_same_each_time_and_another_seed_something_else(setting):
    def drawn(seed):
        trial = draw(setting, seed=seed, train_per_label=5)
        return [(rows_of(part), list(part.labels)) for part in (trial.train, trial.database, trial.query)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


@pytest.mark.parametrize("train", [SINGLE, PAIRS])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.73])
def test_noise_makes_exactly_its_share_of_the_training_labels_wrong(train, share):
    trial = draw(Setting.NOISE, train=train, noise=share)
    wrong = [a != b for a, b in zip(train.labels, trial.train.labels, strict=True)]
    assert sum(wrong) == round(share * len(train))
    assert rows_of(trial.train) == rows_of(train)
    assert set(trial.train.labels) == set(train.labels)
    assert (trial.database, trial.query) == (SINGLE, QUERY)


def test_wrong_classes_are_drawn_uniformly():
    train = images(["a"] * 3000 + ["b"] * 10 + ["c"] * 10)
    drawn = Counter(draw(Setting.NOISE, train=train, noise=0.5).train.labels[:3000])
    assert drawn[("b",)] == pytest.approx(drawn[("c",)], rel=0.15)


def test_noise_leaves_unlabelled_images_unlabelled():
    train = images([*"aabb", "", ""])
    noisy = draw(Setting.NOISE, train=train, noise=0.5).train.labels
    assert noisy[4:] == [(), ()]
    assert sum(a != b for a, b in zip(train.labels, noisy, strict=True)) == 2


def test_few_labels_keep_their_share_of_every_class_and_one_at_least():
    train = images("a" * 50 + "b" * 30 + "c" * 3)
    few = draw(Setting.FEW, train=train, labelled=0.1).train
    assert Counter(few.labels) == {("a",): 5, ("b",): 3, ("c",): 1, (): 74}
    assert rows_of(few) == rows_of(train)
    assert all(names in ((), train.labels[i]) for i, names in enumerate(few.labels))


def test_few_labels_keep_some_of_every_class_where_images_have_several():
    kept = Counter(
        name for names in draw(Setting.FEW, train=PAIRS, labelled=0.2).train.labels for name in names
    )
    members = Counter(name for names in PAIRS.labels for name in names)
    assert all(kept[name] >= round(0.2 * count) for name, count in members.items())
    assert sum(kept.values()) < 0.35 * sum(members.values())


@pytest.mark.parametrize("seed", range(5))
def test_unseen_classes_are_searched_and_never_trained_on(seed):
    trial = draw(Setting.UNSEEN, seed=seed)
    held_out = {name for names in trial.database.labels for name in names}
    assert len(held_out) == 3
    assert held_out == {name for names in trial.query.labels for name in names}
    assert {name for names in trial.train.labels for name in names} == set("abcdefghij") - held_out
    assert (len(trial.train), len(trial.database), len(trial.query)) == (140, 60, 3)
    for part, whole in ((trial.train, SINGLE), (trial.database, SINGLE), (trial.query, QUERY)):
        assert [whole.labels[i] for i in rows_of(part)] == list(part.labels)


@pytest.mark.parametrize("seed", range(5))
def test_images_with_any_unseen_class_are_not_trained_on_and_count_for_that_class_alone(seed):
    trial = draw(Setting.UNSEEN, train=PAIRS, database=PAIRS, query=PAIRS, seed=seed)
    held_out = {name for names in trial.query.labels for name in names}
    assert len(held_out) == 2
    for i, names in enumerate(PAIRS.labels):
        assert (i in rows_of(trial.train)) is not bool(held_out & set(names))
    expected = [tuple(n for n in names if n in held_out) for names in PAIRS.labels]
    assert list(trial.database.labels) == [names for names in expected if names]


def test_unlabelled_images_are_no_training_for_unseen_classes():
    trial = draw(Setting.UNSEEN, train=images([*"abcdefghij", ""]))
    assert () not in trial.train.labels


def test_the_training_sample_is_drawn_before_labels_change():
    clean, noisy, few = (
        draw(setting, train_per_label=4).train for setting in (Setting.CLEAN, Setting.NOISE, Setting.FEW)
    )
    assert rows_of(clean) == rows_of(noisy) == rows_of(few)
    unseen = draw(Setting.UNSEEN, train_per_label=4).train
    assert set(Counter(unseen.labels).values()) == {4}


def test_a_sample_has_as_many_of_every_label_as_there_are():
    labels = [("rare",), *[("common",)] * 9, (), ("common", "rare")]
    picked = sample_per_label(labels, 3, rng=np.random.default_rng(0))
    chosen = [labels[i] for i in picked]
    assert list(picked) == sorted(set(picked))
    assert sum("rare" in row for row in chosen) == 2
    assert sum("common" in row for row in chosen) >= 3
    assert () not in chosen


def test_held_out_queries_and_the_rest_are_the_whole_set():
    rest, asked = hold_out(SINGLE, 0.15, seed=1)
    assert len(asked) == 30
    assert sorted(rows_of(rest) + rows_of(asked)) == rows_of(SINGLE)
    assert rows_of(asked) == sorted(rows_of(asked))
    assert rows_of(asked) == rows_of(hold_out(SINGLE, 0.15, seed=1)[1])
    assert rows_of(asked) != rows_of(hold_out(SINGLE, 0.15, seed=2)[1])


def test_a_sample_of_none_is_refused():
    with pytest.raises(InvalidArgumentError, match="at least 1 training image per label, got 0"):
        draw(Setting.CLEAN, train_per_label=0)


def test_shares_must_leave_something_on_both_sides():
    for setting, name in ((Setting.NOISE, "noise"), (Setting.FEW, "labelled"), (Setting.UNSEEN, "unseen")):
        for share in (0.0, 1.0, -0.1):
            with pytest.raises(
                InvalidArgumentError, match=f"The share --{name} must lie between 0 and 1, got"
            ):
                draw(setting, **{name: share})
    with pytest.raises(InvalidArgumentError, match=r"0.01 of 10 images leaves no queries or no database"):
        hold_out(QUERY, 0.01, seed=0)


def test_settings_that_need_more_classes_say_so():
    with pytest.raises(InvalidArgumentError, match="images of at least 2 classes, got 1"):
        draw(Setting.NOISE, train=images("aaa"))
    with pytest.raises(InvalidArgumentError, match=r"need at least 4 classes .* got 3"):
        draw(Setting.UNSEEN, query=images("abc"))
    with pytest.raises(InvalidArgumentError, match="no training image is left"):
        draw(Setting.UNSEEN, train=images(["abcdefghij"]))
