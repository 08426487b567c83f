"""Group commit: images that several callers bring at the same time are committed together.

In: images of one caller at a time. Out: what became of each. What a commit is, is the gallery's business.

The first caller that gets the lock commits for all who wait by then; they find it done when their turn comes.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from service.errors import (
    InvalidArgumentError,
    NearDuplicateError,
    PolyhashError,
    PreconditionError,
    UnavailableError,
)
from service.records import Acknowledgement, NewImage

Outcome = Acknowledgement | NearDuplicateError | UnavailableError
Commit = Callable[[Sequence[NewImage], Mapping[bytes, bytes]], list[Outcome]]  # images, originals by sha256


@final
class CommitQueue:
    """Callers that wait to have their images committed."""

    def __init__(self, commit: Commit, *, lock: threading.Lock) -> None:
        """Take what commits images while the lock is held, and the lock that every other change takes too."""
        self._commit = commit
        self._lock = lock
        self._waiting: list[_Waiting] = []
        self._changing = threading.Lock()

    def submit(self, images: Sequence[NewImage], contents: Mapping[bytes, bytes]) -> list[Outcome]:
        """Return what became of each image, once all of these are committed; raises what the commit raised."""
        mine = _Waiting(images, contents)
        with self._changing:
            self._waiting.append(mine)
        with self._lock:
            if not mine.done:
                self._commit_all()
        if mine.error:
            raise mine.error
        return mine.outcomes

    def _commit_all(self) -> None:
        with self._changing:
            group, self._waiting = self._waiting, []
        try:
            self._commit_group(group)
        except (InvalidArgumentError, PreconditionError) as error:
            if len(group) == 1:
                group[0].fail(error)
            for waiting in group if len(group) > 1 else ():
                self._commit_alone(waiting)  # one caller's images are no reason to refuse another's
        except (
            PolyhashError
        ) as error:  # the store's own trouble, for all alike; some may be committed, so none is tried again
            for waiting in group:
                waiting.fail(error)
        finally:
            for waiting in group:
                if (
                    not waiting.done
                ):  # something unforeseen ends the caller that holds the lock; nobody may wait for ever
                    waiting.fail(
                        RuntimeError("The commit of these images broke off; see the log of the server.")
                    )

    def _commit_alone(self, waiting: "_Waiting") -> None:
        try:
            self._commit_group([waiting])
        except PolyhashError as error:
            waiting.fail(error)

    def _commit_group(self, group: "Sequence[_Waiting]") -> None:
        images = [image for waiting in group for image in waiting.images]
        contents = {digest: content for waiting in group for digest, content in waiting.contents.items()}
        outcomes = iter(self._commit(images, contents))
        for waiting in group:
            waiting.finish([next(outcomes) for _ in waiting.images])


@dataclass(slots=True)
class _Waiting:
    """Images of one caller on their way into the catalog, and what became of them."""

    images: Sequence[NewImage]
    contents: Mapping[bytes, bytes]
    outcomes: list[Outcome] = field(default_factory=list)
    error: Exception | None = None
    done: bool = False

    def finish(self, outcomes: list[Outcome]) -> None:
        self.outcomes, self.done = outcomes, True

    def fail(self, error: Exception) -> None:
        self.error, self.done = error, True
