"""The process that is killed: ingest, changes, deletions, rebuilds and searches in random order, each acknowledgement written down.

In: a store, a journal, a seed, a place to die at. Out: lines in the journal. What is true afterwards, others check.
"""

import os
import signal
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import final

import numpy as np

from benchmarks.crash.check import wrong_hits
from benchmarks.crash.death import MOMENT, Death
from benchmarks.crash.journal import Journal
from benchmarks.crash.stack import Stack, content_of, facts_of, new_image, open_stack
from service.records import Acknowledgement, GenerationState

OPERATIONS = 400  # after so many it kills itself, wherever it is
WEIGHTS = {
    "add": 0.27,
    "burst": 0.08,
    "contest": 0.05,
    "update": 0.15,
    "delete": 0.15,
    "search": 0.05,
    "rebuild": 0.1,
    "switch": 0.07,
    "activate": 0.05,
    "prune": 0.03,
}
ENOUGH = 30  # images, from which on more are deleted than added


def run_worker(
    folder: Path, hasher_files: list[Path], journal: Journal, *, seed: list[int], place: str, number: int
) -> None:
    """Work until killed; never returns. To be called in a forked process."""
    try:
        if place != MOMENT:
            Death(place, number, lambda where: journal.write({"died": where})).lie_in_wait()
        with open_stack(folder, hasher_files) as stack:
            worker = Worker(stack, journal, np.random.default_rng(seed))
            for _ in range(OPERATIONS):
                worker.work()
            os.kill(os.getpid(), signal.SIGKILL)
    except BaseException:  # noqa: BLE001 - the parent reports it
        journal.write({"wrong": traceback.format_exc()})
    os._exit(1)


@final
class Worker:
    """Does one random operation after another."""

    def __init__(self, stack: Stack, journal: Journal, rng: np.random.Generator) -> None:
        self._stack = stack
        self._journal = journal
        self._expected = journal.expected
        self._rng = rng
        self._operations: dict[str, Callable[[], object]] = {
            "add": self.add,
            "burst": self.burst,
            "contest": self.contest,
            "update": self.update,
            "delete": self.delete,
            "search": self.search,
            "rebuild": lambda: self.rebuild(switch=False),
            "switch": lambda: self.rebuild(switch=True),
            "activate": self.activate,
            "prune": self.prune,
        }

    def work(self) -> None:
        """Do any operation."""
        name = self._rng.choice(list(WEIGHTS), p=list(WEIGHTS.values()))
        if name in {"add", "burst"} and len(self._expected.images) > ENOUGH:
            name = "delete"
        self._operations[name]()

    def change(self, stage: str = "", done: int = 0, total: int = 0) -> None:
        """Change something while a rebuild is under way, as its report."""
        del stage, done, total
        if self._rng.random() < 0.5:
            self._operations[self._rng.choice(["add", "update", "delete", "search"])]()

    def add(self) -> None:
        """Add a batch, of new pictures or of one that was deleted before or is there already."""
        self._add(self._numbers(int(self._rng.integers(1, 8))), stored=bool(self._rng.random() < 0.4))
        if self._expected.images and self._rng.random() < 0.2:
            self._add_again()

    def burst(self) -> None:
        """Add several batches at once, which are committed together as they come."""
        with ThreadPoolExecutor(3) as pool:
            batches = [self._numbers(2) for _ in range(6)]
            list(pool.map(lambda batch: self._add(batch, stored=False), batches))

    def contest(self) -> None:
        """Delete an image and offer the same picture at the same time: it stays out, or comes back as another image."""
        if image_id := self._any_image():
            number = self._expected.images[image_id].number
            with ThreadPoolExecutor(2) as pool:
                deletion = pool.submit(self._delete, image_id)
                pool.submit(self._add, [number], stored=True, known=True).result()
                deletion.result()

    def update(self) -> None:
        """Change an image's facts."""
        if image_id := self._any_image():
            number = int(self._rng.integers(1_000_000))
            operation = self._journal.begin("update", id=image_id, facts=number)
            facts = facts_of(number)
            self._stack.gallery.update(image_id, **facts._asdict())
            self._journal.done(operation)

    def delete(self) -> None:
        """Delete an image."""
        if image_id := self._any_image():
            self._delete(image_id)

    def search(self) -> None:
        """Compare some hits with what the catalog says."""
        operation = self._journal.begin("search")
        for wrong in wrong_hits(self._stack, n_queries=3, rng=self._rng):
            self._journal.write({"wrong": f"while serving: {wrong}"})
        self._journal.done(operation)

    def rebuild(self, *, switch: bool) -> None:
        """Build a generation with the same or another hasher, and change images meanwhile."""
        hasher = str(self._rng.choice(self._stack.hashers)) if switch else None
        operation = self._journal.begin("switch" if switch else "rebuild")
        self._stack.rebuilder.rebuild(report=self.change, hasher=hasher)
        self._journal.done(operation)
        self.search()

    def activate(self) -> None:
        """Go back to any generation."""
        rows = self._stack.store.catalog.generations()
        numbers = [row.number for row in rows if row.state is not GenerationState.QUARANTINED]
        if numbers:
            operation = self._journal.begin("activate")
            self._stack.rebuilder.activate(int(self._rng.choice(numbers)), report=self.change)
            self._journal.done(operation)
            self.search()

    def prune(self) -> None:
        """Keep one generation, or two."""
        operation = self._journal.begin("prune")
        self._stack.rebuilder.prune(int(self._rng.integers(1, 3)))
        self._journal.done(operation)

    def _delete(self, image_id: int) -> None:
        operation = self._journal.begin("delete", id=image_id)
        self._stack.gallery.delete(image_id)
        self._journal.done(operation)

    def _add(self, numbers: list[int], *, stored: bool, known: bool = False) -> None:
        """Add pictures; those that are known may be there already."""
        images = [new_image(number, stored=stored) for number in numbers]
        contents = {
            image.sha256: content_of(number) for image, number in zip(images, numbers, strict=True) if stored
        }
        operation = self._journal.begin("add", numbers=numbers, stored=stored)
        outcomes = self._stack.gallery.add(images, contents)
        fresh = [each for each in outcomes if isinstance(each, Acknowledgement) and not each.duplicate]
        self._journal.done(operation, ids=[each.image_id for each in fresh])
        if len(fresh) < len(outcomes) and not known:
            self._journal.write({"wrong": f"pictures {numbers} were there already or refused: {outcomes}"})

    def _add_again(self) -> None:
        """Offer a picture that is there, then delete it and offer it once more."""
        image_id = self._any_image()
        kept = self._expected.images[image_id]
        self._add([kept.number], stored=False, known=True)
        self._delete(image_id)
        self._add([kept.number], stored=kept.stored)

    def _numbers(self, count: int) -> list[int]:
        first = self._expected.numbers
        self._expected.numbers += count
        return list(range(first, first + count))

    def _any_image(self) -> int:
        """Return the id of an image that is there, 0 if there is none."""
        ids = sorted(self._expected.images)
        return int(self._rng.choice(ids)) if ids else 0
