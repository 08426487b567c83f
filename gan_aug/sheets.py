"""Pictures of a training: sheets of samples, and curves of losses.

In: images in [-1, 1] or points; lines of metrics. Out: PNG files. Draws nothing on a screen.
"""

import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

GAP = 2  # px between images


def image_grid(images: Float[Tensor, "n c h w"], *, columns: int | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Return images side by side, row by row, on white; as many columns as rows unless said.

    Args:
        images: in [-1, 1], beyond which they are clipped; one channel is shown in grey, of more the first three.
        columns: images per row.
    """
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    pixels = images.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    colours = pixels[:, [0, 0, 0] if channels < 3 else [0, 1, 2]].permute(0, 2, 3, 1).numpy()
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, dtype=np.uint8)
    for k, image in enumerate(colours):
        top, left = (
            GAP + side * step
            for side, step in zip(divmod(k, columns), (height + GAP, width + GAP), strict=True)
        )
        sheet[top : top + height, left : left + width] = image
    return sheet


def save_sheet(
    path: Path, samples: Float[Tensor, "n ..."], *, reference: Float[Tensor, "m ..."] | None = None
) -> None:
    """Write a sheet of images, or a scatter plot of points over the points of reference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if samples.ndim == 4:
        Image.fromarray(image_grid(samples)).save(path)
        return
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    if reference is not None:
        axes.plot(*reference.cpu().numpy().T[:2], ".", color="0.7", markersize=3, label="data")
    axes.plot(*samples.cpu().numpy().T[:2], ".", color="C0", markersize=3, label="samples")
    axes.set_aspect("equal")
    axes.legend(loc="upper right")
    figure.savefig(path)


def save_curves(path: Path, metrics: Path) -> None:
    """Write one plot per metric of a metrics.jsonl over the steps."""
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in metrics.read_text().splitlines():
        entry = json.loads(line)
        for name, value in entry.items():
            if name != "step" and isinstance(value, int | float):
                series[name].append((entry["step"], value))
    columns = min(3, max(1, len(series)))
    rows = max(1, math.ceil(len(series) / columns))
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for axes, (name, points) in zip(
        figure.subplots(rows, columns, squeeze=False).flat, series.items(), strict=False
    ):
        axes.plot(*zip(*points, strict=True), linewidth=1)
        axes.set_title(name, fontsize=8)
    figure.savefig(path)
