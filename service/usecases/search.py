"""Searching: from images, image ids or codes to ranked hits, counts by distance, and facets.

In: checked requests. Out: hits in the total order (distance, image_id), with the snapshot and model that answered.
It leaves encoding queries to `query_encoder`, choosing the hits to `ranking`, and columns to `columns`.
"""

import time
from collections.abc import Sequence

import numpy as np

from hashing.index import Neighbours, Selection
from service.errors import PolyhashError
from service.usecases.facets import Facet
from service.usecases.filters import ImageFilter
from service.usecases.gallery import Gallery
from service.usecases.queries import (
    Cursor,
    DistanceCounts,
    EncodedPicture,
    FacetAnswer,
    Hit,
    Neighbourhood,
    SearchAnswer,
    SearchRequest,
)
from service.usecases.query_encoder import QueryEncoder, Question, check_sequence, select
from service.usecases.ranking import Found, funnel, nearest, page, within
from service.usecases.snapshot import Snapshot


class Searcher:
    """Answers searches over one gallery. Every answer is of one snapshot."""

    def __init__(self, gallery: Gallery, encoder: QueryEncoder) -> None:
        self._gallery = gallery
        self._encoder = encoder

    def encode(self, content: bytes) -> EncodedPicture:
        """Return the codes of a picture.

        Raises:
            ImageError: The bytes are no image.
            PreconditionError: The store has no hasher yet.
        """
        state = self._gallery.state
        snapshot = state.searchable
        return EncodedPicture(
            record=self._encoder.encode(state, content),
            layout=snapshot.layout,
            hasher_identity=snapshot.hasher.identity,
            backbone_identity=state.backbone.identity,
        )

    def search(self, request: SearchRequest) -> SearchAnswer:
        """Answer a request.

        Raises:
            ImageError: The query's bytes are no image.
            InvalidArgumentError: Length not in the model, or a code of the wrong size.
            NotFoundError: The query's image id is not in the gallery.
            PreconditionError: The store has no hasher yet, or has not come to the asked sequence.
            ConflictError: The model of a page is not in use any more.
        """
        (answer,) = self.search_batch([request])
        if isinstance(answer, PolyhashError):
            raise answer
        return answer

    def search_batch(self, requests: Sequence[SearchRequest]) -> list[SearchAnswer | PolyhashError]:
        """Answer requests from one snapshot; those that differ in their query alone share one pass over the codes.

        A request that cannot be answered gives its error and does not spoil the others.

        Raises:
            PreconditionError: The store has no hasher yet.
        """
        state = self._gallery.state
        snapshot = state.searchable
        started = time.perf_counter()
        asked = self._encoder.questions(state, requests)
        encoded = time.perf_counter()
        found = iter(_answers(snapshot, [each for each in asked if isinstance(each, Question)]))
        outcomes = [next(found) if isinstance(each, Question) else each for each in asked]
        searched = time.perf_counter()
        timings = {"encode": 1e3 * (encoded - started), "index": 1e3 * (searched - encoded)}
        answers: list[SearchAnswer | PolyhashError] = []
        for question, outcome in zip(asked, outcomes, strict=True):
            if isinstance(question, Question) and isinstance(outcome, Found):
                answers.append(self._answer(snapshot, question, outcome, timings))
            elif isinstance(outcome, PolyhashError):
                answers.append(outcome)
        return answers

    def count(self, request: SearchRequest) -> DistanceCounts:
        """Return how many images there are at each distance up to `max_distance`, however many; k plays no part.

        Raises:
            PolyhashError: As for `search`.
        """
        state = self._gallery.state
        snapshot = state.searchable
        question = self._encoder.question(state, request)
        found = within(snapshot, question)
        reach = question.bits if request.max_distance is None else min(request.max_distance, question.bits)
        return DistanceCounts(
            counts=tuple(np.bincount(found.distances, minlength=reach + 1).tolist()),
            bits=question.bits,
            sequence=question.sequence,
            generation=snapshot.generation,
            tally=question.tally,
        )

    def facets(
        self,
        facets: Sequence[Facet],
        *,
        image_filter: ImageFilter | None = None,
        around: Neighbourhood | None = None,
        min_sequence: int = 0,
    ) -> FacetAnswer:
        """Return how the images that pass a filter, or those of them around a query, spread over columns.

        Raises:
            PolyhashError: As for `search`.
        """
        state = self._gallery.state
        snapshot = state.searchable
        sequence = snapshot.sequence
        check_sequence(sequence, min_sequence)
        if around is None:
            among, tally = select(snapshot, image_filter)
        else:
            question = self._encoder.question(state, around.request(image_filter))
            if around.k is None:
                rows = within(snapshot, question).rows
            else:
                rows = np.sort(nearest(snapshot, [question])[0].neighbours.rows)
            among, tally = Selection(rows=rows, n_rows=snapshot.n_rows), question.tally
        return FacetAnswer(
            facets=tuple(snapshot.columns.facet(facet, among=among) for facet in facets),
            images=len(snapshot) if among is None else len(among),
            sequence=sequence,
            generation=snapshot.generation,
            tally=tally,
        )

    def _answer(
        self, snapshot: Snapshot, question: Question, found: Found, timings: dict[str, float]
    ) -> SearchAnswer:
        started = time.perf_counter()
        hits = self._hits(snapshot, found.neighbours, full=question.request.full)
        return SearchAnswer(
            hits=hits,
            bits=question.bits,
            lengths=found.lengths,
            code=question.code.tobytes(),
            sequence=question.sequence,
            generation=snapshot.generation,
            hasher_identity=question.hasher,
            tally=question.tally,
            candidates=found.n_candidates,
            next_page=_next_page(question, hits) if found.more else None,
            timings_ms=timings | {"rows": 1e3 * (time.perf_counter() - started)},
        )

    def _hits(self, snapshot: Snapshot, found: Neighbours, *, full: bool) -> tuple[Hit, ...]:
        image_ids = snapshot.image_ids(found.rows).tolist()
        rows = self._gallery.catalog.get_images(image_ids) if full else {}
        return tuple(
            Hit(image_id=image_id, distance=distance, rank=rank, row=rows.get(image_id))
            for rank, (image_id, distance) in enumerate(
                zip(image_ids, found.distances.tolist(), strict=True), start=1
            )
        )


def _answers(snapshot: Snapshot, questions: Sequence[Question]) -> list[Found | PolyhashError]:
    """Return what was found, in order; equal options in a row are searched for together."""
    found: list[Found | PolyhashError] = []
    start = 0
    while start < len(questions):
        first = questions[start]
        end = start + 1
        while end < len(questions) and questions[end].shares_pass_with(first):
            end += 1
        some = questions[start:end]
        if first.request.paged:
            found += [_page_or_error(snapshot, question) for question in some]
        else:
            found += funnel(snapshot, some) if first.request.auto else nearest(snapshot, some)
        start = end
    return found


def _page_or_error(snapshot: Snapshot, question: Question) -> Found | PolyhashError:
    try:
        return page(snapshot, question)
    except PolyhashError as error:
        return error


def _next_page(question: Question, hits: Sequence[Hit]) -> Cursor:
    after, last = question.request.after, hits[-1]
    return Cursor(
        distance=last.distance,
        image_id=last.image_id,
        sequence=after.sequence if after else question.sequence,
        hasher=question.hasher,
    )
