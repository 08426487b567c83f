"""`polyhash duplicates`: which images of a store nearly repeat each other, as a table, a page or JSON.

In: the longest codes of all images. Out: clusters, largest first. It leaves finding them to `usecases.duplicates` and the page to
`duplicates_sheet`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import console
from service.cli.options import BackboneOption, JsonOption, StoreOption, writable
from service.cli.sessions import open_session
from service.cli.thumbnails import sheet_picture

if TYPE_CHECKING:
    from service.application import Application
    from service.usecases.duplicates import DuplicateCluster
    from service.usecases.snapshot import Snapshot

SHOWN_CLUSTERS, SHOWN_NAMES = 50, 3


def duplicates(
    store: StoreOption,
    backbone: BackboneOption = None,
    max_distance: Annotated[
        int,
        typer.Option(
            "--max-distance",
            min=0,
            help="How many bits of the longest codes may differ between near duplicates.",
        ),
    ] = 4,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Also write a page of the clusters to this file.",
            show_default=False,
            callback=writable,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List clusters of images whose longest codes nearly agree, directly or through others.

    A hasher learned from labels brings images of one label together, so that a cluster may be a label; one that was learned without
    labels, or with a large --nu, tells repeated pictures.
    """
    with open_session(store, purpose="polyhash duplicates", writable=False, backbone=backbone) as session:
        application = session.application
        snapshot = application.gallery.snapshot
        clusters = _find(snapshot, max_distance)
        bits = snapshot.layout.lengths[-1]
        if json:
            console.show_json(
                {
                    "bits": bits,
                    "max_distance": max_distance,
                    "images": len(snapshot),
                    "sequence": snapshot.sequence,
                    "clusters": _documents(application, clusters),
                }
            )
        else:
            _show(
                application, clusters, f"within {max_distance} of {bits} bits, among {len(snapshot):,} images"
            )
        if html:
            html.write_text(
                _page(application, snapshot, clusters, store=store, radius=max_distance), encoding="utf-8"
            )
            console.say(f"Page of the clusters: {html}")
    repeated = sum(map(len, clusters))
    if 2 * repeated > len(snapshot):
        console.say(
            f"{repeated:,} of {len(snapshot):,} images are in clusters. If the hasher was learned from labels, these are rather "
            "labels than repeated pictures: give a smaller --max-distance, or learn it with a large --nu."
        )


def _find(snapshot: "Snapshot", radius: int) -> list["DuplicateCluster"]:
    import numpy as np

    from service.usecases.duplicates import find_duplicate_clusters

    bits = snapshot.layout.lengths[-1]
    live, _ = snapshot.index.scan(np.zeros(bits // 8, dtype=np.uint8), bits=bits)
    codes = snapshot.index.records(live)[:, snapshot.layout.record_slices[bits]]
    with console.progress("Comparing", total=None, unit="steps") as meter:
        return find_duplicate_clusters(snapshot.image_ids(live), codes, radius=radius, on_progress=meter)


def _show(application: "Application", clusters: Sequence["DuplicateCluster"], told: str) -> None:
    shown = clusters[:SHOWN_CLUSTERS]
    firsts = [cluster.image_ids[:SHOWN_NAMES].tolist() for cluster in shown]
    names = _names(application, [image_id for some in firsts for image_id in some])
    rows: list[tuple[object, ...]] = [
        (
            number,
            f"{len(cluster):,}",
            cluster.widest,
            ", ".join(names[image_id] for image_id in some) + (", ..." if len(cluster) > len(some) else ""),
        )
        for number, (cluster, some) in enumerate(zip(shown, firsts, strict=True), start=1)
    ]
    count = (
        f"{len(clusters):,} cluster{'' if len(clusters) == 1 else 's'}" if clusters else "No near duplicates"
    )
    console.show_table(
        f"{count} {told}",
        {"cluster": "right", "images": "right", "widest": "right", "first images": "left"},
        rows,
    )
    if len(clusters) > len(shown):
        console.out.print(f"... and {len(clusters) - len(shown):,} smaller ones; --json lists all.")


def _documents(application: "Application", clusters: Sequence["DuplicateCluster"]) -> list[dict[str, Any]]:
    names = _names(application, [image_id for cluster in clusters for image_id in cluster.image_ids.tolist()])
    return [
        {
            "widest": cluster.widest,
            "images": [
                {"image_id": image_id, "distance": distance, "name": names[image_id]}
                for image_id, distance in zip(
                    cluster.image_ids.tolist(), cluster.distances.tolist(), strict=True
                )
            ],
        }
        for cluster in clusters
    ]


def _names(application: "Application", image_ids: Sequence[int]) -> dict[int, str]:
    """Return names by id; an image that was deleted since has an empty one."""
    rows = application.catalog.get_images(image_ids)
    return {image_id: rows[image_id].name if image_id in rows else "" for image_id in image_ids}


def _page(
    application: "Application",
    snapshot: "Snapshot",
    clusters: Sequence["DuplicateCluster"],
    *,
    store: Path,
    radius: int,
) -> str:
    from service.contact_sheet import SheetPicture
    from service.duplicates_sheet import duplicates_sheet_html
    from service.errors import NotFoundError

    def picture_of(image_id: int) -> SheetPicture:
        try:
            return sheet_picture(application, application.pictures.row(image_id))
        except NotFoundError as error:  # deleted since the store was read
            return SheetPicture(name="", jpeg=None, missing=error.message, image_id=image_id)

    return duplicates_sheet_html(
        clusters,
        picture_of=picture_of,
        bits=snapshot.layout.lengths[-1],
        radius=radius,
        title=f"Near duplicates of {store.name}",
        facts={"images": f"{len(snapshot):,}", "hasher": snapshot.hasher.identity},
    )
