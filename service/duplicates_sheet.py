"""The sheet of near duplicates: one self-contained HTML page, a section per cluster, in the look of a contact sheet.

In: clusters, largest first, and a way to get the picture of an image id. Out: HTML text that says what it leaves out.
It leaves finding the clusters, thumbnails and writing the file to others.
"""

from collections.abc import Callable, Mapping, Sequence

from service.contact_sheet import ContactSheet, SheetHit, SheetPicture, contact_sheets_html
from service.usecases.duplicates import DuplicateCluster

MAX_CLUSTERS = 50
MAX_PICTURES = 24


def duplicates_sheet_html(
    clusters: Sequence[DuplicateCluster],
    *,
    picture_of: Callable[[int], SheetPicture],
    bits: int,
    radius: int,
    title: str,
    facts: Mapping[str, str],
    max_clusters: int = MAX_CLUSTERS,
    max_pictures: int = MAX_PICTURES,
) -> str:
    """Return the page of the first `max_clusters` clusters.

    A section shows the first image of its cluster large, then the others by ascending id with their distance to it.

    Args:
        clusters: In the order to be shown.
        picture_of: Returns the picture of an image id; asked only for those that are shown.
        bits: Length of the compared codes.
        radius: Largest distance in bits that made two images near duplicates.
        title: Headline of the page.
        facts: What holds for the whole page, shown under the headline before the counts.
        max_clusters: How many sections at most, >= 0.
        max_pictures: How many pictures of a cluster at most, the first one included, >= 1.
    """
    shown, rest = clusters[:max_clusters], clusters[max_clusters:]
    counts = {
        "near duplicates": f"within {radius} of {bits} bits, directly or through others",
        "clusters": f"{len(clusters):,}" if clusters else "none",
        "images in clusters": f"{sum(map(len, clusters)):,}",
    }
    if rest:
        counts["not shown"] = f"{_count(len(rest), 'cluster')} with {sum(map(len, rest)):,} images"
    sheets = [
        _section(
            cluster,
            heading=f"Cluster {number:,} of {len(clusters):,}",
            picture_of=picture_of,
            bits=bits,
            max_pictures=max_pictures,
        )
        for number, cluster in enumerate(shown, start=1)
    ]
    return contact_sheets_html(sheets, title=title, facts={**facts, **counts})


def _section(
    cluster: DuplicateCluster,
    *,
    heading: str,
    picture_of: Callable[[int], SheetPicture],
    bits: int,
    max_pictures: int,
) -> ContactSheet:
    first, *others = cluster.image_ids[:max_pictures].tolist()
    distances = cluster.distances[1:max_pictures].tolist()
    facts = {"images": f"{len(cluster):,}", "farthest from this one": f"{cluster.widest} bits"}
    if len(cluster) > max_pictures:
        facts["not shown"] = _count(len(cluster) - max_pictures, "image")
    return ContactSheet(
        query=picture_of(first),
        hits=[
            SheetHit(picture=picture_of(image_id), rank=rank, distance=distance)
            for rank, (image_id, distance) in enumerate(zip(others, distances, strict=True), start=2)
        ],
        bits=bits,
        facts=facts,
        heading=heading,
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
