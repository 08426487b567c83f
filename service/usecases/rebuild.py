"""Building generations while serving: embed and encode what lacks it, write the files aside, check them, swap, keep a few.

In: a gallery that may be searched and written to all the while. Out: a new active generation. The heavy part is done by
`Workers`, in processes of their own; this process loads what they made. Interrupted anywhere, nothing is lost: codes written so far
stay, files without a row in the catalog are deleted by the next rebuild.
"""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_all

from service.errors import DataLossError, NotFoundError, PreconditionError
from service.ports import Backbone, Catalog, Generations, Hasher, Workers
from service.records import BuiltGeneration, GenerationRow, GenerationState, ModelKind, RecordChunk
from service.usecases.extraction import extract_lacking
from service.usecases.gallery import Gallery
from service.usecases.loading import put_aside, replay
from service.usecases.snapshot import IndexFactory, Snapshot
from service.usecases.waiting import POLL_S, Report, wait

KEPT = 3  # generations, the active one among them
FIT_SEED = 0
FEW = 32  # images that may be embedded while writers wait
CATCH_UPS = 3  # rounds at most until so few are left


class Rebuilder:
    """Builds, activates and prunes the generations of one gallery; one at a time is the caller's business."""

    def __init__(
        self,
        gallery: Gallery,
        generations: Generations,
        workers: Workers,
        *,
        find_hasher: Callable[[str], Hasher],
        find_backbone: Callable[[str], Backbone],
        index_factory: IndexFactory,
        kept: int = KEPT,
    ) -> None:
        """Join what it works with.

        Args:
            gallery: What is rebuilt.
            generations: Where index files are.
            workers: What does the heavy part.
            find_hasher: Returns a registered hasher by its identity.
            find_backbone: Returns a backbone by the identity of a registered one, or by a spec, and registers it.
            index_factory: Makes an empty index of a layout.
            kept: How many generations stay.
        """
        self._gallery = gallery
        self._catalog: Catalog = gallery.catalog
        self._generations = generations
        self._workers = workers
        self._find_hasher = find_hasher
        self._find_backbone = find_backbone
        self._index_factory = index_factory
        self._kept = kept
        self._last_number = 0
        self._building: Future[BuiltGeneration] | None = None

    def rebuild(
        self, *, report: Report, hasher: str | None = None, backbone: str | None = None, note: str = ""
    ) -> GenerationRow:
        """Build a generation of all images and go on with it.

        Args:
            report: Is told how far it is, and may cancel by raising.
            hasher: Identity of a registered model to go over to; None keeps the one in use. Images that have no codes of it get
                them first.
            backbone: Spec of a backbone to go over to, or the identity of a registered one; None keeps the one in use. Images that
                have no embedding of it get one first, from their originals; without `hasher`, one is fitted on these, of the
                lengths of the one in use.
            note: Why; kept with the generation.

        Raises:
            PreconditionError: There is no hasher yet, or it was fitted on another backbone's embeddings, or there are images that
                cannot be embedded again. Nothing was swapped.
            NotFoundError: The hasher is not registered, or there is no such backbone.
            DataLossError: What was written does not give the hits that the catalog gives; nothing was swapped.
        """
        embedder = self._find_backbone(backbone) if backbone else self._gallery.state.backbone
        chosen = self._given(hasher, embedder) if hasher else self._gallery.snapshot.hasher
        self._let_cancelled_end(report)
        self._generations.clean([row.number for row in self._catalog.generations()])
        if backbone:
            self._extract(embedder, report)
        model = chosen if _fit_together(chosen, embedder) else self._fit(chosen, embedder, report)
        self._encode(model, report)
        number = self._next_number()
        report("building", 0, 1)
        self._building = self._workers.build_generation(number, hasher=model.identity)
        built = wait(self._building, lambda: report("building", 0, 1))
        self._catalog.register_generation(
            number,
            hasher=model.identity,
            built_to=built.built_to,
            images=built.images,
            manifest_sha256=built.manifest_sha256,
            note=note,
        )
        self._go_on_with(built.number, built.manifest_sha256, model, embedder, report)
        self.prune(self._kept)
        return self._row(number)

    def activate(self, number: int, *, report: Report) -> GenerationRow:
        """Go on with an earlier generation, brought up to date, and with its hasher and backbone.

        Raises:
            NotFoundError: There is none of this number.
            PreconditionError: It was found damaged before, or images since cannot be embedded by its backbone.
            DataLossError: It is damaged; it is put aside and nothing was swapped.
        """
        row = self._row(number)
        if row.state is GenerationState.QUARANTINED:
            raise PreconditionError(
                f"Generation {number} was found damaged ({row.note}). Activate another, or rebuild.",
                reason="GENERATION_QUARANTINED",
                field="number",
            )
        model, embedder = self._find_hasher(row.hasher), self._gallery.state.backbone
        if not _fit_together(model, embedder):
            embedder = self._find_backbone(model.backbone_identity)
            self._extract(embedder, report)
        self._encode(model, report)
        self._go_on_with(number, row.manifest_sha256, model, embedder, report)
        return self._row(number)

    def prune(self, kept: int) -> list[int]:
        """Delete old generations, and codes and embeddings of models that none uses then; returns the numbers.

        The newest `kept` stay, the active one, and the one with the highest number.
        """
        rows = self._catalog.generations()
        usable = [row for row in rows if row.state is not GenerationState.QUARANTINED]
        keep = {row.number for row in usable[-kept:] if kept}
        keep |= {row.number for row in rows if row.state is GenerationState.ACTIVE}
        keep |= {row.number for row in rows[-1:]}  # so that its number is never given again
        gone = [row for row in rows if row.number not in keep]
        for row in gone:
            self._catalog.forget_generation(row.number)
            self._generations.delete(row.number)
        needed = {row.hasher for row in rows if row.number in keep} | {self._gallery.hasher_identity}
        dropped = {row.hasher for row in gone} - needed
        for identity in dropped:
            self._catalog.delete_records(hasher=identity)
        for identity in (
            self._backbones(dropped) - self._backbones(needed) - {self._gallery.backbone_identity}
        ):
            self._catalog.delete_embeddings(backbone=identity)
        return [row.number for row in gone]

    def _backbones(self, hashers: set[str]) -> set[str]:
        """Return whose embeddings these hashers were fitted on, as far as the catalog knows."""
        models = [model for model in self._catalog.models() if model.identity in hashers]
        return {str(model.metadata["backbone"]) for model in models if "backbone" in model.metadata}

    def _given(self, identity: str, embedder: Backbone) -> Hasher:
        model = self._find_hasher(identity)
        if not _fit_together(model, embedder):
            raise PreconditionError(
                f"Hasher {model.identity} was fitted on embeddings of {model.backbone_identity}, the gallery has those of "
                f"{embedder.identity}. Give a hasher of that backbone.",
                reason="MODEL_MISMATCH",
                field="hasher",
            )
        return model

    def _fit(self, like: Hasher, embedder: Backbone, report: Report) -> Hasher:
        """Return a new registered hasher on the embeddings of a backbone, of the lengths of another hasher."""
        report("fitting", 0, 1)
        pending = self._workers.fit(
            backbone=embedder.identity, lengths=like.lengths, nested=like.layout.nested, seed=FIT_SEED
        )
        fitted = wait(pending, lambda: report("fitting", 0, 1))
        self._catalog.register_model(
            fitted.identity, ModelKind.HASHER, path=fitted.path, metadata=fitted.metadata
        )
        report("fitting", 1, 1)
        return self._find_hasher(fitted.identity)

    def _extract(self, embedder: Backbone, report: Report) -> None:
        extract_lacking(self._catalog, self._workers, backbone=embedder.identity, report=report)

    def _encode(self, model: Hasher, report: Report) -> None:
        """Give images their codes of a model, where they have none, chunk by chunk in another process."""
        counts = self._catalog.counts()
        total = counts.images
        done = total - self._catalog.count_lacking(hasher=model.identity)
        for chunk in self._catalog.embeddings(backbone=model.backbone_identity, lacking=model.identity):
            if chunk.image_ids[0] > counts.last_sequence:
                break  # else a busy writer would be run after for ever; the swap encodes what came meanwhile
            report("encoding", done, total)
            pending = self._workers.encode(chunk.embeddings, hasher=model.identity)
            records = wait(pending, lambda: report("encoding", done, total))  # noqa: B023 - called at once
            done += self._catalog.write_records(
                RecordChunk(image_ids=chunk.image_ids, records=records), hasher=model.identity
            )
        report("encoding", total, total)

    def _go_on_with(
        self, number: int, manifest_sha256: str, model: Hasher, embedder: Backbone, report: Report
    ) -> None:
        report("loading", 0, 1)
        try:
            files = self._generations.read(number, manifest_sha256=manifest_sha256)
        except (DataLossError, NotFoundError) as error:
            put_aside(self._catalog, self._generations, number, note=error.message)
            raise
        snapshot = Snapshot.from_files(files, model, index_factory=self._index_factory, generation=number)
        other = embedder.identity != self._gallery.backbone_identity
        if other:
            self._catch_up(model, embedder, report)
        replay(self._catalog, snapshot, complete=True)
        report("loading", 1, 1)
        self._gallery.swap(
            snapshot,
            activate=lambda: self._catalog.activate_generation(number),
            backbone=embedder,
            extract=(lambda: self._extract(embedder, _tell_nobody)) if other else None,
        )

    def _catch_up(self, model: Hasher, embedder: Backbone, report: Report) -> None:
        """Embed and encode what came meanwhile, so that writers need not wait for it during the swap."""
        for _ in range(CATCH_UPS):
            if self._catalog.count_lacking_embedding(backbone=embedder.identity) <= FEW:
                return
            self._extract(embedder, report)
            self._encode(model, report)

    def _let_cancelled_end(self, report: Report) -> None:
        """Wait for a build that was cancelled while it ran: it is still writing what `clean` would delete."""
        while self._building is not None and not self._building.done():
            report("waiting for a cancelled build", 0, 1)
            wait_for_all([self._building], timeout=POLL_S)

    def _next_number(self) -> int:
        """Return a number above all others, also above that of work which was cancelled and may still be writing its files."""
        known = [row.number for row in self._catalog.generations()]
        self._last_number = max([self._last_number, *known, *self._generations.numbers()]) + 1
        return self._last_number

    def _row(self, number: int) -> GenerationRow:
        for row in self._catalog.generations():
            if row.number == number:
                return row
        raise NotFoundError(
            f"There is no generation {number}. List the generations to see which there are.",
            reason="GENERATION_NOT_FOUND",
            field="number",
        )


def _fit_together(hasher: Hasher, backbone: Backbone) -> bool:
    return hasher.backbone_identity == backbone.identity


def _tell_nobody(stage: str, done: int, total: int) -> None:
    del stage, done, total
