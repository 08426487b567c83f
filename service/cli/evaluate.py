"""`polyhash eval`: measuring methods on labelled image sets."""

import typer

app = typer.Typer(help="Measure methods on labelled image sets.", no_args_is_help=True)


@app.callback()
def _evaluate() -> None:
    """Measure methods on labelled image sets."""
