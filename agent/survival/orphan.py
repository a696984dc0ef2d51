"""Ends a call's process at once when its worker has died.

LiveKit ends it too, in its own time, and cancels one task after another: the reply under way would
be stored as said to its end, and the next agent would leave out what its caller never received.
"""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from livekit.agents import JobContext

from llm_router.errors import NotFoundError, StoreError

_logger = logging.getLogger("agent")

_LAST_WITHIN = 1.0
"""Seconds for the last words: the next agent is called after more than that."""


def connection_of(ctx: JobContext) -> socket.socket:
    """Returns the connection between a call's process and its worker."""
    executor: Any = ctx.inference_executor
    connection: socket.socket = executor._client._mp_cch  # noqa: SLF001  LiveKit says nowhere else that it is closed
    return connection


@contextmanager
def ending_with(
    connection: socket.socket, last: Callable[[], Awaitable[None]], stopped: Callable[[], object]
) -> Iterator[None]:
    """Ends this process, as if it were killed, once the connection is closed by the other end.

    Its event loop stands still from the moment in which it could learn of that, so that nothing
    more is said, and `last` runs in another one. `stopped` is called last of all.
    """

    def work() -> None:
        try:
            asyncio.run(_within(last))
        except (StoreError, NotFoundError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            _logger.warning("the last words of a call are not stored: %s", reason)

    def check() -> None:
        if not _is_closed(watched):
            return
        writing = threading.Thread(target=work, daemon=True, name="last words")
        writing.start()
        writing.join(_LAST_WITHIN)
        stopped()
        os._exit(1)

    loop = asyncio.get_running_loop()
    # Another name of the same connection, whose events come together with those of LiveKit's.
    with connection.dup() as watched:
        loop.add_reader(watched, check)
        try:
            yield
        finally:
            loop.remove_reader(watched)


def _is_closed(connection: socket.socket) -> bool:
    """Returns whether the other end is closed, and leaves what it has sent to the reader."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


async def _within(last: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(_LAST_WITHIN):
        await last()
