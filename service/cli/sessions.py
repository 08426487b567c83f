"""Open stores and learned hashers, with progress shown: what every command that needs a store goes through."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.cli import console

if TYPE_CHECKING:
    from service.compose import Session


@contextmanager
def open_session(store: Path, **options: Any) -> Iterator["Session"]:  # noqa: ANN401 - as for compose.open_session
    """Open a store as `compose.open_session` does, showing how the codes are loaded."""
    from service import compose

    with ExitStack() as stack:
        with console.progress("Loading codes", total=None, unit="images") as meter:
            session = stack.enter_context(compose.open_session(store, on_load=meter, **options))
        yield session


def learn(
    session: "Session", parameters: Mapping[str, Any], *, tune: bool = False, deep: bool = False
) -> None:
    """Learn a hasher on a store and encode the store with it; `tune` and `deep` are those of `compose.fit_hasher`."""
    from service import compose

    unit = "fits" if tune else "steps" if deep else "sweeps"
    with console.progress("Learning codes", total=None, unit=unit) as meter:
        hasher = compose.fit_hasher(session, parameters=parameters, tune=tune, deep=deep, on_step=meter)
    with console.stages("images") as report:
        compose.use_hasher(session, hasher, report=report)
