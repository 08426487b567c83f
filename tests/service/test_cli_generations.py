"""`polyhash rebuild`, `generations`, `activate`, `prune`, `verify`: looking after index files as an operator does."""

import re
import shutil
import signal

import pytest
from rich.console import Console

from service import compose
from service.cli import console
from tests.service.command import polyhash, start_polyhash, unfolded, write_pictures

COUNT = 12
CATALOG = "service.storage.catalog:SqlCatalog"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generations")
    for label in ("a", "b"):
        write_pictures(folder / "photos" / label, COUNT // 2, seed=ord(label))
    assert polyhash("index", folder / "photos", "--store", folder / "store", "--lengths", "16,64").status == 0
    return folder / "store"


@pytest.fixture
def store(template, tmp_path):
    return shutil.copytree(template, tmp_path / "store")


def listed(store):
    """Return (number, state, images, note) of each generation."""
    return [
        tuple(row[name] for name in ("generation", "state", "images", "note"))
        for row in polyhash("generations", "--store", store, "--json").document
    ]


def hits(store, *arguments):
    done = polyhash("search", 1, "--store", store, "--json", *arguments)
    assert done.status == 0, done.err
    return [(hit["distance"], hit["image_id"]) for hit in done.document["hits"]]


def damage(store, number):
    """Flip one bit in the codes of a generation."""
    (path,) = (store / "generations" / f"gen-{number:06d}").glob("*records*")
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)


def delete(store, *image_ids):
    with compose.open_session(store, purpose="test") as session:
        for image_id in image_ids:
            session.application.gallery.delete(image_id)


def hasher_of(store):
    return polyhash("generations", "--store", store, "--json").document[-1]["hasher"]


def test_a_rebuild_leaves_the_answers_and_drops_deleted_images(store):
    before = hits(store)
    delete(store, 5, 6)
    expected = [hit for hit in before if hit[1] not in {5, 6}]
    done = polyhash("rebuild", "--store", store, "--note", "weekly", "--json")
    assert (done.status, done.err) == (0, "")
    assert (done.document["generation"], done.document["images"], done.document["note"]) == (2, 10, "weekly")
    assert listed(store) == [(1, "ready", 12, "trained"), (2, "active", 10, "weekly")]
    assert hits(store, "-k", COUNT)[: len(expected)] == expected
    assert polyhash("rebuild", "--store", store).out == (
        f"Built generation 3: 10 images up to change 14, {hasher_of(store)}.\n"
    )


def test_generations_are_listed_with_what_is_in_them(store):
    title, headings, row = polyhash("generations", "--store", store).out.splitlines()
    assert title == f"Generations of {store}"
    assert " ".join(headings.split()) == "generation state images up to change hasher built note"
    assert re.fullmatch(
        rf" +1  active +12 +12  {hasher_of(store)}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00  trained *", row
    )


def test_a_store_without_generations_says_how_to_get_one(tmp_path):
    write_pictures(tmp_path / "photos", 1)
    polyhash("index", tmp_path / "photos", "--store", tmp_path / "store")
    assert polyhash("generations", "--store", tmp_path / "store").out == (
        f"{tmp_path / 'store'} has no generations yet. `polyhash rebuild` builds one.\n"
    )
    done = polyhash("rebuild", "--store", tmp_path / "store")
    assert (done.status, "has no hasher yet" in done.err) == (1, True)
    assert polyhash("generations", "--store", tmp_path / "store", "--json").document == []
    assert polyhash("verify", "--store", tmp_path / "store").out == "Sound. Looked at: images 1.\n"


def test_going_back_to_a_generation_brings_back_its_hasher_with_all_changes_since(store):
    before, first = hits(store), hasher_of(store)
    assert polyhash("train", "hasher", "--store", store, "--lengths", "8", "--seed", "3").status == 0
    assert hasher_of(store) != first
    delete(store, before[0][1])
    done = polyhash("activate", 1, "--store", store)
    assert (done.status, done.out) == (
        0,
        f"Activated generation 1: 12 images up to change 12, {first}.\n",
    )
    assert hits(store)[: len(before) - 1] == before[1:]
    assert [state for _, state, *_ in listed(store)] == ["active", "ready"]
    done = polyhash("activate", 9, "--store", store)
    assert (done.status, done.err) == (
        1,
        "polyhash: There is no generation 9. List the generations to see which there are.\n",
    )


