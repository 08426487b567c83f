"""What a killed process had begun and what was acknowledged to it, in a file that outlives it.

In: one line before every operation and one after its acknowledgement, before anything else is done. Out: what the store must hold,
and the operations of which nobody knows. Nothing here opens a store.
"""

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

Line = dict[str, Any]


@dataclass(slots=True)
class Kept:
    """An acknowledged image: the number of its picture, that of its facts, and whether the store keeps its original."""

    number: int
    facts: int
    stored: bool


@dataclass(slots=True)
class Expected:
    """What acknowledgements say a store holds.

    Attributes:
        images: By image id.
        deleted: Ids whose deletion was acknowledged.
        pending: Begun and not acknowledged, by number of the operation.
        done: How many operations of each kind were acknowledged.
        numbers: How many numbers of pictures were given out.
        complaints: What the process itself found wrong.
        died: Where it killed itself; empty if somebody else did.
    """

    images: dict[int, Kept] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    pending: dict[int, Line] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    numbers: int = 0
    complaints: list[str] = field(default_factory=list)
    died: str = ""

    def take(self, line: Line) -> None:
        """Take a line of the journal into account."""
        if "died" in line:
            self.died = line["died"]
        elif "wrong" in line:
            self.complaints.append(line["wrong"])
        elif "begin" in line:
            self.pending[line["begin"]] = line
            self.numbers = max([self.numbers, *(number + 1 for number in line.get("numbers", []))])
        else:
            begun = self.pending.pop(line["done"])
            self.done[begun["op"]] += 1
            self.settle(begun, ids=line.get("ids", []))

    def settle(self, begun: Line, *, ids: list[int]) -> None:
        """Take an operation for done; these are the ids of images that it added, none if they were there already."""
        match begun["op"]:
            case "add":
                for image_id, number in zip(ids, begun["numbers"], strict=bool(ids)):
                    self.images[image_id] = Kept(number=number, facts=number, stored=begun["stored"])
            case "update":
                self.images[begun["id"]].facts = begun["facts"]
            case "delete":
                del self.images[begun["id"]]
                self.deleted.add(begun["id"])


@final
class Journal:
    """The file, and what is expected according to it. Thread-safe. A line is one system call, which a kill does not tear."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0
        self._operations = 0
        self._lock = threading.Lock()
        self.expected = Expected()

    def begin(self, op: str, **facts: Any) -> int:  # noqa: ANN401 - JSON values
        """Write that an operation begins; returns its number."""
        with self._lock:
            self._operations += 1
            number = self._operations
        self.write({"begin": number, "op": op, **facts})
        return number

    def done(self, number: int, **facts: Any) -> None:  # noqa: ANN401 - JSON values
        """Write that an operation was acknowledged."""
        self.write({"done": number, **facts})

    def write(self, line: Line) -> None:
        """Append a line; it is there, whatever happens to this process afterwards."""
        with self._lock, self._path.open("ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")
            self._read_to = file.tell()
            self.expected.take(line)

    def catch_up(self) -> None:
        """Take into account what another process has appended."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            lines = file.read()
        for line in lines.splitlines():
            taken = json.loads(line)
            self.expected.take(taken)
            self._operations = max(self._operations, taken.get("begin", 0))
        self._read_to += len(lines)
