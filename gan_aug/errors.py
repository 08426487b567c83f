"""Errors of the gan_aug package.

GanError
├── RecipeError       a name, size or part that no system has
├── BatchError        images, points or labels that do not fit the networks or each other
├── DivergedError     a loss or gradient that is no longer finite; holds the report
└── CheckpointError   a file that is no checkpoint of this training
"""


class GanError(ValueError):
    """Base of all errors of the gan_aug package."""


class RecipeError(GanError):
    """A name, size or part that no system has."""


class BatchError(GanError):
    """Images, points or labels that do not fit the networks or each other."""


class DivergedError(GanError):
    """A loss or gradient that is no longer finite."""

    def __init__(self, message: str, *, report: dict[str, object]) -> None:
        super().__init__(message)
        self.report = report


class CheckpointError(GanError):
    """A file that is no checkpoint of this training."""