def test_an_encoding_rebuild_goes_over_to_another_hasher(store):
    first, before = hasher_of(store), hits(store)
    polyhash("train", "hasher", "--store", store, "--lengths", "8", "--seed", "3")
    done = polyhash("rebuild", "--store", store, "--kind", "encode", "--hasher", first, "--json")
    assert (done.document["hasher"], done.document["images"]) == (first, COUNT)
    assert hits(store) == before
    assert polyhash("rebuild", "--store", store, "--kind", "encode").status == 0


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--kind", "nothing"], 2, "'nothing' is not one of 'index', 'encode'"),
        (["--backbone", "descriptor"], 2, "Invalid value for --backbone: it goes with `--kind extract`"),
        (
            ["--kind", "extract"],
            2,
            "Invalid value for --backbone: it goes with `--kind extract`, and that needs it",
        ),
        (
            ["--hasher", "x@0"],
            2,
            "Invalid value for --hasher: it goes with `--kind encode` and `--kind extract` only",
        ),
        (["--kind", "encode", "--hasher", "x@0"], 1, "polyhash: No hasher x@0 in the store"),
    ],
)
def test_a_rebuild_that_cannot_be_is_refused_and_changes_nothing(store, arguments, status, told):
    done = polyhash("rebuild", "--store", store, *arguments)
    assert (done.status, done.out) == (status, "")
    assert told in unfolded(done.err)
    assert listed(store) == [(1, "active", 12, "trained")]


def test_old_generations_are_deleted_and_the_active_one_stays(store):
    for _ in range(3):
        polyhash("rebuild", "--store", store)
    assert [number for number, *_ in listed(store)] == [2, 3, 4]  # three are kept of themselves
    polyhash("activate", 2, "--store", store)
    assert polyhash("prune", "--store", store).out == "Deleted generation 3.\n"
    assert polyhash("prune", "--store", store, "--keep", 0, "--json").document == {"deleted": []}
    assert polyhash("prune", "--store", store, "--keep", 0).out == "Nothing to delete.\n"
    left = sorted(
        path.name for path in (store / "generations").iterdir()
    )  # in use, and the last: its number is never reused
    assert left == ["gen-000002", "gen-000004"]
    assert polyhash("prune", "--store", store, "--keep", -1).status == 2


def test_pruning_deletes_the_codes_that_no_generation_needs(store):
    polyhash("train", "hasher", "--store", store, "--lengths", "8")
    assert compose.describe_store(store)["code_records"] == 2 * COUNT  # so that one can go back at once
    polyhash("prune", "--store", store)
    assert compose.describe_store(store)["code_records"] == COUNT


@pytest.mark.parametrize("step", ["write_records", "register_generation", "activate_generation"])
def test_a_rebuild_that_was_killed_leaves_a_sound_store_and_is_done_by_the_next(store, step):
    first, before = hasher_of(store), hits(store)
    polyhash("train", "hasher", "--store", store, "--lengths", "8", "--seed", "3")
    polyhash("prune", "--store", store)  # the codes of the first are gone, so there is something to write
    again = ("rebuild", "--store", store, "--kind", "encode", "--hasher", first)
    with start_polyhash(*again, killed_at=f"{CATALOG}.{step}") as process:
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (-signal.SIGKILL, "")
    done = polyhash("verify", "--store", store)
    assert (done.status, "Sound. " in done.out) == (0, True)
    assert ("remark: generation 3: is on disk but not in the catalog" in done.out) is (
        step == "register_generation"
    )
    assert hasher_of(store) != first or step == "activate_generation"
    assert len(hits(store)) == 10
    assert polyhash(*again).status == 0
    assert hits(store) == before
    done = polyhash("verify", "--store", store)
    assert (done.status, "remark" in done.out) == (0, False)


