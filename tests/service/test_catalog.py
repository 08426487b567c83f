"""The SQL catalog: the contract, random histories against the model in memory, and what only a database can do."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from service.errors import NotFoundError
from service.ports import Catalog
from service.storage.catalog import SqlCatalog
from tests.contracts.catalog import (
    BACKBONE,
    HASHER,
    CatalogContract,
    add,
    embeddings_of,
    new_image,
    records_of,
)
from tests.contracts.catalog_changes import CatalogChangesContract, columns_of
from tests.contracts.catalog_models import (
    CatalogModelsContract,
    generation,
    record_chunk,
    register,
    register_generations,
)
from tests.contracts.memory_catalog import MemoryCatalog
from tests.service.sql_catalog import opened

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """Return an empty catalog, to be copied: making the schema takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "catalog.sqlite"
    with opened(path):
        return path


@pytest.fixture
def catalog(path, template) -> Iterator[SqlCatalog]:
    shutil.copy(template, path)
    with opened(path) as catalog:
        yield catalog


class TestMemoryCatalog(CatalogContract, CatalogChangesContract, CatalogModelsContract):
    @pytest.fixture
    def catalog(self):
        return MemoryCatalog()


class TestSqlCatalog(CatalogContract, CatalogChangesContract, CatalogModelsContract):
    """The module's fixture `catalog` is the SQL one."""


class History:
    """One catalog and the ids it gave, so that two catalogs with different ids can be compared."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.given: list[int] = []

    def add(self, seeds: list[int]) -> list[tuple[int, bool]]:
        images = [new_image(seed, labels=("even",) * (seed % 2 == 0)) for seed in seeds]
        acks = self.catalog.add_images(images, backbone=BACKBONE, hasher=HASHER)
        self.given += [ack.image_id for ack in acks if not ack.duplicate]
        return [(self.given.index(ack.image_id), ack.duplicate) for ack in acks]

    def delete(self, position: int) -> None:
        live = [row.image_id for row in self.catalog.list_images(after_id=0, limit=1000)]
        if live:
            self.catalog.delete_image(live[position % len(live)])

    def update(self, position: int, labels: list[str] | None, scores: dict[str, float] | None) -> None:
        live = [row.image_id for row in self.catalog.list_images(after_id=0, limit=1000)]
        if live:
            self.catalog.update_image(live[position % len(live)], labels=labels, scores=scores)

    def page(self, position: int, limit: int, label: str | None) -> list[int]:
        after_id = self.given[position % len(self.given)] if self.given else 0
        rows = self.catalog.list_images(after_id=after_id, limit=limit, label=label)
        return [self.given.index(row.image_id) for row in rows]

    def everything(self) -> list[object]:
        rows = self.catalog.get_images(self.given)
        counts = self.catalog.counts()
        known = self.catalog.find_by_sha256([new_image(seed).sha256 for seed in range(12)])
        return [
            {self.given.index(i): (r.sha256, r.labels, r.attributes, r.scores) for i, r in rows.items()},
            {self.given.index(i): record for i, record in records_of(self.catalog, HASHER).items()},
            {self.given.index(i): embedding for i, embedding in embeddings_of(self.catalog).items()},
            {digest: self.given.index(ack.image_id) for digest, ack in known.items()},
            [(self.given.index(i), *facts) for i, *facts in columns_of(self.catalog, chunk=4)],
            [(c.sequence, c.kind, self.given.index(c.image_id)) for c in self.catalog.changes(after=0)],
            (counts.images, counts.labelled_images, dict(counts.labels), counts.original_bytes),
            (counts.embeddings, counts.code_records, counts.last_sequence),
        ]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 11), max_size=5)),
        st.tuples(st.just("delete"), st.integers(0, 50)),
        st.tuples(
            st.just("update"),
            st.integers(0, 50),
            st.none() | st.lists(st.sampled_from(["even", "odd", "ü"]), max_size=3),
            st.none()
            | st.dictionaries(st.sampled_from("ab"), st.floats(allow_nan=False, allow_infinity=False)),
        ),
        st.tuples(
            st.just("page"), st.integers(0, 50), st.integers(1, 4), st.sampled_from([None, "even", "odd"])
        ),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_history_gives_what_the_model_in_memory_gives(steps, template, tmp_path_factory):
    path = Path(shutil.copy(template, tmp_path_factory.mktemp("history")))
    with opened(path) as catalog:
        real, model = History(catalog), History(MemoryCatalog())
        for name, *arguments in steps:
            assert getattr(real, name)(*arguments) == getattr(model, name)(*arguments)
        assert real.everything() == model.everything()


def test_what_was_added_is_there_after_reopening_and_ids_go_on(path):
    with opened(path) as catalog:
        *_, last = add(catalog, [new_image(seed, labels=("a",)) for seed in range(3)])
        rows = catalog.list_images(after_id=0, limit=9)
        catalog.delete_image(last)
        sequence = catalog.counts().last_sequence
    with opened(path) as catalog:
        assert catalog.list_images(after_id=0, limit=9) == rows[:2]
        (ack,) = catalog.add_images([new_image(2)], backbone=BACKBONE, hasher=HASHER)
        assert ack.image_id > last
        assert ack.sequence > sequence


def test_every_change_leaves_one_row_in_the_log(catalog, path):
    first, second = add(catalog, [new_image(1), new_image(2)])
    catalog.update_image(second, labels=("a",))
    catalog.delete_image(first)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT seq, kind, image_id FROM ops ORDER BY seq").fetchall()
    connection.close()
    assert rows == [(1, "add", first), (2, "add", second), (3, "update", second), (4, "delete", first)]


def test_a_deleted_image_leaves_no_row_in_any_other_table(catalog, path):
    add(catalog, [new_image(1, labels=("a",))])
    catalog.delete_image(1)
    with sqlite3.connect(path) as connection:
        left = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - names of this test
            for table in (
                "images",
                "image_labels",
                "image_attributes",
                "image_scores",
                "embeddings",
                "code_records",
            )
        ]
    connection.close()
    assert left == [0] * 6


def test_thousands_of_columns_and_records_cross_the_limits_of_one_statement(catalog):
    register(catalog)
    ids = add(catalog, [new_image(seed, labels=(str(seed),)) for seed in range(2000)])
    wanted = ids[::-1][:1950]
    assert columns_of(catalog, image_ids=wanted) == columns_of(catalog)[50:]
    assert catalog.write_records(record_chunk(wanted, value=3), hasher=HASHER) == 1950
    assert len(catalog.get_records(wanted, hasher=HASHER)) == 1950
    assert len(set(records_of(catalog, HASHER, chunk=700).values())) == 51


def test_an_activation_that_fails_half_way_changes_nothing(catalog, path):
    register(catalog)
    register_generations(catalog, generation(1), generation(2))
    catalog.activate_generation(1)
    before = catalog.generations()
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM models")
    connection.close()
    with pytest.raises(NotFoundError, match=f"Model {HASHER} is not registered"):
        catalog.activate_generation(2)
    assert catalog.generations() == before


def test_a_page_of_a_label_is_found_without_sorting(catalog, path):
    add(catalog, [new_image(seed, labels=("a",)) for seed in range(50)])
    statements: list[str] = []
    event.listen(
        catalog._engine,
        "before_cursor_execute",
        lambda *arguments: statements.append(arguments[2]),
    )
    catalog.list_images(after_id=3, limit=5, label="a")
    (query,) = (text for text in statements if "JOIN image_labels" in text)
    with sqlite3.connect(path) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", ("a", 3, 5, 0)).fetchall()
    connection.close()
    assert "ix_image_labels_label (label=? AND image_id>?)" in plan[0][3]
    assert not any("TEMP B-TREE" in step[3] for step in plan)


def test_reads_see_the_last_commit_while_a_write_goes_on(catalog, path):
    add(catalog, [new_image(1)])
    with sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM embeddings")
        assert catalog.counts().embeddings == 1
        writer.execute("ROLLBACK")
    writer.close()


def test_threads_that_add_at_once_get_ids_and_sequences_of_their_own(catalog):
    acks: list[tuple[int, int, int]] = []

    def work(offset: int) -> None:
        for seed in range(offset, offset + 100, 5):
            batch = [new_image(seed + step) for step in range(5)]
            found = catalog.add_images(batch, backbone=BACKBONE, hasher=HASHER)
            acks.extend((ack.image_id, ack.sequence, seed + step) for step, ack in enumerate(found))
            assert len(catalog.get_images([ack.image_id for ack in found])) == 5

    threads = [threading.Thread(target=work, args=(offset,)) for offset in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({image_id for image_id, _, _ in acks}) == len({seq for _, seq, _ in acks}) == 300
    rows = catalog.get_images([image_id for image_id, _, _ in acks])
    assert all(rows[image_id].byte_size == 1000 + seed for image_id, _, seed in acks)
    assert all(rows[image_id].sequence == sequence for image_id, sequence, _ in acks)


ADDING = """
import sys
from pathlib import Path
from tests.contracts.catalog import BACKBONE, HASHER, new_image
from tests.service.sql_catalog import opened

