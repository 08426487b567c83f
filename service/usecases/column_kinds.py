"""What columns are made of: arrays that grow, words as numbers, and the rows of each word.

In: values of consecutive rows. Out: arrays of the first n rows, rows that have a word. One thread writes; any number read meanwhile
without a lock, because what was published is never changed in place. Leaves rows that change or go to `columns`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Bool, Int32, Int64, Shaped, UInt8

_SEAL = 16384  # pairs that are looked through one by one before they are sorted by word
_GROWTH = 1.25  # a quarter of the memory at most lies idle


@final
class Growing:
    """An array that is written at its end. Values not written are `fill`."""

    def __init__(
        self, dtype: type[np.generic], fill: int | float, values: Shaped[np.ndarray, " n"] | None = None
    ) -> None:
        self._fill = fill
        self._data = np.empty(0, dtype) if values is None else values

    @property
    def nbytes(self) -> int:
        """Bytes it takes, room to grow included."""
        return self._data.nbytes

    def reserve(self, n: int) -> None:
        """Make room for n values."""
        size = len(self._data)
        if n > size:
            data = np.full(max(n, int(size * _GROWTH)), self._fill, self._data.dtype)
            data[:size] = self._data
            self._data = data

    def write(
        self, places: slice | Int64[np.ndarray, " m"], values: Shaped[np.ndarray, " m"] | np.bool_
    ) -> None:
        """Set values at places that have room."""
        self._data[places] = values

    def first(self, n: int) -> Shaped[np.ndarray, " n"]:
        """Return the first n values, not copied."""
        return self._data[:n]


@final
class Vocabulary(dict[str, int]):
    """Words numbered in the order in which they came. Reading an unknown word by [] gives it the next number."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words = list(words)
        super().__init__(zip(self.words, range(len(self.words)), strict=True))

    def __missing__(self, word: str) -> int:
        code = len(self.words)
        self.words.append(word)  # before its number is known, so that every number found has a word
        self[word] = code
        return code

    def encode(self, words: Sequence[str]) -> Int32[np.ndarray, " n"]:
        """Return the numbers of words; unknown ones are added."""
        return np.fromiter(map(self.__getitem__, words), np.int32, len(words))

    def known(self, words: Iterable[str]) -> list[int]:
        """Return the numbers of those words that are known, each once."""
        return [self[word] for word in dict.fromkeys(words) if word in self]


