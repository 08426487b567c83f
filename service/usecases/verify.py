"""Whether a store is sound: generations against checksums and catalog, sampled hits against a plain scan, originals.

In: a store at rest or in use. Out: findings, none for a sound store, and how much was looked at. Nothing is changed or mended.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, UInt8

from hashing.codes import hamming_distances
from service.errors import PolyhashError
from service.ports import Catalog, Generations, Hasher, Originals
from service.records import ChangeKind, GenerationRow, GenerationState, ModelKind
from service.usecases.loading import read_snapshot
from service.usecases.snapshot import IndexFactory, Snapshot

Report = Callable[[str, int, int], None]

QUERIES, HITS = 64, 10
ROWS_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        subject: What it is about, such as `generation 3`.
        problem: What is wrong and what to do.
        damage: Whether something is lost or wrong; otherwise it is untidy only.
    """

    subject: str
    problem: str
    damage: bool = True


@dataclass(slots=True)
class Verification:
    """Findings, and how many things of each kind were looked at."""

    findings: list[Finding] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not any(finding.damage for finding in self.findings)

    def add(self, subject: str, problem: str, *, damage: bool = True) -> None:
        """Keep a finding."""
        self.findings.append(Finding(subject=subject, problem=problem, damage=damage))

    def count(self, kind: str, n: int = 1) -> None:
        """Keep that things were looked at."""
        self.checked[kind] = self.checked.get(kind, 0) + n


def verify_store(
    catalog: Catalog,
    generations: Generations,
    originals: Originals,
    *,
    hasher: Hasher | None,
    index_factory: IndexFactory,
    report: Report,
) -> Verification:
    """Look at everything.

    Args:
        catalog: The truth.
        generations: Index files.
        originals: Copies of originals.
        hasher: The model in use.
        index_factory: Makes an empty index of a layout.
        report: Told (stage, done, total); may raise to cancel.
    """
    found = Verification()
    report("catalog", 0, 1)
    for problem in catalog.check():
        found.add("catalog", problem)
    found.count("images", catalog.counts().images)
    _check_models(catalog, found)
    rows = catalog.generations()
    codes = read_snapshot(catalog, hasher, index_factory=index_factory) if hasher else None
    truth = _Truth(catalog, codes)
    for done, row in enumerate(rows):
        report("generations", done, len(rows))
        if row.state is GenerationState.QUARANTINED:
            found.add(f"generation {row.number}", f"was put aside: {row.note}", damage=False)
        else:
            _check_generation(generations, row, truth, index_factory, found)
    for number in set(generations.numbers()) - {row.number for row in rows}:
        problem = (
            "is on disk but not in the catalog, as an interruption leaves it; the next rebuild deletes it."
        )
        found.add(f"generation {number}", problem, damage=False)
    _check_originals(catalog, originals, found, report)
    return found


def compare_hits(
    snapshot: Snapshot,
    image_ids: Int64[np.ndarray, " n"],
    records: UInt8[np.ndarray, "n record_bytes"],
    *,
    n_queries: int = QUERIES,
    k: int = HITS,
) -> int:
    """Return for how many queries a snapshot gives other hits than a plain scan, at any length.

    Args:
        snapshot: What is searched; live images must be exactly those given.
        image_ids: Of all images, ascending.
        records: Their code records.
        n_queries: How many of them are searched for, evenly spread.
        k: Hits per search.
    """
    wrong: set[int] = set()
    if not len(image_ids):
        return 0
    chosen = np.unique(np.linspace(0, len(image_ids) - 1, n_queries).astype(int)).tolist()
    for bits, part in snapshot.layout.record_slices.items():
        codes = np.ascontiguousarray(records[:, part])
        for row in chosen:
            distances = hamming_distances(codes[[row]], codes)[0]
            order = np.argsort(distances, kind="stable")[:k]
            (hits,) = snapshot.index.search(codes[[row]], bits=bits, k=k)
            same = np.array_equal(snapshot.image_ids(hits.rows), image_ids[order]) and np.array_equal(
                hits.distances, distances[order]
            )
            if not same:
                wrong.add(row)
    return len(wrong)


def _check_models(catalog: Catalog, found: Verification) -> None:
    backbone, hasher = (catalog.active_model(kind) for kind in (ModelKind.BACKBONE, ModelKind.HASHER))
    if hasher and (lacking := catalog.count_lacking(hasher=hasher.identity)):
        found.add(
            "catalog",
            f"{lacking} images have no codes of the hasher in use, {hasher.identity}, so no search finds them. Run "
            "`polyhash rebuild --kind encode`.",
        )
    if hasher and backbone and hasher.metadata.get("backbone", backbone.identity) != backbone.identity:
        found.add(
            "catalog",
            f"the hasher in use was fitted on {hasher.metadata['backbone']}, the store uses {backbone.identity}.",
        )


