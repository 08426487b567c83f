"""Errors of the gan_aug package.

GanError
├── RecipeError       a name, size or part that no system has
├── BatchError        images, points or labels that do not fit the networks or each other
├── DivergedError     a loss or gradient that is no longer finite; holds the report
├── CheckpointError   a file that is no checkpoint of this training
└── ExportError       a generator that cannot be written as asked, or a file that does not do what it does
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


class ExportError(GanError):
    """A generator that cannot be written as asked, or a file that does not do what the generator does."""
