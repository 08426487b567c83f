"""What the service needs of hashing: a learned map to code records, and an index of them.

In: embeddings, code records, queries. Out: records, neighbours. Codes are uint8 with bit 0 the low bit of byte 0.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8

from hashing.funnel import FunnelAnswer
from hashing.index import Neighbours, Selection
from hashing.layout import CodeLayout


@runtime_checkable
class RecordIndex(Protocol):
    """Exact search in the codes of all lengths of one layout, by row; see `hashing.index` for what rows are.

    One thread may add and remove while any number search; a batch appears in all lengths at once.
    """

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a code record hold the code of which length."""
        ...

    @property
    def n_rows(self) -> int:
        """How many rows it has, removed ones included: the row that the next record gets."""
        ...

    def __len__(self) -> int:
        """Return how many live records it holds."""
        ...

    def add(self, records: UInt8[np.ndarray, "n record_bytes"]) -> None:
        """Append n records as the next rows."""
        ...

    def remove(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Hide these rows from every later search; returns how many were live."""
        ...

    def records(self, rows: Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m record_bytes"]:
        """Return the records of these rows, removed ones included."""
        ...

    def search(
        self,
        codes: UInt8[np.ndarray, "nq bytes"],
        *,
        bits: int,
        k: int,
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[Neighbours]:
        """Return the nearest codes of one length per query; see `CodeIndex.search`."""
        ...

    def scan(
        self, code: UInt8[np.ndarray, " bytes"], *, bits: int, among: Selection | None = None
    ) -> tuple[Int64[np.ndarray, " m"], Int32[np.ndarray, " m"]]:
        """Return the rows of all live codes of one length among those selected, ascending, and their distances."""
        ...

    def search_funnel(
        self,
        records: UInt8[np.ndarray, "nq record_bytes"],
        *,
        k: int,
        max_distance: int | None = None,
        among: Selection | None = None,
    ) -> list[FunnelAnswer]:
        """Return exactly the nearest by the longest length per query; the shortest length says where to look where that pays."""
        ...

    def settle(self) -> None:
        """Prepare `search_funnel` for what was added and removed. Called when a gallery was loaded, and after changes."""
        ...


@runtime_checkable
class Hasher(Protocol):
    """The learned map from embeddings to code records."""

    @property
    def identity(self) -> str:
        """Name and content hash, `NAME@HEX12`."""
        ...

    @property
    def backbone_identity(self) -> str:
        """Identity of the backbone whose embeddings it was fitted on."""
        ...

    @property
    def lengths(self) -> tuple[int, ...]:
        """Code lengths in bits, ascending."""
        ...

    @property
    def layout(self) -> CodeLayout:
        """Which bytes of a code record hold the code of which length."""
        ...

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Return code records: the codes of all lengths, laid out as `layout` says."""
        ...
