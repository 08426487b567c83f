"""Near duplicates by their codes: clusters over a gallery, and the decision about new images before they are acknowledged.

In: image ids with codes of the longest length, a radius in bits; codes of images on their way in. Out: clusters; what each new
image nearly repeats. Leaves what becomes of a flagged or rejected image, and locking, to ingest and gallery.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import final

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from hashing.band_table import BandTable
from hashing.codes import hamming_distances
from hashing.near_duplicates import near_clusters
from service.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateCluster:
    """Images that chains of near duplicates connect.

    Attributes:
        image_ids: Two or more, ascending.
        distances: Hamming distance of each to the first, in bits; may exceed the radius, as members connect through others.
    """

    image_ids: Int64[np.ndarray, " n"]
    distances: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def widest(self) -> int:
        """The largest distance to the first member, in bits."""
        return int(self.distances.max())


def find_duplicate_clusters(
    image_ids: Int64[np.ndarray, " n"],
    codes: UInt8[np.ndarray, "n bytes"],
    *,
    radius: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[DuplicateCluster]:
    """Return the clusters of two or more images, largest first, then by their first image id.

    Args:
        image_ids: Each once, ascending.
        codes: Their codes of one length, the longest for the surest answer.
        radius: Largest Hamming distance in bits at which two images count as near duplicates (inclusive).
        on_progress: Called with (work done, work in all).

    Raises:
        CodeShapeError: The codes are no two-dimensional uint8 array.
        HashingError: The radius is below 0.
    """
    labels = near_clusters(codes, radius=radius, on_progress=on_progress)
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    return [
        _cluster(order[start : start + size], image_ids, codes)
        for start, size in sorted(
            ((start, size) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True) if size > 1),
            key=lambda run: (-run[1], run[0]),  # runs stand in the order of their first rows
        )
    ]


def _cluster(
    rows: Int64[np.ndarray, " n"],
    image_ids: Int64[np.ndarray, " _all"],
    codes: UInt8[np.ndarray, "_all bytes"],
) -> DuplicateCluster:
    distances = hamming_distances(codes[rows[:1]], codes[rows])[0]
    return DuplicateCluster(image_ids=image_ids[rows], distances=distances)


# ---------------------------------------------------------------- ingest


class DuplicatePolicy(Enum):
    """What becomes of a new image that nearly repeats one of the gallery."""

    ALLOW = "allow"  # nobody looks
    FLAG = "flag"  # taken, and the acknowledgement names the image that it repeats
    REJECT = "reject"  # refused


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRule:
    """When a new image is a near duplicate, and what becomes of it.

    Attributes:
        policy: What becomes of it.
        max_distance: Largest Hamming distance of the longest codes, in bits, that makes one (inclusive).
    """

    policy: DuplicatePolicy
    max_distance: int

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError if max_distance is below 0."""
        if self.max_distance < 0:
            raise InvalidArgumentError(
                f"max_distance of near duplicates must be at least 0 bits, got {self.max_distance}. "
                "Give 0 for equal codes only.",
                field="max_distance",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """The image that a new one nearly repeats: its row in the gallery, and the distance in bits."""

    row: int
    distance: int


@final
class DuplicateGuard:
    """The longest codes of a gallery, asked about every new image before it is acknowledged.

    Rows are the gallery's: the n-th code admitted is row n. One thread at a time may call it; ingest decides under the gallery's lock.
    Under ALLOW nothing is kept and nothing is near. Otherwise memory is that of a `BandTable`.
    """

    def __init__(self, layout_bits: int, rule: DuplicateRule) -> None:
        """Start empty; `layout_bits` is the length of the longest code."""
        self.rule = rule
        self._table = None
        if rule.policy is not DuplicatePolicy.ALLOW:
            self._table = BandTable(layout_bits, max_radius=min(rule.max_distance, layout_bits))

    @property
    def n_rows(self) -> int:
        """How many codes were admitted, forgotten ones included; 0 under ALLOW."""
        return self._table.n_rows if self._table is not None else 0

    def check(self, codes: UInt8[np.ndarray, "n bytes"]) -> list[Near | None]:
        """Return for each code of a batch the nearest image that it repeats, or None; earliest image first among equals.

        An image may repeat an earlier one of the same batch: that one has the row that it gets if the batch is admitted as the rule says,
        under REJECT without the repeats, which nothing is compared with.

        Raises:
            CodeShapeError: The codes have another length or dtype.
        """
        if self._table is None:
            return [None] * len(codes)
        found = self._table.nearest_within(codes, radius=self._table.max_radius)
        nears = [None if hit is None else Near(row=hit[0], distance=hit[1]) for hit in found]
        return self._with_batch(nears, hamming_distances(codes, codes), first_row=self._table.n_rows)

    def admit(self, codes: UInt8[np.ndarray, "n bytes"]) -> None:
        """Take the codes of new images, those that were committed and no others, as the next rows.

        Raises:
            CodeShapeError: The codes have another length or dtype.
        """
        if self._table is not None:
            self._table.add(codes)

    def remove(self, rows: Int64[np.ndarray, " m"]) -> None:
        """Forget the images of these rows: nothing repeats them any longer."""
        if self._table is not None:
            self._table.remove(rows)

    def _with_batch(
        self, nears: Sequence[Near | None], distances: Int32[np.ndarray, "n n"], *, first_row: int
    ) -> list[Near | None]:
        """Return for each code the nearer of what the gallery holds and the earlier ones of its batch."""
        decided: list[Near | None] = []
        taken: list[int] = []  # positions that get rows, in order
        for position, known in enumerate(nears):
            near = known
            if taken:
                order = int(distances[position, taken].argmin())
                distance = int(distances[position, taken[order]])
                limit = self.rule.max_distance if near is None else near.distance - 1
                if distance <= limit:
                    near = Near(row=first_row + order, distance=distance)
            decided.append(near)
            if near is None or self.rule.policy is DuplicatePolicy.FLAG:
                taken.append(position)
        return decided
