"""`polyhash search`: the nearest images of a picture or of an image in the store."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import console
from service.cli.options import BackboneOption, JsonOption, StoreOption, writable
from service.cli.sessions import open_session
from service.cli.thumbnails import THUMBNAIL_PX, sheet_picture

MAX_ID = 2**63 - 1  # of a catalog
AUTO = "auto"

if TYPE_CHECKING:
    from service.application import Application
    from service.usecases.filters import ImageFilter
    from service.usecases.queries import Query, SearchAnswer, SearchRequest


def search(
    query: Annotated[str, typer.Argument(help="Image file, or the id of an image in the store.")],
    store: StoreOption,
    backbone: BackboneOption = None,
    k: Annotated[int, typer.Option("-k", help="How many hits at most.")] = 10,
    bits: Annotated[
        str | None,
        typer.Option(
            "--bits",
            metavar="N|auto",
            help="Code length to compare, default the longest; auto lets the shortest say which of the longest need a look: same hits, quicker in large galleries.",
            show_default=False,
        ),
    ] = None,
    max_distance: Annotated[
        int | None,
        typer.Option(
            "--max-distance", help="Leave out hits further than this many bits.", show_default=False
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="Only images with this label (or one of several).", show_default=False),
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="CONDITION",
            help='Only images that meet it: "label!=dog", "camera=x100", "valence>=4.5", "created>=2026-01-01". All must hold.',
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", help="Also write a contact sheet to this file.", show_default=False, callback=writable
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find the images most similar to a picture (or to an image of the store, by id)."""
    from service.usecases.queries import SearchRequest

    request = SearchRequest(
        query=_query(query),
        bits=_bits(bits),
        auto=bits == AUTO,
        k=k,
        max_distance=max_distance,
        image_filter=_filter(label or [], conditions or []),
    )
    with open_session(store, purpose="polyhash search", writable=False, backbone=backbone) as session:
        answer = session.application.searcher.search(request)
        if html:
            html.write_text(_sheet(session.application, query, request, answer), encoding="utf-8")
    if json:
        console.show_json(_document(answer))
        return
    _show(answer)
    if html:
        console.say(f"Contact sheet: {html}")


def _show(answer: "SearchAnswer") -> None:
    rows: list[tuple[object, ...]] = [
        (
            hit.rank,
            hit.distance,
            hit.image_id,
            ", ".join(hit.row.labels) if hit.row else "",
            hit.row.name if hit.row else "",
        )
        for hit in answer.hits
    ]
    title = f"{len(rows)} hit{'' if len(rows) == 1 else 's'} at {answer.bits} bits{_told(answer)}"
    console.show_table(
        title,
        {"rank": "right", "distance": "right", "id": "right", "labels": "left", "name": "left"},
        rows,
    )


def _bits(text: str | None) -> int | None:
    if text is None or text == AUTO:
        return None
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected a code length such as 64, or {AUTO}, got {text!r}", param_hint="--bits"
        ) from None


def _filter(labels: list[str], conditions: list[str]) -> "ImageFilter | None":
    from service.errors import InvalidArgumentError
    from service.usecases.filters import parse_filter

    wanted = tuple(dict.fromkeys(labels))
    try:
        parsed = parse_filter(conditions)
        if len(wanted) == 1:
            merged = replace(parsed, labels_all=tuple(dict.fromkeys([*parsed.labels_all, *wanted])))
        else:
            merged = replace(parsed, labels_any=wanted or parsed.labels_any)
    except InvalidArgumentError as error:
        raise typer.BadParameter(error.message, param_hint="--filter or --label") from error
    if len(wanted) > 1 and parsed.labels_any:
        raise typer.BadParameter(
            f"several of it cannot be had together with label={'|'.join(parsed.labels_any)}. Give one of both.",
            param_hint="--label",
        )
    return None if merged.is_empty else merged


def _query(text: str) -> "Query":
    from service.errors import NotFoundError
    from service.usecases.queries import IdQuery, ImageQuery

    path = Path(text)
    if path.is_file():
        return ImageQuery(content=path.read_bytes())
    if text.isdecimal() and int(text) <= MAX_ID:
        return IdQuery(image_id=int(text))
    raise NotFoundError(
        f"{text} is neither an image file nor the id of an image. Give a path, or a number that `polyhash search --json` "
        "or ListImages shows.",
        reason="QUERY_NOT_FOUND",
    )


def _told(answer: "SearchAnswer") -> str:
    """Return what the filter and the strategy did, where there is something to tell."""
    told = ""
    if answer.tally.hidden:
        told += f", {answer.tally.hidden:,} images hidden by the filter"
    if answer.tally.missing:
        told += f" ({answer.tally.missing:,} lack what it asks for)"
    if len(answer.lengths) > 1:
        told += f", {answer.candidates:,} candidates of {answer.lengths[0]} bits"
    return told


def _document(answer: "SearchAnswer") -> dict[str, object]:
    return {
        "bits": answer.bits,
        "code": answer.code.hex(),
        "hasher": answer.hasher_identity,
        "sequence": answer.sequence,
        "generation": answer.generation,
        "lengths": list(answer.lengths),
        "candidates": answer.candidates,
        "matched": answer.tally.matched,
        "hidden": answer.tally.hidden,
        "missing": answer.tally.missing,
        "timings_ms": {stage: round(value, 3) for stage, value in answer.timings_ms.items()},
        "hits": [
            {
                "rank": hit.rank,
                "distance": hit.distance,
                "image_id": hit.image_id,
                **(
                    {
                        "name": hit.row.name,
                        "labels": list(hit.row.labels),
                        "attributes": dict(hit.row.attributes),
                    }
                    if hit.row
                    else {}
                ),
            }
            for hit in answer.hits
        ],
    }


def _sheet(application: "Application", name: str, request: "SearchRequest", answer: "SearchAnswer") -> str:
    from service.compose import thumbnail_jpeg
    from service.contact_sheet import SheetHit, SheetPicture, contact_sheet_html
    from service.usecases.queries import IdQuery, ImageQuery

    query: SheetPicture | None = None
    if isinstance(request.query, IdQuery):
        query = sheet_picture(application, application.pictures.row(request.query.image_id))
    elif isinstance(request.query, ImageQuery):
        query = SheetPicture(name=name, jpeg=thumbnail_jpeg(request.query.content, THUMBNAIL_PX))
    return contact_sheet_html(
        query,
        [
            SheetHit(picture=sheet_picture(application, hit.row), rank=hit.rank, distance=hit.distance)
            for hit in answer.hits
            if hit.row
        ],
        bits=answer.bits,
        title=f"Nearest images of {Path(name).name}",
        facts={
            "images searched": f"{len(application.gallery):,}",
            "code": f"{answer.bits} bits",
            "hasher": answer.hasher_identity,
            "backbone": application.backbone.identity,
        },
    )
