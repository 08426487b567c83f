"""Building generations while serving: encode what lacks codes, write the files aside, check them, swap, keep a few.

In: a gallery that may be searched and written to all the while. Out: a new active generation. The heavy part is done by
`Workers`, in processes of their own; this process loads what they made. Interrupted anywhere, nothing is lost: codes written so far
stay, files without a row in the catalog are deleted by the next rebuild.
"""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from service.errors import DataLossError, NotFoundError, PreconditionError
from service.ports import Catalog, Generations, Hasher, Workers
from service.records import GenerationRow, GenerationState, RecordChunk
from service.usecases.gallery import Gallery
from service.usecases.loading import put_aside, replay
from service.usecases.snapshot import IndexFactory, Snapshot

T = TypeVar("T")

# Told (stage, done, total); may raise to cancel: what was done so far stays.
Report = Callable[[str, int, int], None]

KEPT = 3  # generations, the active one among them
POLL_S = 0.2


class Rebuilder:
    """Builds, activates and prunes the generations of one gallery; one at a time is the caller's business."""

    def __init__(
        self,
        gallery: Gallery,
        generations: Generations,
        workers: Workers,
        *,
        find_hasher: Callable[[str], Hasher],
        index_factory: IndexFactory,
        kept: int = KEPT,
    ) -> None:
        self._gallery = gallery
        self._catalog: Catalog = gallery.catalog
        self._generations = generations
        self._workers = workers
        self._find_hasher = find_hasher
        self._index_factory = index_factory
        self._kept = kept
        self._last_number = 0

    def rebuild(self, *, report: Report, hasher: str | None = None, note: str = "") -> GenerationRow:
        """Build a generation of all images and go on with it.

        Args:
            report: Is told how far it is, and may cancel by raising.
            hasher: Identity of a registered model to go over to; None keeps the one in use. Images that have no codes of it get
                them first.
            note: Why; kept with the generation.

        Raises:
            PreconditionError: There is no hasher yet, or it was fitted on another backbone's embeddings.
            NotFoundError: The hasher is not registered.
            DataLossError: What was written does not give the hits that the catalog gives; nothing was swapped.
        """
        model = self._model(hasher)
        self._generations.clean([row.number for row in self._catalog.generations()])
        self._encode(model, report)
        number = self._next_number()
        report("building", 0, 1)
        built = _wait(
            self._workers.build_generation(number, hasher=model.identity),
            lambda: report("building", 0, 1),
        )
        self._catalog.register_generation(
            number,
            hasher=model.identity,
            built_to=built.built_to,
            images=built.images,
            manifest_sha256=built.manifest_sha256,
            note=note,
        )
        self._go_on_with(built.number, built.manifest_sha256, model, report)
        self.prune(self._kept)
        return self._row(number)

    def activate(self, number: int, *, report: Report) -> GenerationRow:
        """Go on with an earlier generation, brought up to date, and with its model.

        Raises:
            NotFoundError: There is none of this number.
            PreconditionError: It was found damaged before.
            DataLossError: It is damaged; it is put aside and nothing was swapped.
        """
        row = self._row(number)
        if row.state is GenerationState.QUARANTINED:
            raise PreconditionError(
                f"Generation {number} was found damaged ({row.note}). Activate another, or rebuild.",
                reason="GENERATION_QUARANTINED",
                field="number",
            )
        model = self._model(row.hasher)
        self._encode(model, report)
        self._go_on_with(number, row.manifest_sha256, model, report)
        return self._row(number)

    def prune(self, kept: int) -> list[int]:
        """Delete old generations, and codes of models that none uses then; returns the numbers.

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
        for identity in {row.hasher for row in gone} - needed:
            self._catalog.delete_records(hasher=identity)
        return [row.number for row in gone]

    def _model(self, identity: str | None) -> Hasher:
        model = self._find_hasher(identity) if identity else self._gallery.snapshot.hasher
        if model.backbone_identity != self._gallery.backbone_identity:
            raise PreconditionError(
                f"Hasher {model.identity} was fitted on embeddings of {model.backbone_identity}, the gallery has those of "
                f"{self._gallery.backbone_identity}. Give a hasher of that backbone.",
                reason="MODEL_MISMATCH",
                field="hasher",
            )
        return model

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
            records = _wait(pending, lambda: report("encoding", done, total))  # noqa: B023 - called at once
            done += self._catalog.write_records(
                RecordChunk(image_ids=chunk.image_ids, records=records), hasher=model.identity
            )
        report("encoding", total, total)

    def _go_on_with(self, number: int, manifest_sha256: str, model: Hasher, report: Report) -> None:
        report("loading", 0, 1)
        try:
            files = self._generations.read(number, manifest_sha256=manifest_sha256)
        except (DataLossError, NotFoundError) as error:
            put_aside(self._catalog, self._generations, number, note=error.message)
            raise
        snapshot = Snapshot.from_files(files, model, index_factory=self._index_factory, generation=number)
        replay(self._catalog, snapshot, complete=True)
        report("loading", 1, 1)
        self._gallery.swap(snapshot, activate=lambda: self._catalog.activate_generation(number))

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


def _wait(future: Future[T], still_waiting: Callable[[], None]) -> T:
    """Return the result; meanwhile say that it is awaited, which may raise to cancel."""
    while True:
        try:
            return future.result(timeout=POLL_S)
        except FutureTimeoutError:
            if future.done():  # the work itself timed out, or ended just now
                return future.result()
            try:
                still_waiting()
            except BaseException:
                future.cancel()
                raise
