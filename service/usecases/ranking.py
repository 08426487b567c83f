"""The hits of a question: the nearest rows of a snapshot, in one pass, through the funnel, or page by page.

In: a snapshot and questions whose codes and filters are settled. Out: rows and distances in total order. Images and ids are the
caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hashing.index import Neighbours
from service.errors import ConflictError
from service.usecases.query_encoder import Question
from service.usecases.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rows of the hits and how they were found; see `SearchAnswer`."""

    neighbours: Neighbours
    lengths: tuple[int, ...]
    n_candidates: int
    more: bool = False


def nearest(snapshot: Snapshot, questions: Sequence[Question]) -> list[Found]:
    """Answer questions that share a pass by comparing all codes of one length."""
    first = questions[0]
    codes = np.stack([question.code for question in questions])
    found = snapshot.index.search(
        codes, bits=first.bits, k=first.k, max_distance=first.request.max_distance, among=first.among
    )
    return [
        Found(
            neighbours=_without(neighbours, question),
            lengths=(question.bits,),
            n_candidates=_n_selected(snapshot, question),
        )
        for question, neighbours in zip(questions, found, strict=True)
    ]


def funnel(snapshot: Snapshot, questions: Sequence[Question]) -> list[Found]:
    """Answer questions that share a pass: the shortest length says where to look, the longest ranks."""
    first = questions[0]
    records = np.stack([question.record for question in questions if question.record is not None])
    found = snapshot.index.search_funnel(
        records,
        k=first.k,
        max_distance=first.request.max_distance,
        among=first.among,
    )
    return [
        Found(
            neighbours=_without(answer.neighbours, question),
            lengths=answer.lengths,
            n_candidates=answer.n_compared,
        )
        for question, answer in zip(questions, found, strict=True)
    ]


def page(snapshot: Snapshot, question: Question) -> Found:
    """Answer one question page by page, exactly at any depth: all distances are computed for every page.

    Raises:
        ConflictError: The page before was made with another model.
    """
    request, after = question.request, question.request.after
    found = within(snapshot, question)
    rows, distances = found.rows, found.distances
    keep = np.ones(len(rows), dtype=np.bool_)
    sequence = question.sequence
    if after:
        if after.hasher != question.hasher:
            raise ConflictError(
                f"The page token belongs to model {after.hasher}, the gallery now uses {question.hasher}. Begin again "
                "without a token.",
                reason="PAGE_MODEL_CHANGED",
                field="page_token",
            )
        sequence = after.sequence
        later = rows >= snapshot.n_rows_before(after.image_id + 1)
        keep &= (distances > after.distance) | ((distances == after.distance) & later)
    keep &= rows < snapshot.n_rows_before(sequence + 1)  # images added since the first page are on none
    rows, distances = rows[keep], distances[keep]
    if len(rows) > request.k:
        reach = np.partition(distances, request.k)[request.k]
        near = np.flatnonzero(distances <= reach)
        rows, distances = rows[near], distances[near]
    order = np.argsort(distances, kind="stable")[: request.k + 1]
    first = order[: request.k]
    return Found(
        neighbours=Neighbours(rows=rows[first], distances=distances[first]),
        lengths=(question.bits,),
        n_candidates=_n_selected(snapshot, question),
        more=len(order) > request.k,
    )


def within(snapshot: Snapshot, question: Question) -> Neighbours:
    """Return all rows within the question's largest distance, ascending, with their distances."""
    rows, distances = snapshot.index.scan(question.code, bits=question.bits, among=question.among)
    keep = rows != question.own_row
    if question.request.max_distance is not None:
        keep &= distances <= question.request.max_distance
    return Neighbours(rows=rows[keep], distances=distances[keep])


def _n_selected(snapshot: Snapshot, question: Question) -> int:
    """Return how many images an exhaustive search compares."""
    return len(snapshot) if question.among is None else len(question.among)


def _without(found: Neighbours, question: Question) -> Neighbours:
    """Return the first k hits but the query itself."""
    keep = np.flatnonzero(found.rows != question.own_row)[: question.request.k]
    return Neighbours(rows=found.rows[keep], distances=found.distances[keep])
