"""A gallery in memory over given codes, with labels and scores to filter by, searched in process or served to a client.

In: code records. Out: an application whose queries are codes, so that it needs no backbone; and a server of it in a process
of its own (`python -m benchmarks.search.galleries FILE`), which prints its address. Catalog and models are the tests' fakes.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from benchmarks.search.codes import LAYOUT
from hashing.index_records import RecordIndex
from service.application import Application
from service.records import ColumnChunk
from service.usecases.filters import ImageFilter, ScoreRange
from service.usecases.gallery import Gallery
from service.usecases.query_encoder import QueryEncoder
from service.usecases.search import Searcher
from service.usecases.snapshot import Snapshot
from service.vision.images import decode_image
from tests.contracts.fakes import FakeBackbone, new_application, served

SHARES = {"50 %": 0.5, "10 %": 0.1, "1 %": 0.01, "0.1 %": 0.001}
SCORE = "score"  # uniform in [0, 1)


class CodesHasher:
    """A model that gives its name and layout alone: queries are codes already."""

    identity = "codes@000000000000"
    backbone_identity = FakeBackbone.identity
    lengths = LAYOUT.lengths
    layout = LAYOUT

    def encode(self, embeddings: Float32[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n record_bytes"]:
        """Refuse."""
        raise TypeError(f"This gallery has codes alone and cannot encode {len(embeddings)} embeddings.")


def label_filter(case: str) -> ImageFilter:
    """Return the filter of the images that carry the label of a share."""
    return ImageFilter(labels_any=(case,))


def score_filter(case: str) -> ImageFilter:
    """Return the filter of the images whose score is below a share."""
    return ImageFilter(scores={SCORE: ScoreRange(maximum=SHARES[case])})


def draw_scores(n: int) -> Float64[np.ndarray, " n"]:
    """Return the scores of the first n images."""
    return np.random.default_rng(0).random(n)


def new_snapshot(records: UInt8[np.ndarray, "n record_bytes"]) -> Snapshot:
    """Return a snapshot of these records, ready for the funnel; labels and scores are drawn at random, seeds fixed."""
    rng = np.random.default_rng(1)
    snapshot = Snapshot(CodesHasher(), index_factory=RecordIndex)
    n = len(records)
    carried = [(rng.random(n) < share).tolist() for share in SHARES.values()]
    chunk = ColumnChunk(
        image_ids=np.arange(1, n + 1),
        created_us=np.zeros(n, dtype=np.int64),
        labels=[
            tuple(case for case, has in zip(SHARES, row, strict=True) if has)
            for row in zip(*carried, strict=True)
        ],
        attributes=[{}] * n,
        scores=[{SCORE: score} for score in draw_scores(n).tolist()],
    )
    snapshot.add(chunk, records)
    snapshot.index.settle()
    return snapshot


def new_searcher(snapshot: Snapshot) -> Searcher:
    """Return what answers searches over a snapshot in process."""
    return _application(snapshot).searcher


def _application(snapshot: Snapshot) -> Application:
    empty = new_application(hasher=None)
    gallery = Gallery(
        empty.catalog,
        empty.gallery.originals,
        backbone=FakeBackbone(),
        snapshot=snapshot,
    )
    encoder = QueryEncoder(decode=decode_image)
    return replace(empty, gallery=gallery, searcher=Searcher(gallery, encoder))


@contextmanager
def serving(records: UInt8[np.ndarray, "n record_bytes"]) -> Iterator[str]:
    """Serve the records from another process; yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "records.npy"
        np.save(file, records)
        command = [sys.executable, "-m", "benchmarks.search.galleries", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command
            try:
                line = server.stdout.readline() if server.stdout else ""
                if not line:
                    raise SystemExit("The server of the benchmark did not start; its error is above.")
                yield line.strip()
            finally:
                server.communicate()  # ends its input, for which it waits


def main() -> None:
    """Serve until the input ends."""
    application = _application(new_snapshot(np.load(sys.argv[1])))
    with served(application) as address:
        print(address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
