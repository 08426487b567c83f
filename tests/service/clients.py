"""Both kinds of client behind the same methods, for tests, and images for them to send.

In: an address. Out: something with the methods of Client, that waits; uploads.
"""

import asyncio
import functools
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from service.client import AsyncClient, Client, NewImage
from tests.contracts.fakes import png


class Blocking:
    """An AsyncClient behind the methods of Client, so that both kinds take the same tests."""

    def __init__(self, runner, client) -> None:
        self._runner = runner
        self._client = client

    def __getattr__(self, name) -> Callable[..., Any]:
        return functools.partial(self._call, getattr(self._client, name))

    def _call(self, method, *arguments, **options):
        async def run():
            answer = method(*arguments, **options)
            return [item async for item in answer] if hasattr(answer, "__aiter__") else await answer

        return self._runner.run(run())


@contextmanager
def blocking(address, **options):
    async def connected():
        return AsyncClient(address, **options)

    with asyncio.Runner() as runner:
        client = runner.run(connected())
        try:
            yield Blocking(runner, client)
        finally:
            runner.run(client.close())


KINDS = {"sync": Client, "async": blocking}


def images(count):
    return [
        NewImage(
            name=f"{seed}.png",
            content=png(seed),
            labels=("x",),
            attributes={"seed": str(seed)},
            scores={"half": seed / 2},
        )
        for seed in range(count)
    ]
