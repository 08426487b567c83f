"""Small runs of `polyhash gan train` and what they leave, for the suites of its commands."""

import json

import numpy as np
import torch
from PIL import Image

from tests.service.command import polyhash

PICTURES_ONCE = ("--every", 1000)  # at the end: drawing curves takes longer than learning
TINY = ("--size", 8, "--width", 4, "--samples", 40, "--batch", 8, *PICTURES_ONCE)


def trained(out, system, *options):
    done = polyhash("gan", "train", system, "--out", out, *options)
    assert (done.status, done.out.split(":")[0]) == (
        0,
        f"Trained {system} for {options[options.index('--steps') + 1]} steps",
    )
    return out


def checkpoint(out):
    return torch.load(out / "last.pt", weights_only=True)


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def pixels(path):
    return np.asarray(Image.open(path))
