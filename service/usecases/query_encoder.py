"""From a request to a question that a snapshot can answer: the query's code, and the rows that its filter lets through.

In: checked requests, with pictures still undecoded. Out: `Question`s. Decoding and embedding are its ports'; answering is
`ranking`'s and `search`'s.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from hashing.index import Selection
from service.errors import InvalidArgumentError, NotFoundError, PolyhashError, PreconditionError
from service.ports import Decode
from service.usecases.columns import FilterCounts
from service.usecases.filters import ImageFilter
from service.usecases.gallery_state import GalleryState
from service.usecases.queries import CodeQuery, IdQuery, ImageQuery, Query, SearchRequest
from service.usecases.snapshot import Snapshot

NO_ROW = -1
OPTIONS = tuple(field.name for field in dataclasses.fields(SearchRequest) if field.name != "query")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request made ready for a snapshot.

    Attributes:
        request: As it came.
        bits: Code length by which hits are ranked.
        code: The query's code of that length.
        record: Its codes of all lengths, where they are known.
        among: Rows that the filter lets through; None for all.
        tally: What the filter did.
        own_row: Row of the image that is the query, which is no hit of its own; NO_ROW otherwise.
        sequence: Last change that the snapshot had seen.
        hasher: Identity of the snapshot's model.
    """

    request: SearchRequest
    bits: int
    code: UInt8[np.ndarray, " bytes"]
    record: UInt8[np.ndarray, " record_bytes"] | None
    among: Selection | None
    tally: FilterCounts
    own_row: int
    sequence: int
    hasher: str

    @property
    def k(self) -> int:
        """How many rows to look for: one more where the query itself will be dropped."""
        return self.request.k + (self.own_row != NO_ROW)

    def shares_pass_with(self, other: "Question") -> bool:
        """Whether both can be answered in one pass: they differ in their query alone."""
        return (
            self.among is other.among  # filters are looked up once for all questions of a batch
            and self.k == other.k
            and all(getattr(self.request, name) == getattr(other.request, name) for name in OPTIONS)
        )


class QueryEncoder:
    """Makes questions of requests for whatever state of a gallery they are asked of."""

    def __init__(self, *, decode: Decode) -> None:
        self._decode = decode

    def question(self, state: GalleryState, request: SearchRequest) -> Question:
        """Return the question that a request asks of a state with a snapshot.

        Raises:
            PolyhashError: As for `Searcher.search`.
        """
        (question,) = self.questions(state, [request])
        if isinstance(question, PolyhashError):
            raise question
        return question

    def questions(
        self, state: GalleryState, requests: Sequence[SearchRequest]
    ) -> list[Question | PolyhashError]:
        """Return the questions of several requests, or why there is none; pictures go through the backbone together."""
        snapshot = state.searchable
        seen = snapshot.sequence  # before anything is looked up: what comes meanwhile may be in it or not
        pictures = self._encode_pictures(state, [request.query for request in requests])
        filters: list[tuple[ImageFilter | None, tuple[Selection | None, FilterCounts]]] = []
        questions: list[Question | PolyhashError] = []
        for position, request in enumerate(requests):
            try:
                known = [selected for asked, selected in filters if asked == request.image_filter]
                selected = known[0] if known else select(snapshot, request.image_filter)
                if not known:
                    filters.append((request.image_filter, selected))
                questions.append(
                    self._question(snapshot, request, pictures.get(position), selected, seen=seen)
                )
            except PolyhashError as error:
                questions.append(error)
        return questions

    def _question(
        self,
        snapshot: Snapshot,
        request: SearchRequest,
        picture: UInt8[np.ndarray, " record_bytes"] | PolyhashError | None,
        selected: tuple[Selection | None, FilterCounts],
        *,
        seen: int,
    ) -> Question:
        if isinstance(picture, PolyhashError):
            raise picture
        check_sequence(seen, request.min_sequence)
        bits = _check_bits(snapshot, request.bits)
        record, code = _code(snapshot, request.query, picture, bits, whole=request.auto)
        among, tally = selected
        return Question(
            request=request,
            bits=bits,
            code=code,
            record=record,
            among=among,
            tally=tally,
            own_row=_own_row(snapshot, request.query),
            sequence=seen,
            hasher=snapshot.hasher.identity,
        )

    def encode(self, state: GalleryState, content: bytes) -> UInt8[np.ndarray, " record_bytes"]:
        """Return the code record of a picture. Raises ImageError."""
        found = self._encode_pictures(state, [ImageQuery(content=content)])[0]
        if isinstance(found, PolyhashError):
            raise found
        return found

    def _encode_pictures(
        self, state: GalleryState, queries: Sequence[Query]
    ) -> "dict[int, UInt8[np.ndarray, ' record_bytes'] | PolyhashError]":
        """Return the code records of those queries that are pictures, by position."""
        found: dict[int, UInt8[np.ndarray, " record_bytes"] | PolyhashError] = {}
        squares = {}
        backbone, snapshot = state.backbone, state.searchable
        for position, query in enumerate(queries):
            if isinstance(query, ImageQuery):
                try:
                    decoded = self._decode(query.content, target_px=backbone.preprocessing.resize_px)
                    squares[position] = backbone.prepare(decoded.pixels)
                except PolyhashError as error:
                    found[position] = error
        if squares:
            embeddings = backbone.extract(np.stack(list(squares.values()))).embeddings
            found.update(zip(squares, snapshot.encode(embeddings), strict=True))
        return found


