"""`polyhash search`: the nearest images of a picture or of an image in the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import console
from service.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from service.usecases.search import Query, SearchAnswer


def search(
    query: Annotated[str, typer.Argument(help="Image file, or the id of an image in the store.")],
    store: StoreOption,
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
        typer.Option("--html", help="Also write a contact sheet to this file.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find the images most similar to a picture (or to an image of the store, by id)."""
    from service import compose
    from service.usecases.search import SearchRequest

    request = SearchRequest(query=_query(query), bits=bits, k=k, max_distance=max_distance)
    with compose.open_application(store, purpose="polyhash search", writable=False) as application:
        answer = application.searcher.search(request)
        if html:
            sheet = compose.search_sheet(application, request, answer, title=query)
            html.write_text(sheet, encoding="utf-8")
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
    if text.isdecimal():
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