@dataclass(frozen=True, slots=True)
class _Truth:
    """The catalog, and its codes as a snapshot of the model in use."""

    catalog: Catalog
    snapshot: Snapshot | None

    def ids(self) -> Int64[np.ndarray, " n"]:
        """Return the ids of all images that have codes, ascending."""
        return _all_ids(self.snapshot) if self.snapshot is not None else np.empty(0, dtype=np.int64)


def _check_generation(
    generations: Generations,
    row: GenerationRow,
    truth: _Truth,
    index_factory: IndexFactory,
    found: Verification,
) -> None:
    subject = f"generation {row.number}"
    found.count("generations")
    try:
        files = generations.read(row.number, manifest_sha256=row.manifest_sha256)
    except PolyhashError as error:
        if row.number in {known.number for known in truth.catalog.generations()}:  # not pruned meanwhile
            found.add(subject, error.message)
        return
    if (made_by := files.facts["hasher"]) != row.hasher:
        found.add(subject, f"holds codes of hasher {made_by}, the catalog says of {row.hasher}. Rebuild.")
        return
    if truth.snapshot is None or truth.snapshot.hasher.identity != row.hasher:
        return  # nothing to compare it with; its checksums are right
    snapshot = Snapshot.from_files(
        files, truth.snapshot.hasher, index_factory=index_factory, generation=row.number
    )
    if (len(snapshot), snapshot.sequence) != (row.images, row.built_to):
        found.add(
            subject,
            f"holds {len(snapshot)} images up to change {snapshot.sequence}, the catalog says {row.images} up to "
            f"{row.built_to}. Rebuild.",
        )
    _compare(snapshot, truth, subject, found)


def _compare(snapshot: Snapshot, truth: _Truth, subject: str, found: Verification) -> None:
    """Compare images, codes and hits of a generation with the catalog's."""
    ids, true_ids = _all_ids(snapshot), truth.ids()
    records = snapshot.index.records(np.arange(snapshot.n_rows))
    found.count("codes", len(ids))
    if truth.snapshot is not None and (wrong := _differing_codes(truth.snapshot, ids, records)):
        found.add(subject, f"{wrong} code records differ from the catalog's. Rebuild.")
    if ghosts := _ghosts(truth.catalog, np.setdiff1d(ids, true_ids), snapshot.sequence):
        found.add(subject, f"{len(ghosts)} images are not in the catalog, such as {min(ghosts)}. Rebuild.")
    if missing := int(np.count_nonzero(~np.isin(true_ids[true_ids <= snapshot.sequence], ids))):
        found.add(subject, f"{missing} images of the catalog are missing. Rebuild.")
    n_queries = min(QUERIES, len(ids))
    found.count("searches", n_queries)
    if differing := compare_hits(snapshot, ids, records):
        found.add(subject, f"{differing} of {n_queries} sampled searches miss hits. Rebuild.")


def _ghosts(catalog: Catalog, image_ids: Int64[np.ndarray, " n"], sequence: int) -> set[int]:
    """Return which of these images neither exist nor were deleted after a change."""
    ghosts = set(image_ids.tolist())
    ghosts -= set(catalog.get_images(sorted(ghosts)))
    while ghosts and (changes := catalog.changes(after=sequence)):
        ghosts -= {change.image_id for change in changes if change.kind is ChangeKind.DELETE}
        sequence = changes[-1].sequence
    return ghosts


def _all_ids(snapshot: Snapshot) -> Int64[np.ndarray, " n"]:
    return snapshot.image_ids(np.arange(snapshot.n_rows))


def _differing_codes(
    truth: Snapshot, ids: Int64[np.ndarray, " n"], records: UInt8[np.ndarray, "n record_bytes"]
) -> int:
    _, ours, theirs = np.intersect1d(ids, _all_ids(truth), assume_unique=True, return_indices=True)
    return int(np.count_nonzero((records[ours] != truth.index.records(theirs)).any(axis=1)))


def _check_originals(catalog: Catalog, originals: Originals, found: Verification, report: Report) -> None:
    total, done, after = catalog.counts().images, 0, 0
    while rows := catalog.list_images(after_id=after, limit=ROWS_AT_A_TIME):
        report("originals", done, total)
        for row in rows:
            if row.stored:
                found.count("originals")
                try:
                    originals.get(row.sha256)
                except PolyhashError as error:
                    if catalog.get_images([row.image_id]):  # not deleted meanwhile
                        found.add(f"image {row.image_id}", error.message)
        done, after = done + len(rows), rows[-1].image_id
