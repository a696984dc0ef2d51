"""Asks a contender for replies, in the same way for all, whatever environment it lives in.

As a program, a contender's module first prints the versions of the packages it uses. Then each
line of JSON on its input is a command, answered with a line. It ends with its input. This module
needs nothing but Python, because not every environment has more.
"""

import asyncio
import json
import logging
import os
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from importlib.metadata import PackageNotFoundError, version
from time import monotonic
from typing import Any

Ask = Callable[[], AsyncGenerator[str, None]]
"""Asks the question once and yields the reply in pieces."""
OpenContender = Callable[[Sequence[str]], AbstractAsyncContextManager[Ask]]
"""Opens a contender over servers at these addresses, best first."""

MODEL = "faulty"
MESSAGES = [
    {"role": "system", "content": "You answer the telephone of a small restaurant."},
    {"role": "user", "content": "I booked a table for tonight. Is everything all right with it?"},
]

HANG_UP_AFTER = 6.0
"""Seconds without a word after which a caller hangs up; longer than any peer's own deadline."""
TURN_LIMIT = 10.0
"""Seconds after which a caller hangs up in any case; a healthy server takes one."""
_START_INTERVAL = 0.03
"""Seconds between two callers' questions, so that none waits for another's work."""


async def take_turn(
    ask: Ask, patience: float = HANG_UP_AFTER, limit: float = TURN_LIMIT
) -> dict[str, Any]:
    """Asks, and reads the reply until its end, until `patience` seconds passed without a word, or
    for `limit` seconds.

    Returns the fields of `first_word.turn.Turn`; times in seconds from the question. Raises
    nothing that the contender raises: its name is the `ending`.
    """
    loop = asyncio.get_running_loop()
    start = monotonic()
    gone_at = loop.time() + limit
    pieces: list[tuple[float, str]] = []
    ending = "ended"
    try:
        async with asyncio.timeout(patience) as hang_up, aclosing(ask()) as reply:
            async for text in reply:
                pieces.append((monotonic() - start, text))
                if hang_up.expired():
                    break  # the contender suppressed the cancellation
                hang_up.reschedule(min(loop.time() + patience, gone_at))
    except Exception as error:  # noqa: BLE001  the timeout, or any error of a contender, ends the turn
        ending = type(error).__name__
    if hang_up.expired():
        ending = "hung up"
    return {"pieces": pieces, "ended": monotonic() - start, "ending": ending}


async def _serve(settings: Mapping[str, OpenContender], answer: Callable[[Any], None]) -> None:
    async with AsyncExitStack() as opened:
        asks: list[Ask] = []
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            if "open" in command:
                await opened.aclose()
                open_contender = settings[command["open"]]
                asks = [
                    await opened.enter_async_context(open_contender(command["addresses"]))
                    for _ in range(command["times"])
                ]
                answer(None)
            else:
                callers = command["callers"]
                waits = callers["patience"], callers["limit"]
                turns = (
                    _take_turn_later(n * _START_INTERVAL, asks[n % len(asks)], *waits)
                    for n in range(callers["at_once"])
                )
                answer(await asyncio.gather(*turns))


async def _take_turn_later(delay: float, ask: Ask, patience: float, limit: float) -> dict[str, Any]:
    await asyncio.sleep(delay)
    return await take_turn(ask, patience, limit)


def run(settings: Mapping[str, OpenContender], packages: Sequence[str]) -> None:
    """Runs the program.

    `{"open": <setting>, "addresses": [...], "times": n}` opens the contender n times, in place of
    what was open. `{"callers": {"at_once": n, "patience": p, "limit": l}}` has n callers ask at
    once, who share what is open, and answers with their turns; p and l as in `take_turn`.
    """
    logging.disable(logging.CRITICAL)  # faults are intended here
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not become an answer

    def answer(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")

    answer(versions(packages))
    asyncio.run(_serve(settings, answer))


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Returns the version of each package: "from its checkout" for one that is not installed."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # ours, run from a checkout that was never installed
        return "from its checkout"
