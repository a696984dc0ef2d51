"""Every contender meets every fault: all of them side by side, each at servers of its own."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from bench.first_word.cases import Case
from bench.first_word.contenders import Contender
from bench.first_word.lane import lane
from bench.first_word.turn import Row

_STARTING = 4
"""Contenders that import what they need at a time."""


async def play(
    cases: Sequence[Case], contenders: Sequence[Contender], turns: int, tell: Callable[[Row], None]
) -> dict[str, str]:
    """Tells each row as soon as it is known; returns the versions of all packages that were met."""
    strands = {one.name: min(one.strands, len(cases)) for one in contenders}
    ready = asyncio.Barrier(sum(strands.values()))
    few = asyncio.Semaphore(_STARTING)
    versions: dict[str, str] = {}

    async def strand(contender: Contender, left: deque[Case]) -> None:
        async with AsyncExitStack() as stack:
            async with few:
                own = await stack.enter_async_context(lane(contender))
            versions.update(own.versions)
            await ready.wait()  # what others do to begin would be heard
            while left:
                tell(await own.play(left.popleft(), turns))

    async with asyncio.TaskGroup() as group:
        for place, contender in enumerate(contenders):
            left = deque(cases)
            # Each begins elsewhere, so that not all have the same work at the same time.
            left.rotate(-place * len(cases) // len(contenders))
            for _ in range(strands[contender.name]):
                group.create_task(strand(contender, left))
    return versions