def test_a_damaged_generation_is_found_and_passed_over(store):
    expected = hits(store)
    damage(store, 1)
    assert hits(store) == expected
    done = polyhash("search", 1, "--store", store)
    assert done.err.startswith("polyhash: Generation 1 is not used: Generation 1 is damaged: ")
    done = polyhash("verify", "--store", store)
    assert (done.status, done.out.splitlines()[-1]) == (1, "Damaged. Looked at: images 12, generations 1.")
    assert re.match(r"damaged: generation 1: .*records.* should have sha256 \w{64}, has sha256", done.out)
    done = polyhash("verify", "--store", store, "--json")
    assert (done.status, done.document["sound"]) == (1, False)
    (finding,) = done.document["findings"]
    assert (finding["subject"], finding["damage"]) == ("generation 1", True)
    assert [state for _, state, *_ in listed(store)] == ["active"]  # reading changes nothing


def test_a_start_puts_a_damaged_generation_aside_and_a_rebuild_replaces_it(template, store):
    expected = hits(store)
    damage(store, 1)
    told = "polyhash: Generation 1 is not used: Generation 1 is damaged: "
    done = polyhash("index", template.parent / "photos", "--store", store)
    assert done.err.startswith(told)
    assert [(number, state) for number, state, *_ in listed(store)] == [(1, "quarantined")]
    *_, row, why = polyhash("generations", "--store", store).out.splitlines()
    assert row.split()[:2] == ["1", "quarantined"]
    assert why.startswith("Generation 1 is damaged: ")
    done = polyhash("activate", 1, "--store", store)
    assert (done.status, "Generation 1 was found damaged" in done.err) == (1, True)
    done = polyhash("verify", "--store", store)
    assert (done.status, done.out.startswith("remark: generation 1: was put aside: ")) == (0, True)
    assert polyhash("rebuild", "--store", store).status == 0
    assert polyhash("search", 1, "--store", store).err == ""
    assert hits(store) == expected
    assert polyhash("verify", "--store", store).out == (
        "Sound. Looked at: images 12, generations 1, codes 12, searches 12.\n"
    )


def test_deleting_all_index_files_loses_nothing(store):
    expected = hits(store)
    shutil.rmtree(store / "generations")
    assert hits(store) == expected
    assert polyhash("verify", "--store", store).status == 1
    assert polyhash("rebuild", "--store", store).status == 0
    assert hits(store) == expected
    assert polyhash("verify", "--store", store).status == 0


def test_one_command_at_a_time_changes_a_store_and_any_number_read_it(store):
    with compose.open_session(store, purpose="another"):
        for command in (["rebuild"], ["activate", 1], ["prune"]):
            done = polyhash(*command, "--store", store)
            assert (done.status, "is being written by process" in done.err) == (1, True)
        for command in (["generations"], ["verify"], ["search", 1], ["duplicates"]):
            assert polyhash(*command, "--store", store).status == 0


def test_a_stage_of_one_step_shows_its_time_and_the_others_their_counts(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.stages("images") as report:
        for stage, done, total in (("building", 0, 1), ("loading", 0, 40), ("loading", 30, 40)):
            report(stage, done, total)
            now[0] += 11.0
            report(stage, done, total)
    assert capsys.readouterr().err.splitlines() == [
        "Building: 11 s so far",
        "Loading: 0 of 40 images, 0 images/s",
        "Loading: 30 of 40 images, 1.4 images/s, 7 s left",
    ]


def test_on_a_terminal_stages_that_are_over_are_full(monkeypatch, capsys):
    monkeypatch.setattr(console, "err", Console(stderr=True, width=100, force_terminal=True))
    with console.stages("images") as report:
        report("encoding", 3, 8)
        report("building", 0, 1)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert re.search(r"Encoding ━+ 8/8 [\d,]+ images/s", plain)
    assert re.search(r"Building ━+ 0:00:0\d", plain)
