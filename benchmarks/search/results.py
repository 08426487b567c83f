"""What was measured: one file per part of the benchmark, so that a part can be measured again alone.

In: timed rows. Out: JSON files with every raw number, and the rows of all files again. Tables are `tables`', curves `plot`'s.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.search.timing import Name, Turns
from service.circumstances import read_circumstances


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to do one thing.

    Attributes:
        case: What was asked for.
        side: Who answered.
        ratio: How many times as long as the part's base it took.
        p50_us: Median time of a call, microseconds.
        p99_us: 99th percentile of the same.
        recall: Share of the k nearest that were found, or None where all are for certain.
        bytes_per_code: Memory, or None where it was not measured.
        note: What else there is to say.
    """

    case: str
    side: str
    ratio: float
    p50_us: float
    p99_us: float
    recall: float | None = None
    bytes_per_code: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows that were measured side by side.

    Attributes:
        name: The part of the benchmark.
        kind: Of the codes.
        n: How many codes.
        bits: Code length; 0 where the rows have several.
        base: What ratios refer to.
        how: What the codes are.
        circumstances: Date, commit, hardware, versions.
        raw_us: Microseconds of every call by row, then by round.
    """

    name: str
    kind: str
    n: int
    bits: int
    base: str
    how: str
    rows: list[Row]
    circumstances: str
    raw_us: Mapping[str, list[list[float]]]

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.name}-{self.kind}-{self.n}-{self.bits}.json"


def make_row(
    name: Name,
    turns: Mapping[Name, Turns],
    base: Name,
    *,
    recall: float | None = None,
    bytes_per_code: float | None = None,
    note: str = "",
) -> Row:
    """Return the row of one side."""
    case, side = name
    return Row(
        case=case,
        side=side,
        ratio=turns[name].ratio_to(turns[base]),
        p50_us=turns[name].p50_us,
        p99_us=turns[name].p99_us,
        recall=recall,
        bytes_per_code=bytes_per_code,
        note=note,
    )


def circumstances() -> str:
    """Return date, commit, hardware and the versions that matter here."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("faiss-cpu", "numpy", "grpcio"))
    return f"{read_circumstances()}; {versions}; one thread"


def raw_of(turns: Mapping[Name, Turns]) -> dict[str, list[list[float]]]:
    """Return every call's microseconds, to a tenth."""
    return {", ".join(name): (1e6 * side.seconds).round(1).tolist() for name, side in turns.items()}


def write(part: Part, folder: Path) -> None:
    """Keep a part, in place of an earlier measurement of the same."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / part.file_name).write_text(json.dumps(asdict(part)), encoding="utf-8")


def read_all(folder: Path) -> list[Part]:
    """Return all parts of a folder, by name."""
    parts = []
    for file in sorted(folder.glob("*.json")):
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        parts.append(Part(**{**found, "rows": [Row(**row) for row in found["rows"]]}))
    return sorted(parts, key=lambda part: (part.name, part.kind, part.n, part.bits))