def _code(
    snapshot: Snapshot,
    query: Query,
    picture: UInt8[np.ndarray, " record_bytes"] | None,
    bits: int,
    *,
    whole: bool,
) -> tuple[UInt8[np.ndarray, " record_bytes"] | None, UInt8[np.ndarray, " bytes"]]:
    """Return the query's record, which a bare code has none of, and its code of the length."""
    record = picture
    if isinstance(query, IdQuery):
        record = snapshot.record_of(query.image_id)
        if record is None:
            raise NotFoundError(
                f"No image {query.image_id} with a code in the gallery. List the images to see which there are.",
                reason="IMAGE_NOT_FOUND",
                field="image_id",
                image_id=query.image_id,
            )
    elif isinstance(query, CodeQuery):
        given = np.frombuffer(query.code, dtype=np.uint8)
        if len(given) != snapshot.layout.record_bytes:
            return None, _checked_code(given, snapshot, bits, whole=whole)
        record = given
    assert record is not None  # noqa: S101 - every picture was encoded or has its error
    return record, record[snapshot.layout.record_slices[bits]]


def check_sequence(sequence: int, min_sequence: int) -> None:
    """Raise PreconditionError unless a snapshot that has seen `sequence` has seen what is asked for."""
    if sequence < min_sequence:
        raise PreconditionError(
            f"The gallery has come to change {sequence}, the search asks for {min_sequence}. Use a sequence number that "
            "this store acknowledged.",
            reason="SEQUENCE_NOT_REACHED",
            field="min_sequence",
            sequence=sequence,
            min_sequence=min_sequence,
        )


def select(snapshot: Snapshot, image_filter: ImageFilter | None) -> tuple[Selection | None, FilterCounts]:
    """Return which rows a filter lets through, None for all, and what it did."""
    if image_filter is None:
        return None, FilterCounts(matched=len(snapshot), hidden=0, missing=0)
    selected = snapshot.columns.select(image_filter, n_rows=snapshot.n_rows)
    return selected.selection, selected.counts


def _check_bits(snapshot: Snapshot, bits: int | None) -> int:
    lengths = snapshot.hasher.lengths
    if bits is None:
        return lengths[-1]
    if bits not in lengths:
        known = ", ".join(map(str, lengths))
        raise InvalidArgumentError(
            f"The model has codes of {known} bits, got bits = {bits}. Choose one of them.",
            reason="BITS_NOT_IN_MODEL",
            field="bits",
            bits=bits,
            lengths=known,
        )
    return bits


def _checked_code(
    code: UInt8[np.ndarray, " bytes"], snapshot: Snapshot, bits: int, *, whole: bool
) -> UInt8[np.ndarray, " bytes"]:
    record_bytes = snapshot.layout.record_bytes
    if whole or len(code) != bits // 8:
        alone = "" if whole else f"A code of {bits} bits has {bits // 8} bytes and "
        raise InvalidArgumentError(
            f"{alone}{'A' if whole else 'a'} whole record has {record_bytes} bytes, got {len(code)} bytes.",
            reason="CODE_SIZE",
            field="code",
            expected_bytes=record_bytes if whole else bits // 8,
            actual_bytes=len(code),
        )
    return code


def _own_row(snapshot: Snapshot, query: Query) -> int:
    row = snapshot.row_of(query.image_id) if isinstance(query, IdQuery) else None
    return NO_ROW if row is None else row
