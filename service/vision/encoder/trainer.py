"""Training a student on cached targets: steps, running averages, checkpoints, and going on after an interruption.

In: a target cache's arrays, a network and a plan. Out: the averaged network. What a step costs is in `distillation`, what a
view looks like that day in `augmentation`.

A step draws its rows and its randomness from the seed and its number alone, so a run that was interrupted ends with the
same bits as one that was not, provided that the steps are given and not the minutes.
"""

import copy
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float16, Int64, UInt8
from torch.nn.functional import normalize

from hashing.durable_file import write_durably
from service.errors import ConflictError, DataLossError
from service.vision.encoder.augmentation import augment
from service.vision.encoder.distillation import LossWeights, distillation_terms
from service.vision.encoder.network import EncoderNetwork
from service.vision.encoder.schedule import learning_rate, planned_steps, side_share

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_EVERY_S = 60.0
FIRST_PLAN_STEPS = 30  # until then nobody knows how long a step takes
GRADIENT_NORM = 1.0
AVERAGING = 0.998  # of the running average, less in the first steps
N_ANCHORS = 4096  # views that others are compared with


@runtime_checkable
class Rows(Protocol):
    """Cached views and their targets."""

    @property
    def squares(self) -> UInt8[np.ndarray, "n s s 3"]:
        """Views."""
        ...

    @property
    def embeddings(self) -> Float16[np.ndarray, "n d"]:
        """The teacher's embeddings, projected."""
        ...

    @property
    def maps(self) -> Float16[np.ndarray, "n d h w"]:
        """The teacher's feature maps, projected."""
        ...

    def ready(self) -> Int64[np.ndarray, " m"]:
        """Return the rows that can be trained on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How a run goes.

    Attributes:
        minutes: Budget, over all its parts if it is interrupted; the steps follow from the pace.
        steps: Exactly so many steps instead.
        batch: Views per step.
        parts: Parts of a batch that are computed beside each other, one thread each; batch norms see a part.
        peak: Highest learning rate.
        weight_decay: Of AdamW.
        mix_share: Share of batches that are mixed.
        weights: Of the loss terms.
        seed: Of everything random.
    """

    minutes: float = 120.0
    steps: int | None = None
    batch: int = 128
    parts: int = 2
    peak: float = 3e-3
    weight_decay: float = 0.05
    mix_share: float = 0.3
    weights: LossWeights = field(default_factory=LossWeights)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRecord:
    """Mean terms of the steps since the last record."""

    step: int
    direction: float
    maps: float
    relations: float