def pack_words(words: Iterable[str]) -> tuple[UInt8[np.ndarray, " bytes"], Int64[np.ndarray, " n"]]:
    """Return words as UTF-8, one after the other, and where each ends in bytes."""
    encoded = [word.encode() for word in words]
    ends = np.array(list(accumulate(map(len, encoded))), dtype=np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def unpack_words(blob: UInt8[np.ndarray, " bytes"], ends: Int64[np.ndarray, " n"]) -> list[str]:
    """Return the words that `pack_words` packed."""
    content, places = blob.tobytes(), [0, *ends.tolist()]
    return [content[start:end].decode() for start, end in pairwise(places)]


class Segment(NamedTuple):
    """Rows of each word, ascending, one word after the other."""

    rows: Int32[np.ndarray, " pairs"]
    offsets: Int64[
        np.ndarray, " words_and_one"
    ]  # where in `rows` those of a word begin; later words have none

    @classmethod
    def of(cls, rows: Int32[np.ndarray, " pairs"], codes: Int32[np.ndarray, " pairs"]) -> "Segment":
        """Sort pairs by word, keeping the order of rows."""
        offsets = np.concatenate([[0], np.cumsum(np.bincount(codes))]).astype(np.int64)
        return cls(rows[np.argsort(codes, kind="stable")], offsets)

    @property
    def codes(self) -> Int32[np.ndarray, " pairs"]:
        """The word of each entry of `rows`."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))

    def part(self, code: int) -> Int32[np.ndarray, " m"]:
        """Return the rows of one word."""
        start, end = self.offsets[code : code + 2] if code + 1 < len(self.offsets) else (0, 0)
        return self.rows[start:end]


class _State(NamedTuple):
    segments: tuple[Segment, ...]  # of ascending rows, each at least twice as large as the next
    tail_rows: Int32[np.ndarray, " capacity"]
    tail_codes: Int32[np.ndarray, " capacity"]
    n_tail: int


def _state(segments: tuple[Segment, ...]) -> _State:
    return _State(segments, np.empty(_SEAL, np.int32), np.empty(_SEAL, np.int32), 0)


@final
class Postings:
    """The rows of each word: sorted segments, and a short unsorted tail. Rows come ascending, any number of words each."""

    def __init__(self, segment: Segment | None = None) -> None:
        self._state = _state(() if segment is None or not len(segment.rows) else (segment,))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        state = self._state
        arrays = [
            state.tail_rows,
            state.tail_codes,
            *(array for segment in state.segments for array in segment),
        ]
        return sum(array.nbytes for array in arrays)

    def append(self, rows: Int32[np.ndarray, " m"], codes: Int32[np.ndarray, " m"]) -> None:
        """Add pairs of row and word, rows ascending and none below those that are there. Cost is amortised."""
        state = self._state
        start, end = state.n_tail, state.n_tail + len(rows)
        if end <= _SEAL:
            state.tail_rows[start:end] = rows
            state.tail_codes[start:end] = codes
            self._state = state._replace(n_tail=end)
            return
        fresh = Segment.of(
            np.concatenate([state.tail_rows[:start], rows]), np.concatenate([state.tail_codes[:start], codes])
        )
        self._state = _state(_merged((*state.segments, fresh)))

    def pairs(self, n: int) -> tuple[Int32[np.ndarray, " pairs"], Int32[np.ndarray, " pairs"]]:
        """Return all pairs of row and word with rows below n."""
        state = self._state
        rows = np.concatenate([*(s.rows for s in state.segments), state.tail_rows[: state.n_tail]])
        codes = np.concatenate([*(s.codes for s in state.segments), state.tail_codes[: state.n_tail]])
        below = rows < n
        return (rows, codes) if below.all() else (rows[below], codes[below])

    def count(self, codes: Sequence[int]) -> int:
        """Return how many pairs these words have, counting no further than to a word's segments and the whole tail."""
        state = self._state
        return state.n_tail + sum(len(s.part(code)) for s in state.segments for code in codes)

    def rows(self, codes: Sequence[int], n: int) -> Int64[np.ndarray, " m"]:
        """Return the rows below n that have one of these words, ascending, each once."""
        parts = [part for code in codes for part in self._parts(code, n)]
        rows = np.concatenate([np.empty(0, np.int32), *parts])
        return (rows if len(codes) == 1 else np.unique(rows)).astype(np.int64)

    def mask(self, codes: Sequence[int], n: int) -> Bool[np.ndarray, " n"]:
        """Return whether each of the first n rows has one of these words."""
        mask = np.zeros(n, dtype=np.bool_)
        for code in codes:
            for part in self._parts(code, n):
                mask[part] = True
        return mask

    def holds(self, codes: Sequence[int], rows: Int64[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
        """Return whether each of these rows has one of these words, by bisection: for few rows and frequent words."""
        found = np.zeros(len(rows), dtype=np.bool_)
        narrow = rows.astype(np.int32)  # as wide as the parts, or each bisection would copy them
        for code in codes:
            for part in self._parts(code, int(rows.max(initial=-1)) + 1):
                places = np.minimum(part.searchsorted(narrow), len(part) - 1)
                found |= part[places] == narrow
        return found

    def histogram(self, chosen: Bool[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " words"], int]:
        """Return how many of the chosen rows have each word, up to the last that occurs, and how many have any."""
        state, n = self._state, len(chosen)
        counts, worded = np.zeros(0, dtype=np.int64), np.zeros(n, dtype=np.bool_)
        if not n:
            return counts, 0
        for segment in state.segments:
            inside = segment.rows if segment.rows.max() < n else np.where(segment.rows < n, segment.rows, -1)
            places = np.flatnonzero(chosen[inside] & (inside >= 0))
            worded[inside[places]] = True
            counts = add_counts(counts, np.diff(np.searchsorted(places, segment.offsets)))
        tail = state.tail_rows[: state.n_tail]
        hit = np.flatnonzero(tail < n)
        hit = hit[chosen[tail[hit]]]
        worded[tail[hit]] = True
        return add_counts(counts, np.bincount(state.tail_codes[hit])), int(np.count_nonzero(worded))

    def _parts(self, code: int, n: int) -> Iterator[Int32[np.ndarray, " m"]]:
        """Yield the rows of one word below n, ascending within and between parts, no part empty."""
        state = self._state
        tail = state.tail_rows[: state.n_tail]
        for part in (
            *(segment.part(code) for segment in state.segments),
            tail[state.tail_codes[: state.n_tail] == code],
        ):
            below = part if len(part) and part[-1] < n else part[: part.searchsorted(np.int32(n))]
            if len(below):
                yield below


def add_counts(a: Int64[np.ndarray, " x"], b: Int64[np.ndarray, " y"]) -> Int64[np.ndarray, " z"]:
    """Add counts by word, of which one may know fewer words."""
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def _merged(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Merge from the end while a segment is less than twice as large as the next, so that each pair moves a few times at most."""
    while len(segments) > 1 and len(segments[-2].rows) < 2 * len(segments[-1].rows):
        *before, a, b = segments
        fresh = Segment.of(np.concatenate([a.rows, b.rows]), np.concatenate([a.codes, b.codes]))
        segments = (*before, fresh)
    return segments
