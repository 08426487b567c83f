"""Index throughput beside the backbone's own forward pass, on one image set, in one run.

In: an image set and a backbone. Out: images/s of the whole ingest (read, decode, embed, encode, SQL with full
durability) and of the forward pass alone on squares prepared beforehand, and their ratio. Both sides take turns, with
the same threads and batch size. Run it with `python -m benchmarks.ingest --set SET --backbone BACKBONE`.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from service import compose
from service.circumstances import read_circumstances
from service.ports import Backbone
from service.scenes.gallery import write_gallery
from service.usecases.ingest import Accepted
from service.usecases.reading import CHUNK_IMAGES, in_chunks
from service.vision.backbones import DEFAULT_BACKBONE, load_backbone
from service.vision.datasets import ImageSet, open_image_set
from service.workers import hasher_path


def main() -> None:
    """Print one line per round and the median ratio."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = open_image_set(options.set or _scenes(folder / "scenes"))
        backbone = load_backbone(options.backbone)
        hasher = _learn(folder / "learn", images, options.backbone, folder / "hasher.safetensors")
        print(read_circumstances())
        print(f"{images.name}: {len(images)} images, {backbone.identity}, batches of {CHUNK_IMAGES}\n")
        print(f"{'round':>5} {'forward/s':>10} {'ingest/s':>10} {'ratio':>6}")
        ratios = []
        for number in range(1, options.rounds + 1):
            forward = _forward_rate(backbone, images)
            ingest = _ingest_rate(folder / f"store-{number}", images, options.backbone, hasher)
            ratios.append(ingest / forward)
            print(f"{number:>5} {forward:>10.1f} {ingest:>10.1f} {ratios[-1]:>6.3f}", flush=True)
        print(f"\nmedian ratio {statistics.median(ratios):.3f}")


def _forward_rate(backbone: Backbone, images: ImageSet) -> float:
    decode = compose.decoder(backbone)
    squares = [backbone.prepare(decode(image.read()).pixels) for image in images]
    batches = [np.stack(batch) for batch in in_chunks(squares)]
    backbone.extract(batches[0])  # warm up
    started = time.perf_counter()
    for batch in batches:
        backbone.extract(batch)
    return len(squares) / (time.perf_counter() - started)


def _ingest_rate(folder: Path, images: ImageSet, backbone: str, hasher: Path) -> float:
    with compose.open_session(
        folder, purpose="benchmark", create=True, backbone=backbone, hasher_file=hasher
    ) as session:
        started = time.perf_counter()
        outcomes = session.application.ingestor.run(in_chunks(images))
        added = sum(isinstance(outcome, Accepted) for outcome in outcomes)
        return added / (time.perf_counter() - started)


def _learn(folder: Path, images: ImageSet, backbone: str, file: Path) -> Path:
    """Index the set once, unmeasured, for a hasher; this also fills the page cache."""
    with compose.open_session(folder, purpose="benchmark", create=True, backbone=backbone) as session:
        for _ in session.application.ingestor.run(in_chunks(images)):
            pass
        hasher = compose.fit_hasher(session, parameters={"random_state": 0})
        file.write_bytes(hasher_path(session.store, hasher.identity).read_bytes())
    return file


def _scenes(folder: Path) -> str:
    write_gallery(folder, 25)
    return str(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time ingest beside the backbone alone.")
    parser.add_argument("--set", default="", help="image set; default: 350 rendered scenes")
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE, help="as for `polyhash index`")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
