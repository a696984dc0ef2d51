"""Runs every case against every contender: all contenders side by side, at servers of their own."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from bench.first_word.cases import Case
from bench.first_word.contender_process import Callers, start_contender
from bench.first_word.contenders import Contender
from bench.first_word.turn import Row

_STARTING = 4
"""Contenders that start at a time."""


async def run_cases(
    cases: Sequence[Case],
    contenders: Sequence[Contender],
    callers: Callers,
    turns: int,
    on_row: Callable[[Row], None],
) -> dict[str, str]:
    """Passes on each row as soon as it is measured. Returns the versions of all packages."""
    parallel = {one.name: min(one.parallel, len(cases)) for one in contenders}
    all_started = asyncio.Barrier(sum(parallel.values()))
    starting = asyncio.Semaphore(_STARTING)
    versions: dict[str, str] = {}

    async def run(contender: Contender, left: deque[Case]) -> None:
        async with AsyncExitStack() as stack:
            async with starting:
                process = await stack.enter_async_context(start_contender(contender, callers))
            versions.update(process.versions)
            await all_started.wait()  # the start of another would delay the turns
            while left:
                on_row(await process.run(left.popleft(), turns))

    async with asyncio.TaskGroup() as group:
        for place, contender in enumerate(contenders):
            left = deque(cases)
            # Each starts with another case, so that not all have the same work at the same time.
            left.rotate(-place * len(cases) // len(contenders))
            for _ in range(parallel[contender.name]):
                group.create_task(run(contender, left))
    return versions
