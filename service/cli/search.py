"""`polyhash search`: the nearest images of a picture or of an image in the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import console
from service.cli.options import BackboneOption, JsonOption, StoreOption, writable
from service.cli.sessions import open_session

THUMBNAIL_PX = 240
MAX_ID = 2**63 - 1  # of a catalog

if TYPE_CHECKING:
    from service.application import Application
    from service.contact_sheet import SheetPicture
    from service.records import ImageRow
    from service.usecases.search import Query, SearchAnswer, SearchRequest


def search(
    query: Annotated[str, typer.Argument(help="Image file, or the id of an image in the store.")],
    store: StoreOption,
    backbone: BackboneOption = None,
    k: Annotated[int, typer.Option("-k", help="How many hits at most.")] = 10,
    bits: Annotated[
        int | None,
        typer.Option("--bits", help="Code length to compare. Default: the longest.", show_default=False),
    ] = None,
    max_distance: Annotated[
        int | None,
        typer.Option(
            "--max-distance", help="Leave out hits further than this many bits.", show_default=False
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
    from service.usecases.search import SearchRequest

    request = SearchRequest(query=_query(query), bits=bits, k=k, max_distance=max_distance)
    with open_session(store, purpose="polyhash search", writable=False, backbone=backbone) as session:
        answer = session.application.searcher.search(request)
        if html:
            html.write_text(_sheet(session.application, query, request, answer), encoding="utf-8")
    if json:
        console.show_json(_document(answer))
        return
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
    console.show_table(
        f"{len(rows)} hits at {answer.bits} bits",
        {"rank": "right", "distance": "right", "id": "right", "labels": "left", "name": "left"},
        rows,
    )
    if html:
        console.say(f"Contact sheet: {html}")


def _query(text: str) -> "Query":
    from service.errors import NotFoundError
    from service.usecases.search import IdQuery, ImageQuery

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


def _document(answer: "SearchAnswer") -> dict[str, object]:
    return {
        "bits": answer.bits,
        "code": answer.code.hex(),
        "hasher": answer.hasher_identity,
        "sequence": answer.sequence,
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
    from service.usecases.search import IdQuery, ImageQuery

    query: SheetPicture | None = None
    if isinstance(request.query, IdQuery):
        query = _picture(application, application.pictures.row(request.query.image_id))
    elif isinstance(request.query, ImageQuery):
        query = SheetPicture(name=name, jpeg=thumbnail_jpeg(request.query.content, THUMBNAIL_PX))
    return contact_sheet_html(
        query,
        [
            SheetHit(picture=_picture(application, hit.row), rank=hit.rank, distance=hit.distance)
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


def _picture(application: "Application", row: "ImageRow") -> "SheetPicture":
    from service.contact_sheet import SheetPicture
    from service.errors import PolyhashError

    try:
        jpeg, missing = application.pictures.thumbnail(row, side_px=THUMBNAIL_PX), ""
    except (PolyhashError, OSError) as error:  # the original may have gone since; the sheet shows the rest
        jpeg, missing = None, str(error)
    return SheetPicture(name=row.name, jpeg=jpeg, missing=missing, image_id=row.image_id, labels=row.labels)
