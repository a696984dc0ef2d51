"""What a contender adds to the first word while all is well, measured one after another, alone."""

from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from time import perf_counter, process_time

from bench.first_word.cases import PRIMARY_FIRST_WORD, REPLY, SPARE_FIRST_WORD
from bench.first_word.contenders import Opens, Speaker
from bench.first_word.servers import model_server
from bench.first_word.turn import quantile
from bench.report.table import Progress

_ONE_WORD = {"words": [REPLY.split()[0]]}
_UNCOUNTED = 5
"""Rounds at first, in which everything is imported and connected."""


@dataclass(frozen=True, slots=True)
class Times:
    """Of one contender, to the first word, in seconds: passed, and worked by the processor.

    While nobody else has work in this process, work is what a busy machine cannot blur.
    """

    product: str
    passed: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)

    def passed_over(self, bare: "Times", q: float) -> float:
        return quantile(self.passed, q) - quantile(bare.passed, q)

    def worked_over(self, bare: "Times", q: float) -> float:
        return quantile(self.worked, q) - quantile(bare.worked, q)


async def first_words(
    contenders: Sequence[tuple[str, Opens]], rounds: int, progress: Progress
) -> Sequence[Times]:
    """All of them at the same two servers, in turn; who begins changes from round to round.

    Replies are one word long, so that nothing but the way to it is measured.
    """
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(model_server(PRIMARY_FIRST_WORD))
        spare = await stack.enter_async_context(model_server(SPARE_FIRST_WORD))
        await primary.behave(_ONE_WORD)
        addresses = [primary.base_url, spare.base_url]
        speaking = [
            (Times(product), await stack.enter_async_context(opens(addresses)))
            for product, opens in contenders
        ]
        for number in range(-_UNCOUNTED, rounds):
            progress(f"time added when healthy: round {max(number, 0) + 1} of {rounds}")
            for place in range(len(speaking)):
                times, speaker = speaking[(place + number) % len(speaking)]
                passed, worked = await _first_word(speaker)
                if number >= 0:
                    times.passed.append(passed)
                    times.worked.append(worked)
    return [times for times, _ in speaking]


async def _first_word(speaker: Speaker) -> tuple[float, float]:
    start, worked = perf_counter(), process_time()
    async with aclosing(speaker()) as reply:
        await anext(reply)
        first = perf_counter() - start, process_time() - worked
        async for _ in reply:
            pass  # to its end, so that its connection can be used again
    return first