@final
class Trainer:
    """One run in one folder; made again after an interruption, it goes on from the last checkpoint."""

    def __init__(
        self,
        network: EncoderNetwork,
        rows: Rows,
        plan: TrainingPlan,
        folder: Path,
        *,
        device: torch.device | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a fresh network, or what a checkpoint in the folder says instead.

        Raises:
            ConflictError: The checkpoint is of another network or plan.
            DataLossError: The checkpoint is damaged.
        """
        self._device = device or torch.device("cpu")
        self._rows, self._plan, self._folder, self._clock = rows, plan, folder, clock
        self._ready = rows.ready()
        shown = np.linspace(0, len(self._ready) - 1, min(N_ANCHORS, len(self._ready))).astype(int)
        anchors = torch.from_numpy(rows.embeddings[self._ready[shown]]).to(self._device).float()
        self._anchors = normalize(anchors, dim=1)
        network = network.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # missing in stubs
        self.network: EncoderNetwork = network
        self.average = copy.deepcopy(network).eval()
        self._replicas = [network, *(copy.deepcopy(network) for _ in range(plan.parts - 1))]
        for replica in self._replicas[1:]:
            for own, shared in zip(replica.parameters(), network.parameters(), strict=True):
                own.data = shared.data
        decayed = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=plan.peak, weight_decay=plan.weight_decay)
        self.step, self.history = 0, list[LossRecord]()
        self._elapsed_s, self._total = 0.0, plan.steps or 0
        self._recent: list[tuple[float, float, float]] = []
        self._load()

    @property
    def total(self) -> int:
        """Steps of the whole run as planned now; 0 while nobody knows."""
        return self._total

    def run(self, on_step: Callable[[int, int | None], None]) -> EncoderNetwork:
        """Return the averaged network after the last step; `on_step` gets steps done and steps in all, if known."""
        started, spent_s = self._clock(), self._elapsed_s
        saved = started
        with ThreadPoolExecutor(self._plan.parts, thread_name_prefix="train") as pool:
            while not self._total or self.step < self._total:
                self._take_step(pool)
                now = self._clock()
                self._elapsed_s = spent_s + now - started
                if now - saved >= CHECKPOINT_EVERY_S or self.step == FIRST_PLAN_STEPS:
                    self._replan()
                    self.save()
                    saved = self._clock()
                on_step(self.step, self._total or None)
        self._record()
        self.save()
        return self.average

    def _replan(self) -> None:
        if self._plan.steps is None and self.step >= FIRST_PLAN_STEPS:
            self._total = planned_steps(self.step, self._elapsed_s, 60 * self._plan.minutes)

    def _take_step(self, pool: ThreadPoolExecutor) -> None:
        rate = learning_rate(self.step, self._total or 10**6, peak=self._plan.peak)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        parts = np.array_split(self._batch_rows(), self._plan.parts)
        numbers = range(self._plan.parts)
        terms = list(pool.map(self._backward, numbers, parts))
        for own, *others in zip(*(replica.parameters() for replica in self._replicas), strict=True):
            own.grad = sum((other.grad for other in others), own.grad)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self._optimizer.step()
        self.step += 1
        self._average_()
        self._recent.append(tuple(np.mean(terms, axis=0).tolist()))
        if self.step % 50 == 0:
            self._record()

    def _backward(self, number: int, rows: Int64[np.ndarray, " n"]) -> tuple[float, float, float]:
        """Leave the gradients of one part in its replica and return the terms."""
        replica, plan = self._replicas[number], self._plan
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([plan.seed, self.step, number]).generate_state(1, np.uint64)[0] >> 1)
        )
        views = torch.from_numpy(self._rows.squares[rows]).to(self._device)
        maps = torch.from_numpy(self._rows.maps[rows]).to(self._device).float()
        embeddings = torch.from_numpy(self._rows.embeddings[rows]).to(self._device).float()
        share, stride = side_share(self.step, self._total or 10**6), self.network.shape.stride
        cells = max(1, round(share * views.shape[1] / stride))
        batch = augment(
            *(views, maps, embeddings),
            side_px=cells * stride,
            cells=cells,
            mix_share=plan.mix_share,
            generator=generator,
        )
        terms = distillation_terms(
            *(replica(batch.pixels), batch.maps, batch.embeddings, self._anchors),
            temperature=plan.weights.temperature,
        )
        replica.zero_grad(set_to_none=True)
        (plan.weights.total(terms) / plan.parts).backward()  # type: ignore[no-untyped-call]  # torch's
        return terms.direction.item(), terms.maps.item(), terms.relations.item()

    def _batch_rows(self) -> Int64[np.ndarray, " n"]:
        """Return the rows of this step: an epoch is one random order of all."""
        batch = min(self._plan.batch, len(self._ready))
        epoch, position = divmod(self.step, len(self._ready) // batch)
        order = np.random.default_rng([self._plan.seed, epoch]).permutation(len(self._ready))
        rows: Int64[np.ndarray, " n"] = self._ready[order[position * batch : (position + 1) * batch]]
        return rows

    @torch.no_grad()
    def _average_(self) -> None:
        share = 1 - min(AVERAGING, (1 + self.step) / (10 + self.step))
        own = self.network.state_dict()
        for key, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                kept.lerp_(own[key], share)

    def _record(self) -> None:
        if self._recent:
            direction, maps, relations = np.mean(self._recent, axis=0).tolist()
            self.history.append(
                LossRecord(step=self.step, direction=direction, maps=maps, relations=relations)
            )
            self._recent.clear()

    def save(self) -> None:
        """Write the checkpoint; whole or not at all."""
        content = BytesIO()
        torch.save(
            {
                "made_from": self._made_from(),
                "step": self.step,
                "total": self._total,
                "elapsed_s": self._elapsed_s,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "history": [asdict(record) for record in self.history],
                "recent": self._recent,
            },
            content,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        write_durably(self._folder / CHECKPOINT, content.getvalue())

    def _load(self) -> None:
        path = self._folder / CHECKPOINT
        if not path.is_file():
            return
        try:
            stored = torch.load(path, map_location=self._device, weights_only=True)
            made_from = stored["made_from"]
        except (EOFError, KeyError, OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise DataLossError(
                f"The checkpoint {path} is damaged: {error}. Remove it to begin again; the teacher's targets stay.",
                reason="CHECKPOINT_DAMAGED",
            ) from error
        if made_from != self._made_from():
            raise ConflictError(
                f"{path} is of another run: it was made from {made_from}, this run is {self._made_from()}. Repeat the"
                " options it was begun with, or remove it to begin again; the teacher's targets stay.",
                reason="CHECKPOINT_OF_ANOTHER_RUN",
            )
        self.step, self._total, self._elapsed_s = stored["step"], stored["total"], stored["elapsed_s"]
        self.network.load_state_dict(stored["network"])
        self.average.load_state_dict(stored["average"])
        self._optimizer.load_state_dict(stored["optimizer"])
        self.history = [LossRecord(**record) for record in stored["history"]]
        self._recent = [tuple(terms) for terms in stored["recent"]]
        self._replan()

    def _made_from(self) -> str:
        """Return what a checkpoint must share with a run that goes on from it; the minutes may be others."""
        return f"{self.network.shape}, {replace(self._plan, minutes=0.0)}, {len(self._ready)} views"
