"""Embedding the images of a store again, from their originals, by another backbone: the work itself, and going through all images.

In: image ids and a backbone. Out: embeddings in the catalog, chunk by chunk, each durable, so that what was done before an
interruption is not done again. What becomes of them is `rebuild`'s.
"""

from collections.abc import Callable, Sequence

import numpy as np

from service.errors import PolyhashError, PreconditionError
from service.ports import Backbone, Catalog, Decode, Originals, Workers
from service.records import EmbeddingChunk, Extraction
from service.usecases.ingest import MAX_FLOAT16, unfit
from service.usecases.pictures import read_original
from service.usecases.reading import in_chunks
from service.usecases.waiting import Report, wait

CHUNK_IMAGES = 128  # that a worker gets at a time: what an interruption costs at most
NAMED = 3  # images that cannot be embedded, in the message


def extract_images(
    catalog: Catalog,
    originals: Originals,
    image_ids: Sequence[int],
    *,
    backbone: Backbone,
    read_source: Callable[[str], bytes],
    decode: Decode,
) -> Extraction:
    """Return the embeddings of images, ids ascending, and why others have none."""
    rows = catalog.get_images(image_ids)
    embedded: dict[int, np.ndarray] = {}
    failures: dict[int, str] = {}
    for some in in_chunks(sorted(rows)):
        squares = {}
        for image_id in some:
            try:
                content = read_original(rows[image_id], originals, read_source)
                decoded = decode(content, target_px=backbone.preprocessing.resize_px)
                squares[image_id] = backbone.prepare(decoded.pixels)
            except PolyhashError as error:
                failures[image_id] = error.message
        if squares:
            embedded |= zip(
                squares, backbone.extract(np.stack(list(squares.values()))).embeddings, strict=True
            )
    for image_id in [i for i, embedding in embedded.items() if not np.abs(embedding).max() <= MAX_FLOAT16]:
        del embedded[image_id]
        failures[image_id] = unfit(backbone.identity).message
    vectors = np.stack(list(embedded.values())) if embedded else np.empty((0, backbone.dim))
    chunk = EmbeddingChunk(
        image_ids=np.array(list(embedded), dtype=np.int64),
        embeddings=vectors.astype(np.float16),
        labels=[rows[image_id].labels for image_id in embedded],
    )
    return Extraction(chunk=chunk, failures=failures)


def extract_lacking(catalog: Catalog, workers: Workers, *, backbone: str, report: Report) -> None:
    """Give every image an embedding of a registered backbone, where it has none.

    Args:
        catalog: Where images and embeddings are.
        workers: What embeds them.
        backbone: Identity.
        report: Told how far it is, and may cancel by raising.

    Raises:
        PreconditionError: Some images cannot be embedded; all others have their embeddings now.
    """
    counts = catalog.counts()
    total, after = counts.images, 0
    done = total - catalog.count_lacking_embedding(backbone=backbone)
    failures: dict[int, str] = {}
    while lacking := catalog.images_lacking_embedding(backbone=backbone, after_id=after, limit=CHUNK_IMAGES):
        after = lacking[-1]
        known = [image_id for image_id in lacking if image_id <= counts.last_sequence]
        if not known:
            break  # else a busy writer would be run after for ever
        report("extracting", done, total)
        pending = workers.extract(known, backbone=backbone)
        found = wait(pending, lambda: report("extracting", done, total))  # noqa: B023 - called at once
        done += catalog.write_embeddings(found.chunk, backbone=backbone)
        failures |= found.failures
    there = catalog.get_images(list(failures))
    if there:
        some = " ".join(failures[image_id] for image_id in sorted(there)[:NAMED])
        raise PreconditionError(
            f"{len(there)} images cannot be embedded by {backbone}, so the gallery stays as it is. The first: {some} Bring "
            "their originals back or delete these images, then run it again; what was embedded is kept.",
            reason="ORIGINALS_MISSING",
            images=len(there),
        )
    report("extracting", done, total)
