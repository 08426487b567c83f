"""Models of the Hugging Face hub: a name turned into a local folder.

In: a hub name such as `facebook/dinov2-small`. Out: the folder in the hub's cache, downloaded on first use. Everything
read from that folder is left to `transformers_backbone`.
"""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: its HTTP client changes with versions
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from service.errors import NotFoundError, UnavailableError

MODEL_FILES = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "*.bin.index.json",  # small; lets a repository of pickles be told from an empty one
)
ANSWER_TIMEOUT_S = 5.0


def fetch_model(name: str) -> Path:
    """Return the folder of a hub model: from the cache if it is whole there, else downloaded once.

    Raises:
        NotFoundError: The hub knows no such model, or hides it.
        UnavailableError: The hub cannot be reached and the cache does not have the model.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=list(MODEL_FILES), local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=list(MODEL_FILES), etag_timeout=ANSWER_TIMEOUT_S))
    except RepositoryNotFoundError as error:
        raise NotFoundError(
            f"There is no folder {name!r}, and the hub has no model of that name or asks for a login. Check the name,"
            " or give the folder of a downloaded model: `--backbone PATH`.",
            reason="MODEL_NOT_FOUND",
            model=name,
        ) from error
    except (OSError, HTTPError) as error:
        raise UnavailableError(
            f"There is no folder {name!r}, and the hub that may have a model of that name did not answer"
            f" ({type(error).__name__}). Download the model where there is a network (`hf download {name} --local-dir"
            " PATH`) and give its folder here: `--backbone PATH`. `--backbone encoder` needs none.",
            reason="HUB_UNREACHABLE",
            model=name,
        ) from error
