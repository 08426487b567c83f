"""The models and generations of a catalog in memory, kept in dictionaries.

In and out: what the port `Catalog` says about them. Images are left to `memory_catalog`, which builds on this.
"""

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from service.errors import ConflictError, NotFoundError, PreconditionError
from service.records import GenerationRow, GenerationState, ModelKind, ModelRow


def noon() -> dt.datetime:
    """Return the one moment at which everything in a test happens."""
    return dt.datetime(2024, 5, 17, 12, tzinfo=dt.UTC)


class MemoryModels:
    """Keeps models by identity and generations by number."""

    def __init__(self, clock: Callable[[], dt.datetime]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._models: dict[str, ModelRow] = {}
        self._generations: dict[int, GenerationRow] = {}

    def register_model(
        self, identity: str, kind: ModelKind, *, path: str, metadata: Mapping[str, Any]
    ) -> None:
        with self._lock:
            if identity in self._models:
                self._models[identity] = replace(self._models[identity], path=path)
                return
            self._models[identity] = ModelRow(
                identity=identity,
                kind=kind,
                path=path,
                metadata=dict(metadata),
                created_at=self._clock(),
                active=kind is ModelKind.BACKBONE and self.active_model(kind) is None,
            )

    def activate_model(self, identity: str) -> None:
        with self._lock:
            kind = self._model(identity, None).kind
            for model in self.models():
                if model.kind is kind:
                    self._models[model.identity] = replace(model, active=model.identity == identity)

    def _model(self, identity: str, kind: ModelKind | None) -> ModelRow:
        model = self._models.get(identity)
        if model is None or kind not in (None, model.kind):
            name = kind.value.capitalize() if kind else "Model"
            raise NotFoundError(f"{name} {identity} is not registered.", reason="MODEL_NOT_FOUND")
        return model

    def active_model(self, kind: ModelKind) -> ModelRow | None:
        return next((model for model in self.models() if model.kind is kind and model.active), None)

    def models(self) -> list[ModelRow]:
        return list(self._models.values())

    def register_generation(
        self, number: int, *, hasher: str, built_to: int, images: int, manifest_sha256: str, note: str
    ) -> None:
        with self._lock:
            self._model(hasher, ModelKind.HASHER)
            if number in self._generations:
                raise ConflictError(f"There is a generation {number} already.", reason="GENERATION_EXISTS")
            self._generations[number] = GenerationRow(
                number=number,
                hasher=hasher,
                built_to=built_to,
                images=images,
                manifest_sha256=manifest_sha256,
                state=GenerationState.READY,
                note=note,
                created_at=self._clock(),
            )

    def activate_generation(self, number: int) -> None:
        with self._lock:
            found = self._generation(number)
            if found.state is GenerationState.QUARANTINED:
                raise PreconditionError(
                    f"Generation {number} is quarantined ({found.note}).", reason="GENERATION_QUARANTINED"
                )
            for row in self.generations():
                if row.state is GenerationState.ACTIVE:
                    self._generations[row.number] = replace(row, state=GenerationState.READY)
            self._generations[number] = replace(found, state=GenerationState.ACTIVE)
            self.activate_model(found.hasher)
            if backbone := self._models[found.hasher].metadata.get("backbone"):
                self.activate_model(backbone)

    def quarantine_generation(self, number: int, *, note: str) -> None:
        with self._lock:
            found = self._generation(number)
            self._generations[number] = replace(found, state=GenerationState.QUARANTINED, note=note)

    def forget_generation(self, number: int) -> None:
        with self._lock:
            if self._generation(number).state is GenerationState.ACTIVE:
                raise PreconditionError(f"Generation {number} is in use.", reason="GENERATION_ACTIVE")
            del self._generations[number]

    def _generation(self, number: int) -> GenerationRow:
        if number not in self._generations:
            raise NotFoundError(f"No generation {number} in the catalog.", reason="GENERATION_NOT_FOUND")
        return self._generations[number]

    def generations(self) -> list[GenerationRow]:
        return [self._generations[number] for number in sorted(self._generations)]
