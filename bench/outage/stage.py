"""One contender's day: callers who ask and listen, and what came of it."""

import asyncio
import math
from array import array
from collections.abc import AsyncIterator, Callable, MutableSequence, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from bench.outage.clock import SwiftClock
from bench.outage.day import SERVERS, Day
from bench.outage.server import Asked, Bill, SimulatedServer, price, words_in
from llm_router.clock import Clock
from llm_router.errors import RouterError
from llm_router.routing.speech import SpeechClock
from llm_router.testing import ManualClock
from llm_router.types import ChatRequest, Chunk

REPLIES_OF_A_PROCESS = 50_000
"""In a day: 0.6 questions a second, twice that in a rush."""
PAUSE = 0.7
"""Seconds: a longer gap before an answer is heard as trouble (Kendrick and Torreira, "The timing
and construction of preference", 2015)."""
HANGS_UP = 6.0  # s until a caller leaves who hears nothing at all
ASKS_AGAIN = 3.0  # s of silence in the middle of a reply until the caller speaks


@dataclass(slots=True)
class Figures:
    """What a day was like with one contender. Times in seconds.

    `first_words`: of every reply, sorted; infinity where none came. `before`, `within`: silence
    beyond a pause until the voice could begin, and after it had begun. `heard`: words. `cheapest`:
    what the whole answers would cost at the cheapest server.
    """

    contender: str
    first_words: MutableSequence[float] = field(default_factory=list)
    before: float = 0.0
    within: float = 0.0
    whole: int = 0
    heard: int = 0
    bill: Bill = field(default_factory=Bill)
    cheapest: float = 0.0

    @property
    def replies(self) -> int:
        return len(self.first_words)

    @property
    def silence(self) -> float:
        """Seconds in 1,000 replies."""
        return (self.before + self.within) / self.replies * 1000

    @property
    def lost(self) -> float:
        """The share of replies that never came, or not to their end."""
        return 1 - self.whole / self.replies

    @property
    def dearness(self) -> float:
        """What was paid over what the same answers cost at the cheapest server."""
        return self.bill.cost / self.cheapest

    def first_word(self, quantile: float) -> float:
        return self.first_words[min(int(quantile * self.replies), self.replies - 1)]

    def later_than(self, seconds: float) -> float:
        """The share of first words."""
        return sum(wait > seconds for wait in self.first_words) / self.replies


class Reply(Protocol):
    """Chunks as a caller is given them. A RouterError or TimeoutError: no more will come."""

    def __aiter__(self) -> AsyncIterator[Chunk]: ...

    async def aclose(self) -> None: ...


class Contender(Protocol):
    """One process that answers calls."""

    def reply(self, request: ChatRequest) -> Reply: ...

    async def aclose(self) -> None: ...


Opens = Callable[[Sequence[SimulatedServer], Clock, int], Contender]
"""A process of that number, over servers in the user's order."""


def play(name: str, opens: Opens, day: Day, clock: SwiftClock | ManualClock) -> Figures:
    """The day's questions, shared out among as many processes as it takes."""
    figures = Figures(name)
    clock.run(_play(opens, day, clock, figures))
    figures.first_words = array("d", sorted(figures.first_words))
    return figures


async def _play(opens: Opens, day: Day, clock: Clock, figures: Figures) -> None:
    servers = [SimulatedServer(place, day, clock, figures.bill) for place in range(len(SERVERS))]
    many = max(1, round(day.replies / REPLIES_OF_A_PROCESS))
    processes = [opens(servers, clock, number) for number in range(many)]
    async with asyncio.TaskGroup() as calls:
        for question in day.questions():
            await clock.sleep(question.at - clock.now())
            asked = Asked(day, question)
            caller = Caller(asked, clock, figures)
            calls.create_task(caller.listen(processes[question.call % many].reply(asked.request())))
    for process in processes:
        await process.aclose()


class Caller:
    """Who asked: listens until the reply ends, or there was silence for too long."""

    def __init__(self, asked: Asked, clock: Clock, figures: Figures) -> None:
        self._asked, self._clock, self._figures = asked, clock, figures
        self._started = clock.now()
        self._speech = SpeechClock("en")
        self._text = ""
        self._first_word = math.inf
        self._silence = 0.0

    async def listen(self, reply: Reply) -> None:
        is_finished = False
        try:
            async with asyncio.timeout_at(self._started + HANGS_UP) as patience, aclosing(reply):
                async for chunk in reply:
                    self._hears(chunk.text)
                    is_finished = is_finished or chunk.finish_reason is not None
                    if self._text:
                        words_until = self._speech.silent_from or self._clock.now()
                        patience.reschedule(words_until + ASKS_AGAIN)
        except (RouterError, TimeoutError):
            is_finished = False
        self._note(is_finished=is_finished)

    def _hears(self, text: str) -> None:
        if not text:
            return
        now = self._clock.now()
        if not self._text:
            self._first_word = now - self._started
        self._text += text
        begun = self._speech.silent_from
        if not self._speech.feed(text, now):
            return  # half a clause: the voice goes on waiting
        if begun is None:
            self._figures.before += max(0.0, now - self._started - PAUSE)
        else:
            self._silence += max(0.0, now - begun)

    def _note(self, *, is_finished: bool) -> None:
        figures = self._figures
        if self._speech.silent_from is None:
            figures.before += HANGS_UP - PAUSE  # not a clause: the voice never began
        elif not is_finished:
            self._silence += ASKS_AGAIN
        figures.within += self._silence
        figures.first_words.append(self._first_word)
        figures.heard += words_in(self._text)
        figures.whole += self._text == self._asked.text
        question = self._asked.question
        figures.cheapest += min(price(server, question, question.words) for server in SERVERS)
