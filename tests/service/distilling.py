"""A small teacher, rendered scenes and what a cache makes of them: what the suites of distilling share."""

import numpy as np
import torch

from service.scenes.gallery import write_gallery
from service.vision.encoder.backbone import EncoderBackbone
from service.vision.encoder.network import EncoderNetwork, EncoderShape
from service.vision.encoder.target_cache import TargetCache
from service.vision.encoder.teacher import Teacher, TrainingSet

SHAPE = EncoderShape(stem=4, widths=(6, 8, 8), depths=(1, 1, 1), dim=6)  # stride 16: 32 px become 2 x 2 cells


def render_scenes(folder):
    """Write a few scenes and return their folder."""
    write_gallery(folder, 2, size_px=96)
    return folder


def a_teacher():
    """Return a small backbone whose embedding is the mean of its map."""
    torch.manual_seed(9)
    shape = EncoderShape(stem=4, widths=(8, 12), depths=(1, 1), dim=12)
    return EncoderBackbone(EncoderNetwork(shape), identity="teacher@0123456789ab", input_px=40)


def cache_of(folder, scenes, **changed):
    """Return a cache, empty where it is new."""
    options = {"views": 1.0, "student_px": 32, "seed": 0} | changed
    teacher = Teacher(a_teacher(), student_px=options["student_px"], cells=2)
    sets = [TrainingSet(spec=str(scenes), views=options["views"])]
    return TargetCache(folder, sets, teacher, dim=6, seed=options["seed"])


def make_cache(folder, scenes):
    """Return a full cache."""
    made = cache_of(folder, scenes)
    assert made.fill(lambda *_: None) == []
    return made


def arrays(cache):
    """Return squares, embeddings and maps."""
    return [np.array(array) for array in (cache.squares, cache.embeddings, cache.maps)]
