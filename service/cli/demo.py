"""`polyhash demo`: the whole service in one go, on rendered scenes or on your own pictures.

Renders (or takes) a gallery, learns the joint codes, serves gRPC on a free port, searches through the client, and leaves
one HTML page of the answers.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import console
from service.cli.gallery import learn_if_needed, take_in
from service.cli.options import BackboneOption, JsonOption

if TYPE_CHECKING:
    from service.client import Client, Hit, SearchResult
    from service.contact_sheet import ContactSheet, SheetPicture
from service.cli.sessions import open_session

SCENES_PER_CATEGORY = 10
SHOWN_QUERIES = 12
SHOWN_HITS = 10  # also the k of precision@10
THUMBNAIL_PX = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """A picture to search with: held out (`content`), or of the gallery itself (`image_id`)."""

    name: str
    labels: tuple[str, ...]
    content: bytes | None = None
    image_id: int | None = None

    def search(self, client: "Client", bits: int) -> "SearchResult":
        return client.search(image=self.content, image_id=self.image_id, bits=bits, k=SHOWN_HITS)


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(
            "--photos", help="Your own folder of pictures instead of rendered scenes.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for gallery, store and page.")] = Path(
        "demo-out"
    ),
    backbone: BackboneOption = None,
    json: JsonOption = False,
) -> None:
    """Index a gallery, learn codes of several lengths, serve them, search, and show the answers on one page."""
    from service import compose
    from service.client import Client
    from service.errors import PreconditionError
    from service.vision.datasets import open_image_set

    out.mkdir(parents=True, exist_ok=True)
    gallery = str(photos) if photos else _render_scenes(out / "scenes")
    store = out / (f"store-{_digest(photos)}" if photos else "store")
    with open_session(store, purpose="polyhash demo", create=True, backbone=backbone) as session:
        taken = take_in(session.application, open_image_set(gallery if photos else f"{gallery}:train"))
        learn_if_needed(session)
        application = session.application
        if not application.gallery.lengths:
            raise PreconditionError(f"The demo has nothing to search: {gallery} gave too few pictures.")
        with compose.serving(application, "127.0.0.1:0") as port, Client(f"127.0.0.1:{port}") as client:
            console.say(f"Serving {len(application.gallery):,} images on 127.0.0.1:{port}")
            queries = _from_gallery(client) if photos else _held_out(f"{gallery}:query")
            lengths = client.stats().lengths
            with console.progress("Searching", total=len(lengths) * len(queries), unit="searches") as meter:
                precision = _precisions(client, queries, lengths, meter)
            page = out / "index.html"
            page.write_text(_page(client, queries, lengths[-1]), encoding="utf-8")
    report = {
        "gallery": gallery,
        "images": len(application.gallery),
        "skipped": len(taken.skipped),
        "queries": len(queries),
        "precision_at_10": {str(bits): value for bits, value in precision.items()},
        "page": str(page),
    }
    if json:
        console.show_json(report)
    else:
        _show(precision, len(queries), page)


def _show(precision: Mapping[int, float | None], n_queries: int, page: Path) -> None:
    rows: list[tuple[object, ...]] = [
        (bits, "-" if share is None else f"{share:.3f}", bits // 8) for bits, share in precision.items()
    ]
    console.show_table(
        f"{n_queries} searches over gRPC at each length: share of the {SHOWN_HITS} nearest with the query's label",
        {"bits": "right", f"precision@{SHOWN_HITS}": "right", "bytes per image": "right"},
        rows,
    )
    console.out.print(f"Look at {page}", soft_wrap=True)


def _render_scenes(folder: Path) -> str:
    from service.scenes.gallery import write_gallery
    from service.scenes.scene import ALL_CONDITIONS

    if not (folder / "labels.csv").exists():  # written last, so a folder that has it is whole
        with console.progress("Rendering scenes", total=None, unit="images") as meter:
            write_gallery(folder, SCENES_PER_CATEGORY, conditions=ALL_CONDITIONS[::3], on_image=meter)
    return str(folder)


def _digest(folder: Path) -> str:
    """Return a short name for a folder, so that every folder of photos gets a store of its own."""
    return hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()[:8]


def _held_out(spec: str) -> list[_Query]:
    from service.vision.datasets import open_image_set

    images = list(open_image_set(spec))
    random.Random(0).shuffle(images)  # noqa: S311 - mixes the categories on the page
    return [_Query(name=image.name, labels=image.labels, content=image.read()) for image in images]


def _from_gallery(client: "Client") -> list[_Query]:
    images = list(client.list_images())
    chosen = random.Random(0).sample(images, k=min(SHOWN_QUERIES, len(images)))  # noqa: S311 - examples
    return [_Query(name=image.name, labels=image.labels, image_id=image.image_id) for image in chosen]


def _precisions(
    client: "Client", queries: Sequence[_Query], lengths: Sequence[int], meter: console.Meter
) -> dict[int, float | None]:
    """Return, per length, the mean share of hits with a label of their query; None without labelled queries."""
    precisions: dict[int, float | None] = {}
    for number, bits in enumerate(lengths):
        shares = []
        for done, query in enumerate(queries, start=number * len(queries) + 1):
            hits = query.search(client, bits).hits
            if query.labels and hits:
                shares.append(sum(_agrees(query, hit) for hit in hits) / len(hits))
            meter(done)
        precisions[bits] = sum(shares) / len(shares) if shares else None
    return precisions


def _agrees(query: _Query, hit: "Hit") -> bool:
    return hit.image is not None and not set(query.labels).isdisjoint(hit.image.labels)


def _page(client: "Client", queries: Sequence[_Query], bits: int) -> str:
    from service.contact_sheet import contact_sheets_html

    stats = client.stats()
    return contact_sheets_html(
        [_sheet(client, query, bits) for query in queries[:SHOWN_QUERIES]],
        title="polyhash demo",
        facts={
            "images": f"{stats.indexed_images:,}",
            "codes": f"{', '.join(map(str, stats.lengths))} bits; compared here: {bits}",
            "backbone": stats.backbone,
            "hasher": stats.hasher,
        },
    )


def _sheet(client: "Client", query: _Query, bits: int) -> "ContactSheet":
    from service.contact_sheet import ContactSheet, SheetHit

    answer = query.search(client, bits)
    hits = [
        SheetHit(picture=_picture(client, hit), rank=hit.rank, distance=hit.distance) for hit in answer.hits
    ]
    return ContactSheet(query=_query_picture(client, query), hits=hits, bits=answer.bits, facts={})


def _query_picture(client: "Client", query: _Query) -> "SheetPicture":
    from service import compose
    from service.contact_sheet import SheetPicture

    if query.content is None and query.image_id is not None:
        jpeg = client.thumbnail(query.image_id, side_px=THUMBNAIL_PX)
    else:
        jpeg = compose.thumbnail_jpeg(query.content or b"", THUMBNAIL_PX)
    return SheetPicture(name=query.name, jpeg=jpeg, labels=query.labels, image_id=query.image_id)


def _picture(client: "Client", hit: "Hit") -> "SheetPicture":
    from service.client import ApiError
    from service.contact_sheet import SheetPicture

    name, labels = (hit.image.name, hit.image.labels) if hit.image else ("", ())
    try:
        jpeg, missing = client.thumbnail(hit.image_id, side_px=THUMBNAIL_PX), ""
    except ApiError as error:  # the original may have gone since; the page shows the rest
        jpeg, missing = None, str(error)
    return SheetPicture(name=name, jpeg=jpeg, missing=missing, image_id=hit.image_id, labels=labels)
