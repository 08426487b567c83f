"""A training on disk: all that is needed to go on as if it had never stopped.

In: a dictionary of tensors, numbers and strings. Out: one file, written whole or not at all.
What goes into it is gathered by gan_aug.trainer.
"""

import pickle
from pathlib import Path
from typing import Any

import torch

from gan_aug.errors import CheckpointError

FORMAT = "gan_aug training 1"


def random_states() -> dict[str, Any]:
    """Return the states of torch's global generators, of which dropout draws."""
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Set torch's global generators; those of accelerators only where there are as many."""
    torch.set_rng_state(states["cpu"])
    if len(states.get("cuda", ())) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all(states["cuda"])


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint beside its place, then move it there, so that an interruption leaves the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    torch.save({"format": FORMAT, **content}, draft)
    draft.replace(path)


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the content of a checkpoint; only tensors and plain values are read, never code.

    Raises:
        CheckpointError: if the file is missing, damaged or something else.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint: {error}. Train anew or give another."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{path} must have the format {FORMAT!r}, got {found!r}. Give a checkpoint of a training."
        )
    return content
