"""The day of one contender: callers who ask and listen, and the figures of their replies."""

import asyncio
import math
from array import array
from collections.abc import AsyncIterator, Callable, MutableSequence, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from bench.outage.clock import SwiftClock
from bench.outage.day import SERVERS, Day
from bench.outage.server import Bill, PendingQuestion, SimulatedServer, price, words_in
from llm_router.clock import Clock
from llm_router.errors import RouterError
from llm_router.routing.speech import SpeechClock
from llm_router.testing import ManualClock
from llm_router.types import ChatRequest, Chunk

PROCESS_REPLIES = 50_000
"""Replies of a process in a day: 0.6 questions a second, twice that in a rush."""
PAUSE = 0.7
"""Seconds before an answer that callers accept; a longer gap sounds like trouble (Kendrick and
Torreira, "The timing and construction of preference", 2015)."""
HANG_UP_AFTER = 6.0
"""Seconds without any word after which a caller hangs up."""
ASK_AGAIN_AFTER = 3.0
"""Seconds of silence in the middle of a reply after which the caller speaks."""


@dataclass(slots=True)
class Figures:
    """The figures of a contender's day. Times in seconds.

    `first_words`: of every reply, sorted; infinity where none came. `before`, `within`: silence
    beyond a pause until the voice could begin, and after it had begun. `received`: words.
    `cheapest`: the cost of the whole answers at the cheapest server.
    """

    contender: str
    first_words: MutableSequence[float] = field(default_factory=list)
    before: float = 0.0
    within: float = 0.0
    whole: int = 0
    received: int = 0
    bill: Bill = field(default_factory=Bill)
    cheapest: float = 0.0

    @property
    def replies(self) -> int:
        return len(self.first_words)

    @property
    def silence(self) -> float:
        """Seconds of silence in 1,000 replies."""
        return (self.before + self.within) / self.replies * 1000

    @property
    def lost(self) -> float:
        """Share of replies that never came, or not to their end."""
        return 1 - self.whole / self.replies

    @property
    def relative_cost(self) -> float:
        """The cost over that of the same answers at the cheapest server."""
        return self.bill.cost / self.cheapest

    def first_word(self, quantile: float) -> float:
        return self.first_words[min(int(quantile * self.replies), self.replies - 1)]

    def later_than(self, seconds: float) -> float:
        """Returns the share of first words later than this."""
        return sum(wait > seconds for wait in self.first_words) / self.replies


class Reply(Protocol):
    """The chunks for a caller. A RouterError or TimeoutError ends them."""

    def __aiter__(self) -> AsyncIterator[Chunk]: ...

    async def aclose(self) -> None: ...


class Contender(Protocol):
    """A process that answers calls."""

    def reply(self, request: ChatRequest) -> Reply: ...

    async def aclose(self) -> None: ...


OpenContender = Callable[[Sequence[SimulatedServer], Clock, int], Contender]
"""Opens a process over servers in the user's order; the number is that of the process."""


def simulate(
    name: str, open_contender: OpenContender, day: Day, clock: SwiftClock | ManualClock
) -> Figures:
    """Runs the day's questions, divided among as many processes as needed."""
    figures = Figures(name)
    clock.run(_simulate(open_contender, day, clock, figures))
    figures.first_words = array("d", sorted(figures.first_words))
    return figures


async def _simulate(
    open_contender: OpenContender, day: Day, clock: Clock, figures: Figures
) -> None:
    servers = [SimulatedServer(place, day, clock, figures.bill) for place in range(len(SERVERS))]
    many = max(1, round(day.replies / PROCESS_REPLIES))
    processes = [open_contender(servers, clock, number) for number in range(many)]
    async with asyncio.TaskGroup() as calls:
        for question in day.questions():
            await clock.sleep(question.at - clock.now())
            pending = PendingQuestion(day, question)
            reply = processes[question.call % many].reply(pending.request())
            calls.create_task(Caller(pending, clock, figures).listen(reply))
    for process in processes:
        await process.aclose()


class Caller:
    """Listens until the reply ends, or until the silence is too long."""

    def __init__(self, pending: PendingQuestion, clock: Clock, figures: Figures) -> None:
        self._pending = pending
        self._clock = clock
        self._figures = figures
        self._started = clock.now()
        self._speech = SpeechClock("en")
        self._text = ""
        self._first_word = math.inf
        self._silence = 0.0

    async def listen(self, reply: Reply) -> None:
        is_finished = False
        try:
            hang_up_at = self._started + HANG_UP_AFTER
            async with asyncio.timeout_at(hang_up_at) as hang_up, aclosing(reply):
                async for chunk in reply:
                    self._receive(chunk.text)
                    is_finished = is_finished or chunk.finish_reason is not None
                    if self._text:
                        words_until = self._speech.silent_from or self._clock.now()
                        hang_up.reschedule(words_until + ASK_AGAIN_AFTER)
        except (RouterError, TimeoutError):
            is_finished = False
        self._record(is_finished=is_finished)

    def _receive(self, text: str) -> None:
        if not text:
            return
        now = self._clock.now()
        if not self._text:
            self._first_word = now - self._started
        self._text += text
        begun = self._speech.silent_from
        if not self._speech.feed(text, now):
            return  # half a clause: the voice waits for the rest
        if begun is None:
            self._figures.before += max(0.0, now - self._started - PAUSE)
        else:
            self._silence += max(0.0, now - begun)

    def _record(self, *, is_finished: bool) -> None:
        figures = self._figures
        if self._speech.silent_from is None:
            figures.before += HANG_UP_AFTER - PAUSE  # not one clause came: the voice never began
        elif not is_finished:
            self._silence += ASK_AGAIN_AFTER
        figures.within += self._silence
        figures.first_words.append(self._first_word)
        figures.received += words_in(self._text)
        figures.whole += self._text == self._pending.text
        question = self._pending.question
        figures.cheapest += min(price(server, question, question.words) for server in SERVERS)
