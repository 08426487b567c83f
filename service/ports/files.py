"""What the service needs of a store's files: generations of index files, and copies of originals.

In: arrays and bytes. Out: the same, verified. Generations can be made anew from the catalog; originals are only copies.
"""

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from service.records import (
    GenerationFiles,
)


@runtime_checkable
class Generations(Protocol):
    """Folders of index files, each written once, verified whenever it is read, and deletable: SQL can make them anew."""

    def write(self, number: int, files: GenerationFiles) -> str:
        """Write a generation aside, make it durable and give it its name; returns the sha256 of its manifest.

        Raises:
            ConflictError: There is one of this number.
            UnavailableError: The disk is full or refuses; nothing is left behind.
        """
        ...

    def read(self, number: int, *, manifest_sha256: str) -> GenerationFiles:
        """Return a generation after verifying every byte of it.

        Raises:
            NotFoundError: There is none of this number.
            DataLossError: A file is missing, cut off or changed; the message names it.
            StoreFormatError: It was written in another format version.
        """
        ...

    def numbers(self) -> list[int]:
        """Return the numbers of the generations that are there, ascending."""
        ...

    def quarantine(self, number: int) -> str:
        """Put a damaged generation aside, where it is neither read nor counted; returns the name it has there."""
        ...

    def delete(self, number: int) -> None:
        """Delete a generation; absent is fine."""
        ...

    def clean(self, keep: Collection[int]) -> list[str]:
        """Delete what an interruption left behind and every generation but these; returns the names. Quarantine stays."""
        ...


@runtime_checkable
class Originals(Protocol):
    """Copies of original files inside a store, found by the sha256 of their bytes."""

    def put(self, digest: bytes, content: bytes) -> None:
        """Keep a copy, durable on return. Repeating it changes nothing."""
        ...

    def get(self, digest: bytes) -> bytes:
        """Return a copy's bytes. Raises NotFoundError."""
        ...

    def delete(self, digest: bytes) -> None:
        """Forget a copy; absent is fine."""
        ...
