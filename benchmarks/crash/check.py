"""Whether a store holds what was acknowledged, and answers searches from one consistent state.

In: an open store and what is expected of it. Out: findings by kind: lost, resurrected, mixed, and what `verify` finds. An operation that
was under way when the process ended may have happened as a whole or not at all; which of the two is found out here and expected from then on.
"""

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from benchmarks.crash.journal import Expected, Line
from benchmarks.crash.stack import COLOURS, Stack, facts_of, new_image
from hashing.codes import hamming_distances
from service.errors import PolyhashError
from service.records import GenerationState, ImageRow, ModelKind
from service.usecases.filters import ImageFilter
from service.usecases.queries import CodeQuery, SearchRequest


@dataclass(slots=True)
class Findings:
    """What is wrong, as sentences."""

    lost: list[str] = field(default_factory=list)
    resurrected: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    verify: list[str] = field(default_factory=list)

    def all(self) -> dict[str, list[str]]:
        """Return them by kind."""
        return asdict(self)


def check_store(stack: Stack, expected: Expected, *, rng: np.random.Generator) -> Findings:
    """Compare a store that was just opened with what is expected, and settle what was under way."""
    found = Findings()
    rows = {row.image_id: row for row in stack.store.catalog.list_images(after_id=0, limit=100_000)}
    for begun in expected.pending.values():
        _settle(begun, rows, expected, found)
    expected.pending.clear()
    for image_id, kept in expected.images.items():
        image = new_image(kept.number, stored=kept.stored)
        row = rows.get(image_id)
        if row is None:
            found.lost.append(f"image {image_id} is not in the catalog")
        elif (row.sha256, row.stored) != (image.sha256, kept.stored):
            found.lost.append(f"image {image_id} is another one")
        elif not _has_facts(row, kept.facts):
            found.lost.append(f"an update of image {image_id}")
        if kept.stored:
            _check_original(stack, image_id, image.sha256, found)
    for image_id in rows.keys() - expected.images.keys():
        was = "was deleted" if image_id in expected.deleted else "was never added"
        found.resurrected.append(f"image {image_id} is in the catalog and {was}")
    _check_serving(stack, set(rows), found)
    found.mixed += wrong_hits(stack, n_queries=6, rng=rng)
    found.verify += [f"{each.subject}: {each.problem}" for each in stack.verify().findings if each.damage]
    return found


def wrong_hits(stack: Stack, *, n_queries: int, rng: np.random.Generator) -> list[str]:
    """Return which searches differ from a plain scan of the catalog's codes of the model in use, at every length.

    Every image is searched by its own code at distance 0; some also without a limit, and with a filter.
    """
    catalog, snapshot = stack.store.catalog, stack.gallery.snapshot
    chunks = list(catalog.records(hasher=snapshot.hasher.identity))
    if not chunks:
        return []
    ids = np.concatenate([chunk.image_ids for chunk in chunks])
    records = np.concatenate([chunk.records for chunk in chunks])
    labels = {row.image_id: row.labels for row in catalog.list_images(after_id=0, limit=100_000)}
    colour = str(rng.choice(COLOURS))
    only = ImageFilter(labels_any=(colour,))
    chosen = rng.choice(len(ids), size=min(n_queries, len(ids)), replace=False).tolist()
    everything = np.ones(len(ids), dtype=bool)
    coloured = np.array([colour in labels.get(image_id, ()) for image_id in ids.tolist()])
    wrong = []
    for bits, part in snapshot.layout.record_slices.items():
        codes = np.ascontiguousarray(records[:, part])
        distances = hamming_distances(codes, codes)

        requests = [
            SearchRequest(query=CodeQuery(code=code.tobytes()), bits=bits, k=len(ids), full=False)
            for code in codes
        ]
        cases = [
            *((row, everything, replace(asked, max_distance=0)) for row, asked in enumerate(requests)),
            *((row, everything, requests[row]) for row in chosen),
            *((row, coloured, replace(requests[row], image_filter=only)) for row in chosen),
        ]
        answers = stack.searcher.search_batch([asked for _, _, asked in cases])
        for (row, among, asked), answer in zip(cases, answers, strict=True):
            if isinstance(answer, PolyhashError):
                wrong.append(f"the search for image {ids[row]} at {bits} bits failed: {answer.message}")
                continue
            near = among & (distances[row] <= (bits if asked.max_distance is None else asked.max_distance))
            order = np.lexsort((ids[near], distances[row][near]))
            right = list(zip(ids[near][order].tolist(), distances[row][near][order].tolist(), strict=True))
            if [(hit.image_id, hit.distance) for hit in answer.hits] != right:
                wrong.append(
                    f"the search for image {ids[row]} at {bits} bits gave other hits than the catalog"
                )
            if (answer.generation, answer.hasher_identity) != (snapshot.generation, snapshot.hasher.identity):
                wrong.append(f"generation {snapshot.generation} answered as {answer.generation}")
    return wrong


def _settle(begun: Line, rows: dict[int, ImageRow], expected: Expected, found: Findings) -> None:
    """Find out whether an operation happened that nobody acknowledged."""
    match begun["op"]:
        case "add":
            by_digest = {row.sha256: i for i, row in rows.items() if i not in expected.images}
            digests = [new_image(number, stored=False).sha256 for number in begun["numbers"]]
            ids = [by_digest[digest] for digest in digests if digest in by_digest]
            if len(ids) == len(digests):
                expected.settle(begun, ids=ids)
            elif ids:
                found.lost.append(f"{len(digests) - len(ids)} images of a batch whose others are there")
        case "update" if begun["id"] in rows and _has_facts(rows[begun["id"]], begun["facts"]):
            expected.settle(begun, ids=[])
        case "delete" if begun["id"] not in rows:
            expected.settle(begun, ids=[])


def _has_facts(row: ImageRow, number: int) -> bool:
    facts = facts_of(number)
    return (row.labels, dict(row.attributes), dict(row.scores)) == tuple(facts)


def _check_original(stack: Stack, image_id: int, digest: bytes, found: Findings) -> None:
    try:
        stack.store.originals.get(digest)
    except PolyhashError as error:
        found.lost.append(f"the original of image {image_id}: {error.message}")


def _check_serving(stack: Stack, ids: set[int], found: Findings) -> None:
    """Check that what is searched is what the catalog says: the images, the model, the generation."""
    catalog, snapshot = stack.store.catalog, stack.gallery.snapshot
    known = snapshot.image_ids(np.arange(snapshot.n_rows)).tolist()
    searched = {image_id for image_id in known if snapshot.record_of(image_id) is not None}
    found.lost += [f"image {image_id} is not searched" for image_id in ids - searched]
    found.resurrected += [
        f"image {image_id} is searched and not in the catalog" for image_id in searched - ids
    ]
    active = catalog.active_model(ModelKind.HASHER)
    if active is None or active.identity != snapshot.hasher.identity:
        found.mixed.append(f"{snapshot.hasher.identity} serves, the catalog says {active}")
    generations = catalog.generations()
    in_use = [row for row in generations if row.state is GenerationState.ACTIVE]
    if len(in_use) > 1 or any(row.hasher != snapshot.hasher.identity for row in in_use):
        found.mixed.append(f"{in_use} are active with {snapshot.hasher.identity}")
    if in_use and in_use[0].number != snapshot.generation:
        found.mixed.append(f"generation {snapshot.generation} serves, {in_use[0].number} is active")
    found.verify += [
        f"generation {row.number} was put aside: {row.note}"
        for row in generations
        if row.state is GenerationState.QUARANTINED
    ]
