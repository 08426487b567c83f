"""Errors of the hashing package.

HashingError
├── CodeLengthError     a length that no code can have, or that this model does not
├── CodeShapeError      an array of codes of another width or dtype
├── LabelError          labels that do not fit the samples
├── EmbeddingError      embeddings of another width, not finite, or too few
└── HasherFileError     a file that is no hasher, damaged, or of another format
"""


class HashingError(ValueError):
    """Base of all errors of the hashing package."""


class CodeLengthError(HashingError):
    """A length that no code can have, or that this model does not."""


class CodeShapeError(HashingError):
    """An array of codes of another width or dtype than expected."""


class LabelError(HashingError):
    """Labels that do not fit the samples."""


class EmbeddingError(HashingError):
    """Embeddings of another width, not finite, or too few."""


class HasherFileError(HashingError):
    """A file that is no hasher, is damaged, or has another format version."""
