"""`polyhash search --label`, `--filter` and `--bits auto`: the hits that meet the conditions, as chosen by hand."""

import pytest

from service import compose
from tests.service.command import polyhash, unfolded, write_pictures

COUNT = 12
LABELS = ("cat", "dog", "dark")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store whose image i has the label i % 3, an attribute by i % 2, and, if i is even, the score i."""
    folder = tmp_path_factory.mktemp("filters")
    for place, label in enumerate(LABELS):
        write_pictures(folder / "photos" / label, COUNT // 3, seed=place)
    assert polyhash("index", folder / "photos", "--store", folder / "store", "--lengths", "16,64").status == 0
    with compose.open_session(folder / "store", purpose="test") as session:
        for image_id in range(1, COUNT + 1):
            session.application.gallery.update(
                image_id,
                labels=[LABELS[image_id % 3]],
                attributes={"camera": "A7" if image_id % 2 else "Z6"},
                scores={} if image_id % 2 else {"valence": float(image_id)},
            )
    return folder / "store"


def search(store, *arguments):
    done = polyhash("search", 1, "--store", store, "-k", 99, "--json", *arguments)
    assert (done.status, done.err) == (0, "")
    return done.document


CONDITIONS = [
    (["--label", "cat"], lambda i: i % 3 == 0),
    (["--label", "cat", "--label", "dog"], lambda i: i % 3 != 2),
    (["--filter", "label=cat|dog"], lambda i: i % 3 != 2),
    (["--filter", "label!=cat|dog"], lambda i: i % 3 == 2),
    (["--label", "cat", "--filter", "label=dog|dark"], lambda _: False),
    (["--label", "cat", "--label", "dog", "--filter", "label!=dog"], lambda i: i % 3 == 0),
    (["--filter", "camera=A7"], lambda i: i % 2 == 1),
    (["--filter", "camera=A7|Z6", "--label", "dark"], lambda i: i % 3 == 2),
    (["--filter", "valence>=4", "--filter", "valence<=8"], lambda i: i in {4, 6, 8}),
    (["--filter", "created>=2020-01-01"], lambda _: True),
    (["--filter", "created<2020-01-01T12:00:00+01:00"], lambda _: False),
    (["--label", "nothing"], lambda _: False),
]


@pytest.mark.parametrize(
    ("arguments", "meets"), CONDITIONS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_hits_are_those_that_meet_all_conditions_in_the_order_without_them(store, arguments, meets):
    everything = search(store)["hits"]
    found = search(store, *arguments)
    assert [hit["image_id"] for hit in found["hits"]] == [
        hit["image_id"] for hit in everything if meets(hit["image_id"])
    ]
    matched = sum(map(meets, range(1, COUNT + 1)))
    assert (found["matched"], found["hidden"]) == (matched, COUNT - matched)


def test_what_a_filter_hides_is_told_above_the_table(store):
    def title(*arguments):
        return polyhash("search", 1, "--store", store, *arguments).out.splitlines()[0]

    assert title("--filter", "valence>=12") == (
        "1 hit at 64 bits, 11 images hidden by the filter (6 lack what it asks for)"
    )
    assert title("--label", "dark", "-k", 2) == "2 hits at 64 bits, 8 images hidden by the filter"
    done = polyhash("search", 1, "--store", store, "--label", "nothing")
    assert done.out == "0 hits at 64 bits, 12 images hidden by the filter\n"


def test_the_automatic_strategy_gives_the_hits_of_the_longest_codes_and_tells_its_lengths(store):
    plain, auto = search(store), search(store, "--bits", "auto", "--label", "cat")
    assert [hit for hit in plain["hits"] if hit["image_id"] % 3 == 0] == [
        hit | {"rank": plain["hits"][[h["image_id"] for h in plain["hits"]].index(hit["image_id"])]["rank"]}
        for hit in auto["hits"]
    ]
    assert (auto["bits"], auto["lengths"][-1], auto["generation"]) == (64, 64, 1)
    assert polyhash("search", 1, "--store", store, "--bits", "auto", "-k", 3).out.startswith(
        "3 hits at 64 bits"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--filter", "rubbish"], "'rubbish' is no condition. Expected one of: label=WORD, label!=WORD"),
        (["--filter", ""], "'' is no condition"),
        (["--filter", "label=cat||dog"], "labels_any contains an empty word"),
        (["--filter", "label>=3"], "label is compared by = or !=, got 'label>=3'"),
        (["--filter", "valence>=much"], "'much' must be a number such as 4.5"),
        (["--filter", "created>=yesterday"], "must be one such as 2026-01-31"),
        (["--filter", "valence>=7", "--filter", "valence<=4"], "must not exceed its maximum"),
        (["--label", ""], "contains an empty word"),
        (
            ["--label", "cat", "--label", "dog", "--filter", "label=dog|dark"],
            "several of it cannot be had together with label=dog|dark",
        ),
        (["--bits", "long"], "expected a code length such as 64, or auto, got 'long'"),
    ],
)
def test_rubbish_is_wrong_usage_and_told_before_anything_is_opened(tmp_path, arguments, told):
    done = polyhash("search", 1, "--store", tmp_path / "none", *arguments)
    assert (done.status, done.out) == (2, "")
    assert told in unfolded(done.err)


def test_a_length_that_the_hasher_has_not_is_refused(store):
    done = polyhash("search", 1, "--store", store, "--bits", "12")
    assert (done.status, done.err) == (
        1,
        "polyhash: The model has codes of 16, 64 bits, got bits = 12. Choose one of them.\n",
    )
