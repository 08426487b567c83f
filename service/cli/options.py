"""Arguments that several commands share, with their help texts."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from service.usecases.duplicates import DuplicateRule

StoreOption = Annotated[Path, typer.Option("--store", help="Folder of the store.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
BackboneOption = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="`encoder`, `descriptor`, a weight file of `train encoder`, a folder of a transformers model, or a hub name. Default: "
        "what the store uses, `encoder` in a new one.",
        show_default=False,
    ),
]
SynchronousOption = Annotated[
    Literal["full", "normal"],
    typer.Option(
        "--synchronous",
        help="What an acknowledged image survives: `full` a power cut, `normal` the end of the process only, which is faster.",
    ),
]
NearDuplicatesOption = Annotated[
    str,
    typer.Option(
        "--near-duplicates",
        metavar="allow|flag:BITS|reject:BITS",
        help="What becomes of a new image whose longest code is within so many bits of another's: taken unseen, taken and "
        "told, or refused.",
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option("--label", help="Column of labels.csv that holds the labels.", show_default=False),
]
LengthsOption = Annotated[
    str,
    typer.Option("--lengths", help="Code lengths in bits, separated by commas; multiples of 8 up to 1024."),
]


def writable(path: Path | None) -> Path | None:
    """Return the path of a file to write after trying to open it, so that nothing is computed in vain.

    Raises:
        OSError: No file can be written there.
    """
    if path and path != Path("-"):
        existed = path.exists()
        path.open("ab").close()
        if not existed:
            path.unlink()
    return path


def above_zero(value: float | None) -> float | None:
    """Return a weight that must act.

    Raises:
        typer.BadParameter: It is no finite number above 0.
    """
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"must be a finite number above 0, got {value}.")
    return value


def zero_or_more(value: float | None) -> float | None:
    """Return a weight that may be 0, which switches off what it weighs.

    Raises:
        typer.BadParameter: It is no finite number of 0 or more.
    """
    if value is not None and not 0 <= value < math.inf:
        raise typer.BadParameter(f"must be a finite number of 0 or more, got {value}.")
    return value


def parse_near_duplicates(text: str) -> "DuplicateRule":
    """Return the rule in a text such as "flag:4" or "allow".

    Raises:
        typer.BadParameter: It is none.
    """
    from service.usecases.duplicates import DuplicatePolicy, DuplicateRule

    word, _, bits = text.partition(":")
    policies = {policy.value: policy for policy in DuplicatePolicy}
    if word in policies and (bits.isdecimal() or (not bits and policies[word] is DuplicatePolicy.ALLOW)):
        return DuplicateRule(policy=policies[word], max_distance=int(bits or 0))
    raise typer.BadParameter(
        f"expected allow, flag:BITS or reject:BITS, for example flag:4, got {text!r}.",
        param_hint="--near-duplicates",
    )


def parse_lengths(text: str) -> tuple[int, ...]:
    """Return the lengths in a text such as "16,32,64,128", ascending.

    Raises:
        typer.BadParameter: A part is no whole number, or no length that codes can have.
    """
    from hashing.codes import check_lengths
    from hashing.errors import CodeLengthError

    try:
        return check_lengths([int(part) for part in text.split(",")])
    except CodeLengthError as error:
        raise typer.BadParameter(str(error), param_hint="--lengths") from error
    except ValueError as error:
        raise typer.BadParameter(
            f"Lengths are whole numbers separated by commas, for example 16,32,64. Got {text!r}.",
            param_hint="--lengths",
        ) from error
