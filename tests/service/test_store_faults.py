"""Stores on disks that refuse or lie: failures have names, what was acknowledged stays, and damage is told."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, event

from benchmarks.crash.check import Findings, check_store
from benchmarks.crash.journal import Journal
from benchmarks.crash.stack import (
    Stack,
    content_of,
    facts_of,
    fit_hashers,
    new_image,
    open_stack,
    say_nothing,
)
from hashing.errors import HasherFileError
from service.errors import DataLossError, PolyhashError, StoreHeldError, UnavailableError
from service.storage.store import Store
from tests.service.failing_disk import FailingDisk, broken, everywhere, full

SAMPLES = 4  # boundaries of each kind of fault


class Template:
    """A store with two generations and changes after them, kept to be copied, and what it holds."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.hashers = fit_hashers(folder)
        self.journal = Journal(folder / "journal")
        with open_stack(self.store, self.hashers) as stack:
            for numbers, stored in ((range(8), True), (range(8, 12), False), (range(20, 24), True)):
                add(stack, self.journal, list(numbers), stored=stored)
                stack.rebuilder.rebuild(report=say_nothing)
            add(stack, self.journal, [24, 25, 26], stored=True)
            delete(stack, self.journal, 3)

    def copied(self, folder: Path) -> tuple[Path, Journal]:
        """Return a copy of the store, and a journal of its own."""
        journal = Journal(folder / "journal")
        journal.expected = copy.deepcopy(self.journal.expected)
        return Path(shutil.copytree(self.store, folder / "store")), journal

    def findings(self, folder: Path, journal: Journal) -> Findings:
        """Return what is wrong with a copy."""
        with open_stack(folder, self.hashers) as stack:
            return check_store(stack, journal.expected, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Template:
    return Template(tmp_path_factory.mktemp("template"))


def add(stack: Stack, journal: Journal, numbers: list[int], *, stored: bool) -> None:
    images = [new_image(number, stored=stored) for number in numbers]
    contents = {image.sha256: content_of(i) for image, i in zip(images, numbers, strict=True) if stored}
    operation = journal.begin("add", numbers=numbers, stored=stored)
    acknowledgements = stack.gallery.add(images, contents)
    journal.done(operation, ids=[ack.image_id for ack in acknowledgements])


def update(stack: Stack, journal: Journal, image_id: int, facts: int) -> None:
    operation = journal.begin("update", id=image_id, facts=facts)
    stack.gallery.update(image_id, **facts_of(facts)._asdict())
    journal.done(operation)


def delete(stack: Stack, journal: Journal, image_id: int) -> None:
    operation = journal.begin("delete", id=image_id)
    stack.gallery.delete(image_id)
    journal.done(operation)


def work(stack: Stack, journal: Journal) -> list[PolyhashError]:
    """Ingest, delete and rebuild, going on after failures; returns them."""
    failures = []
    for step in (
        lambda: add(stack, journal, [30, 31], stored=True),
        lambda: delete(stack, journal, 1),
        lambda: stack.rebuilder.rebuild(report=say_nothing),
        lambda: add(stack, journal, [32], stored=True),
        lambda: stack.rebuilder.rebuild(report=say_nothing),
    ):
        try:
            step()
        except PolyhashError as error:
            failures.append(error)
    return failures


NOTHING = Findings()


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fault", [broken, full])
def test_a_disk_that_refuses_is_told_and_nothing_acknowledged_is_lost(
    template, tmp_path, monkeypatch, fault, lasting
):
    folder, journal = template.copied(tmp_path / "count")
    with monkeypatch.context() as patch, open_stack(folder, template.hashers) as stack:
        counting = FailingDisk()
        everywhere(counting, patch.setattr)
        assert work(stack, journal) == []
    assert template.findings(folder, journal) == NOTHING
    told = 0
    for at in np.linspace(0, len(counting.passed) - 1, SAMPLES).astype(int).tolist():
        folder, journal = template.copied(tmp_path / str(at))
        with open_stack(folder, template.hashers) as stack:
            with monkeypatch.context() as patch:
                everywhere(FailingDisk(fault, at=at, lasting=lasting), patch.setattr)
                failures = work(stack, journal)
            told += bool(failures)
            for failure in failures:
                assert isinstance(failure, UnavailableError | DataLossError), failure
            add(stack, journal, [40, 41], stored=True)  # the disk is well again
            update(stack, journal, 6, 99)
            stack.rebuilder.rebuild(report=say_nothing)
        found = template.findings(folder, journal)
        found.verify = [
            each for each in found.verify if "put aside" not in each
        ]  # an unreadable file is damage
        assert found == NOTHING, counting.passed[at]
    assert told > SAMPLES // 2


def test_a_catalog_whose_disk_is_full_is_told_and_goes_on_later(template, tmp_path):
    folder, journal = template.copied(tmp_path)
    room: list[str] = []

    def limit(connection: object, cursor: object, statement: str, *rest: object) -> None:
        del connection, rest
        if statement.startswith("BEGIN IMMEDIATE") and room:
            cursor.execute(f"PRAGMA max_page_count={room[0]}")

    event.listen(Engine, "before_cursor_execute", limit)
    try:
        with open_stack(folder, template.hashers) as stack:
            room[:] = ["1"]  # as many as there are already
            with pytest.raises(UnavailableError, match=r"database or disk is full.*Check free disk space"):
                add(stack, journal, list(range(100, 500)), stored=False)
            room[:] = ["1000000"]
            add(stack, journal, [50], stored=True)
    finally:
        event.remove(Engine, "before_cursor_execute", limit)
    assert template.findings(folder, journal) == NOTHING


def flip(path: Path, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    bit = int(rng.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def findings_or_error(
    template: Template, store: Path, journal: Journal
) -> Findings | PolyhashError | HasherFileError:
    """Return what is found wrong with a store, or the error that it cannot be opened or checked for."""
    try:
        return template.findings(store, journal)
    except (PolyhashError, HasherFileError) as error:
        return error


def with_a_flip(template: Template, folder: Path, pattern: str, seed: int) -> tuple[Path, Journal]:
    rng = np.random.default_rng(seed)
    store, journal = template.copied(folder / str(seed))
    flip(rng.choice(sorted(store.glob(pattern))), rng)
    return store, journal


@pytest.mark.parametrize("file", ["*.bin", "MANIFEST.json"])
def test_a_flipped_bit_in_a_generation_is_told_and_never_served(template, tmp_path, file):
    for seed in range(5):
        store, journal = with_a_flip(template, tmp_path, f"generations/gen-*/{file}", seed)
        found = template.findings(store, journal)
        assert (found.lost, found.resurrected, found.mixed) == ([], [], [])
        (told, *_) = found.verify
        assert "damaged" in told or "no manifest" in told


def test_a_flipped_bit_in_a_hasher_file_is_told(template, tmp_path):
    told = 0
    for seed in range(8):
        store, journal = with_a_flip(template, tmp_path, "models/*.safetensors", seed)
        outcome = findings_or_error(template, store, journal)
        if outcome != NOTHING:  # of the hasher that is in use
            told += 1
            assert isinstance(outcome, HasherFileError)
            assert ".safetensors" in str(outcome)
    assert told >= 2


def test_a_flipped_bit_in_an_original_is_told(template, tmp_path):
    for seed in range(5):
        store, journal = with_a_flip(template, tmp_path, "originals/*/*", seed)
        found = template.findings(store, journal)
        assert (found.resurrected, found.mixed) == ([], [])
        (told,) = found.verify
        assert "is damaged: its sha256 is not its name. Restore it from a backup" in told


def test_a_flipped_bit_in_the_card_is_told(template, tmp_path):
    told = 0
    for seed in range(12):
        store, journal = with_a_flip(template, tmp_path, "polyhash.json", seed)
        outcome = findings_or_error(template, store, journal)
        if outcome != NOTHING:  # as a flip in the white space is
            told += 1
            assert isinstance(outcome, PolyhashError)
            assert str(store) in outcome.message
    assert told >= 6


def test_a_flipped_bit_in_the_catalog_has_a_name_or_changes_no_answer(template, tmp_path):
    named = 0
    for seed in range(10):
        store, journal = with_a_flip(template, tmp_path, "catalog.sqlite", seed)
        found = findings_or_error(template, store, journal)
        if isinstance(found, Exception):
            named += 1
            continue
        named += bool(found.verify)
        # SQLite keeps no checksum of a row: a flip in a name, a label or a score is a name, a label or a score
        found.lost = [each for each in found.lost if not each.startswith("an update")]
        assert found == NOTHING or found.verify, seed
    assert named


def test_a_damaged_generation_table_is_told(template, tmp_path):
    store, journal = template.copied(tmp_path)
    with open_stack(store, template.hashers) as stack:
        other = next(each for each in stack.hashers if each != stack.gallery.hasher_identity)
    with Store.open(store, purpose="test", writable=True) as held, held.catalog._writing() as connection:
        connection.exec_driver_sql("UPDATE generations SET hasher = ?", (other,))
    found = template.findings(store, journal)
    assert any(
        "holds codes of hasher" in each and f"says of {other}. Rebuild." in each for each in found.verify
    )


def test_a_hasher_file_in_the_place_of_another_is_told(template, tmp_path):
    store, _ = template.copied(tmp_path)
    first, second = sorted((store / "models").iterdir())
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with (
        pytest.raises(HasherFileError, match=r"holds hasher .*, the catalog says .*\. Restore the store"),
        open_stack(store, template.hashers),
    ):
        pass


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("ops", "kind = 'bdd'"),
        ("models", "kind = 'iasher'"),
        ("images", "created_at = '2026-1q-01 00:00:00'"),
        ("images", "name = CAST(x'ff' AS TEXT)"),
        ("code_records", "record = x'00'"),
    ],
)
def test_a_row_that_nobody_wrote_is_damage_and_no_traceback(template, tmp_path, table, change):
    store, journal = template.copied(tmp_path)
    with Store.open(store, purpose="test", writable=True) as held, held.catalog._writing() as connection:
        last = f"(SELECT MAX(rowid) FROM {table})"  # noqa: S608 - ours
        connection.exec_driver_sql(f"UPDATE {table} SET {change} WHERE rowid = {last}")  # noqa: S608 - ours
    with pytest.raises((DataLossError, UnavailableError), match="catalog"):
        template.findings(store, journal)


def test_a_second_writer_is_refused_while_the_first_goes_on(template, tmp_path):
    store, journal = template.copied(tmp_path)
    with open_stack(store, template.hashers) as stack:
        with (
            pytest.raises(StoreHeldError, match=r"is being written by .*the kill harness"),
            open_stack(store, template.hashers),
        ):
            pass
        add(stack, journal, [60], stored=True)
    assert template.findings(store, journal) == NOTHING


def test_a_store_that_may_not_be_written_is_verified_as_it_is(template, tmp_path, monkeypatch):
    store, _ = template.copied(tmp_path)
    names = sorted(path.name for path in store.rglob("*"))
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path).name != "catalog.sqlite")
    with Store.open(store, purpose="test", writable=False) as opened:
        assert opened.catalog.check() == []
        for row in opened.catalog.generations():
            opened.generations.read(row.number, manifest_sha256=row.manifest_sha256)
    assert sorted(path.name for path in store.rglob("*")) == names