with opened(Path(sys.argv[1])) as catalog:
    for first in range(0, 100_000, 7):
        batch = [new_image(seed) for seed in range(first, first + 7)]
        for seed, ack in enumerate(catalog.add_images(batch, backbone=BACKBONE, hasher=HASHER), first):
            print(seed, ack.image_id, flush=True)
"""


def test_every_acknowledged_image_survives_a_kill_and_none_is_there_twice(path):
    process = subprocess.Popen(  # noqa: S603 - this interpreter and a script of this file
        [sys.executable, "-c", ADDING, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    lines = [process.stdout.readline() for _ in range(40)]
    process.send_signal(signal.SIGKILL)
    lines += process.communicate()[0].splitlines(keepends=True)
    acknowledged = dict(map(int, line.split()) for line in lines if line.endswith("\n"))
    assert len(acknowledged) >= 40
    with opened(path) as catalog:
        rows = catalog.list_images(after_id=0, limit=100_000)
        held = {row.byte_size - 1000: row.image_id for row in rows}
        assert len(held) == len(rows)
        assert len(rows) % 7 == 0
        assert acknowledged.items() <= held.items()
        assert list(records_of(catalog, HASHER)) == list(embeddings_of(catalog)) == sorted(held.values())
        again = catalog.add_images([new_image(seed) for seed in held], backbone=BACKBONE, hasher=HASHER)
        assert all(ack.duplicate for ack in again)
