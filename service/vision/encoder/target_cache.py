"""Views and targets kept in memory-mapped files, so that a teacher sees every view once and a student many times.

In: training sets and a teacher. Out: rows of squares and targets. A run that was interrupted goes on where it stopped;
the same sets, seed and teacher give the same bytes.

Convention: a row is one view; the rows of a picture stand together, those of a set likewise, in the sets' order.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int64, UInt8

from service.errors import ConflictError, InvalidArgumentError
from service.usecases.reading import Rejected, ahead, in_chunks
from service.vision.encoder.teacher import Projection, Teacher, TrainingSet, Views, fit_projection

FORMAT = "polyhash-targets-1"
SURVEY_VIEWS = 3000  # that the projection is fitted on
PASS_VIEWS = 64
MANIFEST, PROJECTION = "manifest.json", "projection.npz"

OPEN, DONE, REFUSED = 0, 1, 2  # states of a row

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """The rows of one picture that are still open, with its views or why there are none."""

    rows: range
    cut: Views | Rejected


def _passes(tasks: Iterable[_Task]) -> Iterator[list[_Task]]:
    """Yield the tasks in lists of about as many views as a pass takes."""
    chunk: list[_Task] = []
    for task in tasks:
        chunk.append(task)
        if sum(len(one.rows) for one in chunk) >= PASS_VIEWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@final
class TargetCache:
    """The rows of some training sets in a folder. One process at a time fills it."""

    def __init__(
        self, folder: Path, sets: Sequence[TrainingSet], teacher: Teacher, *, dim: int, seed: int = 0
    ) -> None:
        """Open or begin a cache.

        Args:
            folder: Made if missing.
            sets: What is trained on.
            teacher: Who looks at the views.
            dim: Width of the student's embeddings.
            seed: Of the views.

        Raises:
            ConflictError: The folder has rows of something else.
            InvalidArgumentError: A set cannot be read, or there is nothing to train on.
        """
        self._folder, self._sets, self._teacher, self._seed = folder, sets, teacher, seed
        self._counts = [len(one) for one in sets]
        n = sum(count * one.views_per_image for count, one in zip(self._counts, sets, strict=True))
        if n <= dim:
            raise InvalidArgumentError(
                f"An encoder of width {dim} is learned from more than {dim} views, got {n}. Add image sets or raise"
                " --views.",
                reason="TRAINING_SET_SMALL",
            )
        self._check_manifest(dim)
        side, cells = teacher.student_px, teacher.cells
        self._state = self._file("state", (n,), np.uint8)
        self.squares = self._file("squares", (n, side, side, 3), np.uint8)
        self.embeddings = self._file("embeddings", (n, dim), np.float16)
        self.maps = self._file("maps", (n, dim, cells, cells), np.float16)

    def fill(self, on_progress: Progress) -> list[Rejected]:
        """Compute what is missing and return the pictures that were refused just now."""
        if not (self._state == OPEN).any():
            return []
        projection = self._projection(on_progress)
        refused: list[Rejected] = []
        with closing(ahead(self._tasks(), depth=8)) as tasks:
            for chunk in in_chunks(
                tasks, max(1, PASS_VIEWS // max(one.views_per_image for one in self._sets))
            ):
                refused += self._take(chunk, projection)
                on_progress("Asking the teacher", int((self._state != OPEN).sum()), len(self._state))
        return refused

    def ready(self) -> Int64[np.ndarray, " n"]:
        """Return the rows that can be trained on."""
        return np.flatnonzero(self._state == DONE)

    def _take(self, chunk: Sequence[_Task], projection: Projection) -> list[Rejected]:
        views = [(task.rows, task.cut) for task in chunk if isinstance(task.cut, Views)]
        if views:
            targets = self._teacher.targets(np.concatenate([cut.teacher for _, cut in views]), projection)
            rows = np.concatenate([np.arange(rows.start, rows.stop) for rows, _ in views])
            self.squares[rows] = np.concatenate([cut.student for _, cut in views])
            self.embeddings[rows], self.maps[rows] = targets.embeddings, targets.maps
            self._state[rows] = DONE  # last, so that an interruption costs work and never a wrong row
        refused = [task for task in chunk if isinstance(task.cut, Rejected)]
        for task in refused:
            self._state[task.rows.start : task.rows.stop] = REFUSED
        return [task.cut for task in refused if isinstance(task.cut, Rejected)]

    def _tasks(self) -> Iterator[_Task]:
        first = 0
        for count, one in zip(self._counts, self._sets, strict=True):
            views = one.views_per_image
            for image in islice(one, count):
                rows = range(first, first + views)
                first += views
                if (self._state[rows.start : rows.stop] == OPEN).any():
                    yield _Task(rows=rows, cut=self._teacher.cut(image, [(self._seed, row) for row in rows]))

    def _projection(self, on_progress: Progress) -> Projection:
        """Return the projection, fitted at the first run on evenly spread views."""
        path = self._folder / PROJECTION
        if not path.is_file():
            with closing(ahead(self._survey())) as survey:
                parts = []
                for chunk in in_chunks(survey, PASS_VIEWS):
                    parts.append(self._teacher.backbone.extract(np.concatenate(chunk)).embeddings)
                    on_progress(
                        "Surveying the teacher", sum(map(len, parts)), min(SURVEY_VIEWS, len(self._state))
                    )
            fitted = fit_projection(np.concatenate(parts), self.embeddings.shape[1])
            partial = path.with_suffix(".partial")
            with partial.open("wb") as stream:
                np.savez(stream, mean=fitted.mean, directions=fitted.directions)
            partial.replace(path)
        with np.load(path) as stored:
            return Projection(mean=stored["mean"], directions=stored["directions"])

    def _survey(self) -> Iterator[UInt8[np.ndarray, "v t t 3"]]:
        """Yield views of every set in proportion to its rows, other views than those of the rows."""
        share = min(1.0, SURVEY_VIEWS / len(self._state))
        for number, (count, one) in enumerate(zip(self._counts, self._sets, strict=True)):
            wanted = share * one.views_per_image  # per picture
            for i, image in enumerate(islice(one, count)):
                views = int((i + 1) * wanted) - int(i * wanted)
                if views:
                    seeds = [(self._seed, len(self._state) + number, i, k) for k in range(views)]
                    cut = self._teacher.cut(image, seeds)
                    if isinstance(cut, Views):
                        yield cut.teacher

    def _check_manifest(self, dim: int) -> None:
        made_from: dict[str, Any] = {
            "format": FORMAT,
            "teacher": self._teacher.backbone.identity,
            "student_px": self._teacher.student_px,
            "cells": self._teacher.cells,
            "dim": dim,
            "seed": self._seed,
            "sets": [
                [one.spec, one.views, count] for count, one in zip(self._counts, self._sets, strict=True)
            ],
        }
        path = self._folder / MANIFEST
        if not path.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(made_from, indent=1), encoding="utf-8")
        stored = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key in made_from if stored.get(key) != made_from[key]]
        if different:
            key = different[0]
            raise ConflictError(
                f"{self._folder} has views and targets of another run: its {key} is {stored.get(key)!r}, this run's is"
                f" {made_from[key]!r}. Give another --checkpoint folder, or remove this one.",
                reason="TARGETS_OF_ANOTHER_RUN",
            )

    def _file(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> np.memmap:
        path = self._folder / f"{name}.npy"
        if path.is_file():
            return np.lib.format.open_memmap(path, mode="r+")
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)  # a sparse file of zeros
