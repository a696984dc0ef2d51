"""`llm-router batch`: has the requests of a file answered, and writes the replies into another."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from llm_router.api_client import ApiClient
from llm_router.cli.batch_files import BatchLine, BatchResults, read_lines
from llm_router.cli.command import EXIT_NO, CommandContext, api_command
from llm_router.clock import Clock, SystemClock

_LATER = frozenset({429, 503})
"""Statuses of a gateway that has no place, no free connection or no database now."""
_MOST_TRIES = 20
_LONGEST_WAIT = 60.0
"""Seconds between two tries of a request, at most."""
_TOO_LONG = 1_200.0
"""Seconds after which a place that is promised is one for another run."""
_OK = 200


def register(app: typer.Typer) -> None:
    api_command(app, "batch")(batch)


async def batch(
    context: CommandContext,
    requests: Annotated[Path, typer.Argument(metavar="IN", help="File of requests, a line each.")],
    results: Annotated[Path, typer.Argument(metavar="OUT", help="File of results, a line each.")],
    *,
    concurrency: Annotated[
        int, typer.Option(min=1, max=100, help="Requests in progress at a time.")
    ] = 8,
) -> int | None:
    """Have the requests of a file answered, by connections flagged for automation.

    Both files have the lines of OpenAI's /v1/batches: custom_id, method, url and body, and
    custom_id, response and error. A request that has a line in OUT is not asked again, so run the
    command again after an interruption. Exits with 1 if some were refused, failed or are left.
    """
    wanted = [line.custom_id for line in read_lines(requests)]
    out = BatchResults(results)
    try:
        run = BatchRun(context.api, read_lines(requests), out, SystemClock())
        skipped = sum(custom_id in out.done for custom_id in wanted)
        if skipped:
            context.out.print_note(f"{skipped:,} of {len(wanted):,} are done already")
        with context.out.progress("answered") as on_progress:
            await run.run(concurrency, lambda: on_progress(len(out.done), len(wanted)))
    finally:
        out.close()
    statuses = Counter(out.done[each] for each in wanted if each in out.done)
    answered, done = statuses[_OK], statuses.total()
    counts = {
        "requests": len(wanted),
        "answered": answered,
        "failed": done - answered,
        "left": len(wanted) - done,
        "skipped": skipped,
    }
    context.out.json(counts)
    context.out.print_line(
        f"{answered:,} of {len(wanted):,} answered, {done - answered:,} failed,"
        f" {len(wanted) - done:,} left",
        "green" if answered == len(wanted) else "red",
    )
    if done < len(wanted):
        context.out.print_note("the gateway had no place for some: run the command again for them")
    return None if answered == len(wanted) else EXIT_NO


@dataclass
class BatchRun:
    """One run of a batch."""

    api: ApiClient
    lines: Iterator[BatchLine]
    out: BatchResults = field(repr=False)
    clock: Clock

    async def run(self, concurrency: int, on_progress: Callable[[], None]) -> None:
        """Has all requests answered that are not done.

        Raises ApiError when the API cannot be reached, and cancels the other requests.
        """
        on_progress()
        workers = [asyncio.create_task(self._work(on_progress)) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)

    async def _work(self, on_progress: Callable[[], None]) -> None:
        for line in self.lines:
            if line.custom_id not in self.out.done:
                await self._ask(line)
                on_progress()

    async def _ask(self, line: BatchLine) -> None:
        """Has one request answered; without a place for it after many tries it stays undone."""
        for number in range(_MOST_TRIES):
            answer = await self.api.complete(line.url, line.body)
            if answer.status not in _LATER:
                await self.out.add(line.custom_id, answer.status, answer.request_id, answer.body)
                return
            wait = (
                answer.retry_after
                if answer.retry_after is not None
                else min(2.0**number, _LONGEST_WAIT)
            )
            if wait > _TOO_LONG:
                return  # such as a budget that is used up until the next month
            await self.clock.sleep(min(wait, _LONGEST_WAIT))
