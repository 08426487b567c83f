"""How the codes of several lengths share columns and records: side by side, or each the beginning of the next.

In: code lengths. Out: which columns of a joint code matrix and which bytes of a record belong to which length. Knows
nothing of how codes are learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8

from hashing.codes import check_lengths
from hashing.errors import CodeShapeError


@dataclass(frozen=True, slots=True)
class CodeLayout:
    """Columns of the codes of all lengths together.

    Every length owns one block of new columns. Independent codes are one block each; a nested code is all blocks up to
    its own, so that the longest code holds every other.

    Attributes:
        lengths: Code lengths in bits, ascending.
        nested: Whether every code is a prefix of the next longer one.
    """

    lengths: tuple[int, ...]
    nested: bool = False

    @classmethod
    def of(cls, lengths: Sequence[int], *, nested: bool = False) -> "CodeLayout":
        """Return the layout of these lengths, in any order.

        Raises:
            CodeLengthError: A length is no multiple of 8 up to 1,024, appears twice, or there is none.
        """
        return cls(check_lengths(lengths), nested)

    @property
    def n_columns(self) -> int:
        """Bits of all codes of one sample together."""
        return self.lengths[-1] if self.nested else sum(self.lengths)

    @property
    def record_bytes(self) -> int:
        """Width of a code record in bytes."""
        return self.n_columns // 8

    @property
    def blocks(self) -> dict[int, slice]:
        """The columns that each length adds."""
        ends = self.lengths if self.nested else np.cumsum(self.lengths).tolist()
        return {
            bits: slice(start, end)
            for bits, start, end in zip(self.lengths, (0, *ends[:-1]), ends, strict=True)
        }

    @property
    def columns(self) -> dict[int, slice]:
        """The columns that make the code of each length."""
        if not self.nested:
            return self.blocks
        return {bits: slice(0, bits) for bits in self.lengths}

    @property
    def record_slices(self) -> Mapping[int, slice]:
        """The bytes of a record that hold the code of each length."""
        return _record_slices(self)

    def split(self, records: UInt8[np.ndarray, "n record_bytes"]) -> dict[int, UInt8[np.ndarray, "n _bytes"]]:
        """Return the contiguous codes of every length in code records.

        Raises:
            CodeShapeError: The records are not of these lengths.
        """
        if records.shape[1] != self.record_bytes:
            kind = "nested lengths" if self.nested else "lengths"
            raise CodeShapeError(
                f"Code records of {kind} {list(self.lengths)} have {self.record_bytes} bytes, got {records.shape[1]}."
            )
        return {bits: np.ascontiguousarray(records[:, part]) for bits, part in self.record_slices.items()}


@cache  # every search asks for it
def _record_slices(layout: CodeLayout) -> Mapping[int, slice]:
    return MappingProxyType(
        {bits: slice(part.start // 8, part.stop // 8) for bits, part in layout.columns.items()}
    )
