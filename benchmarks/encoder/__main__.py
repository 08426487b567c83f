"""The table of backbones: what descriptor, our own encoder and its teacher find, and what they cost.

In: a data folder and an encoder, the built-in one by default. Out: a Markdown table per set. Run it with
`python -m benchmarks.encoder --data DIR`; `--cosine-only` leaves the codes and the timing out.

Convention: queries are the split `query`, searched is `train`; codes are learned on half of `train` and search the other
half, so that nothing that is searched was trained on.
"""

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hashing.methods import HASHING_METHODS
from hashing.metrics import Scorer
from service import compose
from service.circumstances import read_circumstances
from service.cli import console
from service.ports import Backbone
from service.usecases.embed import embed_set
from service.usecases.protocols import LabelledEmbeddings, hold_out
from service.vision.backbones import DEFAULT_BACKBONE, built_in_weights, load_backbone
from service.vision.datasets import open_image_set
from service.vision.embedding_cache import EmbeddingCache

LENGTHS = (16, 32, 64, 128)
SETS = {"corel1k": "label", "caltech101": "label", "oasis": "category"}
UNSEEN = ("corel1k",)
TEACHER = Path("weights/mobilenet_v2_hf")
METHOD = "jmh"
SEED = 0
TIMED_IMAGES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a backbone takes: pictures per second of the forward pass, and the size of its weights."""

    images_per_s: float
    megabytes: float


def main() -> None:
    """Measure and print."""
    options = _options()
    teacher = options.data / TEACHER
    backbones: dict[str, Backbone] = {
        "descriptor": load_backbone("descriptor"),
        "encoder": load_backbone(options.encoder),
        "teacher": load_backbone(str(teacher)),
    }
    megabytes = {
        "descriptor": 0.0,
        "encoder": (built_in_weights(options.encoder) or Path(options.encoder)).stat().st_size / 1e6,
        "teacher": sum(file.stat().st_size for file in teacher.glob("*.safetensors")) / 1e6,
    }
    print(f"{read_circumstances()}\n{', '.join(backbone.identity for backbone in backbones.values())}")
    costs = {} if options.cosine_only else _costs(backbones, megabytes, options.data)
    for name, label in SETS.items():
        seen = "never seen in any form" if name in UNSEEN else "its train split was learned from"
        print(f"\n## {name}, by {label}: {seen}\n")
        print("\n".join(_table(backbones, costs, options.data / name, label, options.cache)), flush=True)


def _table(
    backbones: Mapping[str, Backbone], costs: Mapping[str, Cost], folder: Path, label: str, keep: Path | None
) -> list[str]:
    """Return the rows of one set."""
    lengths = LENGTHS if costs else ()
    head = ["backbone", "cosine mAP", *(f"mAP {bits} bits" for bits in lengths)]
    head += ["images/s", "MB"] if costs else []
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for name, backbone in backbones.items():
        train, query = (_embed(folder, split, label, backbone, keep) for split in ("train", "query"))
        cells = [name, *(f"{score:.3f}" for score in _scores(train, query, lengths))]
        if costs:
            cells += [f"{costs[name].images_per_s:.0f}", f"{costs[name].megabytes:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _scores(train: LabelledEmbeddings, query: LabelledEmbeddings, lengths: tuple[int, ...]) -> list[float]:
    """Return mAP of exact cosine search, then of our codes at every length."""
    cosine = Scorer(query.labels, train.labels).embeddings(query.embeddings, train.embeddings)
    scores = [cosine.mean_average_precision]
    if lengths:
        searched, learned = hold_out(train, 0.5, seed=SEED)
        hasher = HASHING_METHODS[METHOD](lengths, SEED).fit(learned.embeddings, learned.labels)
        found, wanted = hasher.encode(searched.embeddings), hasher.encode(query.embeddings)
        scorer = Scorer(query.labels, searched.labels)
        scores += [scorer.codes(wanted[bits], found[bits]).mean_average_precision for bits in lengths]
    return scores


def _embed(folder: Path, split: str, label: str, backbone: Backbone, keep: Path | None) -> LabelledEmbeddings:
    images = open_image_set(f"{folder}:{split}", label=label)
    memory = EmbeddingCache(keep, backbone_identity=backbone.identity, dim=backbone.dim) if keep else None
    with console.progress(f"Embedding {images.name}", total=len(images), unit="images") as meter:
        embedded = embed_set(
            images, backbone, decode=compose.decoder(backbone), memory=memory, on_progress=meter
        )
    return LabelledEmbeddings(embeddings=embedded.embeddings, labels=embedded.labels)


def _costs(backbones: Mapping[str, Backbone], megabytes: Mapping[str, float], data: Path) -> dict[str, Cost]:
    """Return the medians of rounds in which the backbones take turns."""
    images = [image.read() for image in open_image_set(f"{data}/corel1k:train")][:TIMED_IMAGES]
    squares = {
        name: np.stack([backbone.prepare(compose.decoder(backbone)(content).pixels) for content in images])
        for name, backbone in backbones.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in backbones}
    for _ in range(5):
        for name, backbone in backbones.items():
            rates[name].append(_rate(backbone, squares[name]))
    return {
        name: Cost(images_per_s=statistics.median(found), megabytes=megabytes[name])
        for name, found in rates.items()
    }


def _rate(backbone: Backbone, squares: UInt8[np.ndarray, "n s s 3"]) -> float:
    started = time.perf_counter()
    backbone.extract(squares)
    return len(squares) / (time.perf_counter() - started)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoder", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets and weights")
    parser.add_argument(
        "--encoder", default=DEFAULT_BACKBONE, help="another weight file than the built-in one"
    )
    parser.add_argument("--cache", type=Path, help="folder of embeddings to keep and use again")
    parser.add_argument("--cosine-only", action="store_true", help="measure no codes and no times")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
