"""Embeddings kept in a folder, found by the sha256 of the encoded image, so that none is computed twice.

In: digests and float16 embeddings of one backbone. Out: those known already. A folder holds parts that are written
whole or not at all; a part that is damaged is dropped, and its embeddings are computed again.

Convention: a part is sha256(header + records), then the records: 32 bytes of digest and d float16 each.
"""

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float16

from hashing.durable_file import write_durably

FORMAT = "polyhash-embeddings-1"
PART_SUFFIX = ".part"
_CHECKSUM_BYTES = 32

logger = logging.getLogger(__name__)


@final
class EmbeddingCache:
    """The embeddings of one backbone in a folder. Several processes may add at once."""

    def __init__(self, folder: Path, *, backbone_identity: str, dim: int) -> None:
        """Read what the folder holds for this backbone.

        Args:
            folder: Folder shared by all backbones; made at the first `add`.
            backbone_identity: `NAME@HEX12`; another identity never sees these embeddings.
            dim: Width d of its embeddings.
        """
        self._folder = folder / re.sub(r"[^\w.@-]", "_", backbone_identity)
        self._header = f"{FORMAT} {backbone_identity} {dim}\n".encode()
        self._record = np.dtype([("digest", np.uint8, 32), ("embedding", "<f2", (dim,))])
        self._known: dict[bytes, Float16[np.ndarray, " d"]] = {}
        for path in sorted(self._folder.glob(f"*{PART_SUFFIX}")):
            self._read(path)

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Float16[np.ndarray, " d"]]:
        """Return the embeddings of these sha256 digests; unknown ones are absent."""
        return {digest: self._known[digest] for digest in digests if digest in self._known}

    def add(self, digests: Sequence[bytes], embeddings: Float16[np.ndarray, "n d"]) -> None:
        """Keep n embeddings, durable on return."""
        records = np.empty(len(digests), dtype=self._record)
        records["digest"] = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
        records["embedding"] = embeddings
        self._write(records.tobytes())
        self._remember(records)

    def _write(self, content: bytes) -> None:
        checksum = self._checksum(content)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_durably(self._folder / f"{checksum[:16].hex()}{PART_SUFFIX}", checksum + content)

    def _read(self, path: Path) -> None:
        stored = path.read_bytes()
        content = stored[_CHECKSUM_BYTES:]
        if stored[:_CHECKSUM_BYTES] != self._checksum(content):
            logger.warning("%s is damaged and dropped; its embeddings will be computed again.", path)
            path.unlink(missing_ok=True)
            return
        self._remember(np.frombuffer(content, dtype=self._record))

    def _checksum(self, content: bytes) -> bytes:
        return hashlib.sha256(self._header + content).digest()

    def _remember(self, records: np.ndarray) -> None:
        for digest, embedding in zip(records["digest"], records["embedding"], strict=True):
            self._known[digest.tobytes()] = embedding
