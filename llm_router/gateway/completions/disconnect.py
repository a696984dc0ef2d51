"""Ends the work for a client that has left."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")


async def run_until_disconnect(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Runs `work` until it ends or the client leaves, and then cancels and awaits it.

    `receive` must have given the whole body before. Raises what `work` raises, and ClientDisconnect
    where it was cancelled.
    """
    working = asyncio.create_task(work, name="work for a client")
    leaving = asyncio.create_task(_disconnected(receive), name="client's connection")
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})
    if working.cancelled():
        raise ClientDisconnect
    return working.result()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        """Nothing else is of interest: the body is here."""
