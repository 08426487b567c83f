"""The one training loop of all deep heads: the same optimiser, schedule and number of steps whatever the loss.

In: a network, its inputs, an objective, a budget, a generator. Out: the network, trained in place. Leaves losses to the
objectives and encoding to `trunk.convert`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from hashing.deep.trunk import HashNetwork, Scores
from hashing.errors import HashingError

MAX_GRADIENT_NORM = 1.0
BLOCK_SLOWDOWN = 0.1  # a pretrained block learns at a tenth of the heads' rate

Views = Callable[[int, Int[Tensor, " batch"]], Float[Tensor, "batch ..."]]


@runtime_checkable
class Objective(Protocol):
    """What a head is trained for."""

    def start_epoch(self, network: HashNetwork, x: Float[Tensor, "n ..."]) -> None:
        """Bring up to date what is kept fixed during an epoch."""

    def loss(
        self, network: HashNetwork, scores: Scores, rows: Int[Tensor, " batch"], progress: float
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch; progress runs from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a training may spend; equal budgets give equal numbers of steps.

    Attributes:
        epochs: How often every sample is seen.
        batch_size: Samples per step, at least 2; a step may hold up to twice as many rather than leave a rest.
        learning_rate: Of AdamW at the start; it falls to 0 along a half cosine.
        weight_decay: Of AdamW.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float

    def __post_init__(self) -> None:
        """Refuse what would train nothing."""
        if self.epochs < 1 or self.batch_size < 2 or not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise ValueError(
                "Training needs epochs of 1 or more, batch_size of 2 or more, learning_rate above 0 and weight_decay "
                f"of 0 or more. Got {self.epochs}, {self.batch_size}, {self.learning_rate}, {self.weight_decay}."
            )

    def batches(self, n: int) -> int:
        """Return the number of steps per epoch."""
        return max(1, n // self.batch_size)


def train(
    network: HashNetwork,
    x: Float[Tensor, "n ..."],
    objective: Objective,
    budget: Budget,
    *,
    generator: torch.Generator,
    on_step: Callable[[int, int], None] | None = None,
    views: Views | None = None,
) -> None:
    """Train the network in place.

    Args:
        network: What is trained; on the device of x.
        x: Inputs of the network.
        objective: Gives the loss.
        budget: How long and how fast.
        generator: Draws batches and dropout; on the device of x.
        on_step: Is told (steps done, steps in all).
        views: Makes the inputs of (epoch, rows) anew, for instance augmented; None takes rows of x.

    Raises:
        HashingError: The gradient is no longer finite.
    """
    batches = budget.batches(len(x))
    total = budget.epochs * batches
    optimizer = AdamW(_groups(network, budget.learning_rate), weight_decay=budget.weight_decay)
    schedule = LambdaLR(optimizer, lambda done: 0.5 * (1 + math.cos(math.pi * done / total)))
    done = 0
    network.train()
    for epoch in range(budget.epochs):
        objective.start_epoch(network, x)
        order = torch.randperm(len(x), generator=generator, device=x.device)
        for rows in order.tensor_split(batches):
            scores = network(x[rows] if views is None else views(epoch, rows), generator)
            loss = objective.loss(network, scores, rows, done / total)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            if not torch.isfinite(norm):
                raise HashingError(
                    f"Training diverged: the gradient is {float(norm)} at step {done + 1} of {total}. "
                    f"Lower learning_rate (now {budget.learning_rate}) or check the embeddings."
                )
            optimizer.step()
            schedule.step()
            done += 1
            if on_step is not None:
                on_step(done, total)
    network.eval()


def seeded_generator(seed: int, device: torch.device) -> torch.Generator:
    """Return a generator of its own on the device."""
    return torch.Generator(device).manual_seed(seed)


def _groups(network: HashNetwork, learning_rate: float) -> list[dict[str, object]]:
    block = [] if network.block is None else list(network.block.parameters())
    own = {id(parameter) for parameter in block}
    heads = [parameter for parameter in network.parameters() if id(parameter) not in own]
    groups: list[dict[str, object]] = [{"params": heads, "lr": learning_rate}]
    if block:
        groups.append({"params": block, "lr": learning_rate * BLOCK_SLOWDOWN})
    return groups
