"""What a teacher makes of views, reduced to what a student can learn: centred principal directions of its feature maps.

In: pictures of training sets, and a teacher backbone. Out: cut views with projected maps, and the projection itself.
Keeping them is left to `target_cache`.

The mean of a projected map over its cells is the projected mean, so one projection serves maps and embeddings.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, UInt8
from torch.nn.functional import adaptive_avg_pool2d

from service.errors import InvalidArgumentError, PolyhashError
from service.ports import Backbone
from service.records import SourceImage
from service.usecases.reading import Rejected, read_content
from service.vision.datasets import open_image_set
from service.vision.encoder.views import draw_view
from service.vision.images import decode_image

DEFAULT_VIEWS = 8.0
TARGET_PX = 360  # decoded no larger than needed for a teacher of 224 px and the smallest crop


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """An image set and how many views of each picture are trained on: 8, or 0.25 for one view of every fourth picture."""

    spec: str
    views: float

    @property
    def name(self) -> str:
        """Name of the set without the path that leads to it."""
        return open_image_set(self.spec).name

    @property
    def views_per_image(self) -> int:
        """Views of a picture that is used."""
        return max(1, round(self.views))

    @property
    def every(self) -> int:
        """One picture in so many is used."""
        return max(1, round(1 / self.views))

    def __iter__(self) -> Iterator[SourceImage]:
        """Yield the pictures that are used."""
        return (image for i, image in enumerate(open_image_set(self.spec)) if i % self.every == 0)

    def __len__(self) -> int:
        """Return how many pictures are used."""
        return len(range(0, len(open_image_set(self.spec)), self.every))


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """The same views of one picture in the teacher's and the student's size."""

    teacher: UInt8[np.ndarray, "n t t 3"]
    student: UInt8[np.ndarray, "n s s 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """An affine map from the teacher's channels to the student's."""

    mean: Float32[np.ndarray, " c"]
    directions: Float32[np.ndarray, "c d"]

    def __call__(self, maps: Float32[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n d h w"]:
        """Return projected maps."""
        centred = maps.transpose(0, 2, 3, 1) - self.mean
        return np.ascontiguousarray((centred @ self.directions).transpose(0, 3, 1, 2))


def fit_projection(embeddings: Float[np.ndarray, "n c"], dim: int, *, flattening: float = 0.1) -> Projection:
    """Return the projection on the `dim` strongest principal directions, the weaker ones raised a little.

    Args:
        embeddings: A sample of the teacher's, more than `dim` of them.
        dim: Width of the student's embeddings.
        flattening: Direction i is divided by its variance to this power, in units of the first; 0.5 is whitening.
    """
    mean = embeddings.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov((embeddings - mean).T.astype(np.float64)))
    strongest = np.argsort(variances)[::-1][:dim]
    kept = np.maximum(variances[strongest], 1e-12 * variances.max())
    scales = (kept / kept[0]) ** -flattening / np.sqrt(kept.sum())  # then an embedding is about 1 long
    signs = np.sign(directions[np.abs(directions[:, strongest]).argmax(axis=0), strongest])
    return Projection(
        mean=mean.astype(np.float32),
        directions=(directions[:, strongest] * (signs * scales)).astype(np.float32),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a student learns of n views.

    Attributes:
        embeddings: The teacher's, projected.
        maps: Its feature maps, projected and averaged down to the student's cells.
    """

    embeddings: Float16[np.ndarray, "n d"]
    maps: Float16[np.ndarray, "n d h w"]


@final
class Teacher:
    """A backbone that looks at views in its own size, and says what a student of another size should make of them."""

    def __init__(self, backbone: Backbone, *, student_px: int, cells: int) -> None:
        """Take a teacher; the student sees squares of `student_px` and gives maps of `cells` x `cells`.

        Raises:
            InvalidArgumentError: The teacher's embedding has other dimensions than its map has channels.
        """
        side = backbone.preprocessing.crop_px
        channels = backbone.extract(np.zeros((1, side, side, 3), dtype=np.uint8)).feature_maps.shape[1]
        if channels != backbone.dim:
            raise InvalidArgumentError(
                f"{backbone.identity} cannot teach: its map has {channels} channels, its embedding {backbone.dim}"
                " dimensions. Choose a model that averages its map, such as MobileNetV2, ResNet or ConvNeXt.",
                reason="TEACHER_UNSUPPORTED",
            )
        self.backbone = backbone
        self.student_px, self.cells = student_px, cells

    def cut(self, image: SourceImage, seeds: Sequence[Sequence[int]]) -> Views | Rejected:
        """Return the views of one picture that the seeds draw, or why there are none."""
        content = read_content(image)
        if isinstance(content, Rejected):
            return content
        try:
            pixels = decode_image(content, target_px=TARGET_PX).pixels
        except PolyhashError as error:
            return Rejected(name=image.name, error=error)
        views = [draw_view(*pixels.shape[:2], rng=np.random.default_rng(seed)) for seed in seeds]
        teacher_px = self.backbone.preprocessing.crop_px
        return Views(
            teacher=np.stack([view.cut(pixels, side_px=teacher_px) for view in views]),
            student=np.stack([view.cut(pixels, side_px=self.student_px) for view in views]),
        )

    def targets(self, squares: UInt8[np.ndarray, "n t t 3"], projection: Projection) -> Targets:
        """Return what the student learns of n views."""
        features = self.backbone.extract(squares)
        small = adaptive_avg_pool2d(torch.from_numpy(features.feature_maps), self.cells).numpy()
        embeddings = projection(features.embeddings[:, :, None, None])[:, :, 0, 0]
        return Targets(embeddings=embeddings.astype(np.float16), maps=projection(small).astype(np.float16))
