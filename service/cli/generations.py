"""`polyhash rebuild`, `generations`, `activate`, `prune` and `verify`: looking after the index files of a store.

In: options. Out: what was done or found; `verify` ends with status 1 if something is damaged. A store that is being served is
rebuilt by its server.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from service.cli import console
from service.cli.options import JsonOption, StoreOption
from service.cli.sessions import open_session

if TYPE_CHECKING:
    from service.records import GenerationRow

DAMAGED = "quarantined"


def rebuild(
    store: StoreOption,
    kind: Annotated[
        Literal["index", "encode", "extract"],
        typer.Option(
            "--kind",
            help="`index`: from the codes that the catalog has. `encode`: all images get codes of --hasher first. `extract`: all "
            "images are read again and embedded by --backbone first. Images that lack codes get them in each.",
        ),
    ] = "index",
    hasher: Annotated[
        str | None,
        typer.Option(
            "--hasher",
            help="With `--kind encode`: identity of a registered hasher to go over to. Default: the one in use. With `--kind "
            "extract`: one of --backbone. Default: a new one, of the lengths of the one in use.",
            show_default=False,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            help="With `--kind extract`: the backbone to go over to: `encoder`, `descriptor`, a weight file, a model folder, a hub name "
            "OWNER/MODEL, or the identity of one that the store knows.",
            show_default=False,
        ),
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why; kept with the generation.")] = "",
    json: JsonOption = False,
) -> None:
    """Build the index files anew from the catalog, without deleted images, and go on with them.

    May be interrupted: run it again and it goes on with what is left.
    """
    if hasher is not None and kind == "index":
        raise typer.BadParameter(
            "it goes with `--kind encode` and `--kind extract` only.", param_hint="--hasher"
        )
    if (backbone is not None) != (kind == "extract"):
        raise typer.BadParameter("it goes with `--kind extract`, and that needs it.", param_hint="--backbone")
    with open_session(store, purpose="polyhash rebuild") as session, console.stages("images") as report:
        row = session.application.rebuilder.rebuild(
            report=report, hasher=hasher, backbone=backbone, note=note
        )
    _tell("Built", row, json=json)


def generations(store: StoreOption, json: JsonOption = False) -> None:
    """List the generations of index files, newest last."""
    from service import compose

    rows = compose.list_generations(store)
    if json:
        console.show_json([_document(row) for row in rows])
        return
    if not rows:
        console.out.print(f"{store} has no generations yet. `polyhash rebuild` builds one.", soft_wrap=True)
        return
    columns = {
        "generation": "right",
        "state": "left",
        "images": "right",
        "up to change": "right",
        "hasher": "left",
        "built": "left",
        "note": "left",
    }
    console.show_table(
        f"Generations of {store}",
        columns,
        [
            (
                row.number,
                row.state.value,
                f"{row.images:,}",
                f"{row.built_to:,}",
                row.hasher,
                row.created_at.isoformat(sep=" ", timespec="seconds"),
                "" if row.state.value == DAMAGED else row.note,
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.state.value == DAMAGED:
            console.out.print(Text(row.note), soft_wrap=True)


def activate(
    number: Annotated[int, typer.Argument(help="Which generation, as `polyhash generations` lists them.")],
    store: StoreOption,
    json: JsonOption = False,
) -> None:
    """Go on with an earlier generation, its hasher and its backbone, brought up to date with all changes since."""
    with open_session(store, purpose="polyhash activate") as session, console.stages("images") as report:
        row = session.application.rebuilder.activate(number, report=report)
    _tell("Activated", row, json=json)


def prune(
    store: StoreOption,
    keep: Annotated[int, typer.Option("--keep", min=0, help="How many of the newest to keep.")] = 1,
    json: JsonOption = False,
) -> None:
    """Delete old generations, and codes and embeddings of models that none uses; the active one always stays."""
    with open_session(store, purpose="polyhash prune") as session:
        gone = session.application.rebuilder.prune(keep)
    if json:
        console.show_json({"deleted": gone})
    else:
        one = "generation" if len(gone) == 1 else "generations"
        told = f"Deleted {one} {', '.join(map(str, gone))}." if gone else "Nothing to delete."
        console.out.print(told, soft_wrap=True)


def verify(store: StoreOption, json: JsonOption = False) -> None:
    """Check a whole store: checksums, counts, every code against the catalog, sampled searches, copies of originals."""
    with (
        open_session(store, purpose="polyhash verify", writable=False) as session,
        console.stages("checks") as report,
    ):
        found = session.application.verify(report)
    if json:
        findings = [
            {"subject": each.subject, "problem": each.problem, "damage": each.damage}
            for each in found.findings
        ]
        console.show_json({"sound": found.sound, "checked": found.checked, "findings": findings})
    else:
        for each in found.findings:
            kind = "damaged" if each.damage else "remark"
            console.out.print(Text(f"{kind}: {each.subject}: {each.problem}"), soft_wrap=True)
        looked = ", ".join(f"{kind} {count:,}" for kind, count in found.checked.items())
        console.out.print(f"{'Sound' if found.sound else 'Damaged'}. Looked at: {looked}.", soft_wrap=True)
    if not found.sound:
        raise typer.Exit(1)


def _tell(done: str, row: "GenerationRow", *, json: bool) -> None:
    if json:
        console.show_json(_document(row))
    else:
        console.out.print(
            f"{done} generation {row.number}: {row.images:,} images up to change {row.built_to:,}, {row.hasher}.",
            soft_wrap=True,
        )


def _document(row: "GenerationRow") -> dict[str, Any]:
    return {
        "generation": row.number,
        "state": row.state.value,
        "images": row.images,
        "built_to": row.built_to,
        "hasher": row.hasher,
        "created_at": row.created_at.isoformat(timespec="seconds"),
        "note": row.note,
    }
