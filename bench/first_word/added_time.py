"""The time that a contender adds to the first word while its servers are healthy."""

from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from time import perf_counter, process_time

from bench.peers.runner import Ask, OpenContender
from bench.report.command import Progress
from bench.report.quantiles import quantile
from bench.servers.model_server import model_server
from bench.servers.reply import PRIMARY_FIRST_WORD, REPLY, SPARE_FIRST_WORD

_ONE_WORD = {"words": [REPLY.split()[0]]}
_WARM_UP = 5
"""Rounds that do not count, in which everything is imported and connected."""


@dataclass(frozen=True, slots=True)
class Times:
    """A contender's times to the first word, in seconds: elapsed, and of processor work.

    While nothing else works in this process, work is not blurred by a busy machine.
    """

    product: str
    elapsed: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)

    def elapsed_over(self, bare: "Times", q: float) -> float:
        return quantile(self.elapsed, q) - quantile(bare.elapsed, q)

    def worked_over(self, bare: "Times", q: float) -> float:
        return quantile(self.worked, q) - quantile(bare.worked, q)


async def measure_first_words(
    contenders: Sequence[tuple[str, OpenContender]], rounds: int, progress: Progress
) -> Sequence[Times]:
    """Asks all contenders in turn, at the same two servers; the first one changes every round.

    Replies are one word long, so that only the way to it is measured.
    """
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(model_server(PRIMARY_FIRST_WORD))
        spare = await stack.enter_async_context(model_server(SPARE_FIRST_WORD))
        await primary.behave(_ONE_WORD)
        addresses = [primary.base_url, spare.base_url]
        opened = [
            (Times(product), await stack.enter_async_context(open_contender(addresses)))
            for product, open_contender in contenders
        ]
        for number in range(-_WARM_UP, rounds):
            progress(f"time added when healthy: round {max(number, 0) + 1} of {rounds}")
            for place in range(len(opened)):
                times, ask = opened[(place + number) % len(opened)]
                elapsed, worked = await _first_word(ask)
                if number >= 0:
                    times.elapsed.append(elapsed)
                    times.worked.append(worked)
    return [times for times, _ in opened]


async def _first_word(ask: Ask) -> tuple[float, float]:
    start = perf_counter()
    work_start = process_time()
    async with aclosing(ask()) as reply:
        await anext(reply)
        first = perf_counter() - start, process_time() - work_start
        async for _ in reply:
            pass  # to its end, so that its connection can be used again
    return first
