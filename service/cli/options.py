"""Arguments that several commands share, with their help texts."""

from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[Path, typer.Option("--store", help="Folder of the store.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
BackboneOption = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="`descriptor`, a folder of a transformers model, or a hub name. Default: what the store uses.",
        show_default=False,
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


def parse_lengths(text: str) -> tuple[int, ...]:
    """Return the lengths in a text such as "16,32,64,128".

    Raises:
        typer.BadParameter: A part is no whole number.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"Lengths are whole numbers separated by commas, for example 16,32,64. Got {text!r}.",
            param_hint="--lengths",
        ) from error
