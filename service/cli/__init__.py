"""The command `polyhash`: one module per group of commands, joined here.

In: arguments. Out: an exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Errors go to standard error in one
sentence; heavy libraries are imported by the commands that need them, so that `--help` answers at once.
"""

import io
import os
import sys

import typer

from hashing.errors import HashingError
from service.cli import console, demo, duplicates, evaluate, gallery, gan, generations, search, serve, train
from service.errors import PolyhashError

app = typer.Typer(
    name="polyhash",
    help="Image search with jointly learned binary codes of several lengths.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index")(gallery.index)
app.command("stats")(gallery.stats)
app.command("search")(search.search)
app.command("duplicates")(duplicates.duplicates)
app.command("rebuild")(generations.rebuild)
app.command("generations")(generations.generations)
app.command("activate")(generations.activate)
app.command("prune")(generations.prune)
app.command("verify")(generations.verify)
app.command("serve")(serve.serve)
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="eval")
app.add_typer(gan.app, name="gan")
app.command("demo")(demo.demo)

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a name that the terminal cannot show must not end the command
            stream.reconfigure(errors="backslashreplace")
    console.tell_warnings()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # at the end of Python it would be too late to meet a broken pipe
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # which typer makes of Ctrl-C without a word
            console.complain("Interrupted.")
        raise
    except (PolyhashError, HashingError) as error:
        console.complain(str(error))
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.filename:  # a file or folder that the user named
            console.complain(f"{error.filename}: {error.strerror}.")
        else:
            _give_up_output(error)
        sys.exit(EXIT_FAILED)


def _give_up_output(error: OSError) -> None:
    """Let Python write no more to standard output; a reader that has gone, as in `... | head`, needs no complaint."""
    if not isinstance(error, BrokenPipeError):
        console.complain(f"The output cannot be written: {error.strerror or error}.")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
