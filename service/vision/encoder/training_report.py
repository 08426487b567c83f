"""What a training run shows for itself: its loss curve, and pictures with those that its embeddings put next to them.

In: records of losses; squares with embeddings. Out: PNGs.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from service.vision.encoder.trainer import LossRecord

TERMS = {
    "direction": ("embedding: 1 - cosine", "#0072B2"),  # Okabe and Ito 2008
    "maps": ("maps: squared error", "#D55E00"),
    "relations": ("neighbours: KL divergence", "#009E73"),
}
GAP_PX = 4
QUERY_GAP_PX = 12  # between a picture and its neighbours


def loss_curve_png(history: Sequence[LossRecord], *, title: str) -> bytes:
    """Return a picture of every loss term over the steps, before weighting."""
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    steps = [record.step for record in history]
    for term, (label, colour) in TERMS.items():
        axes.plot(steps, [getattr(record, term) for record in history], label=label, color=colour)
    axes.set(title=title, xlabel="step", ylabel="loss", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()


def neighbours_png(
    squares: UInt8[np.ndarray, "n s s 3"],
    embeddings: Float32[np.ndarray, "n d"],
    *,
    queries: Sequence[int],
    k: int = 7,
) -> bytes:
    """Return a contact sheet: each query at the left, then its k nearest others by cosine, nearest first."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows = [_sheet_row(squares, order) for order in nearest(unit, queries, k=k)]
    png = BytesIO()
    Image.fromarray(np.concatenate(rows)).save(png, "PNG", optimize=True)
    return png.getvalue()


def nearest(unit: Float32[np.ndarray, "n d"], queries: Sequence[int], *, k: int) -> list[list[int]]:
    """Return each query followed by the rows of its k nearest others; of equals the first."""
    found = []
    for query in queries:
        similarity = unit @ unit[query]
        similarity[query] = np.inf
        found.append(np.argsort(-similarity, kind="stable")[: k + 1].tolist())
    return found


def _sheet_row(squares: UInt8[np.ndarray, "n s s 3"], order: Sequence[int]) -> UInt8[np.ndarray, "h w 3"]:
    side = squares.shape[1]
    parts = []
    for position, row in enumerate(order):
        gap = 0 if position == 0 else QUERY_GAP_PX if position == 1 else GAP_PX
        parts += [np.full((side, gap, 3), 255, dtype=np.uint8), squares[row]]
    strip = np.concatenate(parts, axis=1)
    return np.concatenate([strip, np.full((GAP_PX, strip.shape[1], 3), 255, dtype=np.uint8)])
