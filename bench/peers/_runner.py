"""How a contender is heard: the same for all, whatever environment it lives in.

A contender's module, as a program, first says which packages it stands on; then each line of JSON
on its input is a command, answered with a line. It ends with its input. Needs nothing but Python,
for not every environment has more.
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

Speaker = Callable[[], AsyncGenerator[str, None]]
"""Asks the question once; the reply comes piece by piece."""
Opens = Callable[[Sequence[str]], AbstractAsyncContextManager[Speaker]]
"""Addresses, best first, in; something that speaks, out."""

MODEL = "faulty"
MESSAGES = [
    {"role": "system", "content": "You answer the telephone of a small restaurant."},
    {"role": "user", "content": "I booked a table for tonight. Is everything all right with it?"},
]

HANGS_UP = 6.0
"""Seconds without a word, then the caller is gone; longer than any peer's own deadline."""
LONGEST = 10.0
"""Seconds until a caller has had enough of a reply that takes a well server one."""
_APART = 0.03
"""Seconds between two callers' questions, so that none waits for another's work."""


async def listen(speaker: Speaker, patience: float = HANGS_UP) -> dict[str, Any]:
    """Ask, and take what comes, until the end or until the caller hangs up, after `patience`
    seconds without a word. The fields of `_turn.Turn`; times in seconds from the question.
    """
    loop, start = asyncio.get_running_loop(), monotonic()
    gone_at, pieces, ending = loop.time() + LONGEST, list[tuple[float, str]](), "ended"
    try:
        async with asyncio.timeout(patience) as hang_up, aclosing(speaker()) as reply:
            async for text in reply:
                pieces.append((monotonic() - start, text))
                if hang_up.expired():
                    break  # the contender kept the hang-up to itself
                hang_up.reschedule(min(loop.time() + patience, gone_at))
    except Exception as error:  # noqa: BLE001  the hang-up, or whatever a contender raises: over
        ending = type(error).__name__
    if hang_up.expired():
        ending = "hung up"
    return {"pieces": pieces, "ended": monotonic() - start, "ending": ending}


async def _serve(contenders: Mapping[str, Opens], answer: Callable[[Any], None]) -> None:
    async with AsyncExitStack() as opened:
        speakers: list[Speaker] = []
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            if "open" in command:
                await opened.aclose()
                opens = contenders[command["open"]]
                speakers = [
                    await opened.enter_async_context(opens(command["addresses"]))
                    for _ in range(command["times"])
                ]
                answer(None)
            else:
                callers = range(command["callers"])
                asking = (_later(speakers[n % len(speakers)], n * _APART) for n in callers)
                answer(await asyncio.gather(*asking))


async def _later(speaker: Speaker, wait: float) -> dict[str, Any]:
    await asyncio.sleep(wait)
    return await listen(speaker)


def run(contenders: Mapping[str, Opens], packages: Sequence[str]) -> None:
    """Be the program. `{"open": <contender>, "addresses": [...], "times": n}` opens it so many
    times in place of what was open; `{"callers": n}` has so many callers ask at once, who share
    what is open, and answers with their turns.
    """
    logging.disable(logging.CRITICAL)  # faults are what is wanted here
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(what: Any) -> None:
        answers.write(json.dumps(what) + "\n")

    answer({package: _version(package) for package in packages})
    asyncio.run(_serve(contenders, answer))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # ours, run from a checkout that was never installed
        return "from its checkout"
