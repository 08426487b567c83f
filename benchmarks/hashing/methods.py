"""The hashing methods that are compared: all that the service knows, by name.

In: names as typed. Out: the names to measure. Fitting and measuring are left to `measure`.
"""

from hashing.methods import HASHING_METHODS
from service.compose import hashing_methods

REFERENCES = "references"  # exact cosine search and a random order, measured beside the methods
SHORT_LIST = (
    "jmh",
    "separate",
    "nested",
    "codebook",
    "codebook-cv",
    "sdh",
    "sdh-cv",
    "itq",
)  # for databases that take minutes per method


def choose_methods(names: str | None, *, short: bool) -> list[str]:
    """Return the names of a list separated by commas; without it all methods, or those of the short list.

    Raises:
        InvalidArgumentError: There is no method of that name.
    """
    if names:
        return list(hashing_methods(names.split(",")))
    return [name for name in HASHING_METHODS if not short or name in SHORT_LIST]


def rank_of_method(name: str) -> tuple[int, str]:
    """Return what sorts names as the service lists them; names that it no longer has come last."""
    listed = list(HASHING_METHODS)
    return (listed.index(name) if name in listed else len(listed), name)
